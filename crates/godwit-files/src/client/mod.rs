//! The client: download to disk with resume and verification, upload with a digest, list.
//!
//! Everything here runs over a [`godwit_http::Client`], so over UDT and TCP alike. It asks nobody, prints nothing and
//! reads no environment: what happens meanwhile goes to an [`Observer`](crate::progress::Observer).
//!
//! What it does *not* do: follow redirects, log in, download directories, or resume uploads.

mod blocking;
mod download;
mod error;
mod existing;
mod list;
mod receive;
mod refusal;
mod retry;
mod segments;
mod transfer;
mod upload;
mod url;

use godwit_http::{Body, empty_body};
use http::header::{ACCEPT_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request};

pub use download::{DownloadOptions, Downloaded, Outcome, download};
pub use error::{DownloadError, Fault, ListError, UploadError};
pub use list::{Entry, EntryKind, list};
pub use refusal::Refusal;
pub use retry::RetryPolicy;
pub use segments::DOWNLOAD_CONNECTIONS_MAX;
pub use upload::{UploadOptions, Uploaded, upload};
pub use url::{NameError, RemoteUrl, UrlError};

const AGENT: HeaderValue = HeaderValue::from_static(concat!("godwit/", env!("CARGO_PKG_VERSION")));

/// A request without content that wants the bytes as they are on the server's disk.
fn request(method: Method, url: &RemoteUrl, headers: HeaderMap) -> Request<Body> {
    let mut request = Request::new(empty_body());
    *request.method_mut() = method;
    *request.uri_mut() = url.uri().clone();
    *request.headers_mut() = headers;
    request.headers_mut().insert(USER_AGENT, AGENT);
    request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    request
}

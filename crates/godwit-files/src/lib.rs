//! Files over HTTP: serve, list, download, upload, resume, verify.
//!
//! [`FileService`] serves a directory: it is a function from requests to responses and knows no network.
//! [`godwit_http::Server`] is what calls it; the [`client`] is its counterpart. `docs/http.md` says what is answered.
//!
//! ```
//! use godwit_files::{FileService, FilesConfig};
//! use godwit_http::empty_body;
//! use http::{Request, StatusCode};
//! use http_body_util::BodyExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let directory = tempfile::tempdir()?;
//! std::fs::write(directory.path().join("a file"), "hello")?;
//! let service = FileService::new(directory.path(), FilesConfig::default())?;
//!
//! let request = Request::get("/a%20file").header("range", "bytes=1-3").body(empty_body())?;
//! let response = service.handle(request).await;
//! assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "ell");
//! # Ok(())
//! # }
//! ```
//!
//! What it does *not* do: authenticate anybody, compress, create directories, delete, or resume uploads.

mod access_log;
mod blocking_body;
pub mod client;
mod conditional;
mod config;
mod content_type;
mod digest_cache;
mod digest_fields;
mod download;
mod error;
pub mod escape;
mod etag;
pub mod hash;
pub mod headers;
mod list;
pub mod percent;
pub mod plan;
mod problem;
pub mod progress;
mod range;
mod routes;
pub mod store;
mod upload;
mod url_path;

pub use config::FilesConfig;
pub use error::OpenRootError;
pub use routes::FileService;

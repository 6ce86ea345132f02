//! Errors as problem documents (RFC 9457): the one place where they become a status.

use godwit_http::{Body, full_body};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use tracing::warn;

use crate::error::{OpenError, ReadError};
use crate::url_path::BadPath;

/// The methods that are answered here.
pub(crate) const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, PUT, OPTIONS");

/// Why a request is not done. Each has a `code` of docs/http.md, whose meaning never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    BadPath(BadPath),
    NotFound,
    ReadForbidden,
    MethodNotAllowed,
    PreconditionFailed,
    RangeNotSatisfiable { size_bytes: u64 },
    FileChanging,
    Overloaded,
    Internal,
}

/// The document. Its type is `about:blank`: the status says it all, and `code` is for programs that want more.
#[derive(Serialize)]
struct Document {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: String,
}

impl Problem {
    pub(crate) fn into_response(self) -> Response<Body> {
        let (status, code, detail) = self.parts();
        let title = status.canonical_reason().expect("only registered statuses are used");
        let document = Document { kind: "about:blank", title, status: status.as_u16(), code, detail };
        let document = serde_json::to_vec(&document).expect("strings and numbers are always JSON");
        let length_bytes = document.len();
        let mut response = Response::new(full_body(document));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CONTENT_LENGTH, length_bytes.into());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::MethodNotAllowed => {
                headers.insert(ALLOW, ALLOWED_METHODS);
            }
            Self::RangeNotSatisfiable { size_bytes } => {
                let range = HeaderValue::try_from(format!("bytes */{size_bytes}"));
                headers.insert(CONTENT_RANGE, range.expect("a number is visible ASCII"));
            }
            _ if status == StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }

    /// Status, code and detail: what happened and what to do about it.
    fn parts(self) -> (StatusCode, &'static str, String) {
        let (status, code, detail) = match self {
            Self::BadPath(bad) => return (StatusCode::BAD_REQUEST, "bad-path", bad.to_string()),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "not-found",
                "Nothing of that name is served here. Check its spelling in the listing of its directory.",
            ),
            Self::ReadForbidden => (
                StatusCode::FORBIDDEN,
                "read-forbidden",
                "The server is not permitted to read this. Ask its operator to change the file's permissions.",
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "This method is not supported. Use one of those in the Allow field.",
            ),
            Self::PreconditionFailed => (
                StatusCode::PRECONDITION_FAILED,
                "precondition-failed",
                "The file is not in the state that the request's If-… fields require. Look at it again, then decide.",
            ),
            Self::RangeNotSatisfiable { size_bytes } => {
                let detail = format!("No range of the request begins within the file's {size_bytes} bytes.");
                return (StatusCode::RANGE_NOT_SATISFIABLE, "range-not-satisfiable", detail);
            }
            Self::FileChanging => (
                StatusCode::SERVICE_UNAVAILABLE,
                "file-changing",
                "The file changed while its digest was computed. Ask again once it is complete.",
            ),
            Self::Overloaded => {
                (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "The server has too many files open. Ask again later.")
            }
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "The server could not read or write its files; its log says why.",
            ),
        };
        (status, code, detail.to_owned())
    }
}

impl From<OpenError> for Problem {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::NotFound => Self::NotFound,
            OpenError::Denied => Self::ReadForbidden,
            OpenError::TooManyOpenFiles => Self::Overloaded,
            OpenError::Io(error) => {
                warn!(%error, "cannot open a file");
                Self::Internal
            }
        }
    }
}

impl From<&ReadError> for Problem {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::Changed | ReadError::Truncated { .. } => Self::FileChanging,
            ReadError::Cancelled => Self::Internal,
            ReadError::Io(error) => {
                warn!(%error, "cannot read a file");
                Self::Internal
            }
        }
    }
}

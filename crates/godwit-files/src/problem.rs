//! Errors as problem documents (RFC 9457): the one place where they become a status.

use godwit_http::{Body, full_body};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use tracing::warn;

use crate::error::{OpenError, ReadError, StoreError};
use crate::url_path::BadPath;

/// The methods that are answered here.
pub(crate) const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, PUT, OPTIONS");

/// Why a request is not done, in words for the one who sent it: what happened and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{0}")]
    BadPath(BadPath),
    #[error("Nothing of that name is served here. Check its spelling in the listing of its directory.")]
    NotFound,
    #[error("The server is not permitted to read this. Ask its operator to change the file's permissions.")]
    ReadForbidden,
    #[error("This method is not supported. Use one of those in the Allow field.")]
    MethodNotAllowed,
    #[error("The file is not in the state that the request's If-… fields require. Look at it again, then decide.")]
    PreconditionFailed,
    #[error("No range of the request begins within the file's {size_bytes} bytes.")]
    RangeNotSatisfiable { size_bytes: u64 },
    #[error("The file changed while its digest was computed. Ask again once it is complete.")]
    FileChanging,
    #[error("The server has too many files open. Ask again later.")]
    Overloaded,
    #[error("The server could not read or write its files; its log says why.")]
    Internal,
    #[error("This server takes no uploads. Its operator can start it with --allow-upload.")]
    UploadsOff,
    #[error("The server is not permitted to write here. Ask its operator to change the directory's permissions.")]
    WriteForbidden,
    #[error("Names that begin so are reserved for unfinished uploads. Choose another one.")]
    ReservedName,
    #[error("The server's file system cannot store a file of that name. Choose a shorter or simpler one.")]
    UnusableName,
    #[error("The URL names a directory. Append the name that the file shall have.")]
    NoFileName,
    #[error(
        "The directory that shall contain the file does not exist. Create it on the server, or choose another one."
    )]
    NoParent,
    #[error("A directory, a symbolic link or a special file has that name. Choose another one.")]
    NotAFile,
    #[error("The upload is larger than the {max_bytes} bytes that this server takes.")]
    TooLarge { max_bytes: u64 },
    #[error("The server has no space left for the upload. Nothing of it is kept.")]
    NoSpace,
    #[error("An upload with Content-Range is a part of a file. Send the whole file.")]
    PartialUpload,
    #[error("Files are stored as they come. Send the file without Content-Encoding.")]
    ContentCoding,
    #[error(
        "A length of the upload is malformed, or two of them differ. Send one of Content-Length and Godwit-Length."
    )]
    BadLength,
    #[error("The SHA-256 in a digest field is malformed. Send it as sha-256=:BASE64:.")]
    BadDigest,
    #[error("The upload broke off or did not have the announced length. Nothing of it is kept; send it again.")]
    Incomplete,
    #[error("What arrived does not have the digest that was sent with it. Nothing of it is kept; send it again.")]
    DigestMismatch,
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
        let (status, code) = self.status_and_code();
        let title = status.canonical_reason().expect("only registered statuses are used");
        let document = Document { kind: "about:blank", title, status: status.as_u16(), code, detail: self.to_string() };
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

    /// The status, and the code of docs/http.md, whose meaning never changes.
    fn status_and_code(self) -> (StatusCode, &'static str) {
        match self {
            Self::BadPath(_) => (StatusCode::BAD_REQUEST, "bad-path"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found"),
            Self::ReadForbidden => (StatusCode::FORBIDDEN, "read-forbidden"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
            Self::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "precondition-failed"),
            Self::RangeNotSatisfiable { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "range-not-satisfiable"),
            Self::FileChanging => (StatusCode::SERVICE_UNAVAILABLE, "file-changing"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::UploadsOff => (StatusCode::FORBIDDEN, "uploads-off"),
            Self::WriteForbidden => (StatusCode::FORBIDDEN, "write-forbidden"),
            Self::ReservedName => (StatusCode::FORBIDDEN, "reserved-name"),
            Self::UnusableName => (StatusCode::BAD_REQUEST, "unusable-name"),
            Self::NoFileName => (StatusCode::CONFLICT, "no-file-name"),
            Self::NoParent => (StatusCode::CONFLICT, "no-parent"),
            Self::NotAFile => (StatusCode::CONFLICT, "not-a-file"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            Self::NoSpace => (StatusCode::INSUFFICIENT_STORAGE, "no-space"),
            Self::PartialUpload => (StatusCode::BAD_REQUEST, "partial-upload"),
            Self::ContentCoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-coding"),
            Self::BadLength => (StatusCode::BAD_REQUEST, "bad-length"),
            Self::BadDigest => (StatusCode::BAD_REQUEST, "bad-digest"),
            Self::Incomplete => (StatusCode::BAD_REQUEST, "incomplete"),
            Self::DigestMismatch => (StatusCode::UNPROCESSABLE_ENTITY, "digest-mismatch"),
        }
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

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoParent => Self::NoParent,
            StoreError::NotAFile => Self::NotAFile,
            StoreError::Exists => Self::PreconditionFailed,
            StoreError::UnusableName => Self::UnusableName,
            StoreError::Denied => Self::WriteForbidden,
            StoreError::NoSpace => Self::NoSpace,
            StoreError::TooManyOpenFiles => Self::Overloaded,
            StoreError::Io(error) => {
                warn!(%error, "cannot store an upload");
                Self::Internal
            }
        }
    }
}

#[cfg(test)]
mod tests {
    /// The arms of `status_and_code`, read from this file, so that none can be forgotten.
    fn codes() -> Vec<(String, String)> {
        let arms = include_str!("problem.rs").lines().filter_map(|line| line.trim().strip_prefix("Self::"));
        let constructed = arms.filter_map(|arm| arm.split_once("(StatusCode::")?.1.strip_suffix("\"),"));
        let parse = |arm: &str| {
            let (status, code) = arm.split_once(", \"").expect("a status and a code");
            (status.to_owned(), code.to_owned())
        };
        constructed.map(parse).collect()
    }

    #[test]
    fn every_code_is_documented() {
        let documented = include_str!("../../../docs/http.md");
        assert_eq!(codes().len(), 24);
        for (status, code) in codes() {
            assert!(documented.contains(&format!("`{code}`")), "{status} {code} is missing in docs/http.md");
        }
    }
}

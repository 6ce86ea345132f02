//! Why a transfer did not succeed: one enum per operation.

use std::path::PathBuf;
use std::time::Duration;

use godwit_http::{BoxError, ErrorKind, RequestError, body_error_kind};
use thiserror::Error;

use super::segments::SegmentError;
use super::{NameError, Refusal, RemoteUrl};
use crate::escape::Escaped;
use crate::hash::Sha256Digest;
use crate::plan::resume::AnswerError;
use crate::store::local::{LocalError, SourceChanged};

/// Why a download has no file to show.
#[derive(Debug, Error)]
pub enum DownloadError {
    /// The URL gives no local name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The local disk failed, or something is in the way there.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// No answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The answer broke off.
    #[error("the transfer broke off: {0}; what arrived is kept, run the same command again to go on")]
    Body(BoxError),
    /// Fewer bytes came than the server had promised, though it ended its answer properly.
    #[error(
        "the transfer ended after {arrived} of {length} bytes; what arrived is kept, run the same command again to go on"
    )]
    Short {
        /// Bytes of the whole file that are there.
        arrived: u64,
        /// Bytes of the whole file.
        length: u64,
    },
    /// No answer came in time.
    #[error("the server has not answered within {0:?}; what arrived is kept, run the same command again to go on")]
    NoAnswer(Duration),
    /// The server said no.
    #[error("{0}")]
    Refused(Refusal),
    /// The server's answer makes no sense.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// More bytes came than the file has; they are kept aside.
    #[error(
        "the server sent more than the {length} bytes that it had promised; they are kept as {}",
        Escaped::path(bad)
    )]
    TooLong {
        /// What the server had promised.
        length: u64,
        /// Where the bytes are now.
        bad: PathBuf,
    },
    /// The bytes are not what the server has; they are kept aside.
    #[error(
        "the content is damaged: the server's SHA-256 is {expected}, what arrived has {actual}; it is kept as {}, run the same command again to start anew",
        Escaped::path(bad)
    )]
    DigestMismatch {
        /// What the server says.
        expected: Sha256Digest,
        /// What arrived.
        actual: Sha256Digest,
        /// Where the bytes are now.
        bad: PathBuf,
    },
    /// A digest was required and the server gave none. All bytes are there.
    #[error(
        "the server gives no SHA-256 and one is required: all bytes are kept as {}, run again without --require-digest to accept them unverified",
        Escaped::path(part)
    )]
    DigestMissing {
        /// Where the bytes are.
        part: PathBuf,
    },
}

/// Why an upload was not stored.
#[derive(Debug, Error)]
pub enum UploadError {
    /// The local file cannot be read.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The local file changed meanwhile.
    #[error(transparent)]
    Changed(#[from] SourceChanged),
    /// No answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The server neither takes bytes nor answers.
    #[error("the server has taken no bytes and not answered for {0:?}; nothing is stored unless it still answers")]
    Stalled(Duration),
    /// There is such a file on the server.
    #[error("{url} exists on the server: choose another name, or replace it with --force")]
    Exists {
        /// The file's URL.
        url: RemoteUrl,
    },
    /// The server said no.
    #[error("{0}")]
    Refused(Refusal),
}

/// Why there is no listing.
#[derive(Debug, Error)]
pub enum ListError {
    /// No answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// No answer came in time.
    #[error("the server has not answered within {0:?}; try again")]
    NoAnswer(Duration),
    /// The answer broke off, or was too long.
    #[error("the listing broke off: {0}")]
    Body(BoxError),
    /// The listing is longer than any that we take.
    #[error("the listing has more than {bytes_max} bytes: list a smaller directory")]
    TooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// The server said no.
    #[error("{0}")]
    Refused(Refusal),
    /// The answer is no JSON listing.
    #[error(
        "the server gives no machine-readable listing here (it sends {}): open the URL in a browser, or check that it names a directory",
        Escaped::new(content_type)
    )]
    NotJson {
        /// What the server sent instead.
        content_type: String,
    },
    /// The answer says that it is JSON and is no listing.
    #[error("the listing is malformed: {0}")]
    Malformed(serde_json::Error),
}

/// Whose fault an error is; what exit codes are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What was asked makes no sense.
    Usage,
    /// The network or the peer: trying again may help.
    Network,
    /// The bytes are not, or may not be, the right ones.
    Integrity,
    /// Everything else: refused, in the way, disk full.
    Other,
}

impl DownloadError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Name(_) => Fault::Usage,
            Self::Request(error) => error.kind().into(),
            Self::Body(error) if error.is::<SegmentError>() => Fault::Network,
            Self::Body(error) => body_error_kind(error).into(),
            Self::Short { .. } | Self::NoAnswer(_) => Fault::Network,
            Self::TooLong { .. } | Self::DigestMismatch { .. } | Self::DigestMissing { .. } => Fault::Integrity,
            Self::Local(_) | Self::Refused(_) | Self::Answer(_) => Fault::Other,
        }
    }

    /// Whether going on where it was may help.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.is_transient(),
            error => error.fault() == Fault::Network,
        }
    }
}

impl UploadError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Request(error) => error.kind().into(),
            Self::Stalled(_) => Fault::Network,
            Self::Local(_) | Self::Changed(_) | Self::Exists { .. } | Self::Refused(_) => Fault::Other,
        }
    }
}

impl ListError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Request(error) => error.kind().into(),
            Self::Body(error) => body_error_kind(error).into(),
            Self::NoAnswer(_) => Fault::Network,
            Self::TooLong { .. } | Self::Refused(_) | Self::NotJson { .. } | Self::Malformed(_) => Fault::Other,
        }
    }
}

impl From<ErrorKind> for Fault {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Network => Self::Network,
            ErrorKind::Other => Self::Other,
        }
    }
}

//! The errors of this crate: one enum per operation.

use std::io;
use std::path::PathBuf;

/// Why [`FileService::new`](crate::FileService::new) cannot serve a directory.
#[derive(Debug, thiserror::Error)]
pub enum OpenRootError {
    /// There is nothing at that path.
    #[error("cannot serve {}: no such directory; create it or name another one", path.display())]
    NotFound {
        /// The directory to be served.
        path: PathBuf,
    },
    /// There is something else than a directory at that path.
    #[error("cannot serve {}: it is not a directory; name the directory that contains it", path.display())]
    NotADirectory {
        /// The directory to be served.
        path: PathBuf,
    },
    /// The process may not read that directory.
    #[error("cannot serve {}: permission denied; run as a user who may read it", path.display())]
    Denied {
        /// The directory to be served.
        path: PathBuf,
    },
    /// Anything else that the system reports.
    #[error("cannot serve {}: {source}", path.display())]
    Io {
        /// The directory to be served.
        path: PathBuf,
        /// What the system reports.
        source: io::Error,
    },
}

/// Why a URL's path leads to nothing that can be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Nothing there, a symlink that leaves the root, or neither a regular file nor a directory.
    #[error("not found")]
    NotFound,
    #[error("permission denied")]
    Denied,
    #[error("too many open files")]
    TooManyOpenFiles,
    #[error(transparent)]
    Io(io::Error),
}

/// Why the bytes of an open file cannot be sent to their end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the file changed while it was read")]
    Changed,
    #[error("the file ended before byte {expected_bytes}")]
    Truncated { expected_bytes: u64 },
    #[error("the reader left")]
    Cancelled,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Why an upload cannot be stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Or it leads outside, or is no directory.
    #[error("the directory does not exist")]
    NoParent,
    #[error("a directory, a symbolic link or a special file has that name")]
    NotAFile,
    #[error("a file has that name")]
    Exists,
    #[error("the file system cannot store that name")]
    UnusableName,
    #[error("permission denied")]
    Denied,
    /// On the disk, in the quota, or in what one file may hold.
    #[error("no space left")]
    NoSpace,
    #[error("too many open files")]
    TooManyOpenFiles,
    #[error(transparent)]
    Io(io::Error),
}

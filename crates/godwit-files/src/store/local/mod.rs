//! The client's side of the disk: files being downloaded, files to upload. Everything here blocks.

mod meta;
mod part;
mod source;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;
use thiserror::Error;

pub use meta::{FinishedRecord, PartMeta, Validator};
pub use part::Part;
pub use source::{SourceChanged, SourceFile};

use crate::escape::Escaped;
use crate::hash::Sha256Digest;

/// The extended attribute that remembers which version a finished file is.
const FINISHED_ATTRIBUTE: &str = "user.godwit.finished";
/// An attribute of ours is an entity tag and two numbers; file systems stop at 64 KiB (at 4 KiB mostly).
const ATTRIBUTE_BYTES_MAX: usize = 4096;

/// Why the local disk failed us.
#[derive(Debug, Error)]
pub enum LocalError {
    /// The kernel refused an operation.
    #[error("cannot {action} {}: {source}", Escaped::path(path))]
    Io {
        /// What was tried.
        action: Action,
        /// On which file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The disk or the quota is full.
    #[error(
        "no space left for {}: {source}; free some and run the same command again, what arrived is kept",
        Escaped::path(path)
    )]
    Full {
        /// The file that did not fit.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Another process downloads to the same name.
    #[error("{} is in use by another download: wait for it, or choose another name with -o", Escaped::path(part))]
    Locked {
        /// The file in use.
        part: PathBuf,
    },
    /// A `.part` file that we did not begin.
    #[error(
        "{} holds bytes that no unfinished download of ours vouches for: move it away, or overwrite it with --force",
        Escaped::path(part)
    )]
    Foreign {
        /// The file in the way.
        part: PathBuf,
    },
    /// A device, a FIFO or a socket where a file was expected.
    #[error("{} is not a regular file", Escaped::path(path))]
    NotRegular {
        /// The thing.
        path: PathBuf,
    },
    /// The name is that of a directory, a device or the like: a download that took it would destroy it.
    #[error("{} is not a regular file and is not replaced: choose another name with -o", Escaped::path(path))]
    Irreplaceable {
        /// What is in the way.
        path: PathBuf,
    },
    /// The name is taken.
    #[error("{} exists: choose another name with -o, or replace it with --force", Escaped::path(path))]
    Exists {
        /// The file in the way.
        path: PathBuf,
    },
}

/// What was tried on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the verb that it prints")]
pub enum Action {
    Open,
    Read,
    Write,
    Sync,
    Rename,
    Remove,
}

impl LocalError {
    pub(crate) fn io(action: Action, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, source },
            _ => Self::Io { action, path, source },
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Rename => "rename to",
            Self::Remove => "remove",
        })
    }
}

/// A file that already has the name which a download wants.
#[derive(Debug)]
pub struct ExistingFile {
    path: PathBuf,
    file: File,
    /// In bytes.
    pub length: u64,
    /// Which version we finished, if nobody has touched it since.
    pub validator: Option<Validator>,
}

impl ExistingFile {
    /// Looks at what has the name; `None` if nothing has.
    ///
    /// # Errors
    ///
    /// [`LocalError::Irreplaceable`] for a directory, a device and the like, [`LocalError::Exists`] for a file that cannot be read.
    pub fn look(path: &Path) -> Result<Option<Self>, LocalError> {
        let exists = || LocalError::Exists { path: path.to_owned() };
        match fs::metadata(path) {
            Err(_) if fs::symlink_metadata(path).is_ok() => return Err(exists()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LocalError::io(Action::Read, path, error)),
            Ok(metadata) if !metadata.is_file() => return Err(LocalError::Irreplaceable { path: path.to_owned() }),
            Ok(_) => {}
        }
        let file = File::open(path).map_err(|_| exists())?;
        let metadata = file.metadata().map_err(|source| LocalError::io(Action::Read, path, source))?;
        let validator = recall_finished(&file)
            .filter(|record| (record.length, record.modified_ns) == (metadata.len(), modified_ns(&metadata)))
            .map(|record| record.validator);
        Ok(Some(Self { path: path.to_owned(), file, length: metadata.len(), validator }))
    }

    /// The SHA-256 of its content; `None` when cancelled.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn sha256(&mut self, cancelled: impl Fn() -> bool) -> Result<Option<Sha256Digest>, LocalError> {
        let sha256 = part::hash_file(&mut self.file, self.length, cancelled);
        let sha256 = sha256.map_err(|source| LocalError::io(Action::Read, &self.path, source))?;
        Ok(sha256.map(|sha256| sha256.finish()))
    }
}

/// Not every file system has extended attributes: without, the next run compares digests instead.
fn remember_finished(file: &File, validator: &Validator) {
    let Ok(metadata) = file.metadata() else { return };
    let (validator, modified_ns) = (validator.clone(), modified_ns(&metadata));
    let record = FinishedRecord { validator, length: metadata.len(), modified_ns };
    let text = serde_json::to_vec(&record).expect("plain data has a JSON form");
    if let Err(error) = rustix::fs::fsetxattr(file, FINISHED_ATTRIBUTE, &text, XattrFlags::empty()) {
        tracing::debug!(%error, "no extended attribute for the validator");
    }
}

fn recall_finished(file: &File) -> Option<FinishedRecord> {
    let mut text = [0; ATTRIBUTE_BYTES_MAX];
    let length = rustix::fs::fgetxattr(file, FINISHED_ATTRIBUTE, &mut text[..]).ok()?;
    serde_json::from_slice(&text[..length]).ok()
}

fn modified_ns(metadata: &fs::Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

fn sync_directory_of(path: &Path) -> Result<(), LocalError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|source| LocalError::io(Action::Sync, directory, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_touched_file_is_no_version_that_we_know() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("name");
        fs::write(&path, "abc").expect("written");
        let validator = Validator::Etag("\"v\"".into());
        remember_finished(&File::open(&path).expect("there"), &validator);
        let known = ExistingFile::look(&path).expect("readable").expect("there");
        // Without extended attributes nothing is known, which the digest makes up for.
        assert!(known.validator.is_none_or(|known| known == validator));
        fs::write(&path, "xyz").expect("written");
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(2);
        File::options().write(true).open(&path).expect("there").set_modified(later).expect("touched");
        let touched = ExistingFile::look(&path).expect("readable").expect("there");
        assert_eq!((touched.length, touched.validator), (3, None));
    }

    #[test]
    fn nothing_a_directory_and_a_broken_link_are_told_apart() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert!(ExistingFile::look(&directory.path().join("absent")).expect("fine").is_none());
        assert!(matches!(ExistingFile::look(directory.path()), Err(LocalError::Irreplaceable { .. })));
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).expect("laid");
        assert!(matches!(ExistingFile::look(&link), Err(LocalError::Exists { .. })));
    }
}

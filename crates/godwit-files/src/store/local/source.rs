//! A file to upload, which must stay what it was until its last byte was read.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::OFlags;
use thiserror::Error;

use super::{Action, LocalError};
use crate::escape::Escaped;

/// One read from the disk and one HTTP chunk.
const CHUNK_BYTES: usize = 256 * 1024;

/// The file was written to, truncated or replaced while it was read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{} changed while it was read: nothing was stored, upload it again once nobody writes to it",
    Escaped::path(path)
)]
pub struct SourceChanged {
    /// The file.
    pub path: PathBuf,
}

/// An open regular file and what it was when it was opened.
#[derive(Debug)]
pub struct SourceFile {
    path: PathBuf,
    file: File,
    identity: Identity,
}

/// Inode and device cannot change behind an open file; these can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl SourceFile {
    /// Opens a regular file.
    ///
    /// # Errors
    ///
    /// When it cannot be opened or is no regular file.
    pub fn open(path: &Path) -> Result<Self, LocalError> {
        let fail = |source| LocalError::io(Action::Open, path, source);
        // A FIFO without a writer must not block us.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = File::options().read(true).custom_flags(flags).open(path).map_err(fail)?;
        let metadata = file.metadata().map_err(fail)?;
        if metadata.is_dir() {
            return Err(fail(io::ErrorKind::IsADirectory.into()));
        }
        if !metadata.is_file() {
            return Err(LocalError::NotRegular { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), file, identity: Identity::of(&metadata) })
    }

    /// The length in bytes when it was opened.
    pub fn length(&self) -> u64 {
        self.identity.length
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn read(&mut self) -> Result<Option<Bytes>, LocalError> {
        let mut buffer = vec![0; CHUNK_BYTES];
        let read = loop {
            match self.file.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(|source| LocalError::io(Action::Read, &self.path, source))?,
            }
        };
        buffer.truncate(read);
        Ok((read > 0).then(|| buffer.into()))
    }

    /// Whether the file is still what it was when it was opened.
    ///
    /// # Errors
    ///
    /// [`SourceChanged`] if not.
    pub fn check_unchanged(&self) -> Result<(), SourceChanged> {
        let now = self.file.metadata().map(|metadata| Identity::of(&metadata));
        if now.is_ok_and(|now| now == self.identity) { Ok(()) } else { Err(SourceChanged { path: self.path.clone() }) }
    }
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_a_file_that_grows() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("log");
        std::fs::write(&path, "one").expect("written");
        let mut source = SourceFile::open(&path).expect("regular");
        assert_eq!(source.read().expect("readable").as_deref(), Some(&b"one"[..]));
        assert!(source.check_unchanged().is_ok());
        std::fs::write(&path, "one and more").expect("written");
        assert!(source.check_unchanged().is_err());
    }

    #[test]
    fn refuses_directories_and_fifos_without_blocking() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert!(matches!(SourceFile::open(directory.path()), Err(LocalError::Io { .. })));
        let fifo = directory.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("made");
        assert!(matches!(SourceFile::open(&fifo), Err(LocalError::NotRegular { .. })));
    }
}

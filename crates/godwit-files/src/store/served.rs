//! Files and directories below the root, for reading.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, OpenOptions, OpenOptionsExt};
use godwit_http::BufferPool;
use rustix::buffer::spare_capacity;
use rustix::fs::OFlags;

use super::{FileIdentity, is_upload_name};
use crate::error::{OpenError, OpenRootError, ReadError};

/// Bytes read from a file at once: large enough that the hop to a blocking thread costs little beside it (microseconds
/// against about 100 µs of reading and hashing), small enough that a thousand responses fit in memory.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;

/// With more than this many files open each is read in smaller chunks, so that a thousand responses do not fill the memory.
const LARGE_CHUNKS_MAX: usize = 256;

/// But never in smaller ones: the hop to a blocking thread would cost as much as reading.
const CHUNK_BYTES_MIN: usize = 64 * 1024;

/// The served directory. Every path below it is resolved by the kernel with `openat2(RESOLVE_BENEATH)`, or component by
/// component where that does not exist, so nothing outside can be reached: not by `..`, not by symlinks. An absolute
/// symlink is refused even if it points inside. All methods block.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(super) dir: Arc<Dir>,
    open_files: Arc<AtomicUsize>,
    /// For what is read at once: it stays in the core's cache until it is copied on.
    buffers: BufferPool,
}

/// What a path below the root leads to.
#[derive(Debug)]
pub(crate) enum Served {
    File(ServedFile),
    Directory(ServedDirectory),
}

impl Root {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenRootError> {
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(|source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::NotFound => OpenRootError::NotFound { path },
                io::ErrorKind::NotADirectory => OpenRootError::NotADirectory { path },
                io::ErrorKind::PermissionDenied => OpenRootError::Denied { path },
                _ => OpenRootError::Io { path, source },
            }
        })?;
        Ok(Self { dir: Arc::new(dir), open_files: Arc::default(), buffers: BufferPool::default() })
    }

    /// Opens a file or directory. Symlinks are followed as long as they stay below the root. Opening is non-blocking, so a
    /// FIFO nobody writes to does not hold us; it is then seen for what it is and closed again.
    pub(crate) fn look_up(&self, relative: &Path) -> Result<Served, OpenError> {
        if relative.iter().any(is_upload_name) {
            return Err(OpenError::NotFound);
        }
        let mut options = OpenOptions::new();
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        options.read(true).custom_flags(flags);
        let file = self.dir.open_with(relative, &options).map_err(OpenError::from_io)?.into_std();
        let metadata = Metadata::from_file(&file).map_err(OpenError::from_io)?;
        if metadata.is_file() {
            let (open, is_in_memory) = (OpenFile::new(&self.open_files), is_in_memory(&file));
            let (identity, buffers) = (FileIdentity::new(&metadata), self.buffers.clone());
            Ok(Served::File(ServedFile { identity, file, is_in_memory, open, buffers }))
        } else if metadata.is_dir() {
            let dir = Dir::from_std_file(file);
            Ok(Served::Directory(ServedDirectory { dir, root: self.clone(), relative: relative.to_owned() }))
        } else {
            Err(OpenError::NotFound)
        }
    }
}

impl OpenError {
    fn from_io(error: io::Error) -> Self {
        use rustix::io::Errno;
        match Errno::from_io_error(&error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Self::TooManyOpenFiles,
            Some(Errno::ACCESS | Errno::PERM) => Self::Denied,
            // NXIO and OPNOTSUPP: a socket or a device without a driver. INVAL: no name of this file system.
            Some(
                Errno::NOENT
                | Errno::NOTDIR
                | Errno::LOOP
                | Errno::NAMETOOLONG
                | Errno::NXIO
                | Errno::NODEV
                | Errno::OPNOTSUPP
                | Errno::INVAL
                | Errno::XDEV,
            ) => Self::NotFound,
            // Without an error number it comes from cap-std: the path leads outside.
            None if error.kind() == io::ErrorKind::PermissionDenied => Self::NotFound,
            _ => Self::Io(error),
        }
    }
}

/// A regular file, open for reading, and the state in which it was found.
#[derive(Debug)]
pub(crate) struct ServedFile {
    file: File,
    identity: FileIdentity,
    /// Whether there is no disk behind it.
    is_in_memory: bool,
    open: OpenFile,
    buffers: BufferPool,
}

/// One of the files that are open.
#[derive(Debug)]
struct OpenFile(Arc<AtomicUsize>);

impl OpenFile {
    fn new(open_files: &Arc<AtomicUsize>) -> Self {
        open_files.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open_files))
    }

    /// How much to read at once.
    fn chunk_bytes(&self) -> usize {
        let open_files = self.0.load(Ordering::Relaxed).max(1);
        (LARGE_CHUNKS_MAX * CHUNK_BYTES / open_files).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ServedFile {
    pub(crate) fn identity(&self) -> &FileIdentity {
        &self.identity
    }

    /// Tells the kernel that these bytes will be read in order, so that it reads further ahead.
    pub(crate) fn advise_sequential(&self, offset: u64, length_bytes: u64) {
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
        // Advice only: without it reading is slower, not wrong.
        let _ = rustix::fs::fadvise(&self.file, offset, NonZeroU64::new(length_bytes), rustix::fs::Advice::Sequential);
        #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
        let _ = (offset, NonZeroU64::new(length_bytes));
    }

    /// Reads the first bytes of `range`, at most a buffer full, as far as they are in memory; `None` if they are not, or nobody knows.
    pub(crate) fn read_at_once(&self, range: &Range<u64>) -> Option<Result<Bytes, ReadError>> {
        let mut buffer = self.buffers.take();
        let room = buffer.memory();
        let length = usize::try_from(range.end - range.start).map_or(room.len(), |length| length.min(room.len()));
        let room = &mut room[..length];
        // The end of the file, and every error, is for those to judge who may wait.
        let read_bytes = match self.is_in_memory {
            true => rustix::io::pread(&self.file, room, range.start).ok(),
            false => read_cached(&self.file, room, range.start),
        };
        let read_bytes = read_bytes.filter(|&read_bytes| read_bytes > 0)?;
        Some(self.check_unchanged().map(|()| buffer.freeze(read_bytes)))
    }

    /// Reads the first bytes of `range`, at most [`CHUNK_BYTES`] and less where many files are read, then makes sure that the file
    /// is still in the state in which it was opened: whoever gets bytes from here gets them from one state of the file.
    pub(crate) fn read_chunk(&self, range: &Range<u64>) -> Result<Bytes, ReadError> {
        let chunk_bytes = self.open.chunk_bytes();
        let length = usize::try_from(range.end - range.start).map_or(chunk_bytes, |length| length.min(chunk_bytes));
        let mut buffer = Vec::with_capacity(length);
        while buffer.len() < length {
            let position = range.start + buffer.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(&mut buffer), position) {
                Ok(0) => return Err(ReadError::Truncated { expected_bytes: range.start + length as u64 }),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(ReadError::Io(error.into())),
            }
        }
        // The allocation may be larger than asked for.
        buffer.truncate(length);
        self.check_unchanged()?;
        Ok(Bytes::from(buffer))
    }

    fn check_unchanged(&self) -> Result<(), ReadError> {
        if FileIdentity::new(&Metadata::from_file(&self.file)?) == self.identity {
            Ok(())
        } else {
            Err(ReadError::Changed)
        }
    }
}

/// Whether the file is on a memory file system, which can't be asked what it has in memory (`preadv2` that may not wait is refused
/// there), for that is all of it. What was swapped out has to be waited for, as memory of our own would have to be. Magic numbers: statfs(2).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_in_memory(file: &File) -> bool {
    const TMPFS: u32 = 0x0102_1994;
    const RAMFS: u32 = 0x8584_58f6;
    // They have 32 bits, in words of another length and sign from one processor to the next.
    rustix::fs::fstatfs(file).is_ok_and(|stats| matches!(stats.f_type as u32, TMPFS | RAMFS))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_in_memory(_: &File) -> bool {
    false
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn read_cached(file: &File, buffer: &mut [u8], position: u64) -> Option<usize> {
    rustix::io::preadv2(file, &mut [IoSliceMut::new(buffer)], position, rustix::io::ReadWriteFlags::NOWAIT).ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn read_cached(_: &File, _: &mut [u8], _: u64) -> Option<usize> {
    None
}

/// A directory, open for listing.
#[derive(Debug)]
pub(crate) struct ServedDirectory {
    pub(super) dir: Dir,
    root: Root,
    relative: PathBuf,
}

impl ServedDirectory {
    /// Starts a listing, in the order of the file system.
    pub(crate) fn entries(self) -> Result<Entries, OpenError> {
        let entries = self.dir.entries().map_err(OpenError::from_io)?;
        Ok(Entries { entries, root: self.root, relative: self.relative })
    }
}

/// What a listing says about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryEntry {
    /// As bytes: it need not be UTF-8.
    pub(crate) name: Vec<u8>,
    pub(crate) kind: EntryKind,
    pub(crate) modified: SystemTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Directory,
    File { size_bytes: u64 },
}

/// The entries of a directory that GET would serve: no special files, no symlinks that lead nowhere or outside, no
/// unfinished uploads.
pub(crate) struct Entries {
    entries: cap_std::fs::ReadDir,
    root: Root,
    relative: PathBuf,
}

impl Iterator for Entries {
    type Item = io::Result<DirectoryEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.entries.next()?.map(|entry| self.describe(&entry)) {
                Ok(Some(entry)) => return Some(Ok(entry)),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Entries {
    /// `None` for what is not served, or vanished meanwhile.
    fn describe(&self, entry: &cap_std::fs::DirEntry) -> Option<DirectoryEntry> {
        let name: OsString = entry.file_name();
        if is_upload_name(&name) {
            return None;
        }
        let mut metadata = entry.metadata().ok()?;
        if metadata.is_symlink() {
            // From the root, not from this directory: a link may lead up as long as it stays below the root.
            metadata = self.root.dir.metadata(self.relative.join(&name)).ok()?;
        }
        let kind = if metadata.is_dir() {
            EntryKind::Directory
        } else if metadata.is_file() {
            EntryKind::File { size_bytes: metadata.len() }
        } else {
            return None;
        };
        let modified = metadata.modified().ok()?.into_std();
        Some(DirectoryEntry { name: name.into_vec(), kind, modified })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn served(root: &Root) -> ServedFile {
        match root.look_up(Path::new("file")) {
            Ok(Served::File(file)) => file,
            other => panic!("{other:?}"),
        }
    }

    /// Where the file system does not say what is in memory, nothing is read at once.
    #[test]
    fn what_is_in_memory_is_read_at_once_up_to_the_end_and_in_one_state() {
        read_at_once_in(&tempfile::tempdir().unwrap());
        // A memory file system, where there is one.
        if let Ok(directory) = tempfile::tempdir_in("/dev/shm") {
            read_at_once_in(&directory);
        }
    }

    fn read_at_once_in(directory: &tempfile::TempDir) {
        let path = directory.path().join("file");
        let buffer_bytes = BufferPool::default().take().memory().len();
        let content: Vec<u8> = (0..buffer_bytes + 999).map(|index| (index % 251) as u8).collect();
        fs::write(&path, &content).unwrap();
        let root = Root::open(directory.path()).unwrap();
        let file = served(&root);
        let size_bytes = content.len() as u64;
        let Some(first) = file.read_at_once(&(0..size_bytes)) else { return assert!(!file.is_in_memory) };
        // However little of it stayed in memory.
        let first = first.unwrap();
        assert!(first.len() <= buffer_bytes && content.starts_with(&first), "{} bytes", first.len());
        if let Some(rest) = file.read_at_once(&(size_bytes - 999..size_bytes + 50)) {
            assert!(content[buffer_bytes..].starts_with(&rest.unwrap()), "as far as there is something");
        }
        assert!(file.read_at_once(&(size_bytes..size_bytes + 50)).is_none(), "the end is not judged here");
        fs::write(&path, b"short").unwrap();
        assert!(matches!(file.read_at_once(&(0..5)), None | Some(Err(ReadError::Changed))));
    }
}

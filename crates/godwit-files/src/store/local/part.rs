//! A file that is being downloaded: `NAME.part`, locked as long as somebody writes it, and `NAME.part.meta` beside it.
//!
//! Everything here blocks; the caller runs it where blocking is allowed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, RenameFlags};
use rustix::io::Errno;

use super::{Action, LocalError, PartMeta, remember_finished, sync_directory_of};
use crate::hash::{Sha256, Sha256Digest};

/// A meta file is a URL and a few words; a longer one is not ours.
const META_BYTES_MAX: u64 = 64 * 1024;
/// Another process may finish its download between our opening and our locking of the same name; then we look again.
const OPEN_TRIES: usize = 8;
/// Enough to keep a disk busy, little enough to notice a cancellation at once.
const READ_BYTES: usize = 1024 * 1024;

/// The beginning of a file, and the SHA-256 of what is there so far.
#[derive(Debug)]
pub struct Part {
    target: PathBuf,
    file: File,
    /// Bytes in the file that belong to `meta`.
    length: u64,
    meta: Option<PartMeta>,
    /// Covers the first `length` bytes; `None` as long as what an earlier run left has not been read.
    sha256: Option<Sha256>,
    /// Whether `NAME.part` has got another name.
    renamed: bool,
}

impl Part {
    /// Opens or creates `NAME.part` for `target` and locks it until it is dropped.
    ///
    /// # Errors
    ///
    /// [`LocalError::Locked`] while another download writes it; [`LocalError::Foreign`] if it holds bytes and no meta file
    /// says of what, unless `force`; [`LocalError::Irreplaceable`] if `target` is a directory, a device or the like: the
    /// rename at the end would put a file in its place, also of `/dev/null`.
    pub fn open(target: &Path, force: bool) -> Result<Self, LocalError> {
        if fs::metadata(target).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(LocalError::Irreplaceable { path: target.to_owned() });
        }
        let path = with_suffix(target, ".part");
        let file = open_locked(&path)?;
        let length = file.metadata().map_err(|source| LocalError::io(Action::Read, &path, source))?.len();
        let meta = load_meta(&with_suffix(target, ".part.meta"))?;
        if length > 0 && meta.is_none() && !force {
            return Err(LocalError::Foreign { part: path });
        }
        let sha256 = (length == 0).then(Sha256::new);
        Ok(Self { target: target.to_owned(), file, length, meta, sha256, renamed: false })
    }

    /// Reads what an earlier run left, so that the digest covers it. Stops with `None` when `cancelled` says so.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn hash_existing(&mut self, cancelled: impl Fn() -> bool) -> Result<Option<()>, LocalError> {
        if self.sha256.is_some() {
            return Ok(Some(()));
        }
        let sha256 =
            hash_file(&mut self.file, self.length, cancelled).map_err(|source| self.error(Action::Read, source))?;
        self.sha256 = sha256;
        Ok(self.sha256.as_ref().map(|_| ()))
    }

    /// Throws away what is there and remembers what comes instead. After a crash at any point the bytes in `NAME.part`
    /// belong to `NAME.part.meta`.
    ///
    /// # Errors
    ///
    /// When the files cannot be written.
    pub fn begin(&mut self, meta: PartMeta) -> Result<(), LocalError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind()).and_then(|()| self.file.sync_all());
        emptied.map_err(|source| self.error(Action::Write, source))?;
        (self.length, self.sha256) = (0, Some(Sha256::new()));
        save_meta(&with_suffix(&self.target, ".part.meta"), &meta)?;
        self.meta = Some(meta);
        Ok(())
    }

    /// Appends the next bytes.
    ///
    /// # Errors
    ///
    /// When they cannot be written, [`LocalError::Full`] above all; what was written before stays.
    ///
    /// # Panics
    ///
    /// If existing bytes were not read by [`Part::hash_existing`] or dropped by [`Part::begin`].
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), LocalError> {
        self.append_unhashed(bytes)?;
        self.sha256.as_mut().expect("existing bytes were hashed or dropped first").update(bytes);
        Ok(())
    }

    /// Appends the next bytes, for who hashes them elsewhere: between [`Part::take_sha256`] and [`Part::put_sha256`].
    pub(crate) fn append_unhashed(&mut self, bytes: &[u8]) -> Result<(), LocalError> {
        let position = self.file.seek(SeekFrom::Start(self.length));
        position.and_then(|_| self.file.write_all(bytes)).map_err(|source| self.error(Action::Write, source))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The state of the digest after the bytes that are there.
    pub(crate) fn take_sha256(&mut self) -> Sha256 {
        self.sha256.take().expect("existing bytes were hashed or dropped first")
    }

    /// Gives it back, now after all bytes that were appended.
    pub(crate) fn put_sha256(&mut self, sha256: Sha256) {
        self.sha256 = Some(sha256);
    }

    /// Makes what is there durable.
    ///
    /// # Errors
    ///
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), LocalError> {
        self.file.sync_all().map_err(|source| self.error(Action::Sync, source))
    }

    /// Moves the file to `NAME.part.bad` (over an older one) and forgets its meta, so that the next run starts anew.
    ///
    /// # Errors
    ///
    /// When the file cannot be renamed.
    pub fn quarantine(mut self) -> Result<PathBuf, LocalError> {
        let bad = with_suffix(&self.target, ".part.bad");
        fs::rename(self.path(), &bad).map_err(|source| LocalError::io(Action::Rename, &bad, source))?;
        self.renamed = true;
        self.forget_meta()?;
        sync_directory_of(&bad)?;
        Ok(bad)
    }

    /// Gives the complete file its name: synced, renamed, the directory synced. An existing file is replaced only if
    /// `replace`.
    ///
    /// # Errors
    ///
    /// [`LocalError::Exists`] if a file of that name appeared meanwhile; `NAME.part` then stays.
    pub fn finish(mut self, replace: bool) -> Result<(), LocalError> {
        if let Some(validator) = self.meta.as_ref().and_then(|meta| meta.validator.clone()) {
            remember_finished(&self.file, &validator);
        }
        self.sync()?;
        rename(&self.path(), &self.target, replace)?;
        self.renamed = true;
        self.forget_meta()?;
        sync_directory_of(&self.target)
    }

    /// The path of `NAME.part`.
    pub fn path(&self) -> PathBuf {
        with_suffix(&self.target, ".part")
    }

    /// How many bytes are there.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// What the bytes are the beginning of.
    pub fn meta(&self) -> Option<&PartMeta> {
        self.meta.as_ref()
    }

    /// Whether the digest covers the bytes that are there.
    pub fn is_hashed(&self) -> bool {
        self.sha256.is_some()
    }

    /// The SHA-256 of the bytes that are there.
    ///
    /// # Panics
    ///
    /// As [`Part::append`].
    pub fn sha256(&self) -> Sha256Digest {
        self.sha256.clone().expect("existing bytes were hashed or dropped first").finish()
    }

    fn forget_meta(&self) -> Result<(), LocalError> {
        let meta = with_suffix(&self.target, ".part.meta");
        match fs::remove_file(&meta) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LocalError::io(Action::Remove, &meta, error)),
            _ => Ok(()),
        }
    }

    fn error(&self, action: Action, source: io::Error) -> LocalError {
        LocalError::io(action, &self.path(), source)
    }
}

impl Drop for Part {
    /// Leaves no empty file behind. Nobody else can have begun to write it: the lock goes only with the file.
    fn drop(&mut self) {
        if self.length == 0 && !self.renamed {
            let removed = self.forget_meta().map(|()| fs::remove_file(self.path()));
            tracing::debug!(?removed, "nothing has arrived: no part is kept");
        }
    }
}

/// The SHA-256 state after the first `length` bytes of a file; `None` when cancelled.
pub(super) fn hash_file(file: &mut File, length: u64, cancelled: impl Fn() -> bool) -> io::Result<Option<Sha256>> {
    file.rewind()?;
    let (mut sha256, mut left) = (Sha256::new(), length);
    let mut buffer = vec![0; READ_BYTES];
    while left > 0 {
        if cancelled() {
            return Ok(None);
        }
        let wanted = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
        file.read_exact(&mut buffer[..wanted])?;
        sha256.update(&buffer[..wanted]);
        left -= wanted as u64;
    }
    Ok(Some(sha256))
}

fn open_locked(path: &Path) -> Result<File, LocalError> {
    let fail = |source| LocalError::io(Action::Open, path, source);
    for _ in 0..OPEN_TRIES {
        // Not through a symbolic link that somebody laid, and never blocking on a FIFO.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).custom_flags(flags.bits().cast_signed());
        let file = options.open(path).map_err(fail)?;
        let opened = file.metadata().map_err(fail)?;
        if !opened.is_file() {
            return Err(fail(io::ErrorKind::InvalidInput.into()));
        }
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(LocalError::Locked { part: path.to_owned() }),
            Err(error) => tracing::warn!(%error, "this file system has no locks: run no second download of this name"),
        }
        let named = fs::symlink_metadata(path);
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (opened.dev(), opened.ino())) {
            return Ok(file);
        }
    }
    Err(LocalError::Locked { part: path.to_owned() })
}

fn load_meta(path: &Path) -> Result<Option<PartMeta>, LocalError> {
    let fail = |source| LocalError::io(Action::Read, path, source);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    let mut text = Vec::new();
    file.take(META_BYTES_MAX).read_to_end(&mut text).map_err(fail)?;
    Ok(serde_json::from_slice(&text).ok())
}

fn save_meta(path: &Path, meta: &PartMeta) -> Result<(), LocalError> {
    let fail = |source| LocalError::io(Action::Write, path, source);
    let temporary = with_suffix(path, ".tmp");
    let text = serde_json::to_vec(meta).expect("plain data has a JSON form");
    let written = File::create(&temporary).and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()));
    written.and_then(|()| fs::rename(&temporary, path)).map_err(fail)?;
    sync_directory_of(path)
}

fn rename(from: &Path, to: &Path, replace: bool) -> Result<(), LocalError> {
    let fail = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => LocalError::Exists { path: to.to_owned() },
        _ => LocalError::io(Action::Rename, to, source),
    };
    if replace {
        return fs::rename(from, to).map_err(fail);
    }
    match rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, RenameFlags::NOREPLACE) {
        // A file system without this flag (NFS, some FUSE): a hard link does not replace either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::hard_link(from, to).and_then(|()| fs::remove_file(from)).map_err(fail)
        }
        done => done.map_err(|errno| fail(errno.into())),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::local::Validator;

    fn meta() -> PartMeta {
        let validator = Some(Validator::Etag("\"v1\"".into()));
        PartMeta { url: "http://h/name".into(), validator, length: Some(6) }
    }

    #[test]
    fn grows_over_two_runs_and_hashes_the_whole() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let target = directory.path().join("name");
        let mut first = Part::open(&target, false).expect("fresh");
        first.begin(meta()).expect("begin");
        first.append(b"abc").expect("append");
        drop(first);

        let mut second = Part::open(&target, false).expect("left by the first run");
        assert_eq!((second.length(), second.meta()), (3, Some(&meta())));
        second.hash_existing(|| false).expect("readable").expect("not cancelled");
        second.append(b"def").expect("append");
        assert!(
            second.sha256().to_string().starts_with("bef57ec7f53a6d40beb640a780a639c83bc29ac8a9816f1fc6c5c6dcd93c4721")
        );
        second.finish(false).expect("finish");
        assert_eq!(fs::read(&target).expect("the good name"), b"abcdef");
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 1, "no .part and no meta is left");
    }

    #[test]
    fn an_empty_part_is_not_left_behind_and_an_empty_file_is_kept() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let target = directory.path().join("name");
        let mut part = Part::open(&target, false).expect("fresh");
        part.begin(meta()).expect("begin");
        drop(part);
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 0);
        Part::open(&target, false).expect("fresh").finish(false).expect("an empty file is a file");
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 1);
    }

    #[test]
    fn a_second_writer_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let target = directory.path().join("name");
        let _first = Part::open(&target, false).expect("fresh");
        assert!(matches!(Part::open(&target, false), Err(LocalError::Locked { .. })));
    }

    #[test]
    fn never_replaces_unless_told() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let target = directory.path().join("name");
        let mut part = Part::open(&target, false).expect("fresh");
        part.begin(meta()).expect("begin");
        part.append(b"late").expect("append");
        fs::write(&target, "somebody was faster").expect("written");
        assert!(matches!(part.finish(false), Err(LocalError::Exists { .. })));
        assert_eq!(fs::read(&target).expect("still there"), b"somebody was faster");
        Part::open(&target, false).expect("kept").finish(true).expect("replaced");
        assert_eq!(fs::read(&target).expect("replaced"), b"late");
    }

    #[test]
    fn only_files_are_ever_replaced() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (socket, below, link) =
            (directory.path().join("socket"), directory.path().join("below"), directory.path().join("link"));
        let _socket = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        fs::create_dir(&below).expect("a directory");
        std::os::unix::fs::symlink("/dev/null", &link).expect("a link");
        for target in [&socket, &below, &link] {
            assert!(matches!(Part::open(target, true), Err(LocalError::Irreplaceable { .. })), "{}", target.display());
        }
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 3, "nothing was begun");
    }

    #[test]
    fn bytes_that_nobody_vouches_for_are_left_alone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let target = directory.path().join("name");
        fs::write(directory.path().join("name.part"), "a browser's").expect("written");
        assert!(matches!(Part::open(&target, false), Err(LocalError::Foreign { .. })));
        assert!(Part::open(&target, true).is_ok());
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::os::unix::fs::symlink("/dev/null", directory.path().join("name.part")).expect("laid");
        assert!(matches!(Part::open(&directory.path().join("name"), true), Err(LocalError::Io { .. })));
    }

    #[test]
    fn a_bad_file_leaves_under_another_name() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut part = Part::open(&directory.path().join("name"), false).expect("fresh");
        part.begin(meta()).expect("begin");
        part.append(b"wrong").expect("append");
        let bad = part.quarantine().expect("renamed");
        assert_eq!(fs::read(&bad).expect("kept"), b"wrong");
        assert_eq!(bad.file_name().expect("a name"), "name.part.bad");
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 1);
    }
}

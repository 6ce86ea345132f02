//! Uploads on their way to disk: a hidden temporary file beside the destination, which takes the name when it is whole.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use cap_std::fs::{Dir, Metadata, MetadataExt as _, OpenOptions};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use tracing::warn;

use super::{FileIdentity, Root, Served};
use crate::error::{OpenError, StoreError};

/// How the names of unfinished uploads begin; 32 hexadecimal digits follow. They are neither listed nor served, and nobody
/// can upload to them.
pub(super) const UPLOAD_PREFIX: &str = ".godwit-upload-";

/// Whether a name belongs to unfinished uploads.
pub(crate) fn is_upload_name(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(UPLOAD_PREFIX.as_bytes())
}

/// A name in a directory below the root, where an upload shall go. All methods block.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    dir: Arc<Dir>,
    name: OsString,
}

/// The regular file that has the name now.
pub(crate) struct Existing {
    pub(crate) identity: FileIdentity,
    /// Without setuid, setgid and sticky: they were given to other content.
    permissions: Permissions,
}

impl Root {
    /// The place for a file `name` in the directory `parent`, which must exist.
    pub(crate) fn destination(&self, parent: &Path, name: &OsStr) -> Result<Destination, StoreError> {
        match self.look_up(parent) {
            Ok(Served::Directory(parent)) => Ok(Destination { dir: Arc::new(parent.dir), name: name.to_owned() }),
            Ok(Served::File(_)) | Err(OpenError::NotFound) => Err(StoreError::NoParent),
            Err(OpenError::Denied) => Err(StoreError::Denied),
            Err(OpenError::TooManyOpenFiles) => Err(StoreError::TooManyOpenFiles),
            Err(OpenError::Io(error)) => Err(StoreError::Io(error)),
        }
    }
}

impl Destination {
    /// What has the name now. Only a regular file may have it: symbolic links are not followed, directories and special
    /// files not replaced.
    pub(crate) fn existing(&self) -> Result<Option<Existing>, StoreError> {
        match self.dir.symlink_metadata(&self.name) {
            Ok(metadata) if metadata.is_file() => {
                let permissions = Permissions::from_mode(metadata.mode() & 0o777);
                Ok(Some(Existing { identity: FileIdentity::new(&metadata), permissions }))
            }
            Ok(_) => Err(StoreError::NotAFile),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::from_io(error)),
        }
    }

    /// Creates the temporary file.
    pub(crate) fn create(&self) -> Result<Incoming, StoreError> {
        let temporary_name = OsString::from(format!("{UPLOAD_PREFIX}{:032x}", rand::random::<u128>()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let file = self.dir.open_with(&temporary_name, &options).map_err(StoreError::from_io)?.into_std();
        // Tells a sweep that the file is in use. Some network file systems have no locks; there its age protects it.
        let _ = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        Ok(Incoming { file, destination: self.clone(), temporary_name: Some(temporary_name) })
    }

    /// Waits until the names in the directory are on the disk.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        rustix::fs::fsync(&*self.dir).map_err(|errno| StoreError::from_io(errno.into()))
    }
}

/// A file being uploaded. Dropping it removes what was written, until [`Self::place`] has succeeded.
#[derive(Debug)]
pub(crate) struct Incoming {
    file: File,
    destination: Destination,
    /// `None` once the file has its final name.
    temporary_name: Option<OsString>,
}

impl Incoming {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(StoreError::from_io)
    }

    /// Waits until the content is on the disk.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_all().map_err(StoreError::from_io)
    }

    /// Gives the file its name. It replaces `existing` and takes over its permissions; where nothing existed it replaces
    /// nothing, whoever may have come in between.
    ///
    /// # Errors
    /// [`StoreError::Exists`], if now there is something where nothing existed.
    pub(crate) fn place(&mut self, existing: Option<Existing>) -> Result<FileIdentity, StoreError> {
        let temporary_name = self.temporary_name.as_ref().expect("a file is placed once");
        let Destination { dir, name } = &self.destination;
        if let Some(existing) = existing {
            self.file.set_permissions(existing.permissions).map_err(StoreError::from_io)?;
            dir.rename(temporary_name, dir, name).map_err(StoreError::from_io)?;
        } else {
            rename_to_free_name(dir, temporary_name, name).map_err(StoreError::from_io)?;
        }
        self.temporary_name = None;
        Ok(FileIdentity::new(&Metadata::from_file(&self.file).map_err(StoreError::from_io)?))
    }
}

impl Drop for Incoming {
    /// Here and now, not on another thread: it may be the last thing that this process does.
    fn drop(&mut self) {
        let Some(temporary_name) = self.temporary_name.take() else { return };
        if let Err(error) = self.destination.dir.remove_file(&temporary_name) {
            warn!(%error, name = %temporary_name.display(), "an unfinished upload stays behind; the next start sweeps it");
        }
    }
}

/// Renames without replacing, or links where the file system cannot do that.
fn rename_to_free_name(dir: &Dir, from: &OsStr, to: &OsStr) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    match rustix::fs::renameat_with(dir, from, dir, to, rustix::fs::RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        result => return Ok(result?),
    }
    dir.hard_link(from, dir, to)?;
    dir.remove_file(from)
}

impl StoreError {
    fn from_io(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::EXIST) => Self::Exists,
            Some(Errno::ISDIR | Errno::NOTEMPTY | Errno::LOOP) => Self::NotAFile,
            Some(Errno::NOENT | Errno::NOTDIR) => Self::NoParent,
            Some(Errno::NAMETOOLONG | Errno::INVAL | Errno::ILSEQ) => Self::UnusableName,
            Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Self::Denied,
            Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Self::NoSpace,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Self::TooManyOpenFiles,
            _ => Self::Io(error),
        }
    }
}

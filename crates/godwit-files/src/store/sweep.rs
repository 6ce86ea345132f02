//! Removes what uploads left behind that a killed process could not remove itself.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use rustix::fs::{FlockOperation, OFlags};
use tracing::{info, warn};

use super::Root;
use super::incoming::UPLOAD_PREFIX;

/// Directory entries looked at: a bound on the work at start. Beyond it leftovers cost disk space, nothing else.
const ENTRIES_MAX: u64 = 10_000_000;

/// A file younger than this is left alone, for its writer may not have locked it yet.
pub(crate) const AGE_MIN: Duration = Duration::from_secs(60);

impl Root {
    /// Walks the whole tree, symlinks excepted, and removes unfinished uploads that nobody writes to: regular files whose
    /// name is exactly as we make them, last modified at least `age_min` ago, and not locked. Returns how many. Blocks.
    pub(crate) fn sweep(&self, age_min: Duration) -> u64 {
        let mut removed = 0;
        let mut looked_at = 0;
        let mut directories = vec![PathBuf::from(".")];
        while let Some(directory) = directories.pop() {
            // Directories that vanish or may not be read hold nothing that we could remove.
            let Ok(dir) = self.dir.open_dir(&directory) else { continue };
            for entry in dir.entries().into_iter().flatten().flatten() {
                looked_at += 1;
                if looked_at > ENTRIES_MAX {
                    warn!(ENTRIES_MAX, "the tree is too large to be swept of unfinished uploads as a whole");
                    return removed;
                }
                let name = entry.file_name();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => directories.push(directory.join(name)),
                    Ok(kind) if kind.is_file() && is_ours(&name) => {
                        removed += u64::from(remove_abandoned(&dir, &directory, &name, age_min));
                    }
                    _ => {}
                }
            }
        }
        removed
    }
}

fn is_ours(name: &OsStr) -> bool {
    let digits = name.to_str().and_then(|name| name.strip_prefix(UPLOAD_PREFIX));
    digits.is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn remove_abandoned(dir: &Dir, directory: &Path, name: &OsStr, age_min: Duration) -> bool {
    let path = directory.join(name);
    match try_remove(dir, name, age_min) {
        Ok(true) => {
            info!(path = %crate::escape::Escaped::path(&path), "removed an abandoned upload");
            true
        }
        Ok(false) => false,
        Err(error) => {
            warn!(path = %crate::escape::Escaped::path(&path), %error, "cannot remove an abandoned upload");
            false
        }
    }
}

fn try_remove(dir: &Dir, name: &OsStr, age_min: Duration) -> io::Result<bool> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = dir.open_with(name, &options)?.into_std();
    let age = SystemTime::now().duration_since(file.metadata()?.modified()?).unwrap_or_default();
    if age < age_min || rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(false);
    }
    dir.remove_file(name)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn removes_what_is_ours_old_and_unused() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir_all(path("d/e")).unwrap();
        let abandoned = format!("d/e/{UPLOAD_PREFIX}{}", "0".repeat(32));
        let kept = [
            format!("{UPLOAD_PREFIX}{}", "0".repeat(31)),
            format!("{UPLOAD_PREFIX}{}", "x".repeat(32)),
            "d/file".to_owned(),
        ];
        for name in kept.iter().chain([&abandoned]) {
            fs::write(path(name), "x").unwrap();
        }
        let root = Root::open(directory.path()).unwrap();
        let mut in_use = root.destination(Path::new("d"), OsStr::new("new")).unwrap().create().unwrap();
        in_use.write(b"x").unwrap();

        assert_eq!(root.sweep(Duration::from_secs(3600)), 0, "too young");
        assert!(path(&abandoned).exists());
        assert_eq!(root.sweep(Duration::ZERO), 1);
        assert!(!path(&abandoned).exists());
        assert!(kept.iter().all(|name| path(name).exists()));
        in_use.place(None).unwrap();
        assert_eq!(fs::read(path("d/new")).unwrap(), b"x");
    }

    #[test]
    fn does_not_follow_symlinks() {
        let directory = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let name = outside.path().join(format!("{UPLOAD_PREFIX}{}", "0".repeat(32)));
        fs::write(&name, "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), directory.path().join("link")).unwrap();
        assert_eq!(Root::open(directory.path()).unwrap().sweep(Duration::ZERO), 0);
        assert!(name.exists());
    }
}

//! Directories for files and logs that are needed only while something is measured.

use std::fs;
use std::io;
use std::path::Path;

use tempfile::TempDir;

use crate::error::BenchError;
use crate::run_name;

/// A new directory, removed when it is dropped. What killed runs have left beside it is removed now.
pub(crate) fn directory(parent: &Path) -> Result<TempDir, BenchError> {
    let made = fs::create_dir_all(parent).and_then(|()| {
        remove_leftovers(parent);
        tempfile::Builder::new().prefix(&run_name::prefix(std::process::id())).tempdir_in(parent)
    });
    made.map_err(|source| BenchError::Write { path: parent.to_owned(), source })
}

/// Empties a directory, or makes it.
pub(crate) fn renew(directory: &Path) -> io::Result<()> {
    // Nothing is there the first time.
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory)
}

fn remove_leftovers(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let owner = entry.file_name().to_str().and_then(run_name::owner);
        if owner.is_some_and(|owner| !run_name::is_alive(owner)) {
            // Whoever may not remove it is not harmed by it.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_killed_runs_left_is_removed() {
        let parent = tempfile::tempdir().expect("a directory");
        // Above the kernel's highest process id.
        let left = parent.path().join(format!("{}abc", run_name::prefix(u32::MAX)));
        let others = parent.path().join("godwit-lab-notes");
        for directory in [&left, &others] {
            fs::create_dir(directory).expect("made");
        }
        let ours = directory(parent.path()).expect("made");
        let again = directory(parent.path()).expect("made");
        assert!(!left.exists() && others.exists() && ours.path().exists() && again.path().exists());
        let path = ours.path().to_owned();
        drop(ours);
        assert!(!path.exists() && again.path().exists());
    }
}

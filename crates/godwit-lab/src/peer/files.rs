//! Settings that peers read.

use std::fs;
use std::path::{Path, PathBuf};

use super::SetUpError;

/// Writes a file into the directory and returns its path.
pub(crate) fn write(directory: &Path, name: &str, content: &str) -> Result<PathBuf, SetUpError> {
    let path = directory.join(name);
    match fs::write(&path, content) {
        Ok(()) => Ok(path),
        Err(source) => Err(SetUpError::Write { path, source }),
    }
}

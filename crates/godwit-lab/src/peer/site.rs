//! Where a transfer takes place.

use std::path::{Path, PathBuf};

use super::Programs;
use crate::network::{Host, Side};

/// Two hosts, a file to transfer, and room for what a transfer needs.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The sender's host.
    pub left: &'a Host,
    /// The receiver's host.
    pub right: &'a Host,
    /// The file, alone in a directory that every peer may serve.
    pub file: &'a Path,
    /// The receiver's directory: empty at the start.
    pub received: &'a Path,
    /// For settings, keys and logs: empty at the start.
    pub scratch: &'a Path,
    /// The programs that are installed.
    pub programs: &'a Programs,
}

impl Site<'_> {
    /// The host of a side.
    pub fn host(&self, side: Side) -> &Host {
        match side {
            Side::Left => self.left,
            Side::Right => self.right,
        }
    }

    /// The directory of the file.
    pub fn served(&self) -> &Path {
        self.file.parent().expect("the file lies in a directory made for it")
    }

    /// The name of the file.
    pub fn file_name(&self) -> &str {
        self.file.file_name().and_then(|name| name.to_str()).expect("the file has a name of ours")
    }

    /// Where the receiver is to write it.
    pub fn target(&self) -> PathBuf {
        self.received.join(self.file_name())
    }
}

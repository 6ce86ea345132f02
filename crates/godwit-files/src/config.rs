//! What a [`FileService`](crate::FileService) may do and how much of it.

use std::num::NonZeroUsize;
use std::time::Duration;

/// The limits and permissions of a [`FileService`](crate::FileService). Every value is valid.
#[derive(Clone, Debug)]
pub struct FilesConfig {
    /// Whether PUT stores files. Default: no, and PUT is answered with 403.
    pub allow_upload: bool,
    /// The largest file that PUT stores, in bytes. Default: 64 GiB.
    pub upload_bytes_max: u64,
    /// Digests computed at the same time for `HEAD` with `Want-Repr-Digest`; further ones wait. Default: 2, for each
    /// keeps one core and one disk busy.
    pub concurrent_hashes_max: NonZeroUsize,
    /// How long a file must have been left alone before its time stamps are trusted to tell its states apart: its ETag
    /// is weak and its digest is not remembered until then. Default: 2 s, the coarsest time stamp in use (FAT's).
    pub settle_time: Duration,
}

impl Default for FilesConfig {
    fn default() -> Self {
        Self {
            allow_upload: false,
            upload_bytes_max: 64 << 30,
            concurrent_hashes_max: NonZeroUsize::new(2).expect("2 is not zero"),
            settle_time: Duration::from_secs(2),
        }
    }
}

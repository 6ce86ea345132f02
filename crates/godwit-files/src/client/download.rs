//! `get`: one file from a URL to the disk, whatever the network does meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use godwit_http::{Client, ConnectionHandle};

use super::blocking::blocking;
use super::existing::compare;
use super::segments::DOWNLOAD_CONNECTIONS_MAX;
use super::transfer::{Arrived, Transfer};
use super::{DownloadError, RemoteUrl, RetryPolicy};
use crate::hash::Sha256Digest;
use crate::progress::Observer;
use crate::store::local::{ExistingFile, Part};

/// How a download behaves.
#[derive(Clone, Debug)]
pub struct DownloadOptions {
    /// Replaces an existing file, and a `.part` that is not ours. Default no.
    pub force: bool,
    /// Fails when the server gives no SHA-256. Default no.
    pub require_digest: bool,
    /// Over how many connections to fetch it, side by side: segments, held in memory until it is their turn (256 MiB at most).
    /// 1 to [`DOWNLOAD_CONNECTIONS_MAX`]; what is outside counts as the nearest of them. Over UDT they use as many cores as the client
    /// has [`udt_sockets`](godwit_http::ClientConfig::udt_sockets). A server that cannot send parts of a file gets one connection.
    /// Default 1.
    pub connections: usize,
    /// How often to go on after network errors.
    pub retry: RetryPolicy,
    /// How long the head of an answer may take. How long its content may pause is the client's
    /// [`stall_timeout`](godwit_http::ClientConfig::stall_timeout). Default 60 s.
    pub response_timeout: Duration,
    /// How long the server may take to compute a SHA-256 that it does not know. Default 15 min, a terabyte or so.
    pub digest_timeout: Duration,
}

impl Default for DownloadOptions {
    fn default() -> Self {
        Self {
            force: false,
            require_digest: false,
            connections: 1,
            retry: RetryPolicy::default(),
            response_timeout: Duration::from_secs(60),
            digest_timeout: Duration::from_secs(15 * 60),
        }
    }
}

impl DownloadOptions {
    pub(super) fn connections(&self) -> usize {
        self.connections.clamp(1, DOWNLOAD_CONNECTIONS_MAX)
    }
}

/// A download that succeeded.
#[derive(Clone, Debug)]
pub struct Downloaded {
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub length: u64,
    /// How many of them this run received.
    pub received: u64,
    /// The SHA-256 of the file; `None` if it was up to date by its validator and was not read.
    pub sha256: Option<Sha256Digest>,
    /// What was done.
    pub outcome: Outcome,
    /// The connection that carried the last bytes; of several the first one.
    pub connection: Option<ConnectionHandle>,
}

/// What a download came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The file is complete and its SHA-256 is the server's.
    Verified,
    /// The file is complete; the server gave no SHA-256.
    NotVerified,
    /// The file was there already.
    UpToDate,
}

/// Downloads `url` to `target`.
///
/// The bytes go to `TARGET.part`, with `TARGET.part.meta` telling what they belong to; only a complete file that is not
/// known to be damaged gets the name `target`, and when this returns it is durable. A later call with the same URL and
/// target goes on where an earlier one ended, if the server's file is still the same; it first reads what is there again, so
/// that the digest covers the whole file. Network errors are retried with [`DownloadOptions::retry`] once the server has
/// answered or a part is there.
///
/// # Errors
///
/// [`DownloadError`]. Except after [`DownloadError::TooLong`] and [`DownloadError::DigestMismatch`], which rename the part to
/// `TARGET.part.bad`, what has arrived stays for the next call.
///
/// # Cancel safety
///
/// When the future is dropped, a thread of the runtime stores what had arrived; dropping the runtime waits for it.
pub async fn download(
    client: &Client,
    url: &RemoteUrl,
    target: &Path,
    options: &DownloadOptions,
    observer: Arc<dyn Observer>,
) -> Result<Downloaded, DownloadError> {
    let path = target.to_owned();
    let force = options.force;
    if !force && let Some(existing) = blocking(move |_| ExistingFile::look(&path)).await? {
        return compare(client, url, target, existing, options).await;
    }
    let path = target.to_owned();
    let part = blocking(move |_| Part::open(&path, force)).await?;
    let mut transfer = Transfer::new(client, url, options, observer, part);
    let arrived = transfer.run().await?;
    let received = transfer.received();
    let part = transfer.into_part();
    let (digest, connection) = match arrived {
        Arrived::Whole { digest, connection } => (digest, connection),
        Arrived::TooLong { length } => {
            let bad = blocking(move |_| part.quarantine()).await?;
            return Err(DownloadError::TooLong { length, bad });
        }
    };
    let (length, sha256) = (part.length(), part.sha256());
    if let Some(expected) = digest.filter(|&expected| expected != sha256) {
        let bad = blocking(move |_| part.quarantine()).await?;
        return Err(DownloadError::DigestMismatch { expected, actual: sha256, bad });
    }
    if digest.is_none() && options.require_digest {
        return Err(DownloadError::DigestMissing { part: part.path() });
    }
    blocking(move |_| part.finish(force)).await?;
    let outcome = if digest.is_some() { Outcome::Verified } else { Outcome::NotVerified };
    let path = target.to_owned();
    Ok(Downloaded { path, length, received, sha256: Some(sha256), outcome, connection })
}

//! A download whose name is taken: done already, or in the way?

use std::path::Path;

use godwit_http::Client;
use http::{HeaderMap, Method};

use super::blocking::blocking;
use super::download::{DownloadOptions, Downloaded, Outcome};
use super::{DownloadError, Refusal, RemoteUrl, request};
use crate::hash::{REPR_DIGEST, Sha256Digest, WANT_REPR_DIGEST, WANT_SHA_256};
use crate::plan::resume::{Answer, answer};
use crate::store::local::{ExistingFile, LocalError, Validator};

/// What a `HEAD` tells about a file.
pub(super) struct Description {
    pub(super) validator: Option<Validator>,
    pub(super) length: Option<u64>,
    pub(super) digest: Option<Sha256Digest>,
}

/// Finds out whether `existing` is what the URL names: the same version that we finished and nobody touched since, or the
/// same length and SHA-256.
///
/// # Errors
///
/// [`LocalError::Exists`] when it is not, or when that cannot be told.
pub(super) async fn compare(
    client: &Client,
    url: &RemoteUrl,
    path: &Path,
    mut existing: ExistingFile,
    options: &DownloadOptions,
) -> Result<Downloaded, DownloadError> {
    let in_the_way = || DownloadError::from(LocalError::Exists { path: path.to_owned() });
    let (length, known) = (existing.length, existing.validator.take());
    let done = |verified| Downloaded {
        path: path.to_owned(),
        length,
        received: 0,
        sha256: verified,
        outcome: Outcome::UpToDate,
        connection: None,
    };
    let mut now = describe(client, url, false, options).await?;
    if now.length.is_some_and(|now| now != length) {
        return Err(in_the_way());
    }
    if known.is_some() && now.validator == known && !options.require_digest {
        return Ok(done(None));
    }
    if now.digest.is_none() {
        now = describe(client, url, true, options).await?;
    }
    let Some(expected) = now.digest else { return Err(in_the_way()) };
    let actual = blocking(move |cancelled| existing.sha256(|| cancelled.is_set())).await?;
    if actual == Some(expected) { Ok(done(actual)) } else { Err(in_the_way()) }
}

/// Asks for the head of a file, and with `want_digest` for its SHA-256, which the server may have to compute first.
pub(super) async fn describe(
    client: &Client,
    url: &RemoteUrl,
    want_digest: bool,
    options: &DownloadOptions,
) -> Result<Description, DownloadError> {
    let mut headers = HeaderMap::new();
    let mut limit = options.response_timeout;
    if want_digest {
        headers.insert(WANT_REPR_DIGEST, WANT_SHA_256);
        limit = options.digest_timeout;
    }
    let answered = tokio::time::timeout(limit, client.request(request(Method::HEAD, url, headers))).await;
    let response = answered.map_err(|_| DownloadError::NoAnswer(limit))??;
    let Ok(Answer::Whole { length }) = answer(response.status(), response.headers(), 0) else {
        return Err(DownloadError::Refused(Refusal::read(response).await));
    };
    let headers = response.headers();
    let digest = headers.get(REPR_DIGEST).and_then(Sha256Digest::from_repr_digest);
    Ok(Description { validator: Validator::of(headers), length, digest })
}

//! `put`: one file from the disk to a URL, with its digest behind it.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use godwit_http::{BoxError, Client, ConnectionHandle, RequestError};
use http::header::{EXPECT, IF_NONE_MATCH, TRAILER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use super::blocking::blocking;
use super::{Refusal, RemoteUrl, UploadError, request};
use crate::hash::{REPR_DIGEST, Sha256, Sha256Digest};
use crate::headers::GODWIT_LENGTH;
use crate::progress::{Event, Observer};
use crate::store::local::{LocalError, SourceChanged, SourceFile};

/// Chunks of 256 KiB between disk and network.
const QUEUE_CHUNKS: usize = 8;

/// How an upload behaves.
#[derive(Clone, Copy, Debug)]
pub struct UploadOptions {
    /// Replaces a file that is there already. Default no.
    pub force: bool,
    /// How long the server may neither take bytes nor answer; it has to store the file before it answers. Default 5 min.
    pub stall_timeout: Duration,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self { force: false, stall_timeout: Duration::from_secs(5 * 60) }
    }
}

/// An upload that the server has stored.
#[derive(Clone, Debug)]
pub struct Uploaded {
    /// Its length in bytes.
    pub length: u64,
    /// Its SHA-256, which the server was told and, if it is ours, has checked.
    pub sha256: Sha256Digest,
    /// Whether it replaced another file.
    pub replaced: bool,
    /// The connection that carried it.
    pub connection: Option<ConnectionHandle>,
}

/// Uploads the file at `source` to `url`, which names the file, not its directory.
///
/// The server is asked before the content is sent (`Expect: 100-continue`), with the length in [`GODWIT_LENGTH`]; the
/// SHA-256 follows the content as a trailer. A file that changes meanwhile is not stored.
///
/// # Errors
///
/// [`UploadError`]; [`UploadError::Exists`] if there is such a file on the server and not [`UploadOptions::force`].
///
/// # Cancel safety
///
/// Dropping the future breaks the upload off; the server stores nothing.
pub async fn upload(
    client: &Client,
    source: &Path,
    url: &RemoteUrl,
    options: UploadOptions,
    observer: Arc<dyn Observer>,
) -> Result<Uploaded, UploadError> {
    let path = source.to_owned();
    let source = blocking(move |_| SourceFile::open(&path)).await?;
    let length = source.length();
    let (frames, queue) = mpsc::channel(QUEUE_CHUNKS);
    let moved = Arc::new(AtomicU64::new(0));
    let content = Content { queue, moved: Arc::clone(&moved), observer: Arc::clone(&observer) };
    let mut request = request(Method::PUT, url, headers(length, options)).map(|_| content.boxed_unsync());
    request.headers_mut().remove(http::header::ACCEPT_ENCODING);
    observer.on(Event::Started { from: 0, total: Some(length) });
    let reader = blocking(move |_| read(source, &frames));
    let answered = async {
        tokio::select! {
            response = client.request(request) => response.map_err(local_error),
            () = stalled(&moved, options.stall_timeout) => Err(UploadError::Stalled(options.stall_timeout)),
        }
    };
    let (sha256, response) = tokio::join!(reader, answered);
    let response = response?;
    let connection = response.extensions().get::<ConnectionHandle>().cloned();
    match (response.status(), sha256) {
        (status, Some(sha256)) if status.is_success() => {
            Ok(Uploaded { length, sha256, replaced: status != StatusCode::CREATED, connection })
        }
        (StatusCode::PRECONDITION_FAILED, _) if !options.force => Err(UploadError::Exists { url: url.clone() }),
        _ => Err(UploadError::Refused(Refusal::read(response).await)),
    }
}

/// Returns when nothing has moved for `limit`, or up to twice that.
async fn stalled(moved: &AtomicU64, limit: Duration) {
    let mut before = None;
    while before != Some(moved.load(Ordering::Relaxed)) {
        before = Some(moved.load(Ordering::Relaxed));
        tokio::time::sleep(limit).await;
    }
}

fn headers(length: u64, options: UploadOptions) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
    headers.insert(GODWIT_LENGTH, length.into());
    headers.insert(TRAILER, HeaderValue::from_static("Repr-Digest"));
    if !options.force {
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
    }
    headers
}

/// Reads and hashes the file into the queue; `None` when the request has ended before or the file failed.
fn read(mut source: SourceFile, frames: &mpsc::Sender<Result<Frame<Bytes>, BoxError>>) -> Option<Sha256Digest> {
    let mut sha256 = Sha256::new();
    let failed = loop {
        match source.read() {
            Ok(Some(chunk)) => {
                sha256.update(&chunk);
                frames.blocking_send(Ok(Frame::data(chunk))).ok()?;
            }
            // Before the trailer: without it the server does not store the file.
            Ok(None) => break source.check_unchanged().err().map(BoxError::from),
            Err(error) => break Some(BoxError::from(error)),
        }
    };
    if let Some(error) = failed {
        frames.blocking_send(Err(error)).ok()?;
        return None;
    }
    let digest = sha256.finish();
    let trailers = HeaderMap::from_iter([(REPR_DIGEST, digest.to_repr_digest())]);
    frames.blocking_send(Ok(Frame::trailers(trailers))).ok()?;
    Some(digest)
}

/// The reason why the body failed is ours.
fn local_error(error: RequestError) -> UploadError {
    let RequestError::Body { source } = error else { return error.into() };
    match source.downcast::<LocalError>().map_err(|source| source.downcast::<SourceChanged>()) {
        Ok(local) => UploadError::Local(*local),
        Err(Ok(changed)) => UploadError::Changed(*changed),
        Err(Err(source)) => RequestError::Body { source }.into(),
    }
}

/// The file as a request body: chunked, since its length stays unknown to the HTTP layer, so that a trailer can follow.
struct Content {
    queue: mpsc::Receiver<Result<Frame<Bytes>, BoxError>>,
    /// Bytes that the HTTP layer has taken.
    moved: Arc<AtomicU64>,
    observer: Arc<dyn Observer>,
}

impl http_body::Body for Content {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = std::task::ready!(self.queue.poll_recv(context));
        if let Some(chunk) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            let length = chunk.len() as u64;
            let position = self.moved.fetch_add(length, Ordering::Relaxed) + length;
            self.observer.on(Event::Moved { position });
        }
        Poll::Ready(frame)
    }
}

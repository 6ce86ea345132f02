//! The bytes of one answer, from the network to the disk: one task reads, one thread hashes and writes.

use bytes::Bytes;
use godwit_http::Body;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use super::DownloadError;
use super::blocking::blocking;
use crate::progress::{Event, Observer};
use crate::store::local::{LocalError, Part};

/// Chunks between network and disk. Each is at most a read buffer of the HTTP layer (some hundred KiB), so this bounds the
/// memory to a few MiB and still bridges a disk that hiccups.
const QUEUE_CHUNKS: usize = 16;

/// How the bytes of an answer ended.
pub(super) enum Ending {
    /// Properly, with these trailers.
    End(Option<HeaderMap>),
    /// There were more than `length`.
    TooLong { length: u64 },
}

/// Appends the content of an answer to `part`, and syncs it however that ends. `length` is that of the whole file.
///
/// # Cancel safety
///
/// When the future is dropped, the writing thread stores and syncs what it was given and then releases the part.
pub(super) async fn receive(
    part: Part,
    body: Body,
    length: Option<u64>,
    observer: &dyn Observer,
) -> (Part, Result<Ending, DownloadError>) {
    let (chunks, queue) = mpsc::channel(QUEUE_CHUNKS);
    let position = part.length();
    let writer = blocking(move |_| write(part, queue));
    let reader = read(body, position, length, chunks, observer);
    let ((part, written), read) = tokio::join!(writer, reader);
    match written {
        Ok(()) => (part, read),
        Err(error) => (part, Err(error.into())),
    }
}

fn write(mut part: Part, mut queue: mpsc::Receiver<Bytes>) -> (Part, Result<(), LocalError>) {
    let mut written = Ok(());
    while let Some(chunk) = queue.blocking_recv() {
        written = part.append(&chunk);
        if written.is_err() {
            break;
        }
    }
    // The queue closes, and the reader stops, before the disk is waited for.
    drop(queue);
    let synced = part.sync();
    (part, written.and(synced))
}

async fn read(
    mut body: Body,
    mut position: u64,
    length: Option<u64>,
    chunks: mpsc::Sender<Bytes>,
    observer: &dyn Observer,
) -> Result<Ending, DownloadError> {
    let mut trailers = None;
    loop {
        let Some(frame) = body.frame().await else { return Ok(Ending::End(trailers)) };
        let frame = frame.map_err(DownloadError::Body)?;
        match frame.into_data() {
            Ok(chunk) => {
                position += chunk.len() as u64;
                if let Some(length) = length.filter(|&length| position > length) {
                    return Ok(Ending::TooLong { length });
                }
                if chunks.send(chunk).await.is_err() {
                    // The writer has stopped, and it knows why.
                    return Ok(Ending::End(None));
                }
                observer.on(Event::Moved { position });
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
}

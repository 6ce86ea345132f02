//! The bytes of one answer, from the network to the disk: one task reads, one thread writes, and where there are cores another hashes.

use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use godwit_http::Body;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::DownloadError;
use super::blocking::blocking;
use crate::progress::{Event, Observer};
use crate::store::local::{LocalError, Part};

/// Batches of chunks between network and disk. Each is at most [`BATCH_BYTES`] and a read buffer of the HTTP layer (some hundred KiB),
/// so this bounds the memory to a few MiB and still bridges a disk that hiccups.
const QUEUE_BATCHES: usize = 16;
/// A thread is woken for so much, and not for each packet...
const BATCH_BYTES: usize = 128 * 1024;
/// ... or for what has waited so long, so that little is missing if the machine stops.
const BATCH_TIME: Duration = Duration::from_millis(20);

/// Batches between writing and hashing.
const QUEUE_UNHASHED: usize = 4;

/// Chunks in order.
type Batch = Vec<Bytes>;

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
    let (chunks, queue) = mpsc::channel(QUEUE_BATCHES);
    let position = part.length();
    let writer = blocking(move |_| write(part, queue));
    let reader = read(body, position, length, chunks, observer);
    let ((part, written), read) = tokio::join!(writer, reader);
    match written {
        Ok(()) => (part, read),
        Err(error) => (part, Err(error.into())),
    }
}

fn write(mut part: Part, mut queue: mpsc::Receiver<Batch>) -> (Part, Result<(), LocalError>) {
    let written = if thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
        write_and_hash(&mut part, &mut queue)
    } else {
        each_batch(&mut queue, |batch| batch.iter().try_for_each(|chunk| part.append(chunk)))
    };
    // The queue closes, and the reader stops, before the disk is waited for.
    drop(queue);
    let synced = part.sync();
    (part, written.and(synced))
}

/// Writes here and hashes on another thread: each takes about half of the time, and one thread for both is slower than the network. What is
/// hashed is what was written, also after an error.
fn write_and_hash(part: &mut Part, queue: &mut mpsc::Receiver<Batch>) -> Result<(), LocalError> {
    let mut sha256 = part.take_sha256();
    let (to_hash, unhashed) = sync_channel::<Batch>(QUEUE_UNHASHED);
    thread::scope(|scope| {
        let hasher = scope.spawn(move || {
            unhashed.iter().flatten().for_each(|chunk| sha256.update(&chunk));
            sha256
        });
        let written = each_batch(queue, |mut batch| {
            let mut appended = 0;
            let written = batch.iter().try_for_each(|chunk| {
                part.append_unhashed(chunk)?;
                appended += 1;
                Ok(())
            });
            batch.truncate(appended);
            to_hash.send(batch).expect("the hasher receives until we are done");
            written
        });
        drop(to_hash);
        part.put_sha256(hasher.join().expect("hashing does not panic"));
        written
    })
}

/// Until the queue ends, or the work fails.
fn each_batch(
    queue: &mut mpsc::Receiver<Batch>,
    mut work: impl FnMut(Batch) -> Result<(), LocalError>,
) -> Result<(), LocalError> {
    while let Some(batch) = queue.blocking_recv() {
        work(batch)?;
    }
    Ok(())
}

async fn read(
    body: Body,
    position: u64,
    length: Option<u64>,
    writer: mpsc::Sender<Batch>,
    observer: &dyn Observer,
) -> Result<Ending, DownloadError> {
    let mut pending = Pending { batch: Batch::new(), bytes: 0, since: Instant::now(), writer };
    let ending = fill(&mut pending, body, position, length, observer).await;
    pending.flush().await;
    ending
}

async fn fill(
    pending: &mut Pending,
    mut body: Body,
    mut position: u64,
    length: Option<u64>,
    observer: &dyn Observer,
) -> Result<Ending, DownloadError> {
    let mut trailers = None;
    loop {
        let frame = match pending.due() {
            Some(due) => timeout_at(due, body.frame()).await,
            None => Ok(body.frame().await),
        };
        let frame = match frame {
            Ok(Some(frame)) => frame.map_err(DownloadError::Body)?,
            Ok(None) => return Ok(Ending::End(trailers)),
            Err(_elapsed) => {
                pending.flush().await;
                continue;
            }
        };
        match frame.into_data() {
            Ok(chunk) => {
                position += chunk.len() as u64;
                if let Some(length) = length.filter(|&length| position > length) {
                    return Ok(Ending::TooLong { length });
                }
                if !pending.push(chunk).await {
                    // The writer has stopped, and it knows why.
                    return Ok(Ending::End(None));
                }
                observer.on(Event::Moved { position });
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
}

/// What is on its way to the writing thread.
struct Pending {
    batch: Batch,
    bytes: usize,
    /// When its first chunk came.
    since: Instant,
    writer: mpsc::Sender<Batch>,
}

impl Pending {
    /// When it may wait no longer, if anything waits.
    fn due(&self) -> Option<Instant> {
        (!self.batch.is_empty()).then(|| self.since + BATCH_TIME)
    }

    /// False if the writer has stopped.
    async fn push(&mut self, chunk: Bytes) -> bool {
        if self.batch.is_empty() {
            self.since = Instant::now();
        }
        self.bytes += chunk.len();
        self.batch.push(chunk);
        if self.bytes >= BATCH_BYTES || self.since.elapsed() >= BATCH_TIME { self.flush().await } else { true }
    }

    /// False if the writer has stopped.
    async fn flush(&mut self) -> bool {
        if self.batch.is_empty() {
            return true;
        }
        self.bytes = 0;
        self.writer.send(std::mem::take(&mut self.batch)).await.is_ok()
    }
}

/// A download that was cancelled keeps what had come, unless the disk is that far behind.
impl Drop for Pending {
    fn drop(&mut self) {
        if !self.batch.is_empty() {
            let _ = self.writer.try_send(std::mem::take(&mut self.batch));
        }
    }
}

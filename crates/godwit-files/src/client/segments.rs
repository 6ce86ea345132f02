//! One file over several connections: segments are asked for side by side and put back in order, as one body.
//!
//! Nothing else of a download knows of it: the part grows at its end, is hashed in order and resumed from its length.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use godwit_http::{Body, BoxError, Client, RequestError};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::RemoteUrl;
use super::transfer::get_range;
use crate::plan::resume::segment_answer;
use crate::store::local::Validator;

/// The most connections for one file: beyond it neither cores nor paths gain, and a server may refuse so many of one address.
pub const DOWNLOAD_CONNECTIONS_MAX: usize = 32;
/// What has arrived out of turn is held in memory, of all segments together.
const SEGMENTS_BYTES_MAX: u64 = 256 << 20;
/// Between two segments a connection is idle for a round-trip: shorter ones are not worth a request.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;
/// Segments under way and segments that wait for their turn, per connection: with a second one a fast connection goes on while the
/// oldest segment is on a slow one.
const SEGMENTS_PER_CONNECTION: usize = 2;
/// The length of the file comes with the answer to the first: short enough that a file of some MiB has work for all.
const FIRST_SEGMENT_BYTES: u64 = 4 << 20;
/// Bytes that a segment hands over at once. Chunks may be as small as a packet.
const BATCH_BYTES: usize = 64 << 10;

/// Why a segment did not arrive. What came before it is kept, and going on from there tells more.
#[derive(Debug, Error)]
pub(super) enum SegmentError {
    #[error("one of its connections failed: {0}")]
    Request(#[from] RequestError),
    #[error("one of its connections failed: {0}")]
    Body(BoxError),
    #[error("the server has not answered one of its connections within {0:?}")]
    NoAnswer(Duration),
    #[error("one of its connections got another answer than the bytes that it asked for ({0})")]
    Answer(StatusCode),
    #[error("one of its connections got {arrived} of {wanted} bytes")]
    Length { arrived: u64, wanted: u64 },
}

/// What every segment is asked for with.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) client: Client,
    pub(super) url: RemoteUrl,
    pub(super) validator: Validator,
    pub(super) response_timeout: Duration,
    /// Of the whole file, in bytes.
    pub(super) length: u64,
}

/// The bytes of a file from some byte on, in order. Dropping it ends all its requests.
pub(super) struct Segments {
    source: Arc<Source>,
    /// The segments that have been begun and not been read to their end, in order.
    begun: VecDeque<mpsc::Receiver<Result<Batch, SegmentError>>>,
    begun_max: usize,
    /// What has been taken from the first of them.
    batch: std::vec::IntoIter<Bytes>,
    /// Where the next segment begins.
    next: u64,
    segment_bytes: u64,
    tasks: JoinSet<()>,
    connections: Arc<Semaphore>,
}

type Batch = Vec<Bytes>;

/// What to ask for first, from byte `from` on.
pub(super) fn first_segment(from: u64) -> Range<u64> {
    from..from.saturating_add(FIRST_SEGMENT_BYTES)
}

impl Segments {
    /// Goes on with what comes of the request for `first`, over so many connections.
    pub(super) fn new(source: Source, first: &Range<u64>, body: Body, connections: usize) -> Self {
        let first = first.start..first.end.min(source.length);
        let begun_max = connections * SEGMENTS_PER_CONNECTION;
        let rest = source.length - first.end;
        // The last ones are short enough for all connections to end at about the same time.
        let segment_bytes = (rest / begun_max as u64).clamp(SEGMENT_BYTES_MIN, SEGMENTS_BYTES_MAX / begun_max as u64);
        let mut segments = Self {
            source: Arc::new(source),
            begun: VecDeque::with_capacity(begun_max),
            begun_max,
            batch: Batch::new().into_iter(),
            next: first.end,
            segment_bytes,
            tasks: JoinSet::new(),
            connections: Arc::new(Semaphore::new(connections)),
        };
        segments.begin(first, Some(body));
        segments
    }

    fn begin(&mut self, range: Range<u64>, body: Option<Body>) {
        // As many batches as the segment has: it never waits for its turn with its connection in its hands.
        let batches = ((range.end - range.start) / BATCH_BYTES as u64) as usize + 2;
        let (sender, receiver) = mpsc::channel(batches);
        let (source, connections) = (Arc::clone(&self.source), Arc::clone(&self.connections));
        self.tasks.spawn(async move {
            // It is fair: segments begin in order.
            let Ok(_connection) = connections.acquire().await else { return };
            if let Err(error) = fetch(&source, range, body, &sender).await {
                let _ = sender.send(Err(error)).await;
            }
        });
        self.begun.push_back(receiver);
    }

    fn begin_more(&mut self) {
        while self.begun.len() < self.begun_max && self.next < self.source.length {
            let end = self.source.length.min(self.next + self.segment_bytes);
            self.begin(self.next..end, None);
            self.next = end;
        }
        while self.tasks.try_join_next().is_some() {}
    }
}

impl http_body::Body for Segments {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some(chunk) = self.batch.next() {
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            self.begin_more();
            let Some(first) = self.begun.front_mut() else { return Poll::Ready(None) };
            match ready!(first.poll_recv(cx)) {
                Some(Ok(batch)) => self.batch = batch.into_iter(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => drop(self.begun.pop_front()),
            }
        }
    }
}

/// Asks for a segment, unless it comes already, and hands it over.
async fn fetch(
    source: &Source,
    range: Range<u64>,
    body: Option<Body>,
    batches: &mpsc::Sender<Result<Batch, SegmentError>>,
) -> Result<(), SegmentError> {
    let mut body = match body {
        Some(body) => body,
        None => ask(source, &range).await?.into_body(),
    };
    let wanted = range.end - range.start;
    let (mut arrived, mut batch, mut batch_bytes) = (0, Batch::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(SegmentError::Body)?.into_data() else { continue };
        arrived += chunk.len() as u64;
        if arrived > wanted {
            return Err(SegmentError::Length { arrived, wanted });
        }
        batch_bytes += chunk.len();
        batch.push(chunk);
        if batch_bytes >= BATCH_BYTES || arrived == wanted {
            batch_bytes = 0;
            if batches.send(Ok(std::mem::take(&mut batch))).await.is_err() {
                // Nobody wants it any more.
                return Ok(());
            }
        }
    }
    if arrived == wanted { Ok(()) } else { Err(SegmentError::Length { arrived, wanted }) }
}

async fn ask(source: &Source, range: &Range<u64>) -> Result<Response<Body>, SegmentError> {
    let request = source.client.request(get_range(&source.url, range, Some(&source.validator)));
    let limit = source.response_timeout;
    let answer = tokio::time::timeout(limit, request).await.map_err(|_| SegmentError::NoAnswer(limit))??;
    let length = segment_answer(answer.status(), answer.headers(), range);
    let version = Validator::of(answer.headers());
    let is_same = length == Some(source.length) && version.is_none_or(|version| version == source.validator);
    if is_same { Ok(answer) } else { Err(SegmentError::Answer(answer.status())) }
}

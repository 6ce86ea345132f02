//! A body whose bytes come from calls that may block: one chunk is on its way to the network while the next one is read. What is there
//! already, in the kernel's page cache or on a memory file system, is taken at once: handing each chunk from thread to thread costs an
//! eighth of a server's time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use godwit_http::BoxError;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

/// Produces the bytes of a body, on a thread that may block.
pub(crate) trait ChunkSource: Send + Unpin + 'static {
    /// The next bytes. An error ends the body: the connection is cut, so nobody takes what was sent for the whole.
    fn next_chunk(&mut self) -> Result<Chunk, BoxError>;

    /// The same on a thread that may not block, for no longer than copying a chunk takes: `None` if that does not suffice.
    fn chunk_at_once(&mut self) -> Option<Result<Chunk, BoxError>> {
        None
    }
}

/// Some bytes of a body, perhaps none, and whether more follow.
#[derive(Debug)]
pub(crate) enum Chunk {
    More(Bytes),
    /// The last bytes, and the trailer section behind them.
    Last(Bytes, Option<HeaderMap>),
}

/// The body that a [`ChunkSource`] makes. It holds at most two chunks: the one handed over and the one being read.
pub(crate) struct BlockingBody<S> {
    state: State<S>,
    /// What is left to send, where that is known.
    remaining_bytes: Option<u64>,
}

enum State<S> {
    /// Nothing is read before somebody wants it.
    Idle(S),
    Ready(S, Result<Chunk, BoxError>),
    Reading(JoinHandle<(S, Result<Chunk, BoxError>)>),
    Trailers(HeaderMap),
    Finished,
}

impl<S: ChunkSource> BlockingBody<S> {
    /// Of `length_bytes`, if that is known: then no trailers may follow.
    pub(crate) fn new(source: S, length_bytes: Option<u64>) -> Self {
        Self { state: State::Idle(source), remaining_bytes: length_bytes }
    }
}

fn read<S: ChunkSource>(mut source: S) -> State<S> {
    if let Some(chunk) = source.chunk_at_once() {
        return State::Ready(source, chunk);
    }
    State::Reading(spawn_blocking(move || {
        let chunk = source.next_chunk();
        (source, chunk)
    }))
}

impl<S: ChunkSource> Body for BlockingBody<S> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let (chunk, then): (_, fn(S) -> State<S>) = match std::mem::replace(&mut self.state, State::Finished) {
                State::Idle(source) => {
                    self.state = read(source);
                    continue;
                }
                State::Ready(source, chunk) => ((source, chunk), State::Idle),
                State::Reading(mut handle) => match Pin::new(&mut handle).poll(context) {
                    Poll::Pending => {
                        self.state = State::Reading(handle);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(read_ahead)) => (read_ahead, read),
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                },
                State::Trailers(trailers) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                State::Finished => return Poll::Ready(None),
            };
            let bytes;
            (self.state, bytes) = match chunk {
                (source, Ok(Chunk::More(bytes))) => (then(source), bytes),
                (_, Ok(Chunk::Last(bytes, trailers))) => (trailers.map_or(State::Finished, State::Trailers), bytes),
                (_, Err(error)) => return Poll::Ready(Some(Err(error))),
            };
            if !bytes.is_empty() {
                let sent_bytes = bytes.len() as u64;
                self.remaining_bytes = self.remaining_bytes.map(|remaining| remaining.saturating_sub(sent_bytes));
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining_bytes.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt as _;

    use super::*;

    /// Bytes 0, 1, 2, …; those of the pattern's `true` are there at once.
    struct Script {
        at_once: Vec<bool>,
        taken: Arc<AtomicUsize>,
    }

    impl ChunkSource for Script {
        fn next_chunk(&mut self) -> Result<Chunk, BoxError> {
            let number = self.taken.fetch_add(1, Ordering::Relaxed);
            let bytes = Bytes::from(vec![number as u8]);
            Ok(if number + 1 == self.at_once.len() { Chunk::Last(bytes, None) } else { Chunk::More(bytes) })
        }

        fn chunk_at_once(&mut self) -> Option<Result<Chunk, BoxError>> {
            self.at_once[self.taken.load(Ordering::Relaxed)].then(|| self.next_chunk())
        }
    }

    fn body(at_once: Vec<bool>) -> (BlockingBody<Script>, Arc<AtomicUsize>) {
        let taken = Arc::<AtomicUsize>::default();
        (BlockingBody::new(Script { at_once, taken: taken.clone() }, None), taken)
    }

    #[tokio::test]
    async fn chunks_come_in_order_wherever_they_are_read() {
        for pattern in 0..64_u8 {
            let (body, _) = body((0..6).map(|chunk| pattern & (1 << chunk) != 0).collect());
            assert_eq!(body.collect().await.unwrap().to_bytes(), &[0, 1, 2, 3, 4, 5][..], "{pattern:06b}");
        }
    }

    #[tokio::test]
    async fn what_is_there_at_once_is_not_read_ahead_and_what_is_not_is() {
        let (mut ready, taken) = body(vec![true; 3]);
        ready.frame().await.unwrap().unwrap();
        assert_eq!(taken.load(Ordering::Relaxed), 1);
        let (mut waiting, taken) = body(vec![false, true, true]);
        waiting.frame().await.unwrap().unwrap();
        assert_eq!(taken.load(Ordering::Relaxed), 2);
    }
}

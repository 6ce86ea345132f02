//! A client's stream on which a failed write does not hide the response.
//!
//! A server that refuses an upload may close the connection while we are still writing. The write then fails although the
//! response has arrived and waits to be read: the kernel keeps received data after a reset, and UDT delivers what came
//! before the shutdown. hyper ends a connection at the first failed write, so the failure is held back until the reader has
//! seen the end.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::connection_io::ConnectionIo;

/// How long a response may take to be read after a write has failed. Only a caller that does not read it meets this limit.
const GRACE: Duration = Duration::from_secs(10);

/// A client's stream; see the module.
#[derive(Debug)]
pub(crate) struct ResponseFirst<S> {
    io: S,
    failure: Option<WriteFailure>,
}

#[derive(Debug)]
struct WriteFailure {
    error: io::Error,
    grace: Pin<Box<Sleep>>,
    has_read_since: bool,
}

impl<S> ResponseFirst<S> {
    pub(crate) fn new(io: S) -> Self {
        Self { io, failure: None }
    }

    fn hold_back<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(Err(error)) => {
                let grace = Box::pin(tokio::time::sleep(GRACE));
                let failure = self.failure.insert(WriteFailure { error, grace, has_read_since: false });
                failure.poll(cx)
            }
            other => other,
        }
    }
}

impl WriteFailure {
    fn poll<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.grace.as_mut().poll(cx));
        Poll::Ready(Err(self.take_error()))
    }

    fn take_error(&mut self) -> io::Error {
        let again = io::Error::from(self.error.kind());
        std::mem::replace(&mut self.error, again)
    }
}

impl Connection for ResponseFirst<ConnectionIo> {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.io.handle().clone())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ResponseFirst<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        let is_end = buf.filled().len() == before && buf.remaining() > 0;
        match &mut this.failure {
            // The end alone would only say that the response is missing; the failure says why.
            Some(failure) if is_end && !failure.has_read_since => return Poll::Ready(Err(failure.take_error())),
            Some(failure) => failure.has_read_since = true,
            None => {}
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ResponseFirst<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(failure) = &mut this.failure {
            return failure.poll(cx);
        }
        let result = Pin::new(&mut this.io).poll_write(cx, buf);
        this.hold_back(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(failure) = &mut this.failure {
            return failure.poll(cx);
        }
        let result = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.hold_back(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(failure) = &mut this.failure {
            return failure.poll(cx);
        }
        let result = Pin::new(&mut this.io).poll_flush(cx);
        this.hold_back(cx, result)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_has_arrived_is_read_before_the_write_fails() {
        let (ours, mut theirs) = duplex(64);
        let mut ours = ResponseFirst::new(ours);
        theirs.write_all(b"403").await.expect("room for three bytes");
        drop(theirs);
        let start = Instant::now();
        let mut response = [0; 3];
        tokio::select! {
            biased;
            _ = ours.write_all(b"body") => panic!("the write must wait"),
            () = std::future::ready(()) => {}
        }
        ours.read_exact(&mut response).await.expect("the response");
        assert_eq!(ours.read(&mut response).await.expect("the end"), 0);
        let error = ours.write_all(b"body").await.expect_err("it failed long ago");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(start.elapsed() <= GRACE + Duration::from_millis(2));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_response_the_reader_learns_why() {
        let (ours, theirs) = duplex(64);
        let mut ours = ResponseFirst::new(ours);
        drop(theirs);
        tokio::select! {
            biased;
            _ = ours.write_all(b"body") => panic!("the write must wait"),
            () = std::future::ready(()) => {}
        }
        let error = ours.read(&mut [0; 3]).await.expect_err("the write's failure");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}

//! The byte stream as hyper sees it: counted, watched and held to its rate, without another copy of the bytes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::activity::Activity;
use crate::byte_stream::ByteStream;
use crate::connection_handle::ConnectionHandle;
use crate::rate_limit::TokenBucket;

/// One connection's stream.
#[derive(Debug)]
pub(crate) struct ConnectionIo {
    stream: ByteStream,
    handle: ConnectionHandle,
    activity: Activity,
    bucket: TokenBucket,
}

impl ConnectionIo {
    /// # Errors
    ///
    /// When the connection has already ended.
    pub(crate) fn new(stream: ByteStream, tcp_max_rate_bits_per_s: Option<u64>) -> io::Result<Self> {
        let handle = ConnectionHandle::new(&stream)?;
        if let Some(rate) = handle.max_rate() {
            rate.set(tcp_max_rate_bits_per_s);
        }
        Ok(Self { stream, handle, activity: Activity::new(), bucket: TokenBucket::new() })
    }

    pub(crate) fn handle(&self) -> &ConnectionHandle {
        &self.handle
    }

    pub(crate) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// How many bytes the rate lets out now, at least one; `None` means any number.
    fn poll_budget(&mut self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        match self.handle.max_rate() {
            Some(rate) => self.bucket.poll_budget(cx, rate),
            None => Poll::Ready(None),
        }
    }

    fn written(&mut self, result: Poll<io::Result<usize>>, budget: Option<usize>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Ready(Ok(bytes)) => {
                self.handle.count_sent(*bytes);
                self.activity.bytes_written();
                if budget.is_some() {
                    self.bucket.spend(*bytes);
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.activity.write_blocked(),
        }
        result
    }
}

impl Drop for ConnectionIo {
    fn drop(&mut self) {
        self.handle.closed();
    }
}

impl AsyncRead for ConnectionIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(cx, buf);
        let bytes = buf.filled().len() - before;
        if bytes > 0 {
            this.handle.count_received(bytes);
            this.activity.bytes_read();
        }
        result
    }
}

impl AsyncWrite for ConnectionIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let budget = ready!(this.poll_budget(cx));
        let allowed = budget.map_or(buf.len(), |budget| budget.min(buf.len()));
        let result = Pin::new(&mut this.stream).poll_write(cx, &buf[..allowed]);
        this.written(result, budget)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let budget = ready!(this.poll_budget(cx));
        let result = match budget {
            None => Pin::new(&mut this.stream).poll_write_vectored(cx, bufs),
            // A limited rate is a slow one: one slice at a time costs nothing that matters.
            Some(budget) => {
                let first = bufs.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
                Pin::new(&mut this.stream).poll_write(cx, &first[..first.len().min(budget)])
            }
        };
        this.written(result, budget)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

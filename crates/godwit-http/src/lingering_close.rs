//! Closing a connection so that the peer gets the last response (RFC 9112 section 9.6).
//!
//! A server that closes a TCP connection with input unread makes its kernel send a reset, and the reset may destroy the
//! response before the client reads it: a refused upload would look like a broken pipe. So the server closes its own
//! direction first and throws away what still comes in, for a while.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::Transport;
use crate::connection_io::ConnectionIo;

/// The longest time that input is thrown away, as in nginx: a client that does not look at responses while it sends needs
/// the time for its whole body, and one slot is what it costs.
const LINGER_MAX: Duration = Duration::from_secs(30);
/// A client that sends nothing for so long has got the response, or never will; as in nginx.
const LINGER_QUIET_MAX: Duration = Duration::from_secs(5);
/// The most bytes thrown away; whoever sends more is better stopped by a reset.
const LINGER_BYTES_MAX: u64 = 256 << 20;
/// What one call of the kernel throws away.
const DISCARD_BYTES: usize = 16 << 10;
/// Reads before other connections get their turn.
const DISCARDS_PER_POLL: u32 = 32;

/// A server's stream that lingers when it is shut down with input unread.
#[derive(Debug)]
pub(crate) struct LingeringClose {
    io: ConnectionIo,
    linger: Linger,
}

#[derive(Debug)]
enum Linger {
    Open,
    Discarding(Discard),
    Done,
}

#[derive(Debug)]
struct Discard {
    until: Instant,
    bytes_left: u64,
    quiet: Pin<Box<Sleep>>,
}

impl LingeringClose {
    pub(crate) fn new(io: ConnectionIo) -> Self {
        Self { io, linger: Linger::Open }
    }

    /// Only TCP throws away delivered data when it is reset; UDT's close waits until the peer has acknowledged all.
    fn needs_linger(&self) -> bool {
        self.io.handle().transport() == Transport::Tcp && self.io.activity().may_have_unread_input()
    }
}

impl Discard {
    fn begin() -> Self {
        let until = Instant::now() + LINGER_MAX;
        Self { until, bytes_left: LINGER_BYTES_MAX, quiet: Box::pin(tokio::time::sleep(LINGER_QUIET_MAX)) }
    }

    fn poll(&mut self, io: &mut ConnectionIo, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..DISCARDS_PER_POLL {
            let mut scratch = [const { MaybeUninit::uninit() }; DISCARD_BYTES];
            let mut buf = ReadBuf::uninit(&mut scratch);
            match Pin::new(&mut *io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    let now = Instant::now();
                    self.bytes_left = self.bytes_left.saturating_sub(buf.filled().len() as u64);
                    if self.bytes_left == 0 || now >= self.until {
                        return Poll::Ready(());
                    }
                    self.quiet.as_mut().reset((now + LINGER_QUIET_MAX).min(self.until));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.quiet.as_mut().poll(cx),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for LingeringClose {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl AsyncWrite for LingeringClose {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match &mut this.linger {
                Linger::Open => {
                    ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
                    this.linger = if this.needs_linger() {
                        this.io.activity().closing();
                        Linger::Discarding(Discard::begin())
                    } else {
                        Linger::Done
                    };
                }
                Linger::Discarding(discard) => {
                    ready!(discard.poll(&mut this.io, cx));
                    this.linger = Linger::Done;
                }
                Linger::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}

//! The byte view of a connection, and its messages.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf as _, Bytes};
use godwit_proto::{
    ConnectionError, ControllerKind, MessageOptions, Payloads, RateBoundsError, ReadError, Stats, WriteError,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::{Connection, Interest, State};
use crate::handle::ConnectionHandle;
use crate::shared::Shared;

/// Bytes moved out of the connection at once for [`AsyncRead`], so that small reads do not take the lock each time. They
/// count as read: the window opens again for them.
const READ_AHEAD_BYTES: usize = 256 << 10;
/// Room to ask for where several slices are to be written: a slab takes no more at once.
const WRITE_WANTED_BYTES: usize = 64 << 10;

/// One UDT connection: a byte stream in both directions ([`AsyncRead`], [`AsyncWrite`], chunks), or messages where the
/// configuration says so.
///
/// * Writing takes bytes into the send buffer and waits while that is full; the data leaves by itself, there is nothing to
///   flush. Reading less than the peer sends fills the receive buffer, and then the peer has to wait.
/// * UDT has no half-close. [`close`](Self::close) and `shutdown` of [`AsyncWrite`] wait until the peer has acknowledged
///   everything (at most for the configured linger time), then tell it; from there on it may send no more either. What has
///   arrived can still be read, then comes the end.
/// * Dropping the stream aborts: what is not acknowledged is lost. A peer of this implementation learns that as
///   [`ConnectionReset`](io::ErrorKind::ConnectionReset); to libudt an abort looks like an end.
/// * From libudt the end of the stream means "a shutdown came, and no gap was known": a lost tail looks the same. Put a
///   length or a digest into what you send.
#[derive(Debug)]
pub struct Stream {
    connection: Arc<Connection>,
    shared: Arc<Shared>,
    read_ahead: VecDeque<Payloads>,
}

impl Stream {
    pub(crate) const fn new(connection: Arc<Connection>, shared: Arc<Shared>) -> Self {
        Self { connection, shared, read_ahead: VecDeque::new() }
    }

    /// Waits for the end of the handshake.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn connected(&mut self) -> Result<(), ConnectionError> {
        poll_fn(|context| self.connection.lock().poll_connected(context)).await
    }

    /// The next bytes of the stream without copying them, at most `max_bytes` (at least 1), or `None` at its end.
    ///
    /// A chunk that is kept for long keeps up to 64 KiB of receive buffer alive.
    ///
    /// # Errors
    /// Why the connection ended, after everything that arrived before has been read; or it carries messages.
    ///
    /// # Cancel safety
    /// Cancel safe: bytes that were not returned are returned by the next call.
    pub async fn read_chunk(&mut self, max_bytes: usize) -> Result<Option<Bytes>, ReadError> {
        poll_fn(|context| self.poll_read_chunk(context, max_bytes)).await
    }

    /// As [`read_chunk`](Self::read_chunk), for hand-written futures.
    ///
    /// # Errors
    /// As [`read_chunk`](Self::read_chunk).
    pub fn poll_read_chunk(
        &mut self,
        context: &mut Context<'_>,
        max_bytes: usize,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        if !ready!(self.poll_fill(context, max_bytes.clamp(1, READ_AHEAD_BYTES)))? {
            return Poll::Ready(Ok(None));
        }
        let front = self.read_ahead.front_mut().expect("poll_fill has put something there");
        let chunk = front.split_chunk(max_bytes.max(1));
        if !front.has_remaining() {
            self.read_ahead.pop_front();
        }
        Poll::Ready(Ok(Some(chunk)))
    }

    /// Takes the beginning of `data` into the send buffer, as much as there is room for, and tells how many bytes that
    /// were: at least one if `data` is not empty. Waits while there is no room at all.
    ///
    /// # Errors
    /// The connection has ended or was closed, or it carries messages.
    ///
    /// # Cancel safety
    /// Cancel safe: a call that did not return has written nothing.
    pub async fn write_chunk(&mut self, data: &[u8]) -> Result<usize, WriteError> {
        poll_fn(|context| self.poll_write_chunk(context, data)).await
    }

    /// As [`write_chunk`](Self::write_chunk), for hand-written futures.
    ///
    /// # Errors
    /// As [`write_chunk`](Self::write_chunk).
    pub fn poll_write_chunk(&mut self, context: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, WriteError>> {
        self.poll_write_slices(context, &[IoSlice::new(data)])
    }

    /// Takes one message into the send buffer. Waits while there is no room for it.
    ///
    /// # Errors
    /// The connection has ended or was closed, carries a stream, or can never carry a message of that size (or none).
    ///
    /// # Cancel safety
    /// Cancel safe: a call that did not return has sent nothing.
    pub async fn send_message(&mut self, message: &[u8], options: MessageOptions) -> Result<(), WriteError> {
        poll_fn(|context| {
            let mut state = self.connection.lock();
            self.connection.limit_sending(&mut state);
            let sent = match state.protocol.send_message(Instant::now(), message, options) {
                Poll::Ready(sent) => sent,
                Poll::Pending => return state.wait_for(Interest::Writing, context),
            };
            self.connection.account(&mut state);
            self.call_driver(state);
            Poll::Ready(sent)
        })
        .await
    }

    /// The next message, whole, or `None` at the end.
    ///
    /// # Errors
    /// Why the connection ended, after everything that arrived before has been received; or it carries a stream.
    ///
    /// # Cancel safety
    /// Cancel safe: a message that was not returned is returned by the next call.
    pub async fn recv_message(&mut self) -> Result<Option<Bytes>, ReadError> {
        poll_fn(|context| {
            let mut state = self.connection.lock();
            let received = match state.protocol.receive_message(Instant::now()) {
                Poll::Ready(received) => received,
                Poll::Pending => return state.wait_for(Interest::Reading, context),
            };
            self.connection.account(&mut state);
            self.call_driver(state);
            Poll::Ready(received)
        })
        .await
    }

    /// Sends what is buffered, waits until the peer has acknowledged it, at most for the configured linger time, and tells
    /// the peer that this is the end. What arrived before can still be read.
    ///
    /// # Errors
    /// The linger time was over, or the connection ended otherwise, before everything was acknowledged.
    ///
    /// # Cancel safety
    /// Cancel safe: the closing goes on while the stream exists, and another call waits for its end.
    pub async fn close(&mut self) -> Result<(), ConnectionError> {
        poll_fn(|context| self.poll_close(context)).await
    }

    /// Ends the connection at once, as dropping the stream does.
    pub fn abort(&mut self) {
        self.connection.lock().protocol.abort(Instant::now());
        self.shared.touch(&self.connection);
    }

    /// Limits what this connection sends, in bits per second, IP and UDP headers included; `None` lifts the limit. It works
    /// from the next packet on.
    ///
    /// # Errors
    /// It is less than the minimum rate; nothing has changed.
    pub fn set_max_rate(&self, bits_per_s: Option<u64>) -> Result<(), RateBoundsError> {
        self.handle().set_max_rate(bits_per_s)
    }

    /// Keeps the rate from falling below this, in bits per second: see [`ConnectionHandle::set_min_rate`].
    ///
    /// # Errors
    /// It is more than the maximum rate; nothing has changed.
    pub fn set_min_rate(&self, bits_per_s: Option<u64>) -> Result<(), RateBoundsError> {
        self.handle().set_min_rate(bits_per_s)
    }

    /// Sends under this controller from now on: see [`ConnectionHandle::set_controller`].
    pub fn set_controller(&self, kind: ControllerKind) {
        self.handle().set_controller(kind);
    }

    /// What the connection counts. Takes the lock of this connection alone, for a copy.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.connection.stats()
    }

    /// A handle to look at the connection and to set its rate, which does not keep it open.
    #[must_use]
    pub fn handle(&self) -> ConnectionHandle {
        ConnectionHandle::new(&self.connection, Arc::clone(&self.shared))
    }

    /// The peer's address.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.connection.path.remote
    }

    /// This end's address: with the IP address that the peer uses.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.handle().local_addr()
    }

    /// This end's UDT socket id, unique on its endpoint.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.connection.id
    }

    fn poll_write_slices(&mut self, context: &Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize, WriteError>> {
        let mut slices = slices.iter().map(|slice| &slice[..]).filter(|slice| !slice.is_empty()).peekable();
        let mut rest = slices.next().unwrap_or_default();
        let mut written = 0;
        while !rest.is_empty() {
            let wanted = if slices.peek().is_some() { WRITE_WANTED_BYTES.max(rest.len()) } else { rest.len() };
            let mut state = self.connection.lock();
            self.connection.limit_sending(&mut state);
            let checkout = match state.protocol.checkout(wanted) {
                Poll::Pending if written == 0 => return state.wait_for(Interest::Writing, context),
                Poll::Pending => break,
                Poll::Ready(checkout) => checkout,
            };
            drop(state);
            let mut slab = match checkout {
                Ok(slab) => slab,
                Err(error) if written == 0 => return Poll::Ready(Err(error)),
                Err(_) => break,
            };
            // The copy happens without the lock: the driver goes on meanwhile.
            while !rest.is_empty() && slab.room_bytes() > 0 {
                let taken = slab.fill(rest);
                written += taken;
                rest = &rest[taken..];
                if rest.is_empty() {
                    rest = slices.next().unwrap_or_default();
                }
            }
            let mut state = self.connection.lock();
            state.protocol.commit(Instant::now(), slab);
            self.connection.account(&mut state);
            self.call_driver(state);
        }
        Poll::Ready(Ok(written))
    }

    /// Waits until there are bytes in `read_ahead`: true, or until the end of the stream: false.
    fn poll_fill(&mut self, context: &Context<'_>, max_bytes: usize) -> Poll<Result<bool, ReadError>> {
        if !self.read_ahead.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let mut state = self.connection.lock();
        let read = match state.protocol.read(Instant::now(), max_bytes, &mut self.read_ahead) {
            Poll::Ready(read) => read?,
            Poll::Pending => return state.wait_for(Interest::Reading, context),
        };
        self.connection.account(&mut state);
        // The window has opened, which the peer may have to be told.
        self.call_driver(state);
        Poll::Ready(Ok(read > 0))
    }

    /// Wakes the driver if what was just done gives it something to do.
    fn call_driver(&self, state: MutexGuard<'_, State>) {
        let is_needed = state.needs_driver();
        drop(state);
        if is_needed {
            self.shared.touch(&self.connection);
        }
    }

    fn poll_close(&mut self, context: &Context<'_>) -> Poll<Result<(), ConnectionError>> {
        let mut state = self.connection.lock();
        state.protocol.close(Instant::now());
        let closed = match state.poll_flushed(context) {
            // The peer was first. That is no failure unless something of ours was still on its way.
            Poll::Ready(Err(ConnectionError::ClosedByPeer)) if state.has_nothing_unacknowledged() => {
                Poll::Ready(Ok(()))
            }
            closed => closed,
        };
        drop(state);
        self.shared.touch(&self.connection);
        closed
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 || !ready!(self.poll_fill(context, READ_AHEAD_BYTES))? {
            return Poll::Ready(Ok(()));
        }
        while buffer.remaining() > 0
            && let Some(front) = self.read_ahead.front_mut()
        {
            let bytes = front.chunk().len().min(buffer.remaining());
            buffer.put_slice(&front.chunk()[..bytes]);
            front.advance(bytes);
            if !front.has_remaining() {
                self.read_ahead.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_chunk(context, data).map_err(io::Error::from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_slices(context, slices).map_err(io::Error::from)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What is in the send buffer leaves by itself.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_close(context).map_err(io::Error::from)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.abort();
    }
}

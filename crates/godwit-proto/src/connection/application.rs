//! What the application does with a connection: write, read, messages, close.

use std::collections::VecDeque;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Connection;
use super::payloads::Payloads;
use super::send_buffer::WriteSlab;
use super::timers::Timer;
use crate::config::SocketType;
use crate::error::{ConnectionError, ReadError, WriteError};

/// Between the acknowledgement of the last message and the shutdown, towards libudt. Its acknowledgements run ahead of its
/// reader, and a `recvmsg` that a shutdown finds waiting, or just done, says that the connection is lost; so the reader gets
/// time to wake up and read. libudt itself notices the acknowledgement when it looks next, up to 1 ms later. Deviation 46.
const MESSAGE_READER_PAUSE: Duration = Duration::from_millis(50);

/// How a message is to be carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageOptions {
    /// After this time the message is given up; `None` never.
    pub time_to_live: Option<Duration>,
    /// Whether the peer may get it only after all messages before it.
    pub in_order: bool,
}

impl Connection {
    /// Room for a writer that has `wanted_bytes` (at least 1) to write. Fill it, then [`commit`](Self::commit) it. Pending while the send
    /// buffer is full or the handshake is under way; [`Event::Writable`](crate::Event::Writable) tells when to try again.
    ///
    /// # Errors
    /// If the connection takes no more data.
    pub fn checkout(&mut self, wanted_bytes: usize) -> Poll<Result<WriteSlab, WriteError>> {
        if let Err(error) = self.closing.check_writable() {
            return Poll::Ready(Err(error));
        }
        if self.config.socket_type != SocketType::Stream {
            return Poll::Ready(Err(WriteError::WrongSocketType { is_stream: false }));
        }
        let Some(halves) = &mut self.halves else { return Poll::Pending };
        let need = halves.sender.need(&self.rtt);
        match halves.sender.buffer.checkout(wanted_bytes.max(1), need) {
            Some(slab) => Poll::Ready(Ok(slab)),
            None => Poll::Pending,
        }
    }

    /// Queues what was written into a slab from [`checkout`](Self::checkout).
    pub fn commit(&mut self, now: Instant, slab: WriteSlab) {
        if let Some(halves) = &mut self.halves {
            halves.sender.buffer.commit(slab);
        }
        self.settle(now);
    }

    /// Writes as much of `data` as fits: [`checkout`](Self::checkout), fill and [`commit`](Self::commit) in one.
    ///
    /// # Errors
    /// If the connection takes no more data.
    pub fn write(&mut self, now: Instant, data: &[u8]) -> Poll<Result<usize, WriteError>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.checkout(data.len()).map_ok(|mut slab| {
            let taken = slab.fill(data);
            self.commit(now, slab);
            taken
        })
    }

    /// Moves what has arrived to `out`: at least what was taken in as one, and about `max_bytes`; `Ok(0)` is the end of the stream.
    /// Pending while nothing is there; [`Event::Readable`](crate::Event::Readable) tells when to try again.
    ///
    /// # Errors
    /// Why the connection ended, once what arrived before has been read, unless the peer closed it with nothing missing.
    /// From libudt that means "a shutdown came, and no gap was known": it can't be told from a lost tail.
    pub fn read(
        &mut self,
        now: Instant,
        max_bytes: usize,
        out: &mut VecDeque<Payloads>,
    ) -> Poll<Result<usize, ReadError>> {
        if self.config.socket_type != SocketType::Stream {
            return Poll::Ready(Err(ReadError::WrongSocketType { is_stream: false }));
        }
        let taken = self.halves.as_mut().map_or(0, |halves| halves.receiver.read(now, max_bytes, out));
        if taken > 0 {
            return Poll::Ready(Ok(taken));
        }
        self.closing.end_of_reading().map(|end| end.map(|()| 0).map_err(ReadError::from))
    }

    /// Queues one message.
    ///
    /// # Errors
    /// If the message can never fit, is empty, or the connection takes no more data.
    pub fn send_message(&mut self, now: Instant, data: &[u8], options: MessageOptions) -> Poll<Result<(), WriteError>> {
        if let Err(error) = self.closing.check_writable() {
            return Poll::Ready(Err(error));
        }
        if self.config.socket_type != SocketType::Datagram {
            return Poll::Ready(Err(WriteError::WrongSocketType { is_stream: true }));
        }
        if data.is_empty() {
            return Poll::Ready(Err(WriteError::EmptyMessage));
        }
        let Some(halves) = &mut self.halves else { return Poll::Pending };
        let max_bytes = halves.sender.message_bytes_max();
        if data.len() > max_bytes {
            return Poll::Ready(Err(WriteError::MessageTooLarge { bytes: data.len(), max_bytes }));
        }
        if !halves.sender.buffer.has_room_for_message(data.len()) {
            return Poll::Pending;
        }
        let expires = options.time_to_live.and_then(|ttl| now.checked_add(ttl));
        halves.sender.buffer.push_message(data, expires, options.in_order);
        self.settle(now);
        Poll::Ready(Ok(()))
    }

    /// The next whole message; `Ok(None)` is the end. Pending while none is there.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn receive_message(&mut self, now: Instant) -> Poll<Result<Option<Bytes>, ReadError>> {
        if self.config.socket_type != SocketType::Datagram {
            return Poll::Ready(Err(ReadError::WrongSocketType { is_stream: true }));
        }
        if let Some(message) = self.halves.as_mut().and_then(|halves| halves.receiver.pop_message(now)) {
            return Poll::Ready(Ok(Some(message)));
        }
        self.closing.end_of_reading().map(|end| end.map(|()| None).map_err(ReadError::from))
    }

    /// Takes no more data, waits until everything is acknowledged but not longer than the linger time, then tells the peer;
    /// [`Event::Flushed`](crate::Event::Flushed) or [`Event::Closed`](crate::Event::Closed) tells when. UDT has no half-close: nothing arrives after that either.
    pub fn close(&mut self, now: Instant) {
        if self.halves.is_none() {
            return self.abort(now);
        }
        if self.closing.begin() {
            self.timers.set(Timer::Linger, now + self.config.linger);
            self.settle(now);
        }
    }

    /// Ends the connection at once; what was not acknowledged is lost, and one of our own peers is told so.
    pub fn abort(&mut self, now: Instant) {
        if self.closing.is_done() {
            return;
        }
        self.finish(now, ConnectionError::ClosedLocally);
        if self.halves.is_some() {
            self.closing.queue_shutdown();
        }
    }

    /// What follows from any change: a close that waited for the last acknowledgement, and the busy clock.
    pub(super) fn settle(&mut self, now: Instant) {
        let Some(halves) = &self.halves else { return };
        let is_flushed = halves.sender.is_flushed();
        if !self.closing.is_done() {
            self.busy.set(now, halves.sender.in_flight_packets() > 0);
        }
        let pauses = self.config.socket_type == SocketType::Datagram && !self.is_peer_godwit;
        if !is_flushed || !self.closing.flushed(pauses) {
            return;
        }
        if pauses {
            self.timers.stop(Timer::Linger);
            self.timers.set(Timer::Shutdown, now + MESSAGE_READER_PAUSE);
        } else {
            self.close_flushed();
        }
    }

    /// A close comes to its end: everything is acknowledged.
    pub(super) fn close_flushed(&mut self) {
        self.timers.stop_all();
        self.events.is_flushed = true;
        self.events.is_readable = true;
    }
}

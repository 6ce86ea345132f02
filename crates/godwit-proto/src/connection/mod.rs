//! One UDT connection: it routes to the opening, the sender, the receiver and the timers, and holds no algorithm itself.
//!
//! After every call that takes `&mut self` the caller drains [`Connection::poll_transmit`] and
//! [`Connection::poll_event`] until both return `None`, then waits until [`Connection::poll_timeout`].

mod ack_history;
mod arrival;
mod closing;
mod handshake;
mod loss_list;
mod message_buffer;
mod missing;
mod receive_buffer;
mod receiver;
mod rtt;
mod send_buffer;
mod sender;
mod stats;
mod timers;

use std::collections::VecDeque;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub(crate) use receive_buffer::PACKET_OVERHEAD_BYTES;
pub use send_buffer::{SlabRun, WriteSlab};
pub use stats::{ReceiverStats, SenderStats, Stats};

use crate::config::{Config, SocketType, payload_bytes};
use crate::congestion::{Control as _, Controller, Setup};
use crate::datagram::{Batch, Contents, Event, Path, TRANSMIT_BYTES_MAX, Transmit};
use crate::error::{ConnectionError, ReadError, WriteError};
use crate::packet::{Control, ControlPacket, DataPacket, HEADER_BYTES, Handshake, Packet, UDP_IP_HEADER_BYTES};
use crate::seq::{AckNumber, Seq};
use closing::Closing;
use handshake::{Agreement, ClientOpening, Opening, RendezvousOpening, ServerOpening, Step};
use receive_buffer::{Keeping, ReceiveBuffer};
use receiver::Receiver;
use rtt::RttEstimator;
use send_buffer::Numbering;
use sender::{AckReport, Acked, Outgoing, Room, Sender, SenderSetup};
use stats::BusyClock;
use timers::{Timer, Timers};

/// A handshake that was not answered is repeated after this time, as libudt does (specification section 2.5).
const HANDSHAKE_REPEAT: Duration = Duration::from_millis(250);
/// After its response a server sends nothing else for this long unless the client is heard: a libudt client that gets
/// anything else first never connects (specification section 2.8). Then the response goes out again.
const ACCEPT_HOLD: Duration = Duration::from_millis(30);
/// Responses that are sent before the hold is given up.
const ACCEPT_RESPONSES: u8 = 3;
/// Silence towards a libudt peer never lasts longer: its EXP count would grow, and slow its loss recovery.
const KEEP_ALIVE_LIBUDT: Duration = Duration::from_secs(1);
/// The same between our own ends, for whom an idle connection should cost next to nothing.
const KEEP_ALIVE_GODWIT: Duration = Duration::from_secs(10);
/// Extended type of the packet with which we introduce ourselves (docs/wire-extensions.md).
const HELLO_TYPE: u16 = 0x6764;
const HELLO_VERSION: u32 = 1;
/// Introductions that go unanswered before the peer counts as somebody else.
const HELLOS_MAX: u8 = 3;
const HELLO_REPEAT: Duration = Duration::from_millis(400);

/// The part that this side plays in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It connected to a listener.
    Client,
    /// A listener accepted it.
    Server,
    /// Both sides connected to each other.
    Rendezvous,
}

/// How a message is to be carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageOptions {
    /// After this time the message is given up; `None` never.
    pub time_to_live: Option<Duration>,
    /// Whether the peer may get it only after all messages before it.
    pub in_order: bool,
}

/// What an endpoint decides for a new connection.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) now: Instant,
    pub(crate) path: Path,
    pub(crate) config: Config,
    pub(crate) local_id: u32,
    pub(crate) isn: Seq,
    pub(crate) seed: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Connection {
    config: Config,
    side: Side,
    path: Path,
    local_id: u32,
    peer_id: u32,
    seed: u64,
    created: Instant,
    /// When anything was heard from the peer, and when anything was sent to it.
    last_heard: Instant,
    last_sent: Instant,
    announced_window_packets: u32,
    max_datagram_bytes: usize,
    opening: Opening,
    halves: Option<Halves>,
    closing: Closing,
    rtt: RttEstimator,
    timers: Timers,
    pending: Pending,
    events: Events,
    busy: BusyClock,
    is_peer_godwit: bool,
    is_peer_heard: bool,
    malformed_packets: u64,
}

/// What exists once the handshake is complete.
#[derive(Debug)]
struct Halves {
    sender: Sender,
    receiver: Receiver,
}

/// Control packets that wait to be sent: at most one of each, so nothing can queue up.
#[derive(Debug, Default)]
struct Pending {
    handshake: bool,
    ack2: Option<AckNumber>,
    keep_alive: bool,
    hello: bool,
    hello_answer: bool,
    hellos: u8,
    responses: u8,
}

/// Events that wait to be polled: each at most once.
#[derive(Debug, Default)]
struct Events {
    is_connected: bool,
    is_readable: bool,
    is_writable: bool,
    is_flushed: bool,
    closed: Option<ConnectionError>,
}

impl Connection {
    /// The client of a listener, or one side of a rendezvous.
    pub(crate) fn connect(birth: Birth) -> Self {
        let own = own_handshake(&birth);
        let (side, opening) = if birth.config.rendezvous {
            (Side::Rendezvous, Opening::Rendezvous(RendezvousOpening::new(own)))
        } else {
            (Side::Client, Opening::Client(ClientOpening::new(own)))
        };
        let mut connection = Self::new(birth, side, opening, own.window_packets);
        let now = connection.created;
        connection.pending.handshake = true;
        connection.timers.set(Timer::Handshake, now + HANDSHAKE_REPEAT);
        connection.timers.set(Timer::ConnectLimit, now + connection.config.connect_timeout);
        connection
    }

    /// The server of a client whose conclusion is `request`; `None` if the values in it can't work.
    pub(crate) fn accept(birth: Birth, request: &Handshake) -> Option<Self> {
        let own = own_handshake(&birth);
        let (server, agreement) = ServerOpening::new(own, request)?;
        let now = birth.now;
        let mut connection = Self::new(birth, Side::Server, Opening::Server(server), own.window_packets);
        connection.establish(now, agreement);
        connection.hold(now);
        Some(connection)
    }

    fn new(birth: Birth, side: Side, opening: Opening, announced_window_packets: u32) -> Self {
        Self {
            side,
            path: birth.path,
            local_id: birth.local_id,
            peer_id: 0,
            seed: birth.seed,
            created: birth.now,
            last_heard: birth.now,
            last_sent: birth.now,
            announced_window_packets,
            max_datagram_bytes: TRANSMIT_BYTES_MAX,
            opening,
            halves: None,
            closing: Closing::Open,
            rtt: RttEstimator::new(true),
            timers: Timers::default(),
            pending: Pending::default(),
            events: Events::default(),
            busy: BusyClock::default(),
            is_peer_godwit: false,
            is_peer_heard: false,
            malformed_packets: 0,
            config: birth.config,
        }
    }

    /// Datagrams that arrived together. Whatever they hold, the worst that happens is that they are counted.
    pub fn handle_datagrams(&mut self, now: Instant, batch: &Batch) {
        if self.closing.is_done() {
            return;
        }
        let keeping = Keeping::of(batch);
        let stride = batch.stride.max(1);
        for start in (0..batch.contents.len()).step_by(stride) {
            let end = batch.contents.len().min(start + stride);
            match Packet::decode(&batch.contents[start..end]) {
                Ok(Packet::Data(data)) => {
                    let payload = batch.contents.slice(end - data.payload.len()..end);
                    self.on_data(now, &data, payload, keeping);
                }
                Ok(Packet::Control(packet)) => self.on_control(now, &packet),
                Err(error) => {
                    self.malformed_packets += 1;
                    tracing::trace!(%error, id = self.local_id, "malformed packet");
                    continue;
                }
            }
            self.last_heard = now;
        }
        if let Some(halves) = &mut self.halves {
            halves.receiver.finish_batch(now, batch, &self.rtt);
            self.events.is_readable |= halves.receiver.is_readable();
        }
        self.settle(now);
    }

    /// Runs the timers that are due. Harmless when none is.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.take_expired(now) {
            self.on_timer(now, timer);
        }
        if let Some(halves) = &mut self.halves
            && self.closing.may_send_data()
        {
            halves.sender.on_timeout(now, &self.rtt);
        }
        self.settle(now);
    }

    /// The next thing to send: at most `max_segments` datagrams of equal size in one go, in `scratch`, which this clears, or in the
    /// send buffer. Call it until it returns `None`.
    pub fn poll_transmit(&mut self, now: Instant, max_segments: usize, scratch: &mut Vec<u8>) -> Option<Transmit> {
        scratch.clear();
        let (segment_bytes, contents) = if self.poll_control(now, scratch) {
            (None, Contents::Scratch)
        } else {
            self.poll_data(now, max_segments.max(1), scratch)?
        };
        self.last_sent = now;
        let (length, stride) = match &contents {
            Contents::Scratch => (scratch.len(), segment_bytes.unwrap_or(scratch.len())),
            Contents::Slab(run) => (run.bytes().len(), run.stride()),
        };
        Some(Transmit {
            path: self.path,
            segment_bytes: segment_bytes.filter(|&segment| segment < length),
            may_fragment: stride.min(length) > self.max_datagram_bytes,
            contents,
        })
    }

    /// Gives back what [`poll_transmit`](Self::poll_transmit) moved out of the send buffer.
    pub fn restore(&mut self, run: SlabRun) {
        if let Some(halves) = &mut self.halves {
            halves.sender.buffer.restore(run);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) and [`poll_transmit`](Self::poll_transmit) should be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let mut next = self.timers.next();
        if let Some(halves) = &self.halves
            && self.closing.may_send_data()
            && !self.is_holding()
        {
            next = [next, halves.sender.next_timeout(), halves.receiver.next_timeout()].into_iter().flatten().min();
        }
        next
    }

    /// The next thing that the application should know.
    pub fn poll_event(&mut self) -> Option<Event> {
        let events = &mut self.events;
        if std::mem::take(&mut events.is_connected) {
            return Some(Event::Connected);
        }
        if std::mem::take(&mut events.is_readable) {
            return Some(Event::Readable);
        }
        if std::mem::take(&mut events.is_writable) {
            return Some(Event::Writable);
        }
        if std::mem::take(&mut events.is_flushed) {
            return Some(Event::Flushed);
        }
        events.closed.take().map(Event::Closed)
    }

    /// The path takes no datagram larger than `max_datagram_bytes` (UDP payload). Later packets get smaller; those that have a number
    /// already can't be cut again and are marked in [`Transmit::may_fragment`].
    pub fn datagram_too_large(&mut self, max_datagram_bytes: usize) {
        let least = crate::config::MIN_MSS_BYTES as usize - UDP_IP_HEADER_BYTES;
        self.max_datagram_bytes = self.max_datagram_bytes.min(max_datagram_bytes.max(least));
        let payload_bytes = self.max_datagram_bytes - HEADER_BYTES;
        if let Some(halves) = &mut self.halves
            && halves.sender.shrink_payload(payload_bytes)
        {
            tracing::debug!(id = self.local_id, payload_bytes, "the path takes no larger packets");
        }
    }

    /// Room for a writer that has `wanted_bytes` (at least 1) to write. Fill it, then [`commit`](Self::commit) it. Pending while the send
    /// buffer is full or the handshake is under way; [`Event::Writable`] tells when to try again.
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
        let window_bytes = halves.sender.window_bytes();
        match halves.sender.buffer.checkout(wanted_bytes.max(1), window_bytes) {
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

    /// Moves what has arrived to `out`: at least one packet's bytes, and about `max_bytes`; `Ok(0)` is the end of the stream.
    /// Pending while nothing is there; [`Event::Readable`] tells when to try again.
    ///
    /// # Errors
    /// Why the connection ended, once what arrived before has been read, unless the peer closed it with nothing missing.
    /// From libudt that means "a shutdown came, and no gap was known": it can't be told from a lost tail.
    pub fn read(
        &mut self,
        now: Instant,
        max_bytes: usize,
        out: &mut VecDeque<Bytes>,
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
    /// [`Event::Flushed`] or [`Event::Closed`] tells when. UDT has no half-close: nothing arrives after that either.
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

    /// Bounds the sending rate of this connection in bits per second, headers included; `None` lifts the bound.
    pub fn set_max_rate(&mut self, bits_per_s: Option<u64>) {
        self.config.max_rate_bits_per_s = bits_per_s;
        if let Some(halves) = &mut self.halves {
            halves.sender.set_max_rate(bits_per_s);
        }
    }

    /// Changes the memory that the receive buffer may use, at least 48 KiB, for a budget that several connections share.
    pub fn set_receive_limit(&mut self, bytes: usize) {
        if let Some(halves) = &mut self.halves {
            halves.receiver.set_limit_bytes(bytes.clamp(48 << 10, self.config.receive_buffer_bytes));
        }
    }

    /// A snapshot of what this connection counts: a copy, no walk.
    pub fn stats(&self, now: Instant) -> Stats {
        let mut stats = Stats {
            age: now.saturating_duration_since(self.created),
            sender: SenderStats::default(),
            receiver: ReceiverStats::default(),
            rtt: self.rtt.srtt(),
            rtt_variance: self.rtt.var(),
            sending_interval: Duration::ZERO,
            flow_window_packets: 0,
            congestion_window_packets: 0,
            in_flight_packets: 0,
            advertised_window_packets: self.announced_window_packets,
            link_capacity_packets_per_s: 0,
            arrival_speed_packets_per_s: 0,
            arrival_speed_bytes_per_s: 0,
            send_buffer_available_bytes: self.config.send_buffer_bytes,
            send_buffer_used_bytes: 0,
            receive_buffer_available_bytes: self.config.receive_buffer_bytes,
            receive_buffer_used_bytes: 0,
            mss_bytes: self.config.mss_or_default(),
            payload_bytes: payload_bytes(self.config.mss_or_default()),
            controller: self.config.controller,
            is_peer_godwit: self.is_peer_godwit,
            malformed_packets: self.malformed_packets,
        };
        if let Some(halves) = &self.halves {
            halves.fill_stats(&mut stats, self.config.receive_buffer_bytes);
            stats.sender.busy = self.busy.total(now);
        }
        stats
    }

    /// Bytes of memory that unread data keeps alive.
    pub fn pinned_bytes(&self) -> usize {
        self.halves.as_ref().map_or(0, |halves| halves.receiver.pinned_bytes())
    }

    /// Whether the connection has ended and has nothing left to send: the driver can forget it. What has arrived can still be read.
    pub fn is_drained(&self) -> bool {
        self.closing.is_drained()
    }

    /// Whether the handshake is still under way.
    pub fn is_connecting(&self) -> bool {
        self.halves.is_none() && !self.closing.is_done()
    }

    /// The part that this side played in the handshake.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Where the peer is.
    pub fn path(&self) -> Path {
        self.path
    }

    /// This side's socket id.
    pub fn id(&self) -> u32 {
        self.local_id
    }

    /// The peer's socket id; 0 before the handshake is complete.
    pub fn peer_id(&self) -> u32 {
        self.peer_id
    }

    fn on_data(&mut self, now: Instant, data: &DataPacket<'_>, payload: Bytes, keeping: Keeping) {
        self.on_peer_heard(now);
        if let Some(halves) = &mut self.halves {
            halves.receiver.on_data(now, &data.header, payload, keeping);
        }
    }

    fn on_control(&mut self, now: Instant, packet: &ControlPacket<'_>) {
        if let Control::Handshake(handshake) = &packet.control {
            return self.on_handshake(now, handshake);
        }
        self.on_peer_heard(now);
        let Some(halves) = &mut self.halves else { return };
        match &packet.control {
            Control::Ack(ack) => {
                let report =
                    AckReport { ack_seq: ack.ack_seq, available_packets: ack.available_packets, rates: ack.rates };
                match halves.sender.on_ack(now, &report, &self.rtt) {
                    Acked::Invalid => return,
                    Acked::Old => {}
                    Acked::Progress => {
                        let (rtt, var) = (u64::from(ack.rtt_us), u64::from(ack.rtt_var_us));
                        self.rtt.on_peer_report(Duration::from_micros(rtt), Duration::from_micros(var));
                        self.events.is_writable = true;
                    }
                }
                self.pending.ack2 = Some(ack.number);
            }
            Control::LightAck { ack_seq } => {
                halves.sender.on_light_ack(*ack_seq);
            }
            Control::Nak(report) => halves.sender.on_nak(now, report, &self.rtt),
            Control::Ack2 { number } => {
                if let Some(rtt) = halves.receiver.on_ack2(now, *number) {
                    self.rtt.on_sample(rtt);
                }
            }
            Control::MessageDrop { message, first, last } => {
                halves.receiver.on_message_drop(now, *message, *first, *last, &self.rtt);
            }
            Control::Shutdown { final_seq } => self.on_shutdown(now, *final_seq),
            Control::User { extended_type: HELLO_TYPE, body, .. } => self.on_hello(body),
            Control::PeerError { code } => tracing::debug!(id = self.local_id, code, "the peer's application failed"),
            Control::Handshake(_)
            | Control::KeepAlive
            | Control::CongestionWarning
            | Control::User { .. }
            | Control::Unknown { .. } => {}
        }
    }

    fn on_handshake(&mut self, now: Instant, received: &Handshake) {
        match self.opening.on_handshake(received) {
            Step::Ignore => {}
            Step::Send if self.opening.is_server() => self.hold(now),
            Step::Send => {
                self.pending.handshake = true;
                if self.halves.is_none() {
                    self.timers.set(Timer::Handshake, now + HANDSHAKE_REPEAT);
                }
            }
            Step::Connected(agreement) => self.connected(now, agreement),
            Step::Failed(error) => self.finish(now, error),
        }
    }

    /// Something else than a handshake came from the peer.
    fn on_peer_heard(&mut self, now: Instant) {
        if self.is_peer_heard {
            return;
        }
        if self.halves.is_none() {
            let Some(agreement) = self.opening.on_other_packet() else { return };
            self.connected(now, agreement);
        }
        self.is_peer_heard = true;
        if self.side == Side::Server {
            self.timers.stop(Timer::Handshake);
        }
    }

    fn on_shutdown(&mut self, now: Instant, final_seq: Option<Seq>) {
        let Some(halves) = &self.halves else { return };
        // With our own end's number it is known what should have come; from libudt only a gap tells.
        let reason = match halves.receiver.is_complete(final_seq) {
            true => ConnectionError::ClosedByPeer,
            false => ConnectionError::Reset,
        };
        self.finish(now, reason);
    }

    fn on_hello(&mut self, body: &[u8]) {
        let is_answer = body.get(4..8) == Some(&1u32.to_be_bytes());
        self.is_peer_godwit = true;
        self.timers.stop(Timer::Hello);
        if !is_answer {
            self.pending.hello = true;
            self.pending.hello_answer = true;
        }
        if let Some(halves) = &mut self.halves {
            halves.sender.buffer.set_short_tail(false);
        }
    }

    fn on_timer(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Handshake if self.opening.is_server() => self.on_hold_over(now),
            Timer::Handshake => {
                self.opening.on_silence();
                self.pending.handshake = true;
                self.timers.set(Timer::Handshake, now + HANDSHAKE_REPEAT);
            }
            Timer::ConnectLimit => self.finish(now, ConnectionError::HandshakeTimeout),
            Timer::KeepAlive => {
                let due = self.last_sent + self.keep_alive_interval();
                self.pending.keep_alive |= due <= now;
                self.timers.set(Timer::KeepAlive, if due <= now { now + self.keep_alive_interval() } else { due });
            }
            Timer::PeerSilence => {
                let due = self.last_heard + self.config.peer_timeout;
                if due <= now {
                    self.finish(now, ConnectionError::PeerTimeout);
                } else {
                    self.timers.set(Timer::PeerSilence, due);
                }
            }
            Timer::Hello => self.introduce(now),
            Timer::Linger => {
                self.finish(now, ConnectionError::LingerTimeout);
                self.closing.queue_shutdown();
            }
            Timer::Shutdown => self.closing.queue_shutdown(),
        }
    }

    fn connected(&mut self, now: Instant, agreement: Agreement) {
        self.establish(now, agreement);
        self.events.is_connected = true;
        if self.side == Side::Rendezvous {
            // The peer may only be completed by another packet than a handshake (specification section 2.9).
            self.pending.keep_alive = true;
        }
        self.introduce(now);
    }

    fn establish(&mut self, now: Instant, agreement: Agreement) {
        self.peer_id = agreement.peer_id;
        let full_payload_bytes = payload_bytes(agreement.mss_bytes);
        let window = self.announced_window_packets;
        let config = &self.config;
        let controller = Controller::new(
            config.controller,
            &Setup {
                now,
                packet_bytes: agreement.mss_bytes,
                max_window_packets: agreement.peer_window_packets,
                seed: self.seed,
            },
        );
        let sender = Sender::new(
            now,
            SenderSetup {
                numbering: Numbering { initial_seq: agreement.local_isn, destination: agreement.peer_id },
                peer_window_packets: agreement.peer_window_packets,
                mss_bytes: agreement.mss_bytes,
                buffer_bytes: config.send_buffer_bytes,
                max_rate_bits_per_s: config.max_rate_bits_per_s,
                controller,
            },
        );
        let buffer = ReceiveBuffer::new(config.socket_type, config.receive_buffer_bytes, window, full_payload_bytes);
        let mut receiver = Receiver::new(buffer, agreement.remote_isn, window, full_payload_bytes);
        receiver.pin_capacity(config.pinned_capacity_packets_per_s);
        self.config.mss_bytes = Some(agreement.mss_bytes);
        self.halves = Some(Halves { sender, receiver });
        let max_datagram_bytes = self.max_datagram_bytes;
        self.datagram_too_large(max_datagram_bytes);
        self.timers.stop(Timer::Handshake);
        self.timers.stop(Timer::ConnectLimit);
        self.timers.set(Timer::KeepAlive, now + KEEP_ALIVE_LIBUDT);
        self.timers.set(Timer::PeerSilence, now + self.config.peer_timeout);
        self.events.is_writable = true;
    }

    /// Sends the response, and nothing else for a while.
    fn hold(&mut self, now: Instant) {
        if !self.is_peer_heard {
            self.pending.handshake = true;
            self.pending.responses = 1;
            self.timers.set(Timer::Handshake, now + ACCEPT_HOLD);
        }
    }

    fn on_hold_over(&mut self, now: Instant) {
        if self.pending.responses < ACCEPT_RESPONSES {
            self.pending.handshake = true;
            self.pending.responses += 1;
            self.timers.set(Timer::Handshake, now + ACCEPT_HOLD);
        }
    }

    /// Whether a client may still wait for the response, so that nothing else may be sent.
    fn is_holding(&self) -> bool {
        self.side == Side::Server && !self.is_peer_heard && self.pending.responses < ACCEPT_RESPONSES
    }

    fn introduce(&mut self, now: Instant) {
        if !self.is_peer_godwit && self.pending.hellos < HELLOS_MAX {
            self.pending.hellos += 1;
            self.pending.hello = true;
            self.timers.set(Timer::Hello, now + HELLO_REPEAT * u32::from(self.pending.hellos));
        }
    }

    fn keep_alive_interval(&self) -> Duration {
        if self.is_peer_godwit { KEEP_ALIVE_GODWIT } else { KEEP_ALIVE_LIBUDT }
    }

    /// The connection is over, for this reason; what has arrived stays readable.
    fn finish(&mut self, now: Instant, reason: ConnectionError) {
        if self.closing.is_done() {
            return;
        }
        self.busy.set(now, false);
        self.timers.stop_all();
        self.closing.finish(reason);
        self.events.closed = Some(reason);
        self.events.is_readable = true;
        self.events.is_writable = true;
        tracing::debug!(id = self.local_id, peer = %self.path.remote, %reason, "connection ended");
    }

    /// What follows from any change: a close that waited for the last acknowledgement, and the busy clock.
    fn settle(&mut self, now: Instant) {
        let Some(halves) = &self.halves else { return };
        let is_flushed = halves.sender.is_flushed();
        if !self.closing.is_done() {
            self.busy.set(now, halves.sender.in_flight_packets() > 0);
        }
        if is_flushed && self.closing.flushed() {
            self.timers.stop_all();
            self.events.is_flushed = true;
            self.events.is_readable = true;
        }
    }

    /// Encodes the control packet that is due, if there is one.
    fn poll_control(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        if std::mem::take(&mut self.pending.handshake)
            && !self.closing.is_done()
            && let Some((handshake, destination)) = self.opening.message()
        {
            Control::Handshake(handshake).encode(0, destination, out);
            return true;
        }
        if let Some(control) = self.poll_simple_control(now) {
            control.encode(0, self.peer_id, out);
            return true;
        }
        if std::mem::take(&mut self.pending.hello) && self.closing.may_send_data() {
            self.encode_hello(out);
            return true;
        }
        let is_holding = self.is_holding();
        let Some(halves) = &mut self.halves else { return false };
        if !self.closing.may_send_data() || is_holding {
            return false;
        }
        let max_words = (payload_bytes(self.config.mss_or_default()).min(self.max_datagram_bytes - HEADER_BYTES)) / 4;
        halves.receiver.poll_control(now, self.peer_id, max_words.max(2), &self.rtt, out)
    }

    fn poll_simple_control(&mut self, now: Instant) -> Option<Control<'static>> {
        let halves = self.halves.as_mut()?;
        if self.closing.take_shutdown() {
            let repeat = self.rtt.srtt().clamp(Duration::from_millis(10), Duration::from_millis(500));
            if self.closing.will_repeat_shutdown() {
                self.timers.set(Timer::Shutdown, now + repeat);
            }
            return Some(Control::Shutdown { final_seq: Some(halves.sender.final_seq()) });
        }
        if !self.closing.may_send_data() {
            return None;
        }
        if let Some(number) = self.pending.ack2.take() {
            return Some(Control::Ack2 { number });
        }
        if std::mem::take(&mut self.pending.keep_alive) {
            return Some(Control::KeepAlive);
        }
        let request = halves.sender.poll_drop_request()?;
        Some(Control::MessageDrop { message: request.message, first: request.first, last: request.last })
    }

    fn encode_hello(&mut self, out: &mut Vec<u8>) {
        let is_answer = std::mem::take(&mut self.pending.hello_answer);
        let mut body = [0; 8];
        body[4..].copy_from_slice(&u32::from(is_answer).to_be_bytes());
        let hello = Control::User { extended_type: HELLO_TYPE, info: HELLO_VERSION, body: &body };
        hello.encode(0, self.peer_id, out);
    }

    fn poll_data(
        &mut self,
        now: Instant,
        max_segments: usize,
        scratch: &mut Vec<u8>,
    ) -> Option<(Option<usize>, Contents)> {
        if !self.closing.may_send_data() || self.is_holding() {
            return None;
        }
        let stamp = now.saturating_duration_since(self.created).as_micros() as u32;
        let room = Room { segments: max_segments, datagram_bytes: self.max_datagram_bytes };
        let sender = &mut self.halves.as_mut()?.sender;
        match sender.poll(now, room, stamp, &self.rtt, scratch)? {
            Outgoing::Run(run) => Some((Some(run.stride()), Contents::Slab(run))),
            Outgoing::Copied { segment_bytes } => Some((Some(segment_bytes), Contents::Scratch)),
        }
    }
}

impl Halves {
    fn fill_stats(&self, stats: &mut Stats, receive_buffer_bytes: usize) {
        let (sender, receiver) = (&self.sender, &self.receiver);
        stats.sender = sender.stats;
        stats.receiver = receiver.stats;
        stats.receiver.nak_repeats_packets = receiver.nak_repeats_packets();
        stats.sending_interval = sender.interval();
        stats.flow_window_packets = sender.flow_window_packets();
        stats.congestion_window_packets = sender.controller().window_packets();
        stats.in_flight_packets = sender.in_flight_packets();
        stats.advertised_window_packets = receiver.advertised_packets();
        stats.link_capacity_packets_per_s = receiver.rates().link_capacity_packets_per_s;
        stats.arrival_speed_packets_per_s = receiver.rates().arrival_speed_packets_per_s;
        stats.arrival_speed_bytes_per_s = receiver.arrival_speed_bytes_per_s();
        stats.send_buffer_available_bytes = sender.buffer.available_bytes();
        stats.send_buffer_used_bytes = sender.buffer.charged_bytes();
        stats.receive_buffer_used_bytes = receiver.pinned_bytes();
        stats.receive_buffer_available_bytes = receive_buffer_bytes.saturating_sub(receiver.pinned_bytes());
        stats.payload_bytes = sender.payload_bytes();
    }
}

/// What this side says of itself; the request type is the opening's business.
fn own_handshake(birth: &Birth) -> Handshake {
    let mss_bytes = birth.config.mss_or_default();
    Handshake {
        version: Handshake::VERSION,
        socket_type: birth.config.socket_type.to_wire(),
        isn: birth.isn,
        mss_bytes,
        window_packets: birth.config.announced_window_packets(payload_bytes(mss_bytes)),
        request: crate::packet::RequestType::Induction,
        socket_id: birth.local_id,
        cookie: 0,
        peer_ip: crate::packet::peer_ip_words(birth.path.remote.ip()),
    }
}

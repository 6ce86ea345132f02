//! One UDT connection: it routes to the opening, the sender, the receiver and the timers, and holds no algorithm itself.
//!
//! After every call that takes `&mut self` the caller drains [`Connection::poll_transmit`] and
//! [`Connection::poll_event`] until both return `None`, then waits until [`Connection::poll_timeout`].

mod ack_history;
mod ack_tail;
mod application;
mod arrival;
mod closing;
mod establishment;
mod flights;
mod handshake;
mod hello;
mod incoming;
mod loss_list;
mod message_buffer;
mod missing;
mod outgoing;
mod pacer;
mod packet_pairs;
mod payloads;
mod receive_buffer;
mod receive_window;
mod receiver;
mod recent_rate;
mod reordering;
mod rtt;
mod send_buffer;
mod sender;
mod stats;
mod steering;
mod timers;

use std::time::{Duration, Instant};

pub use application::MessageOptions;
pub use payloads::Payloads;
pub(crate) use receive_buffer::PACKET_OVERHEAD_BYTES;
pub use send_buffer::{SendMemory, SlabRun, WriteSlab};
pub use stats::{ReceiverStats, SenderStats, Stats};
pub(crate) use timers::Ticks;

use crate::config::Config;
use crate::datagram::{Batch, Contents, Event, Path, TRANSMIT_BYTES_MAX, Transmit};
use crate::error::ConnectionError;
use crate::packet::{HEADER_BYTES, Handshake, Packet, UDP_IP_HEADER_BYTES};
use crate::seq::{AckNumber, Seq};
use closing::Closing;
use establishment::own_handshake;
use handshake::{ClientOpening, Opening, RendezvousOpening, ServerOpening};
use receive_buffer::Keeping;
use receiver::Receiver;
use rtt::RttEstimator;
use sender::Sender;
use stats::BusyClock;
use timers::{Timer, Timers};

/// A handshake that was not answered is repeated after this time, as libudt does (specification section 2.5).
const HANDSHAKE_REPEAT: Duration = Duration::from_millis(250);
/// Silence towards a libudt peer never lasts longer: its EXP count would grow, and slow its loss recovery. Deviation 48.
const KEEP_ALIVE_LIBUDT: Duration = Duration::from_secs(1);
/// The same between our own ends, for whom an idle connection should cost next to nothing.
const KEEP_ALIVE_GODWIT: Duration = Duration::from_secs(10);

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

/// What an endpoint decides for a new connection.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) now: Instant,
    pub(crate) ticks: Ticks,
    /// What the wall clock says at `now`; zero if there is none.
    pub(crate) unix_time: Duration,
    pub(crate) path: Path,
    /// What the path to that host carried lately, bytes per second.
    pub(crate) path_bytes_per_s: Option<f64>,
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
    created_unix_time: Duration,
    path_bytes_per_s: Option<f64>,
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
    ticks: Ticks,
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
            created_unix_time: birth.unix_time,
            path_bytes_per_s: birth.path_bytes_per_s,
            last_heard: birth.now,
            last_sent: birth.now,
            announced_window_packets,
            max_datagram_bytes: TRANSMIT_BYTES_MAX,
            opening,
            halves: None,
            closing: Closing::Open,
            rtt: RttEstimator::new(true),
            timers: Timers::default(),
            ticks: birth.ticks,
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
        let mut start = 0;
        while start < batch.contents.len() {
            let datagram = start..batch.contents.len().min(start + stride);
            start = datagram.end;
            match Packet::decode(&batch.contents[datagram.clone()]) {
                Ok(Packet::Data(data)) => start = self.on_data(now, batch, datagram, &data.header, keeping),
                Ok(Packet::Control(packet)) => self.on_control(now, batch.arrived.min(now), &packet),
                Err(error) => {
                    // And no sign of life, where libudt takes anything for one (deviation 2).
                    self.malformed_packets += 1;
                    tracing::trace!(%error, id = self.local_id, "malformed packet");
                    continue;
                }
            }
            self.last_heard = now;
            if self.closing.is_done() {
                break;
            }
        }
        if let Some(halves) = &mut self.halves {
            if let Some(sample) = halves.sender.take_rtt_sample() {
                self.rtt.on_sample(sample);
            }
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
        } else if let Some(data) = self.poll_data(now, max_segments.max(1), scratch) {
            data
        } else if self.poll_control(now, scratch) {
            // What should have been sent had expired, and the peer is to know.
            (None, Contents::Scratch)
        } else {
            return None;
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
    /// already can't be cut again and are marked in [`Transmit::may_fragment`]. Deviation 31.
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

    /// Changes the memory that the receive buffer may use, at least 48 KiB, for a budget that several connections share.
    pub fn set_receive_limit(&mut self, bytes: usize) {
        if let Some(halves) = &mut self.halves {
            halves.receiver.set_limit_bytes(bytes.clamp(48 << 10, self.config.receive_buffer_bytes));
        }
    }

    /// Bytes of memory that unread data keeps alive.
    pub fn pinned_bytes(&self) -> usize {
        self.halves.as_ref().map_or(0, |halves| halves.receiver.pinned_bytes())
    }

    /// Changes what the send buffer may hold, for a budget that several connections share; what is buffered already stays. 128 KiB
    /// are always granted, of which none need be spare.
    pub fn set_send_share(&mut self, share: SendMemory) {
        if let Some(halves) = &mut self.halves {
            halves.sender.buffer.set_share(share);
        }
    }

    /// What the send buffer holds.
    pub fn send_memory(&self) -> SendMemory {
        self.halves.as_ref().map_or_else(SendMemory::default, |halves| halves.sender.memory())
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

    fn on_timer(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Handshake if self.opening.is_server() => self.on_hold_over(now),
            Timer::Handshake => {
                self.opening.on_silence();
                self.pending.handshake = true;
                self.timers.set(Timer::Handshake, now + HANDSHAKE_REPEAT);
            }
            Timer::ConnectLimit => self.finish(now, ConnectionError::HandshakeTimeout),
            Timer::KeepAlive => self.on_keep_alive(now),
            // By time, not by a count of expirations (deviation 47).
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
            Timer::Shutdown if self.closing.paused() => self.close_flushed(),
            Timer::Shutdown => self.closing.queue_shutdown(),
        }
    }

    fn on_keep_alive(&mut self, now: Instant) {
        let mut due = self.keep_alive_due(self.last_sent);
        if due <= now {
            due = self.keep_alive_due(now);
            self.pending.keep_alive = true;
            if let Some(halves) = &mut self.halves {
                halves.sender.shrink();
                halves.receiver.shrink();
            }
        }
        self.timers.set(Timer::KeepAlive, due);
        // So that of a peer that is there nobody has to wake up for this timer.
        self.timers.set(Timer::PeerSilence, self.last_heard + self.config.peer_timeout);
    }

    /// When a keep-alive has to leave if nothing does after `last_sent`: on a tick, together with those of other connections.
    fn keep_alive_due(&self, last_sent: Instant) -> Instant {
        self.ticks.last_until(last_sent + self.keep_alive_interval())
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
}

#[cfg(test)]
impl Connection {
    /// Panics where an invariant does not hold that must hold after each drain.
    pub(crate) fn check(&self) {
        if let Some(halves) = &self.halves
            && self.closing.may_send_data()
        {
            halves.sender.check();
            halves.receiver.check();
        }
    }
}

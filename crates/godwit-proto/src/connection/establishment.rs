//! From the last handshake to a connection that works: both halves come to be, a server holds its tongue until its client
//! is heard, and a client introduces itself.

use std::time::{Duration, Instant};

use super::handshake::Agreement;
use super::hello::{HELLOS_MAX, pause_after};
use super::receive_buffer::ReceiveBuffer;
use super::receiver::Receiver;
use super::send_buffer::Numbering;
use super::sender::{Sender, SenderSetup};
use super::timers::Timer;
use super::{Birth, Connection, Halves, KEEP_ALIVE_LIBUDT, Side};
use crate::config::payload_bytes;
use crate::congestion::{Controller, Setup, Start};
use crate::packet::{Handshake, RequestType, peer_ip_words};

/// After its response a server sends nothing else for this long unless the client is heard: a libudt client that gets
/// anything else first never connects (specification section 2.8). Then the response goes out again. Deviation 13.
const ACCEPT_HOLD: Duration = Duration::from_millis(30);
/// Responses that are sent before the hold is given up.
const ACCEPT_RESPONSES: u8 = 3;
/// A rendezvous begins with a keep-alive, and the first data follows this much later: libudt loses what arrives while it completes
/// the connection, and up to 8 ms after that (specification section 2.8). That early a loss ends the slow start of the native
/// controller at a few packets per second. Deviation 15.
const RENDEZVOUS_DATA_DELAY: Duration = Duration::from_millis(20);

impl Connection {
    pub(super) fn connected(&mut self, now: Instant, agreement: Agreement) {
        self.establish(now, agreement);
        self.events.is_connected = true;
        if self.side == Side::Rendezvous {
            // The peer may only be completed by another packet than a handshake (specification section 2.9).
            self.pending.keep_alive = true;
            let halves = self.halves.as_mut().expect("it has just been established");
            halves.sender.hold_data_until(now + RENDEZVOUS_DATA_DELAY);
        }
        self.introduce(now);
    }

    pub(super) fn establish(&mut self, now: Instant, agreement: Agreement) {
        self.peer_id = agreement.peer_id;
        let full_payload_bytes = payload_bytes(agreement.mss_bytes);
        let window = self.announced_window_packets;
        let config = &self.config;
        let controller = Controller::new(
            config.controller,
            &Setup {
                now,
                unix_time: self.unix_time_at(now),
                packet_bytes: agreement.mss_bytes,
                max_window_packets: agreement.peer_window_packets,
                seed: self.seed,
                start: self.path_bytes_per_s.map_or(Start::Blank, |rate| Start::Remembered {
                    packets_per_s: rate / f64::from(agreement.mss_bytes),
                }),
            },
        );
        let sender = Sender::new(
            now,
            SenderSetup {
                numbering: Numbering { initial_seq: agreement.local_isn, destination: agreement.peer_id },
                peer_window_packets: agreement.peer_window_packets,
                mss_bytes: agreement.mss_bytes,
                buffer_bytes: config.send_buffer_bytes,
                bounds: config.rate_bounds(),
                seed: self.seed,
                controller,
            },
        );
        let buffer = ReceiveBuffer::new(config.socket_type, config.receive_buffer_bytes, window, full_payload_bytes);
        let mut receiver = Receiver::new(now, buffer, agreement.remote_isn, window, full_payload_bytes);
        receiver.pin_capacity(config.pinned_capacity_packets_per_s);
        self.config.mss_bytes = Some(agreement.mss_bytes);
        self.halves = Some(Halves { sender, receiver });
        let max_datagram_bytes = self.max_datagram_bytes;
        self.datagram_too_large(max_datagram_bytes);
        self.timers.stop(Timer::Handshake);
        self.timers.stop(Timer::ConnectLimit);
        self.timers.set(Timer::KeepAlive, self.ticks.last_until(now + KEEP_ALIVE_LIBUDT));
        self.timers.set(Timer::PeerSilence, now + self.config.peer_timeout);
        self.events.is_writable = true;
    }

    /// What the wall clock says: it is asked once, so that it never jumps.
    pub(super) fn unix_time_at(&self, now: Instant) -> Duration {
        self.created_unix_time + now.saturating_duration_since(self.created)
    }

    /// Sends the response, and nothing else for a while.
    pub(super) fn hold(&mut self, now: Instant) {
        if !self.is_peer_heard {
            self.pending.handshake = true;
            self.pending.responses = 1;
            self.timers.set(Timer::Handshake, now + ACCEPT_HOLD);
        }
    }

    pub(super) fn on_hold_over(&mut self, now: Instant) {
        if self.pending.responses < ACCEPT_RESPONSES {
            self.pending.handshake = true;
            self.pending.responses += 1;
            self.timers.set(Timer::Handshake, now + ACCEPT_HOLD);
        }
    }

    /// Whether a client may still wait for the response, so that nothing else may be sent.
    pub(super) fn is_holding(&self) -> bool {
        self.side == Side::Server && !self.is_peer_heard && self.pending.responses < ACCEPT_RESPONSES
    }

    pub(super) fn introduce(&mut self, now: Instant) {
        if !self.is_peer_godwit && self.pending.hellos < HELLOS_MAX {
            self.pending.hellos += 1;
            self.pending.hello = true;
            self.timers.set(Timer::Hello, now + pause_after(self.pending.hellos));
        }
    }
}

/// What this side says of itself; the request type is the opening's business.
pub(super) fn own_handshake(birth: &Birth) -> Handshake {
    let mss_bytes = birth.config.mss_or_default();
    Handshake {
        version: Handshake::VERSION,
        socket_type: birth.config.socket_type.to_wire(),
        isn: birth.isn,
        mss_bytes,
        window_packets: birth.config.announced_window_packets(payload_bytes(mss_bytes)),
        request: RequestType::Induction,
        socket_id: birth.local_id,
        cookie: 0,
        peer_ip: peer_ip_words(birth.path.remote.ip()),
    }
}

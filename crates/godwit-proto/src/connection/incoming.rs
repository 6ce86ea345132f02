//! What a connection does with each kind of packet.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::ack_tail::AckTail;
use super::handshake::Step;
use super::hello::Hello;
use super::receive_buffer::Keeping;
use super::sender::{AckReport, Acked, Received};
use super::timers::Timer;
use super::{Connection, HANDSHAKE_REPEAT, Side};
use crate::datagram::Batch;
use crate::error::ConnectionError;
use crate::packet::{Control, ControlPacket, DataHeader, FullAck, HEADER_BYTES, Handshake};
use crate::seq::Seq;

impl Connection {
    /// The data packet that these bytes of the batch are, and those behind it that are taken in with it; says where they end.
    pub(super) fn on_data(
        &mut self,
        now: Instant,
        batch: &Batch,
        datagram: Range<usize>,
        header: &DataHeader,
        keeping: Keeping,
    ) -> usize {
        self.on_peer_heard(now);
        let Some(halves) = &mut self.halves else { return datagram.end };
        if datagram.end < batch.contents.len() {
            let run_bytes = halves.receiver.on_run(batch, datagram.start, keeping);
            if run_bytes > 0 {
                return datagram.start + run_bytes;
            }
        }
        let payload = batch.contents.slice(datagram.start + HEADER_BYTES..datagram.end);
        halves.receiver.on_data(now, header, payload, keeping);
        datagram.end
    }

    /// `arrived` is when the kernel got the packet, not later than `now`: what is measured must not depend on when this process ran.
    pub(super) fn on_control(&mut self, now: Instant, arrived: Instant, packet: &ControlPacket<'_>) {
        if let Control::Handshake(handshake) = &packet.control {
            return self.on_handshake(now, handshake);
        }
        self.on_peer_heard(now);
        let Some(halves) = &mut self.halves else { return };
        match &packet.control {
            Control::Ack(ack) => self.on_ack(now, arrived, ack),
            Control::LightAck { ack_seq } => {
                let acked = halves.sender.on_light_ack(now, arrived, *ack_seq, &self.rtt);
                self.events.is_writable |= acked == Acked::Progress;
            }
            Control::Nak(report) => halves.sender.on_nak(now, arrived, report, &self.rtt),
            Control::Ack2 { number } => {
                if let Some(rtt) = halves.receiver.on_ack2(now, *number) {
                    self.rtt.on_sample(rtt);
                }
            }
            Control::MessageDrop { message, first, last } => {
                halves.receiver.on_message_drop(now, *message, *first, *last, &self.rtt);
            }
            Control::Shutdown { final_seq } => self.on_shutdown(now, *final_seq),
            Control::User { extended_type, body, .. } => {
                if let Some(hello) = Hello::decode(*extended_type, body) {
                    self.on_hello(hello);
                }
            }
            // Nothing about the connection (deviation 8).
            Control::PeerError { code } => tracing::debug!(id = self.local_id, code, "the peer's application failed"),
            Control::Handshake(_) | Control::KeepAlive | Control::CongestionWarning | Control::Unknown { .. } => {}
        }
    }

    fn on_ack(&mut self, now: Instant, arrived: Instant, ack: &FullAck<'_>) {
        let Some(halves) = &mut self.halves else { return };
        let tail = AckTail::decode(ack.tail);
        let report = AckReport {
            arrived,
            ack_seq: ack.ack_seq,
            available_packets: ack.available_packets,
            rates: ack.rates,
            received: tail.map(|tail| Received {
                known_to: tail.known_to,
                packets: tail.received_packets,
                age: Duration::from_micros(tail.age_us.into()),
                rtt: tail.rtt(arrived, self.created),
            }),
        };
        match halves.sender.on_ack(now, &report, &self.rtt) {
            Acked::Invalid => return,
            Acked::Old => {}
            Acked::Progress => {
                let (rtt, var) = (u64::from(ack.rtt_us), u64::from(ack.rtt_var_us));
                self.rtt.on_peer_report(Duration::from_micros(rtt), Duration::from_micros(var));
                self.events.is_writable = true;
            }
        }
        // Only the newest of a batch: its ACK2 confirms those before it as well. Deviation 24.
        self.pending.ack2 = Some(ack.number);
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
        // With our own end's number it is known what should have come; from libudt only a gap tells. Deviation 50.
        let reason = match halves.receiver.is_complete(final_seq) {
            true => ConnectionError::ClosedByPeer,
            false => ConnectionError::Reset,
        };
        self.finish(now, reason);
    }

    fn on_hello(&mut self, hello: Hello) {
        self.is_peer_godwit = true;
        self.timers.stop(Timer::Hello);
        if !hello.is_answer {
            self.pending.hello = true;
            self.pending.hello_answer = true;
        }
        if let Some(halves) = &mut self.halves {
            halves.sender.peer_is_godwit();
            halves.receiver.set_peer_godwit();
        }
    }
}

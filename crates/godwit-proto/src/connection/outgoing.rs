//! What a connection has to send, most urgent first.

use std::time::Instant;

use super::Connection;
use super::hello::Hello;
use super::sender::{Outgoing, Room};
use super::timers::Timer;
use crate::config::payload_bytes;
use crate::datagram::Contents;
use crate::packet::{Control, HEADER_BYTES};

impl Connection {
    /// Encodes the control packet that is due, if there is one.
    pub(super) fn poll_control(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
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
            let is_answer = std::mem::take(&mut self.pending.hello_answer);
            Hello { is_answer }.encode(self.peer_id, out);
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
            if let Some(repeat) = self.closing.shutdown_repeat(self.rtt.srtt()) {
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

    pub(super) fn poll_data(
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
            Outgoing::Run(run) => {
                self.events.is_writable |= sender.has_room_again(&self.rtt);
                Some((Some(run.stride()), Contents::Slab(run)))
            }
            Outgoing::Copied { segment_bytes } => Some((Some(segment_bytes), Contents::Scratch)),
        }
    }
}

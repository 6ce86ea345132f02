//! The application on top: it writes what its workload says, and checks what it reads.

use std::task::Poll;
use std::time::Instant;

use bytes::Buf as _;

use super::{Peer, Role};
use crate::agent::Outbox;
use crate::content;
use crate::failure::Failure;
use crate::workload::Workload;

/// Bytes that the application reads in one call.
const READ_BYTES_MAX: usize = 1 << 20;

impl Peer {
    /// Lets the writer come to its end: what it has written is all there is, unless it had an end of its own.
    pub fn finish_writing(&mut self, now: Instant, out: &mut Outbox) {
        if let Role::Sender(workload) = &mut self.setup.role {
            if !matches!(workload, Workload::Bytes(_)) {
                *workload = Workload::Bytes(self.written);
            }
            self.supply_at = None;
            self.wants_write = true;
            self.serve(self.setup.noise.shown(now), out);
        }
    }

    pub(super) fn read(&mut self, now: Instant, out: &mut Outbox) -> bool {
        if !std::mem::take(&mut self.wants_read) {
            return false;
        }
        let Some((_, connection)) = &mut self.connection else { return false };
        let mut has_read = false;
        while let Poll::Ready(Ok(1..)) = connection.read(now, READ_BYTES_MAX, &mut self.payloads) {
            has_read = true;
            self.last_read_at = Some(now);
            for mut payloads in self.payloads.drain(..) {
                while payloads.has_remaining() {
                    let chunk = payloads.chunk();
                    if self.setup.checks_content && !content::is_at(self.read, chunk) {
                        out.failure.get_or_insert(Failure::Content { flow: self.setup.flow, position: self.read });
                    }
                    self.read += chunk.len() as u64;
                    payloads.advance(chunk.len());
                }
            }
        }
        has_read
    }

    pub(super) fn write(&mut self, now: Instant) -> bool {
        if !std::mem::take(&mut self.wants_write) {
            return false;
        }
        let Role::Sender(workload) = &self.setup.role else { return false };
        let Some((_, connection)) = &mut self.connection else { return false };
        let since_start = now.saturating_duration_since(self.started);
        let supplied = workload.supplied(since_start);
        let mut has_written = false;
        while self.written < supplied
            && let Poll::Ready(Ok(mut slab)) =
                connection.checkout(usize::try_from(supplied - self.written).unwrap_or(usize::MAX / 2))
        {
            let wanted = (supplied - self.written).min(slab.room_bytes() as u64) as usize;
            let taken = slab.fill(content::at(self.written, wanted));
            connection.commit(now, slab);
            self.written += taken as u64;
            has_written = true;
        }
        self.supply_at = workload.next_supply(since_start).map(|after| self.setup.noise.shows_at(self.started + after));
        if workload.closes_after(self.written) && !self.has_closed && !connection.is_connecting() {
            self.has_closed = true;
            connection.close(now);
            return true;
        }
        has_written
    }
}

//! What arrives: from the network card, in batches, to the endpoint or straight to the connection.

use std::time::Instant;

use bytes::Bytes;
use godwit_proto::{Batch, Handshaken, Path, Route};

use super::Peer;
use crate::agent::Outbox;
use crate::parcel::Load;

/// The route's MTU, for listeners.
const ROUTE_MTU_BYTES: u32 = 1500;

impl Peer {
    pub(super) fn take_inbox(&mut self, now: Instant, out: &mut Outbox) {
        self.inbox_at = None;
        let shown = self.setup.noise.shown(now);
        while let Some((arrived, datagram)) = self.inbox.pop_front() {
            if self.is_first_words(&datagram) {
                self.handle_first_words(shown, &datagram, out);
            } else if let Some(batch) = self.batch(arrived, datagram)
                && let Some((_, connection)) = &mut self.connection
            {
                connection.handle_datagrams(shown, &Batch { arrived: batch.arrived.min(shown), ..batch });
                self.serve(shown, out);
            }
        }
    }

    /// Whether the datagram has to go by way of the endpoint. Every datagram would in a driver, but here an endpoint has one
    /// connection, so once it is there the route of what is addressed to it is known.
    fn is_first_words(&self, datagram: &[u8]) -> bool {
        let Some((handle, connection)) = &self.connection else { return true };
        let is_for_it = godwit_proto::packet::destination_id(datagram) == Some(handle.id());
        !is_for_it || connection.is_drained()
    }

    fn handle_first_words(&mut self, shown: Instant, datagram: &Bytes, out: &mut Outbox) {
        let mut reply = Vec::new();
        let path = Path { remote: self.remote, local: None };
        match self.endpoint.route(shown, datagram, self.remote) {
            Route::Handshake => {
                match self.endpoint.handle_handshake(shown, datagram, path, ROUTE_MTU_BYTES, 0, &mut reply) {
                    Handshaken::Ignored | Handshaken::Reply => {}
                    Handshaken::Existing(_) => self.hand_over(shown, datagram.clone(), out),
                    Handshaken::Accepted(handle, connection) => {
                        self.connection = Some((handle, *connection));
                        self.serve(shown, out);
                    }
                }
            }
            Route::Closed(handle) => {
                self.endpoint.closed_answer(handle, &mut reply);
            }
            Route::Connection(_) => self.hand_over(shown, datagram.clone(), out),
            Route::Unclaimed => {}
        }
        if !reply.is_empty() {
            out.packets.push(Load::Datagram(Bytes::from(reply)));
        }
    }

    fn hand_over(&mut self, shown: Instant, datagram: Bytes, out: &mut Outbox) {
        if let Some((_, connection)) = &mut self.connection {
            self.window.on_arrival(&datagram);
            connection.handle_datagrams(shown, &single(shown, datagram));
            self.serve(shown, out);
        }
    }

    /// The datagram together with those behind it that a network card would have merged with it.
    fn batch(&mut self, arrived: Instant, datagram: Bytes) -> Option<Batch> {
        self.window.on_arrival(&datagram);
        let stride = datagram.len();
        let room = (godwit_proto::TRANSMIT_BYTES_MAX / stride.max(1)).min(self.setup.noise.batch_segments_max);
        let is_data = |datagram: &Bytes| datagram.first().is_some_and(|byte| byte & 0x80 == 0);
        let fits =
            |next: &(Instant, Bytes)| is_data(&next.1) && next.1.len() <= stride && !self.is_first_words(&next.1);
        if room <= 1 || !is_data(&datagram) || self.inbox.front().is_none_or(|next| !fits(next)) {
            return Some(single(arrived, datagram));
        }
        let mut contents = datagram.to_vec();
        let mut last_arrived = arrived;
        let mut is_whole = true;
        for _ in 1..room {
            let fits = |next: &(Instant, Bytes)| is_data(&next.1) && next.1.len() <= stride;
            if !is_whole || self.inbox.front().is_none_or(|next| !fits(next)) {
                break;
            }
            let (at, next) = self.inbox.pop_front().expect("it has just been seen");
            is_whole = next.len() == stride;
            last_arrived = at;
            contents.extend_from_slice(&next);
        }
        let capacity_bytes = contents.len();
        Some(Batch { contents: Bytes::from(contents), stride, capacity_bytes, arrived: last_arrived, is_stamped: true })
    }
}

fn single(arrived: Instant, datagram: Bytes) -> Batch {
    let length = datagram.len();
    Batch { contents: datagram, stride: length.max(1), capacity_bytes: length, arrived, is_stamped: true }
}

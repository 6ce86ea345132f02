//! The emulator's end of a TUN device, with batches each way.
//!
//! The kernel hands over what a sender wanted segmented (TSO, USO) in one piece, and takes packets that follow each other in a flow in one piece,
//! as a network card does that coalesces (GRO). On the path they are single packets: each is lost, delayed and queued on its own. Without this
//! the emulator needs most of a core for 1 Gbit/s of TCP, because each write carries its packet through the receiver's TCP.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use tun_rs::{GROTable, SyncDevice, VIRTIO_NET_HDR_LEN};

use super::addressing::Side;

/// Packets given to the kernel at once.
const BATCH: usize = 64;
/// The largest packet that is put together from several, well below the 65,535 bytes of IP.
const COALESCED_BYTES_MAX: usize = 60_000;
/// The largest IP packet.
const PACKET_BYTES_MAX: usize = 65_535;
/// Pieces of one packet: 65,535 bytes at TCP's least segment size, 536 bytes (RFC 9293, section 3.7.1), are 123.
const SEGMENTS_MAX: usize = 256;

/// One host's device.
pub(crate) struct Port {
    device: SyncDevice,
    side: Side,
    /// `waiting` of them are filled; the others keep their memory.
    outgoing: Vec<Vec<u8>>,
    waiting: usize,
    coalescing: GROTable,
}

/// Room for what one read returns, for all ports in turn.
pub(crate) struct Segments {
    whole: Vec<u8>,
    pieces: Vec<Vec<u8>>,
    sizes: Vec<usize>,
}

impl Port {
    pub(crate) fn new(device: SyncDevice, side: Side) -> Self {
        Self { device, side, outgoing: Vec::new(), waiting: 0, coalescing: GROTable::default() }
    }

    /// Takes one packet, or the segments that it stands for.
    ///
    /// # Errors
    /// `WouldBlock` if there is none; anything else is a packet that makes no sense, or a device that is being taken down.
    pub(crate) fn receive<'a>(&self, room: &'a mut Segments) -> io::Result<impl Iterator<Item = &'a [u8]> + use<'a>> {
        let count = self.device.recv_multiple(&mut room.whole, &mut room.pieces, &mut room.sizes, 0)?;
        Ok(room.pieces.iter().zip(&room.sizes).map(|(piece, &size)| &piece[..size]).take(count))
    }

    /// The packet waits for [`flush`](Self::flush). Says how many packets got lost: all that wait are flushed first if there is no room.
    pub(crate) fn send(&mut self, packet: &[u8]) -> u64 {
        let unsent = if self.waiting == BATCH { self.flush() } else { 0 };
        if self.waiting == self.outgoing.len() {
            self.outgoing.push(Vec::with_capacity(COALESCED_BYTES_MAX.max(packet.len() + VIRTIO_NET_HDR_LEN)));
        }
        let buffer = &mut self.outgoing[self.waiting];
        buffer.clear();
        buffer.resize(VIRTIO_NET_HDR_LEN, 0);
        buffer.extend_from_slice(packet);
        self.waiting += 1;
        unsent
    }

    /// Hands over what waits. Says how many packets the kernel did not take; the least that it can be.
    pub(crate) fn flush(&mut self) -> u64 {
        if self.waiting == 0 {
            return 0;
        }
        let waiting = &mut self.outgoing[..self.waiting];
        let sent = self.device.send_multiple(&mut self.coalescing, waiting, VIRTIO_NET_HDR_LEN);
        self.waiting = 0;
        u64::from(sent.is_err())
    }

    pub(crate) fn side(&self) -> Side {
        self.side
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

impl Default for Segments {
    fn default() -> Self {
        Self {
            whole: vec![0; VIRTIO_NET_HDR_LEN + PACKET_BYTES_MAX],
            pieces: vec![vec![0; PACKET_BYTES_MAX]; SEGMENTS_MAX],
            sizes: vec![0; SEGMENTS_MAX],
        }
    }
}

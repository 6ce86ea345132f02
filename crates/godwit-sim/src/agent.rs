//! The two ends of a flow, whatever they are: our protocol, a model of libudt, a model of TCP.

use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::libudt::{LibudtReceiver, LibudtSender};
use crate::parcel::Load;
use crate::peer::Peer;
use crate::rival::{TcpReceiver, TcpSender};

/// What an agent does at its turn, for the world to carry out.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Packets that leave now, in this order.
    pub packets: Vec<Load>,
    /// A check that failed.
    pub failure: Option<Failure>,
}

/// One end of a flow.
#[derive(Debug)]
pub enum Agent {
    /// Our protocol.
    Udt(Box<Peer>),
    /// A model of libudt 4.11's receiver.
    LibudtReceiver(Box<LibudtReceiver>),
    /// A model of its sender.
    LibudtSender(Box<LibudtSender>),
    /// A model of a TCP sender.
    TcpSender(Box<TcpSender>),
    /// A model of a TCP receiver.
    TcpReceiver(Box<TcpReceiver>),
}

/// What an agent looks like at a moment, for plots and checks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gauges {
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Congestion window in packets.
    pub window_packets: u32,
    /// Packets in flight.
    pub in_flight_packets: u32,
    /// Packets per second that the pace allows.
    pub pace_packets_per_s: f64,
    /// Data packets sent, all transmissions.
    pub sent_packets: u64,
    /// Those that were not the first of their packet.
    pub retransmitted_packets: u64,
    /// Retransmissions that were not needed, as far as the sender knows.
    pub spurious_packets: u64,
}

impl Agent {
    /// A packet arrives.
    pub fn deliver(&mut self, now: Instant, load: Load, out: &mut Outbox) {
        match (self, load) {
            (Self::Udt(peer), Load::Datagram(bytes)) => peer.deliver(now, bytes, out),
            (Self::LibudtReceiver(receiver), Load::Datagram(bytes)) => receiver.deliver(now, &bytes, out),
            (Self::LibudtSender(sender), Load::Datagram(bytes)) => sender.deliver(now, &bytes, out),
            (Self::TcpSender(sender), Load::SegmentAck(ack)) => sender.on_ack(now, &ack, out),
            (Self::TcpReceiver(receiver), Load::Segment(segment)) => receiver.on_segment(now, segment, out),
            _ => unreachable!("a link carries the packets of one kind of flow to the ends of that flow"),
        }
    }

    /// The time that [`next_wake`](Self::next_wake) named has come.
    pub fn wake(&mut self, now: Instant, out: &mut Outbox) {
        match self {
            Self::Udt(peer) => peer.wake(now, out),
            Self::LibudtReceiver(receiver) => receiver.wake(now, out),
            Self::LibudtSender(sender) => sender.wake(now, out),
            Self::TcpSender(sender) => sender.wake(now, out),
            Self::TcpReceiver(receiver) => receiver.wake(now, out),
        }
    }

    /// When it wants to act without being spoken to.
    pub fn next_wake(&self) -> Option<Instant> {
        match self {
            Self::Udt(peer) => peer.next_wake(),
            Self::LibudtReceiver(receiver) => receiver.next_wake(),
            Self::LibudtSender(sender) => sender.next_wake(),
            Self::TcpSender(sender) => sender.next_wake(),
            Self::TcpReceiver(receiver) => receiver.next_wake(),
        }
    }

    /// The flow ends here and now, without good-bye: nothing more is sent by this end.
    pub fn stop(&mut self) {
        match self {
            Self::Udt(peer) => peer.stop(),
            Self::LibudtReceiver(receiver) => receiver.stop(),
            Self::LibudtSender(sender) => sender.stop(),
            Self::TcpSender(sender) => sender.stop(),
            Self::TcpReceiver(_) => {}
        }
    }

    /// Different data packets that have arrived here.
    pub fn received_packets(&self, now: Instant) -> u64 {
        match self {
            Self::Udt(peer) => peer.received_packets(now),
            Self::LibudtReceiver(receiver) => receiver.received_packets(),
            Self::TcpSender(_) | Self::LibudtSender(_) => 0,
            Self::TcpReceiver(receiver) => receiver.received_packets(),
        }
    }

    /// What the sending end looks like.
    pub fn gauges(&self, now: Instant) -> Gauges {
        match self {
            Self::Udt(peer) => peer.gauges(now),
            Self::TcpSender(sender) => sender.gauges(),
            Self::LibudtSender(sender) => sender.gauges(),
            Self::LibudtReceiver(_) | Self::TcpReceiver(_) => Gauges::default(),
        }
    }
}

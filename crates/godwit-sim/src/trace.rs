//! A line per packet, in microseconds, for `replay --trace`.

use std::time::Instant;

use godwit_proto::packet::{Control, Packet};

use crate::clock;
use crate::parcel::{Direction, Load};

/// A packet leaves its sender.
pub fn print_departure(now: Instant, flow: usize, direction: Direction, load: &Load) {
    print(now, flow, direction, "sent", load);
}

/// A packet reaches its receiver.
pub fn print_arrival(now: Instant, flow: usize, direction: Direction, load: &Load) {
    print(now, flow, direction, "came", load);
}

fn print(now: Instant, flow: usize, direction: Direction, what: &str, load: &Load) {
    let arrow = if direction == Direction::Forward { "->" } else { "<-" };
    println!("{:>12.0} us  flow {flow} {arrow} {what} {}", clock::seconds(now) * 1e6, described(load));
}

fn described(load: &Load) -> String {
    let datagram = match load {
        Load::Datagram(datagram) => datagram,
        Load::Segment(segment) => return format!("segment {}", segment.number),
        Load::SegmentAck(ack) => return format!("acknowledges {:?}", ack.ranges),
    };
    match Packet::decode(datagram) {
        Ok(Packet::Data(data)) => format!("data {:?} {} bytes", data.header.seq, data.payload.len()),
        Ok(Packet::Control(packet)) => match packet.control {
            Control::Nak(report) => {
                format!("NAK {:?}", report.ranges().map(|range| (range.first, range.last)).collect::<Vec<_>>())
            }
            Control::Handshake(handshake) => format!("handshake {:?}", handshake.request),
            control => format!("{control:?}"),
        },
        Err(error) => format!("no packet: {error}"),
    }
}

//! Any datagram is an error or a packet; a packet has one canonical encoding that decodes into the same packet.

#![no_main]

use godwit_proto::packet::{Control, HEADER_BYTES, Packet, destination_id};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    assert_eq!(destination_id(datagram).is_some(), datagram.len() >= HEADER_BYTES);
    let Ok(packet) = Packet::decode(datagram) else { return };
    walk(&packet);
    let canonical = encode(&packet);
    let again = Packet::decode(&canonical).expect("what we encode decodes");
    assert_eq!(encode(&again), canonical);
    match (packet, again) {
        (Packet::Data(_), Packet::Data(_)) => assert_eq!(canonical, datagram),
        (Packet::Control(before), Packet::Control(after)) => {
            let empty_user_body = matches!(before.control, Control::User { body: [], .. });
            assert!(after.control == before.control || empty_user_body);
            assert_eq!((after.timestamp_us, after.destination), (before.timestamp_us, before.destination));
        }
        _ => panic!("encoding changed the kind of packet"),
    }
});

/// Visits what is decoded lazily.
fn walk(packet: &Packet<'_>) {
    let Packet::Control(packet) = packet else { return };
    let Control::Nak(report) = packet.control else { return };
    let mut entries = 0;
    for range in report.ranges() {
        assert!((1..=1 << 30).contains(&range.packets()));
        entries += 1;
    }
    assert!(entries + report.malformed_entries() <= packet.body_len / 4);
}

fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match packet {
        Packet::Data(data) => {
            out.resize(HEADER_BYTES, 0);
            data.header.encode(&mut out);
            out.extend_from_slice(data.payload);
        }
        Packet::Control(packet) => packet.control.encode(packet.timestamp_us, packet.destination, &mut out),
    }
    out
}

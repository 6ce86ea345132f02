//! Whatever arrives is an error or a packet, never a panic; and what decodes has one canonical encoding that keeps its
//! fields.

mod captures;

use godwit_proto::packet::{
    Control, ControlPacket, HEADER_BYTES, Packet, PacketError, destination_id, encode_loss_report,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[test]
fn every_truncation_is_an_error_or_a_packet() {
    for capture in captures::captures() {
        for len in 0..capture.datagram.len() {
            let prefix = &capture.datagram[..len];
            let decoded = Packet::decode(prefix);
            if len < HEADER_BYTES {
                assert_eq!(decoded, Err(PacketError::TooShort { len }), "{}", capture.name);
                assert_eq!(destination_id(prefix), None);
            } else {
                assert_eq!(destination_id(prefix), destination_id(&capture.datagram));
            }
            check_canonical_encoding(prefix);
        }
    }
}

#[test]
fn every_bit_flip_is_an_error_or_a_packet() {
    for capture in captures::captures() {
        let mut datagram = capture.datagram;
        for bit in 0..datagram.len() * 8 {
            datagram[bit / 8] ^= 1 << (bit % 8);
            check_canonical_encoding(&datagram);
            datagram[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn every_length_of_every_type_is_an_error_or_a_packet() {
    for kind in (0..16).chain([0x7FFE, 0x7FFF]) {
        for cif_bytes in 0..64 {
            for fill in [0x00, 0x7F, 0x80, 0xFF] {
                check_canonical_encoding(&control_datagram(kind, &vec![fill; cif_bytes]));
            }
        }
    }
}

/// Rows of specification section 10.2 that harm libudt and are decided by the shape of the packet alone.
#[test]
fn what_makes_libudt_read_stale_memory_is_an_error() {
    let decode_error = |kind, cif_bytes| {
        let datagram = control_datagram(kind, &vec![0; cif_bytes]);
        Packet::decode(&datagram).map(|_| ()).expect_err("a malformed packet")
    };
    for len in (0..4).chain(5..16) {
        assert_eq!(decode_error(2, len), PacketError::BadAckLength { len }, "ACK with CIF 0..3, 5..15 bytes");
    }
    for len in 0..4 {
        assert_eq!(decode_error(3, len), PacketError::ShortLossReport { len }, "NAK with empty CIF");
    }
    for len in 0..8 {
        assert_eq!(decode_error(7, len), PacketError::ShortMessageDrop { len }, "drop request without its range");
    }
    for len in 0..48 {
        assert_eq!(decode_error(0, len), PacketError::ShortHandshake { len }, "handshake CIF < 48");
    }
}

#[test]
fn a_loss_report_that_ends_in_a_range_start_loses_only_that_entry() {
    let datagram = control_datagram(3, &[0, 0, 0, 5, 0x80, 0, 0, 7]);
    let Ok(Packet::Control(ControlPacket { control: Control::Nak(report), .. })) = Packet::decode(&datagram) else {
        panic!("a NAK");
    };
    assert_eq!(report.ranges().map(|range| range.first.value()).collect::<Vec<_>>(), [5]);
    assert_eq!(report.malformed_entries(), 1);
}

proptest! {
    #![proptest_config(seeded())]

    #[test]
    fn random_bytes_are_an_error_or_a_packet(datagram in prop::collection::vec(any::<u8>(), 0..200)) {
        check_canonical_encoding(&datagram);
    }

    #[test]
    fn random_control_packets_are_an_error_or_a_packet(
        kind in 0..10u16,
        cif in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        check_canonical_encoding(&control_datagram(kind, &cif));
    }

    #[test]
    fn random_words_are_a_loss_report(cif in prop::collection::vec(any::<u8>(), 4..1456)) {
        let datagram = control_datagram(3, &cif);
        let Ok(Packet::Control(ControlPacket { control: Control::Nak(report), .. })) = Packet::decode(&datagram) else {
            panic!("a NAK");
        };
        let ranges: Vec<_> = report.ranges().collect();
        prop_assert!(ranges.iter().all(|range| (1..=1 << 30).contains(&range.packets())));
        prop_assert!(ranges.len() + report.malformed_entries() <= cif.len() / 4);
        let mut encoded = Vec::new();
        prop_assert_eq!(encode_loss_report(ranges.iter().copied(), cif.len() / 4, &mut encoded), ranges.len());
    }
}

/// The same cases in every run: the fuzz target explores, this test only guards.
fn seeded() -> ProptestConfig {
    ProptestConfig {
        cases: 2000,
        rng_seed: RngSeed::Fixed(0x0075_6474),
        failure_persistence: None,
        ..Default::default()
    }
}

/// If `datagram` decodes: its encoding decodes into the same fields, and encodes into itself.
fn check_canonical_encoding(datagram: &[u8]) {
    let Ok(packet) = Packet::decode(datagram) else { return };
    let canonical = encode(&packet);
    let again = Packet::decode(&canonical).expect("what we encode decodes");
    assert_eq!(fields(again), fields(packet), "{datagram:02x?}");
    assert_eq!(encode(&again), canonical, "{datagram:02x?}");
    if let Packet::Data(_) = packet {
        assert_eq!(canonical, datagram, "data packets have no reserved bits");
    }
}

/// The packet without what the encoding is free to change: the length of the CIF.
fn fields(packet: Packet<'_>) -> Packet<'_> {
    match packet {
        Packet::Data(_) => packet,
        // An empty CIF is sent as a zero word, and a user's CIF is not ours to tell pad from content.
        Packet::Control(ControlPacket {
            control: Control::User { extended_type, info, body: [] | [0, 0, 0, 0] },
            timestamp_us,
            destination,
            ..
        }) => {
            let control = Control::User { extended_type, info, body: &[] };
            Packet::Control(ControlPacket { control, timestamp_us, destination, body_len: 0 })
        }
        Packet::Control(control) => Packet::Control(ControlPacket { body_len: 0, ..control }),
    }
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

fn control_datagram(kind: u16, cif: &[u8]) -> Vec<u8> {
    let mut datagram = (1 << 31 | u32::from(kind) << 16).to_be_bytes().to_vec();
    datagram.resize(HEADER_BYTES, 0);
    datagram.extend_from_slice(cif);
    datagram
}

//! What a later version may send and this one must take. FROZEN: these are promises to peers that exist already, so a
//! change here breaks them. Add, never edit.

use godwit_proto::packet::{AckRates, Control, ControlPacket, FullAck, Handshake, Packet, RequestType};
use godwit_proto::seq::{AckNumber, Seq};

#[test]
fn user_defined_and_unknown_types_are_packets_to_ignore() {
    let user = datagram([0xFFFF_0042, 9, 8, 7], &[1, 2, 3]);
    let control = Control::User { extended_type: 0x42, info: 9, body: &[1, 2, 3] };
    assert_eq!(decode(&user), ControlPacket { control, timestamp_us: 8, destination: 7, body_len: 3 });

    for kind in 9..0x7FFF {
        for cif in [&[] as &[u8], &[0xFF; 21]] {
            let unknown = datagram([0x8000_0000 | u32::from(kind) << 16 | 0xFFFF, u32::MAX, 8, 7], cif);
            let control = Control::Unknown { kind };
            assert_eq!(
                decode(&unknown),
                ControlPacket { control, timestamp_us: 8, destination: 7, body_len: cif.len() }
            );
        }
    }
}

#[test]
fn ack_words_beyond_the_known_six_are_ignored() {
    let words = [100, 2, 3, 4, 5, 6, 0xAAAA_AAAA, 0xBBBB_BBBB];
    let known = FullAck {
        number: AckNumber::new(11),
        ack_seq: Seq::new(100),
        rtt_us: 2,
        rtt_var_us: 3,
        available_packets: 4,
        rates: Some(AckRates { arrival_speed_packets_per_s: 5, link_capacity_packets_per_s: 6 }),
        tail: &[],
    };
    for extra_bytes in 0..=8 {
        let cif = bytes(&words);
        let datagram = datagram([0x8002_0000, 11, 0, 7], &cif[..24 + extra_bytes]);
        let Control::Ack(ack) = decode(&datagram).control else { panic!("a full ACK") };
        assert_eq!(FullAck { tail: &[], ..ack }, known);
        assert_eq!(ack.tail, &cif[24..24 + extra_bytes]);
    }
    for extra_bytes in 0..8 {
        let datagram = datagram([0x8002_0000, 11, 0, 7], &bytes(&words)[..16 + extra_bytes]);
        assert_eq!(decode(&datagram).control, Control::Ack(FullAck { rates: None, ..known }));
    }
}

#[test]
fn a_longer_handshake_response_is_the_handshake_it_starts_with() {
    let words = [5, 77, 0x6AD7_BA3D, 1500, 8192, 0xFFFF_FFFF, 0x0A8E_79AF, 0x4F10_CAC9, 1, 2, 3, 4];
    for extra_bytes in [0, 1, 4, 100] {
        let mut cif = bytes(&words);
        cif.resize(48 + extra_bytes, 0xEE);
        let datagram = datagram([0x8000_0000, 0, 0, 7], &cif);
        let packet = decode(&datagram);
        let Control::Handshake(handshake) = packet.control else { panic!("a handshake") };
        assert_eq!(packet.body_len, Handshake::CIF_BYTES + extra_bytes, "so that a listener can refuse it");
        assert_eq!((handshake.version, handshake.socket_type.0), (5, 77), "not judged here");
        assert_eq!((handshake.request, handshake.cookie), (RequestType::Conclusion, 0x4F10_CAC9));
        assert_eq!((handshake.isn, handshake.peer_ip), (Seq::new(0x6AD7_BA3D), [1, 2, 3, 4]));
    }
}

#[test]
fn additional_information_and_timestamps_of_light_acks_and_naks_are_ignored() {
    let light = datagram([0x8002_0000, 0xFFFF_FFFF, 0xFFFF_FFFF, 7], &bytes(&[100]));
    assert_eq!(decode(&light).control, Control::LightAck { ack_seq: Seq::new(100) });

    let nak = datagram([0x8003_0000, 0xFFFF_FFFF, 0xFFFF_FFFF, 7], &bytes(&[100]));
    let Control::Nak(report) = decode(&nak).control else { panic!("a NAK") };
    assert_eq!(report.ranges().map(|range| range.first.value()).collect::<Vec<_>>(), [100]);
}

#[test]
fn reserved_bits_of_the_known_types_are_ignored() {
    for kind in 0..=8 {
        let cif = bytes(&[1; 12]);
        let plain = datagram([0x8000_0000 | kind << 16, 0, 0, 7], &cif);
        let reserved = datagram([0x8000_0000 | kind << 16 | 0xFFFF, 0, 0, 7], &cif);
        assert_eq!(decode(&plain), decode(&reserved));
    }
}

/// Without its pad word, libudt's empty packets mean the same.
#[test]
fn empty_packets_need_no_pad() {
    let expected = [
        (1, Control::KeepAlive),
        (4, Control::CongestionWarning),
        (5, Control::Shutdown { final_seq: None }),
        (6, Control::Ack2 { number: AckNumber::new(4000) }),
        (8, Control::PeerError { code: 4000 }),
    ];
    for (kind, control) in expected {
        let (empty, padded) =
            (datagram([kind_word(kind), 4000, 0, 7], &[]), datagram([kind_word(kind), 4000, 0, 7], &[0; 4]));
        assert_eq!(decode(&empty).control, control);
        assert_eq!(decode(&padded).control, control);
        let mut encoded = Vec::new();
        let info_is_sent = kind == 6 || kind == 8;
        control.encode(0, 7, &mut encoded);
        assert_eq!(encoded, datagram([kind_word(kind), if info_is_sent { 4000 } else { 0 }, 0, 7], &[0; 4]));
    }
}

/// Our own extension: the final sequence number behind the pad word of a shutdown.
#[test]
fn a_shutdown_tells_the_final_sequence_number_behind_its_pad() {
    let magic = u32::from_be_bytes(*b"gdwt");
    let control = Control::Shutdown { final_seq: Some(Seq::new(0x7FFF_FFFF)) };
    let mut encoded = Vec::new();
    control.encode(0, 7, &mut encoded);
    assert_eq!(encoded, datagram([kind_word(5), 0, 0, 7], &bytes(&[0, magic, 0x7FFF_FFFF])));
    assert_eq!(decode(&encoded).control, control);

    for other in [&[0, magic] as &[u32], &[0, magic ^ 1, 5], &[magic, 5, 0], &[0, 0, magic]] {
        let datagram = datagram([kind_word(5), 0, 0, 7], &bytes(other));
        assert_eq!(decode(&datagram).control, Control::Shutdown { final_seq: None });
    }
    let longer = datagram([kind_word(5), 0, 0, 7], &bytes(&[0, magic, 5, 6, 7]));
    assert_eq!(decode(&longer).control, Control::Shutdown { final_seq: Some(Seq::new(5)) });
}

fn decode(datagram: &[u8]) -> ControlPacket<'_> {
    match Packet::decode(datagram) {
        Ok(Packet::Control(packet)) => packet,
        other => panic!("a control packet, not {other:?}"),
    }
}

fn datagram(header: [u32; 4], cif: &[u8]) -> Vec<u8> {
    let mut datagram = bytes(&header);
    datagram.extend_from_slice(cif);
    datagram
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn kind_word(kind: u32) -> u32 {
    0x8000_0000 | kind << 16
}

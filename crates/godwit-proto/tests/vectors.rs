//! Every datagram captured from libudt 4.11 decodes into the fields of specification section 13, and those fields
//! encode into the same bytes.

mod captures;

use std::collections::BTreeMap;

use godwit_proto::packet::{
    AckRates, Control, ControlPacket, DataHeader, DataPacket, FullAck, Handshake, LossRange, LossReport,
    MessagePosition, Packet, RequestType, SocketType, encode_nak, peer_ip_words,
};
use godwit_proto::seq::{AckNumber, MsgNumber, Seq};

/// The captured payloads of a 20,000-byte send: byte i is 7·i, cut into packets of 1456 bytes.
static FIRST_OF_14: [u8; 1456] = multiples_of_7(0);
static SECOND_OF_14: [u8; 1456] = multiples_of_7(1456);
static LAST_OF_14: [u8; 1072] = multiples_of_7(13 * 1456);

const IPV4_LOOPBACK: [u32; 4] = [0x0100_007F, 0, 0, 0];
const IPV6_LOOPBACK: [u32; 4] = [0, 0, 0, 0x0100_0000];

#[test]
fn captured_datagrams_decode_into_the_specified_values() {
    for (name, datagram, packet) in captures_with_values() {
        assert_eq!(Packet::decode(&datagram), Ok(packet), "{name}");
    }
}

#[test]
fn the_specified_values_encode_into_the_captured_datagrams() {
    for (name, datagram, packet) in captures_with_values() {
        assert_eq!(encode(&packet), datagram, "{name}");
    }
}

#[test]
fn captured_loss_reports_have_the_specified_ranges() {
    let range = |first, last| LossRange { first: Seq::new(first), last: Seq::new(last) };
    let expected = [
        ("nak-single", 0x1944_CFDC, range(0x1908_1C2C, 0x1908_1C2C)),
        ("nak-range", 0x1944_CFDC, range(0x1908_321A, 0x1908_321B)),
        ("nak-single-dgram", 0x30AE_F816, range(0x5889_2146, 0x5889_2146)),
    ];
    let captures = captures::captures();
    for (name, destination, range) in expected {
        let capture = captures.iter().find(|capture| capture.name == name).expect("a captured NAK");
        let Ok(Packet::Control(ControlPacket { control: Control::Nak(report), .. })) =
            Packet::decode(&capture.datagram)
        else {
            panic!("{name} is a NAK");
        };
        assert_eq!(report.ranges().collect::<Vec<_>>(), [range], "{name}");
        assert_eq!(report.malformed_entries(), 0, "{name}");
        let mut encoded = Vec::new();
        assert_eq!(encode_nak([range], 364, 0, destination, &mut encoded), 1, "{name}");
        assert_eq!(encoded, capture.datagram, "{name}");
    }
}

#[test]
fn loopback_addresses_are_written_as_captured() {
    assert_eq!(peer_ip_words("127.0.0.1".parse().expect("an address")), IPV4_LOOPBACK);
    assert_eq!(peer_ip_words("::1".parse().expect("an address")), IPV6_LOOPBACK);
}

/// Pairs every capture with its expected packet; none may be left over on either side.
fn captures_with_values() -> Vec<(&'static str, Vec<u8>, Packet<'static>)> {
    let mut expected: BTreeMap<_, _> = expected_packets().into_iter().collect();
    let pairs = captures::captures().into_iter().map(|capture| {
        let packet = expected.remove(capture.name).unwrap_or_else(|| panic!("no expected values: {}", capture.name));
        (capture.name, capture.datagram, packet)
    });
    let pairs = pairs.collect();
    assert!(expected.is_empty(), "not captured: {:?}", expected.keys());
    pairs
}

fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match packet {
        Packet::Data(DataPacket { header, payload }) => {
            out.resize(16, 0);
            header.encode(&mut out);
            out.extend_from_slice(payload);
        }
        Packet::Control(packet) => packet.control.encode(packet.timestamp_us, packet.destination, &mut out),
    }
    out
}

/// The values of specification section 13, by the names of the captures.
fn expected_packets() -> Vec<(&'static str, Packet<'static>)> {
    let handshakes = handshakes().into_iter().map(|(name, destination, handshake)| {
        (name, control(destination, Handshake::CIF_BYTES, Control::Handshake(handshake)))
    });
    let acks =
        acks().into_iter().map(|(name, destination, cif_bytes, ack)| (name, control(destination, cif_bytes, ack)));
    handshakes.chain(data_packets()).chain(acks).chain(other_controls()).collect()
}

fn handshakes() -> Vec<(&'static str, u32, Handshake)> {
    use RequestType::{Conclusion, Induction, Rejected, Rendezvous};

    let stream = |isn, request, id, cookie| handshake(SocketType::STREAM, isn, request, id, cookie, IPV4_LOOPBACK);
    let dgram = |isn, request, id, cookie| handshake(SocketType::DGRAM, isn, request, id, cookie, IPV4_LOOPBACK);
    let ipv6 = |isn, request, id, cookie| handshake(SocketType::STREAM, isn, request, id, cookie, IPV6_LOOPBACK);
    vec![
        ("hs4-induction-request", 0, stream(1_792_522_813, Induction, 0x2BD8_22E1, 0)),
        ("hs4-induction-response", 0x2BD8_22E1, stream(1_792_522_813, Induction, 0x2BD8_22E1, 0x4F10_CAC9)),
        ("hs4-conclusion-request", 0, stream(1_792_522_813, Conclusion, 0x2BD8_22E1, 0x4F10_CAC9)),
        ("hs4-conclusion-response", 0x2BD8_22E1, stream(1_792_522_813, Conclusion, 0x0A8E_79AF, 0x4F10_CAC9)),
        ("hs-ipv6-loopback-induction-request", 0, ipv6(0x2B68_D987, Induction, 0x1105_F1EA, 0)),
        ("hs-ipv6-loopback-induction-response", 0x1105_F1EA, ipv6(0x2B68_D987, Induction, 0x1105_F1EA, 0x3787_079A)),
        ("hs-ipv6-loopback-conclusion-request", 0, ipv6(0x2B68_D987, Conclusion, 0x1105_F1EA, 0x3787_079A)),
        ("hs-ipv6-loopback-conclusion-response", 0x1105_F1EA, ipv6(0x2B68_D987, Conclusion, 0x03B2_107F, 0x3787_079A)),
        ("hs-reject-induction-request (dgram client, stream server)", 0, dgram(0x749F_C41E, Induction, 0x2E17_DADD, 0)),
        ("hs-reject-induction-response", 0x2E17_DADD, dgram(0x749F_C41E, Induction, 0x2E17_DADD, 0x247E_F911)),
        ("hs-reject-conclusion-request", 0, dgram(0x749F_C41E, Conclusion, 0x2E17_DADD, 0x247E_F911)),
        (
            "hs-reject-response (ReqType 1002)",
            0x2E17_DADD,
            dgram(0x749F_C41E, Rejected(1002), 0x2E17_DADD, 0x247E_F911),
        ),
        ("rendezvous-hs-1 (port 9011 -> 9111)", 0, stream(0x7E3E_248E, Rendezvous, 0x291B_2103, 0)),
        ("rendezvous-hs-2 (port 9011 -> 9111)", 0, stream(0x7E3E_248E, Rendezvous, 0x291B_2103, 0)),
        ("rendezvous-hs-3 (port 9111 -> 9011)", 0, stream(0x7B21_5FDC, Rendezvous, 0x374E_B35B, 0)),
        ("rendezvous-hs-4 (port 9011 -> 9111)", 0x374E_B35B, stream(0x7E3E_248E, Conclusion, 0x291B_2103, 0)),
        ("rendezvous-hs-5 (port 9111 -> 9011)", 0x291B_2103, stream(0x7B21_5FDC, Conclusion, 0x374E_B35B, 0)),
    ]
}

fn data_packets() -> Vec<(&'static str, Packet<'static>)> {
    use MessagePosition::{First, Last, Middle, Solo};

    let stream = |seq, position, message, timestamp_us, payload| {
        data(seq, position, false, message, timestamp_us, 0x0A8E_79AF, payload)
    };
    let dgram = |seq, position, in_order, message, timestamp_us, payload| {
        data(seq, position, in_order, message, timestamp_us, 0x2869_9C90, payload)
    };
    vec![
        ("data-stream-solo-11B (first data packet, seq=ISN)", stream(0x6AD7_BA3D, Solo, 1, 1_212, b"Hello, UDT!")),
        ("data-stream-first-of-14 (FF=10, full 1456B)", stream(0x6AD7_BA3E, First, 2, 301_322, &FIRST_OF_14)),
        ("data-stream-middle (FF=00, full 1456B)", stream(0x6AD7_BA3F, Middle, 2, 301_367, &SECOND_OF_14)),
        ("data-stream-last (FF=01, short)", stream(0x6AD7_BA4B, Last, 2, 301_427, &LAST_OF_14)),
        ("dgram-solo-inorder (FF=11 O=1)", dgram(0x5889_2145, Solo, true, 1, 1_171, b"solo message")),
        ("dgram-first-unordered (FF=10 O=0 full)", dgram(0x5889_2146, First, false, 2, 1_254, &[b'A'; 1456])),
        ("dgram-last-unordered (FF=01 O=0 88B)", dgram(0x5889_2148, Last, false, 2, 78_061, &[b'A'; 88])),
    ]
}

/// Name, destination, bytes of the CIF, ACK.
fn acks() -> Vec<(&'static str, u32, usize, Control<'static>)> {
    let light = |ack_seq| Control::LightAck { ack_seq: Seq::new(ack_seq) };
    let initial_rates = |speed| Some((speed, 1_000));
    vec![
        ("ack-full-1 (24 byte CIF)", 0x2BD8_22E1, 24, ack(1, 0x6AD7_BA3E, [100_000, 50_000, 8190], initial_rates(1))),
        ("ack-full-2 (24 byte CIF)", 0x2BD8_22E1, 24, ack(2, 0x6AD7_BA3F, [100_000, 50_000, 8190], initial_rates(2))),
        ("ack-full-3 (16 byte CIF)", 0x2BD8_22E1, 16, ack(3, 0x6AD7_BA4C, [100_000, 50_000, 8178], None)),
        ("light-ack", 0x1944_CFDC, 4, light(0x1908_1BEE)),
        ("light-ack-2", 0x1944_CFDC, 4, light(0x1908_1C33)),
        (
            "ack-full-24-measured (rtt~23ms, speed=62500, bw=1000)",
            0x1944_CFDC,
            24,
            ack(12, 0x1908_1D25, [23_043, 39_692, 8191], Some((62_500, 1_000))),
        ),
        (
            "ack-full-24-bw-measured",
            0x1944_CFDC,
            24,
            ack(18, 0x1908_1DF3, [10_373, 19_524, 8191], Some((43_479, 32_836))),
        ),
        ("ack2-1", 0x0A8E_79AF, 4, Control::Ack2 { number: AckNumber::new(2) }),
        ("ack2-2", 0x0A8E_79AF, 4, Control::Ack2 { number: AckNumber::new(3) }),
    ]
}

fn other_controls() -> Vec<(&'static str, Packet<'static>)> {
    let drop_3 = message_drop(3, 0x5889_2149, 0x5889_214C);
    vec![
        ("keepalive-client", control(0x0A8E_79AF, 4, Control::KeepAlive)),
        ("keepalive-server", control(0x2BD8_22E1, 4, Control::KeepAlive)),
        ("shutdown", control(0x0A8E_79AF, 4, Control::Shutdown { final_seq: None })),
        ("nak-single", control(0x1944_CFDC, 4, nak(&[0x19, 0x08, 0x1C, 0x2C]))),
        ("nak-range", control(0x1944_CFDC, 8, nak(&[0x99, 0x08, 0x32, 0x1A, 0x19, 0x08, 0x32, 0x1B]))),
        ("nak-single-dgram", control(0x30AE_F816, 4, nak(&[0x58, 0x89, 0x21, 0x46]))),
        ("msg-drop-request (range one too wide, see spec)", control(0x2869_9C90, 8, drop_3)),
        ("peer-error-4000", control(0x39FC_8345, 4, Control::PeerError { code: 4_000 })),
    ]
}

/// Every captured handshake has version 4, MSS 1500 and a window of 8192 packets.
fn handshake(
    socket_type: SocketType,
    isn: u32,
    request: RequestType,
    socket_id: u32,
    cookie: u32,
    peer_ip: [u32; 4],
) -> Handshake {
    Handshake {
        version: 4,
        socket_type,
        isn: Seq::new(isn),
        mss_bytes: 1500,
        window_packets: 8192,
        request,
        socket_id,
        cookie,
        peer_ip,
    }
}

fn ack(
    number: u32,
    ack_seq: u32,
    [rtt_us, rtt_var_us, available_packets]: [u32; 3],
    rates: Option<(u32, u32)>,
) -> Control<'static> {
    Control::Ack(FullAck {
        number: AckNumber::new(number),
        ack_seq: Seq::new(ack_seq),
        rtt_us,
        rtt_var_us,
        available_packets,
        rates: rates.map(|(arrival_speed_packets_per_s, link_capacity_packets_per_s)| AckRates {
            arrival_speed_packets_per_s,
            link_capacity_packets_per_s,
        }),
        tail: &[],
    })
}

fn nak(loss_list: &'static [u8]) -> Control<'static> {
    Control::Nak(LossReport::decode(loss_list).expect("whole words"))
}

fn message_drop(message: u32, first: u32, last: u32) -> Control<'static> {
    Control::MessageDrop { message: MsgNumber::new(message), first: Seq::new(first), last: Seq::new(last) }
}

/// libudt's control packets have timestamp 0.
fn control(destination: u32, body_len: usize, control: Control<'static>) -> Packet<'static> {
    Packet::Control(ControlPacket { control, timestamp_us: 0, destination, body_len })
}

fn data(
    seq: u32,
    position: MessagePosition,
    in_order: bool,
    message: u32,
    timestamp_us: u32,
    destination: u32,
    payload: &'static [u8],
) -> Packet<'static> {
    let message = MsgNumber::new(message);
    let header = DataHeader { seq: Seq::new(seq), position, in_order, message, timestamp_us, destination };
    Packet::Data(DataPacket { header, payload })
}

const fn multiples_of_7<const N: usize>(start: usize) -> [u8; N] {
    let mut bytes = [0; N];
    let mut index = 0;
    while index < N {
        bytes[index] = ((start + index) * 7) as u8;
        index += 1;
    }
    bytes
}

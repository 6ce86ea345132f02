use std::net::Ipv4Addr;
use std::time::Duration;

use super::*;

const TO_RECEIVE: Wanted = Wanted { readable: true, writable: false };
const TO_SEND: Wanted = Wanted { readable: false, writable: true };

async fn socket(addr: &str) -> Socket {
    let mut socket = Socket::new(bind(addr.parse().unwrap()).unwrap(), &SocketConfig::default()).unwrap();
    // Where the runtime watches the socket it has to look at it once before anything can be sent.
    socket.ready(TO_SEND).await.unwrap();
    socket.rest().unwrap();
    socket
}

async fn receive_bytes(socket: &mut Socket, bytes: usize) -> Vec<Received> {
    let mut received = Vec::new();
    let all = async {
        while received.iter().map(|one: &Received| one.contents.len()).sum::<usize>() < bytes {
            socket.ready(TO_RECEIVE).await.unwrap();
            socket.rest().unwrap();
            socket.receive(&mut received).unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("everything arrives on loopback");
    received
}

fn to(remote: SocketAddr, segment_bytes: Option<usize>) -> Addressed {
    Addressed { remote, local: None, segment_bytes, may_fragment: false }
}

async fn sends_a_run(addr: &str) {
    let (mut a, mut b) = (socket(addr).await, socket(addr).await);
    let contents: Vec<u8> = (0..43 * 1472 + 100).map(|i| (i % 251) as u8).collect();
    let before = Instant::now();
    let sent = a.send(to(b.local_addr(), Some(1472)), &contents, 0, &mut Offload::default());
    assert_eq!(sent, Sent::All);
    let received = receive_bytes(&mut b, contents.len()).await;
    assert_eq!(received.iter().flat_map(|one| one.contents.to_vec()).collect::<Vec<u8>>(), contents);
    for one in &received {
        assert_eq!((one.from, one.to), (a.local_addr(), Some(b.local_addr().ip())));
        assert!(one.arrived + Duration::from_secs(1) >= before && one.arrived <= Instant::now());
    }
    let (sent, got) = (a.counters().read(), b.counters().read());
    assert_eq!((sent.sent_datagrams, got.received_datagrams), (44, 44));
    assert_eq!((sent.sent_bytes, got.received_bytes), (contents.len() as u64, contents.len() as u64));
    if cfg!(target_os = "linux") {
        assert_eq!(got.kernel_drops, Some(0));
    }
}

/// One system call more only where the last one filled all its buffers.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_receive_call_that_leaves_buffers_empty_is_the_last() {
    let (mut a, mut b) = (socket("127.0.0.1:0").await, socket("127.0.0.1:0").await);
    for (datagrams, calls) in [(3, 1), (RECEIVE_BUFFERS + 1, 2), (2 * RECEIVE_BUFFERS, 3)] {
        for _ in 0..datagrams {
            assert_eq!(a.send(to(b.local_addr(), None), &[7; 9], 0, &mut Offload::default()), Sent::All);
        }
        let mut received = Vec::new();
        let made = (1..).find(|_| b.receive(&mut received).unwrap() == Waiting::Nothing);
        assert_eq!((received.len(), made), (datagrams, Some(calls)));
    }
}

#[tokio::test]
async fn a_run_of_segments_crosses_ipv4_loopback() {
    sends_a_run("127.0.0.1:0").await;
}

#[tokio::test]
async fn a_run_of_segments_crosses_ipv6_loopback() {
    if bind("[::1]:0".parse().unwrap()).is_err() {
        println!("skipped: this system has no IPv6");
        return;
    }
    sends_a_run("[::1]:0").await;
}

#[tokio::test]
async fn a_path_without_offload_is_served_one_by_one_from_any_offset() {
    for addr in ["127.0.0.1:0", "[::1]:0"] {
        if bind(addr.parse().unwrap()).is_err() {
            println!("skipped: this system has no IPv6");
            continue;
        }
        let (mut a, mut b) = (socket(addr).await, socket(addr).await);
        // More than a call takes; the last is shorter; with and without saying from where.
        let contents: Vec<u8> = (0..100 * 1000 + 10).map(|i| (i % 251) as u8).collect();
        let mut offload = Offload { refused: true };
        for local in [None, Some(a.local_addr().ip())] {
            let to = Addressed { local, ..to(b.local_addr(), Some(1000)) };
            assert_eq!(a.send(to, &contents, 2000, &mut offload), Sent::All);
            let received = receive_bytes(&mut b, contents.len() - 2000).await;
            let arrived: Vec<u8> = received.iter().flat_map(|one| one.contents.to_vec()).collect();
            assert!(arrived == contents[2000..], "the same in the same order");
            assert_eq!(received.iter().map(|one| one.contents.len().div_ceil(one.stride)).sum::<usize>(), 99);
        }
        let stats = a.counters().read();
        let calls = if cfg!(target_os = "linux") { 3 } else { 99 };
        assert_eq!((stats.sent_datagrams, stats.sent_bytes, stats.send_calls), (2 * 99, 2 * 98_010, 2 * calls));
    }
}

#[tokio::test]
async fn the_answer_leaves_from_the_address_that_was_asked_for() {
    let (mut any, mut peer) = (socket("0.0.0.0:0").await, socket("127.0.0.1:0").await);
    let local = Ipv4Addr::new(127, 0, 0, 2);
    for (segment_bytes, refused) in [(None, false), (Some(4), false), (Some(4), true)] {
        let addressed = Addressed { local: Some(local.into()), ..to(peer.local_addr(), segment_bytes) };
        assert_eq!(any.send(addressed, b"from .2", 0, &mut Offload { refused }), Sent::All);
        let received = receive_bytes(&mut peer, 7).await;
        assert!(received.iter().all(|one| one.from.ip() == local), "{received:?}");
    }
}

#[tokio::test]
async fn an_unreachable_peer_costs_a_count_and_not_an_error() {
    let mut a = socket("127.0.0.1:0").await;
    // A socket bound to loopback has no route to the rest of the world.
    let remote = "192.0.2.1:9".parse().unwrap();
    assert_eq!(a.send(to(remote, Some(10)), &[0; 30], 0, &mut Offload::default()), Sent::All);
    assert_eq!(a.counters().read().send_errors, 3, "each datagram counts");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_datagram_beyond_the_mtu_is_an_event_and_fragments_when_allowed() {
    // Loopback's MTU is 65,536 and no UDP payload exceeds that, so the option is read back instead; the interop tests
    // send through a link of MTU 1280.
    use rustix::net::sockopt::{Ipv4PathMtuDiscovery, ip_mtu_discover};
    let (mut a, b) = (socket("127.0.0.1:0").await, socket("127.0.0.1:0").await);
    assert_eq!(ip_mtu_discover(a.io.socket()).unwrap(), Ipv4PathMtuDiscovery::DO);
    let cut = Addressed { may_fragment: true, ..to(b.local_addr(), Some(10)) };
    assert_eq!(a.send(cut, &[0; 30], 0, &mut Offload::default()), Sent::All);
    assert_eq!(ip_mtu_discover(a.io.socket()).unwrap(), Ipv4PathMtuDiscovery::DONT);
    assert_eq!(a.send(to(b.local_addr(), None), &[0; 30], 0, &mut Offload::default()), Sent::All);
    assert_eq!(ip_mtu_discover(a.io.socket()).unwrap(), Ipv4PathMtuDiscovery::DO);
    assert_eq!(a.counters().read().send_calls, if cfg!(target_os = "linux") { 2 } else { 4 });
}

//! `Relay` on real sockets: content and counters, with hang limits only.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use godwit_relay::{Direction, LinkConfig, Relay, Reorder, StartError, Verdict, drop_nth};

const HANG_LIMIT: Duration = Duration::from_secs(30);

fn bind(ip: impl Into<IpAddr>) -> UdpSocket {
    let socket = UdpSocket::bind((ip.into(), 0)).unwrap();
    socket.set_read_timeout(Some(HANG_LIMIT)).unwrap();
    socket
}

fn bind_v4() -> UdpSocket {
    bind(Ipv4Addr::LOCALHOST)
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut datagram = vec![0; 65_535];
    let (length, source) = socket.recv_from(&mut datagram).unwrap();
    datagram.truncate(length);
    (datagram, source)
}

fn echo_once(server: &UdpSocket) -> SocketAddr {
    let (datagram, source) = receive(server);
    server.send_to(&datagram, source).unwrap();
    source
}

#[test]
fn clients_keep_apart_in_both_ip_versions() {
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        if UdpSocket::bind((ip, 0)).is_err() {
            eprintln!("skipped for {ip}: this machine does not have that IP version");
            continue;
        }
        let server = bind(ip);
        let clear = LinkConfig::default();
        let relay = Relay::start(server.local_addr().unwrap(), clear, clear, 1).unwrap();
        let clients: Vec<_> = (0..3).map(|_| bind(ip)).collect();
        let mut seen = Vec::new();
        for (number, client) in clients.iter().enumerate() {
            client.send_to(format!("client {number}").as_bytes(), relay.addr()).unwrap();
            seen.push(echo_once(&server));
        }
        for (number, client) in clients.iter().enumerate() {
            let (answer, source) = receive(client);
            assert_eq!(answer, format!("client {number}").as_bytes());
            assert_eq!(source, relay.addr());
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 3);
        let stats = relay.stats();
        assert_eq!((stats.forward.left, stats.backward.left), (3, 3));
        stats.check().unwrap();
    }
}

#[test]
fn the_delay_is_never_shorter_than_asked_for() {
    let server = bind_v4();
    let one_way = LinkConfig { delay: Duration::from_millis(20), ..LinkConfig::default() };
    let relay = Relay::start(server.local_addr().unwrap(), one_way, one_way, 1).unwrap();
    let client = bind_v4();
    let start = Instant::now();
    client.send_to(b"ping", relay.addr()).unwrap();
    echo_once(&server);
    receive(&client);
    let round_trip = start.elapsed();
    assert!(round_trip >= Duration::from_millis(40), "{round_trip:?}");
    eprintln!("a path of 40 ms took {round_trip:?}");
}

#[test]
fn a_filter_loses_the_chosen_datagram() {
    let server = bind_v4();
    let filter = drop_nth(Direction::Forward, 1, |datagram| datagram.starts_with(b"control"));
    let relay = Relay::builder(server.local_addr().unwrap()).filter(filter).start().unwrap();
    let client = bind_v4();
    for datagram in ["control 0", "data 0", "control 1", "control 2"] {
        client.send_to(datagram.as_bytes(), relay.addr()).unwrap();
    }
    let arrived: Vec<_> = (0..3).map(|_| receive(&server).0).collect();
    assert_eq!(arrived, [&b"control 0"[..], b"data 0", b"control 2"]);
    assert_eq!(relay.stats().filtered, [1, 0]);
    relay.stats().check().unwrap();
}

#[test]
fn a_filter_holds_a_datagram_back() {
    let server = bind_v4();
    let hold_the_first = |datagram: &[u8], _| match datagram {
        b"first" => Verdict::Delay(Duration::from_millis(30)),
        _ => Verdict::Pass,
    };
    let relay = Relay::builder(server.local_addr().unwrap()).filter(Box::new(hold_the_first)).start().unwrap();
    let client = bind_v4();
    client.send_to(b"first", relay.addr()).unwrap();
    client.send_to(b"second", relay.addr()).unwrap();
    assert_eq!([receive(&server).0, receive(&server).0], [&b"second"[..], b"first"]);
    assert_eq!(relay.stats().forward.reordered, 1);
}

#[test]
fn every_datagram_is_accounted_for_under_faults() {
    let server = bind_v4();
    let lossy = LinkConfig {
        delay: Duration::from_millis(1),
        loss: 0.1,
        duplicate: 0.1,
        reorder: Reorder { probability: 0.1, extra_delay: Duration::from_millis(1), ..Reorder::default() },
        ..LinkConfig::default()
    };
    let relay = Relay::builder(server.local_addr().unwrap()).forward(lossy).seed(5).start().unwrap();
    let client = bind_v4();
    // Few enough that the default receive buffer of the server holds them all.
    let sent = 150u32;
    for number in 0..sent {
        client.send_to(&number.to_be_bytes(), relay.addr()).unwrap();
    }
    let deadline = Instant::now() + HANG_LIMIT;
    let carried =
        |stats: godwit_relay::RelayStats| stats.forward.entered - stats.forward.lost + stats.forward.duplicated;
    while relay.stats().forward.entered < u64::from(sent) || relay.stats().forward.left < carried(relay.stats()) {
        assert!(Instant::now() < deadline, "the relay stands still: {:?}", relay.stats());
        std::thread::sleep(Duration::from_millis(1));
    }
    let stats = relay.stats();
    stats.check().unwrap();
    let numbers: Vec<_> = (0..stats.forward.left).map(|_| receive(&server).0).collect();
    let mut distinct = numbers.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len() as u64, u64::from(sent) - stats.forward.lost);
    assert!(stats.forward.lost > 0 && stats.forward.duplicated > 0, "{stats:?}");
}

#[test]
fn a_rendezvous_meets_at_two_ports() {
    let (a, b) = (bind_v4(), bind_v4());
    let unknown = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let relay = Relay::between(a.local_addr().unwrap(), unknown).start().unwrap();
    a.send_to(b"too early", relay.addr()).unwrap();
    let deadline = Instant::now() + HANG_LIMIT;
    while relay.stats().stray < 1 {
        assert!(Instant::now() < deadline, "the relay stands still: {:?}", relay.stats());
        std::thread::sleep(Duration::from_millis(1));
    }
    b.send_to(b"here is b", relay.addr_for_b()).unwrap();
    assert_eq!(receive(&a), (b"here is b".to_vec(), relay.addr()));
    a.send_to(b"here is a", relay.addr()).unwrap();
    assert_eq!(receive(&b), (b"here is a".to_vec(), relay.addr_for_b()));
    assert_eq!((relay.stats().forward.left, relay.stats().backward.left), (1, 1));
}

#[test]
fn ends_of_different_ip_versions_are_refused() {
    let (v4, v6) = (SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), SocketAddr::from((Ipv6Addr::LOCALHOST, 1)));
    assert!(matches!(Relay::between(v4, v6).start().unwrap_err(), StartError::MixedVersions));
}

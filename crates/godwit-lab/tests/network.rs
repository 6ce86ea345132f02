//! Real namespaces and devices: what the model says is what happens to packets of the kernel. Nothing here depends on the machine's speed: which
//! packets are lost is decided by the seed, and times are only held against what they can't fall below.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use godwit_lab::network::{Host, IprouteError, Network, NetworkConfig, NetworkError, Side};
use godwit_relay::{Link, LinkConfig, Reorder};

/// Nothing takes that long; it only ends a test that would hang.
const HANG: Duration = Duration::from_secs(30);

/// `None`, and a message, where this machine or user can't have one.
fn network(config: &NetworkConfig) -> Option<Network> {
    match Network::start(config) {
        Ok(network) => Some(network),
        Err(
            why @ (NetworkError::NotRoot | NetworkError::NoTun(_) | NetworkError::Iproute(IprouteError::NotRun { .. })),
        ) => {
            println!("skipped: {why}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn socket(host: &Host, address: IpAddr) -> UdpSocket {
    let socket = host.run(|| UdpSocket::bind((address, 0))).unwrap().unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 8 << 20).unwrap();
    socket.set_read_timeout(Some(HANG)).unwrap();
    socket
}

/// Sends the numbers to the target.
fn send_numbers(from: &UdpSocket, to: SocketAddr, numbers: std::ops::Range<u32>) {
    for number in numbers {
        from.send_to(&number.to_be_bytes(), to).unwrap();
    }
}

fn receive_numbers(socket: &UdpSocket, count: usize) -> Vec<u32> {
    let mut payload = [0; 4];
    let mut number = || {
        assert_eq!(socket.recv(&mut payload).unwrap(), payload.len());
        u32::from_be_bytes(payload)
    };
    (0..count).map(|_| number()).collect()
}

#[test]
fn the_seed_decides_which_packets_are_lost() {
    let delay = Duration::from_millis(20);
    let forward = LinkConfig { delay, loss: 0.1, loss_before_queue: 0.05, ..LinkConfig::default() };
    let config = NetworkConfig { forward, seed: 7, ..NetworkConfig::default() };
    let Some(network) = network(&config) else { return };
    let (left, right) = (network.left(0), network.right(0));

    let packets = 2_000;
    let mut model = Link::new(forward, config.seed).unwrap();
    let (start, later) = (Instant::now(), Instant::now() + Duration::from_secs(1));
    for number in 0..packets {
        model.push(start, number, 32);
    }
    let expected: Vec<u32> = std::iter::from_fn(|| model.pop_due(later)).collect();
    assert!(expected.len() < packets as usize);

    let (sender, receiver) = (socket(left, left.addr()), socket(right, right.addr()));
    send_numbers(&sender, receiver.local_addr().unwrap(), 0..packets);
    assert_eq!(receive_numbers(&receiver, expected.len()), expected);
    let counters = network.counters();
    assert_eq!(counters.unplanned_drops(), 0);
    assert_eq!(counters.forward.entered_packets, u64::from(packets));
    assert_eq!(counters.forward.entered_bytes, u64::from(packets) * 32);
    assert_eq!(counters.forward.left_packets, expected.len() as u64);
    assert_eq!(counters.forward.lost, u64::from(packets) - expected.len() as u64);
    assert_eq!(counters.reverse.entered_packets, 0);
    // Read, and begun anew.
    assert_eq!(network.counters().forward.entered_packets, 0);
}

#[test]
fn a_ping_takes_the_delay_of_both_directions_over_both_ip_versions() {
    let direction = |ms| LinkConfig { delay: Duration::from_millis(ms), ..LinkConfig::default() };
    let config = NetworkConfig { forward: direction(30), reverse: direction(10), ..NetworkConfig::default() };
    let Some(network) = network(&config) else { return };
    let (left, right) = (network.left(0), network.right(0));
    for (from, to) in [(left.addr(), right.addr()), (left.addr_v6(), right.addr_v6())] {
        let (pinger, echo) = (socket(left, from), socket(right, to));
        let start = Instant::now();
        send_numbers(&pinger, echo.local_addr().unwrap(), 0..1);
        assert_eq!(receive_numbers(&echo, 1), [0]);
        assert!(start.elapsed() >= Duration::from_micros(29_900));
        send_numbers(&echo, pinger.local_addr().unwrap(), 1..2);
        assert_eq!(receive_numbers(&pinger, 1), [1]);
        assert!(start.elapsed() >= Duration::from_micros(39_800));
    }
    assert_eq!(network.counters().reverse.left_packets, 2);
}

#[test]
fn all_hosts_of_a_side_share_the_path_to_the_other() {
    let config = NetworkConfig { hosts_left: 2, hosts_right: 2, ..NetworkConfig::default() };
    let Some(network) = network(&config) else { return };
    let sockets = |side| network.hosts(side).iter().map(|host| socket(host, host.addr())).collect::<Vec<_>>();
    let (left, right) = (sockets(Side::Left), sockets(Side::Right));
    // There is no path between hosts of one side: this one never enters.
    send_numbers(&left[0], left[1].local_addr().unwrap(), 99..100);
    for (number, (from, to)) in (0..).zip([(0, 0), (0, 1), (1, 0), (1, 1)]) {
        send_numbers(&left[from], right[to].local_addr().unwrap(), number..number + 1);
        assert_eq!(receive_numbers(&right[to], 1), [number]);
        send_numbers(&right[to], left[from].local_addr().unwrap(), number..number + 1);
        assert_eq!(receive_numbers(&left[from], 1), [number]);
    }
    let counters = network.counters();
    assert_eq!([counters.forward.entered_packets, counters.reverse.entered_packets], [4, 4]);
}

#[test]
fn a_path_can_go_down_and_come_back() {
    let up = LinkConfig::default();
    let Some(network) = network(&NetworkConfig::default()) else { return };
    let (left, right) = (network.left(0), network.right(0));
    let (sender, receiver) = (socket(left, left.addr()), socket(right, right.addr()));
    let target = receiver.local_addr().unwrap();
    network.reconfigure(Side::Left, LinkConfig { is_down: true, ..up }).unwrap();
    send_numbers(&sender, target, 0..10);
    let start = Instant::now();
    let mut lost = 0;
    while lost < 10 {
        lost += network.counters().forward.lost;
        assert!(start.elapsed() < HANG);
    }
    network.reconfigure(Side::Left, up).unwrap();
    send_numbers(&sender, target, 10..20);
    assert_eq!(receive_numbers(&receiver, 10), (10..20).collect::<Vec<_>>());
    assert!(network.reconfigure(Side::Right, LinkConfig { loss: 2.0, ..up }).is_err());
}

#[test]
fn tcp_gets_everything_through_a_bad_path() {
    let reorder = Reorder { probability: 0.05, extra_delay: Duration::from_millis(3), ..Reorder::default() };
    let bad = LinkConfig {
        delay: Duration::from_millis(2),
        rate_bits_per_s: Some(100_000_000),
        loss: 0.02,
        duplicate: 0.02,
        reorder,
        ..LinkConfig::default()
    };
    let Some(network) = network(&NetworkConfig { forward: bad, reverse: bad, ..NetworkConfig::default() }) else {
        return;
    };
    let (left, right) = (network.left(0), network.right(0));
    left.set_tcp_congestion("reno").unwrap();
    assert_eq!(left.tcp_congestion().unwrap(), "reno");
    assert!(left.set_tcp_congestion("no-such-control").is_err());

    let sent: Vec<u8> = (0..300_000u32).flat_map(u32::to_be_bytes).collect();
    let listener = right.run(|| TcpListener::bind((right.addr(), 0))).unwrap().unwrap();
    let address = listener.local_addr().unwrap();
    let sending = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut stream = left.run(|| TcpStream::connect(address)).unwrap().unwrap();
            stream.write_all(&sent).unwrap();
        });
        let mut received = Vec::new();
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        stream.read_to_end(&mut received).unwrap();
        assert!(received == sent);
        sending.join()
    });
    sending.unwrap();
    let counters = network.counters();
    assert!(counters.forward.lost > 0 && counters.forward.duplicated > 0 && counters.forward.reordered > 0);
}

#[test]
fn what_is_sent_in_one_piece_arrives_in_packets() {
    let Some(network) = network(&NetworkConfig::default()) else { return };
    let (left, right) = (network.left(0), network.right(0));
    for (from, to, header_bytes) in [(left.addr(), right.addr(), 28), (left.addr_v6(), right.addr_v6(), 48)] {
        let (sender, receiver) = (socket(left, from), socket(right, to));
        nix::sys::socket::setsockopt(&sender, nix::sys::socket::sockopt::UdpGsoSegment, &1_000).unwrap();
        let sent: Vec<u8> = (0..20_500u32).map(|index| (index / 7) as u8).collect();
        sender.send_to(&sent, receiver.local_addr().unwrap()).unwrap();
        let mut packet = [0; 2_000];
        for segment in sent.chunks(1_000) {
            let length = receiver.recv(&mut packet).unwrap();
            assert!(packet[..length] == *segment);
        }
        let counters = network.counters().forward;
        assert_eq!([counters.entered_packets, counters.left_packets], [21, 21]);
        assert_eq!(counters.left_bytes, 20_500 + 21 * header_bytes);
    }
}

#[test]
fn commands_run_in_the_namespace_and_nothing_is_left() {
    let config = NetworkConfig { mtu: 1400, ..NetworkConfig::default() };
    let Some(network) = network(&config) else { return };
    let (left, right) = (network.left(0), network.right(0));
    let output = left.command("ip").args(["-o", "address", "show"]).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(output.contains(&left.addr().to_string()), "{output}");
    assert!(!output.contains(&right.addr().to_string()), "{output}");
    let output = left.command("ip").args(["link", "show", "path"]).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(output.contains("mtu 1400 qdisc noqueue"), "{output}");

    let names: BTreeSet<_> = [left.name().to_owned(), right.name().to_owned()].into();
    let present = || {
        let list = Command::new("ip").args(["netns", "list"]).output().unwrap();
        let list = String::from_utf8(list.stdout).unwrap();
        list.lines().filter(|line| names.contains(line.split(' ').next().unwrap())).count()
    };
    assert_eq!(present(), 2);
    drop(network);
    assert_eq!(present(), 0);
}

#[test]
fn leftovers_of_a_killed_run_are_removed() {
    // The largest process id that there can be, so that nobody has it.
    let name = "godwit-lab-4194304-0-left0";
    let Some(first) = network(&NetworkConfig::default()) else { return };
    drop(first);
    assert!(Command::new("ip").args(["netns", "add", name]).status().unwrap().success());
    drop(network(&NetworkConfig::default()));
    let list = Command::new("ip").args(["netns", "list"]).output().unwrap();
    assert!(!String::from_utf8(list.stdout).unwrap().contains(name));
}

#[test]
fn what_describes_no_network_is_refused() {
    let broken = LinkConfig { loss: 1.5, ..LinkConfig::default() };
    let good = NetworkConfig::default();
    assert!(matches!(Network::start(&NetworkConfig { hosts_left: 0, ..good }), Err(NetworkError::Hosts(0))));
    assert!(matches!(Network::start(&NetworkConfig { hosts_right: 33, ..good }), Err(NetworkError::Hosts(33))));
    assert!(matches!(Network::start(&NetworkConfig { mtu: 576, ..good }), Err(NetworkError::Mtu(576))));
    assert!(matches!(Network::start(&NetworkConfig { forward: broken, ..good }), Err(NetworkError::Forward(_))));
    assert!(matches!(Network::start(&NetworkConfig { reverse: broken, ..good }), Err(NetworkError::Reverse(_))));
}

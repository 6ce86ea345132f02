//! Several sockets on one port, each with a driver.

#![cfg(target_os = "linux")]

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use godwit_udt::{Config, Endpoint, EndpointConfig, ListenLimits, Listener, SocketConfig, Stream};
use support::{V4, content, endpoint, exchange, in_time, listener};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const TRANSFERS: u64 = 64;
const BYTES: usize = 128 << 10;
const ROUNDS: usize = 10;
/// Peers after which the kernel, which spreads them by a hash of their ports, has chosen each of two sockets: it would have missed
/// one with a probability of 2^-199.
const PEERS_MAX: usize = 200;

fn two_drivers(addr: &str) -> Endpoint {
    let socket = SocketConfig { sockets: 2, ..SocketConfig::default() };
    let endpoint = Endpoint::bind_with(addr.parse().unwrap(), EndpointConfig::default(), socket).unwrap();
    assert_eq!(endpoint.sockets(), 2);
    endpoint
}

/// The driver's index stands above the 25 random bits of a socket id.
fn driver_of(stream: &Stream) -> u32 {
    stream.id() >> 25
}

/// A connection from a socket of its own.
async fn pair_from_new_port(server: &Endpoint, listener: &Listener) -> (Endpoint, Stream, Stream) {
    let client = endpoint(V4);
    let connect = client.connect(server.local_addr(), Config::default());
    let (up, down) = tokio::join!(connect, listener.accept());
    (client, up.unwrap(), down.unwrap())
}

/// One at least of each driver.
async fn pairs_of_both_drivers(server: &Endpoint, listener: &Listener) -> Vec<(Endpoint, Stream, Stream)> {
    let (mut pairs, mut drivers) = (Vec::new(), BTreeSet::new());
    while drivers.len() < 2 && pairs.len() < PEERS_MAX {
        pairs.push(pair_from_new_port(server, listener).await);
        drivers.insert(driver_of(&pairs[pairs.len() - 1].2));
    }
    assert_eq!(drivers, BTreeSet::from([0, 1]));
    pairs
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_through_two_drivers_arrive_whole_each_at_its_own() {
    in_time(async {
        let server = two_drivers(V4);
        let listener = server.listen(Config::default(), ListenLimits::default()).unwrap();
        let mut tasks = Vec::new();
        let mut drivers = BTreeSet::new();
        for index in 0..TRANSFERS {
            let (client, mut up, mut down) = pair_from_new_port(&server, &listener).await;
            drivers.insert(driver_of(&down));
            let (sent, answered) = (content(2 * index, BYTES), content(2 * index + 1, BYTES));
            tasks.push(tokio::spawn(async move {
                tokio::join!(exchange(&mut up, &sent, &answered), exchange(&mut down, &answered, &sent));
                drop(client);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(drivers, BTreeSet::from([0, 1]));
        // The kernel keeps a peer at one socket: connections that were accepted there have nothing handed over.
        assert_eq!(server.socket_stats().stray_datagrams, 0);
    })
    .await;
}

/// A connection that an endpoint with two drivers has made to a peer, and the peer's end of it. It belongs to the first driver, but what
/// the peer sends reaches the second one.
async fn stray_pair(both: &Endpoint) -> (Endpoint, Stream, Stream) {
    for _ in 0..PEERS_MAX {
        let (peer, listener, remote) = listener(V4, Config::default());
        let (out, back) = tokio::join!(both.connect(remote, Config::default()), listener.accept());
        let (out, back) = (out.unwrap(), back.unwrap());
        assert_eq!(driver_of(&out), 0);
        if both.socket_stats().stray_datagrams > 0 {
            return (peer, out, back);
        }
    }
    panic!("nothing went to the second socket");
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_that_reach_the_other_driver_are_handed_over() {
    in_time(async {
        let both = two_drivers(V4);
        let (_peer, mut out, mut back) = stray_pair(&both).await;
        let strays = both.socket_stats().stray_datagrams;
        let (sent, answered) = (content(1, BYTES), content(2, BYTES));
        tokio::join!(exchange(&mut out, &sent, &answered), exchange(&mut back, &answered, &sent));
        assert!(both.socket_stats().stray_datagrams > strays + (BYTES / 1456) as u64);
    })
    .await;
}

/// The driver that receives tells the one that is to acknowledge, which would else sleep until a timer of its own, at this age of the
/// connection each time for more than 100 ms. On a busy machine one round may take as long, but not all.
#[tokio::test(flavor = "multi_thread")]
async fn a_packet_that_reached_the_other_driver_is_acknowledged_before_a_timer_runs_out() {
    in_time(async {
        let both = two_drivers(V4);
        let (_peer, _out, mut back) = stray_pair(&both).await;
        let mut shortest = Duration::MAX;
        for _ in 0..ROUNDS {
            // Until no timer of the round before is left.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let begun = Instant::now();
            back.write_all(b"?").await.unwrap();
            while back.stats().send_buffer_used_bytes > 0 {
                tokio::task::yield_now().await;
            }
            shortest = shortest.min(begun.elapsed());
        }
        assert!(shortest < Duration::from_millis(50), "{shortest:?}");
    })
    .await;
}

#[tokio::test]
async fn the_limits_of_a_listener_hold_over_all_drivers() {
    in_time(async {
        let server = two_drivers(V4);
        let limits = ListenLimits { connections_per_address_max: 24, ..ListenLimits::default() };
        let listener = server.listen(Config::default(), limits).unwrap();
        let (mut pairs, mut drivers) = (Vec::new(), BTreeSet::new());
        for _ in 0..24 {
            pairs.push(pair_from_new_port(&server, &listener).await);
            drivers.insert(driver_of(&pairs[pairs.len() - 1].2));
        }
        assert_eq!(drivers.len(), 2);
        for _ in 0..4 {
            endpoint(V4).connect(server.local_addr(), Config::default()).await.unwrap_err();
        }
        assert_eq!((server.stats().accepted, server.connections()), (24, 24));
    })
    .await;
}

/// Half a megabyte in two halves at 8 Mbit/s takes half a second at least, whichever drivers send them.
#[tokio::test(flavor = "multi_thread")]
async fn the_ceiling_of_an_endpoint_holds_over_all_drivers() {
    in_time(async {
        let server = two_drivers(V4);
        let listener = server.listen(Config::default(), ListenLimits::default()).unwrap();
        let mut pairs = pairs_of_both_drivers(&server, &listener).await;
        let (last, first) = (pairs.pop().unwrap(), pairs.swap_remove(0));
        server.set_max_rate(Some(8_000_000));
        let begun = Instant::now();
        let send = async |(_client, mut up, mut down): (Endpoint, Stream, Stream)| {
            let (sent, mut received) = (content(1, 250_000), vec![0; 250_000]);
            let (written, read) = tokio::join!(down.write_all(&sent), up.read_exact(&mut received));
            written.unwrap();
            read.unwrap();
            assert!(received == sent);
        };
        tokio::join!(send(first), send(last));
        assert!(begun.elapsed() >= Duration::from_millis(450), "too fast: {:?}", begun.elapsed());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_ends_all_drivers_after_everything_was_delivered() {
    in_time(async {
        let server = two_drivers(V4);
        let listener = server.listen(Config::default(), ListenLimits::default()).unwrap();
        let mut readers = Vec::new();
        for (index, (client, mut up, mut down)) in (0..).zip(pairs_of_both_drivers(&server, &listener).await) {
            down.write_all(&content(index, BYTES)).await.unwrap();
            readers.push(tokio::spawn(async move {
                let mut received = Vec::new();
                up.read_to_end(&mut received).await.unwrap();
                assert!(received == content(index, BYTES));
                drop((client, down));
            }));
        }
        let local = server.local_addr();
        server.close().await;
        for reader in readers {
            reader.await.unwrap();
        }
        std::net::UdpSocket::bind(local).expect("all sockets are closed");
    })
    .await;
}

/// It sleeps without an alarm, and the driver of the last connection, which ends, has to wake it.
#[tokio::test]
async fn a_close_ends_a_driver_that_has_no_connections() {
    in_time(async {
        let server = two_drivers(V4);
        let listener = server.listen(Config::default(), ListenLimits::default()).unwrap();
        let _pair = pair_from_new_port(&server, &listener).await;
        server.close().await;
    })
    .await;
}

#[tokio::test]
async fn dropping_the_last_handle_ends_all_drivers() {
    in_time(async {
        let server = two_drivers(V4);
        let local = server.local_addr();
        let listener = server.listen(Config::default(), ListenLimits::default()).unwrap();
        let pairs = pairs_of_both_drivers(&server, &listener).await;
        drop((server, listener));
        for (_client, mut up, _down) in pairs {
            up.read_u8().await.unwrap_err();
        }
        while std::net::UdpSocket::bind(local).is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_port_that_drivers_share_is_still_in_use_for_others() {
    let server = two_drivers(V4);
    let again = SocketConfig { sockets: 2, ..SocketConfig::default() };
    Endpoint::bind_with(server.local_addr(), EndpointConfig::default(), again).unwrap_err();
}

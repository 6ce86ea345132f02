//! Datagram sizes: 8 MiB each way through links narrower than an Ethernet packet, both ends ours.
//!
//! Needs root for network namespaces; without, each test says that it was skipped and why.
#![cfg(target_os = "linux")]

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use godwit_interop::netns::{self, Namespace};
use godwit_udt::{Config, Endpoint, EndpointConfig, ListenLimits, SocketStats, Stats, Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const BYTES: usize = 8 << 20;
/// Where a packet is lost on the way, the controller takes long to speed up again.
const FEW_BYTES: usize = 1 << 20;
/// Longer than anything here takes; it only ends what hangs.
const HANG: Duration = Duration::from_secs(120);

/// What one end saw.
struct Seen {
    stats: Stats,
    socket: SocketStats,
}

#[test]
fn the_default_mss_fits_the_link() {
    for mtu in [1500, 1400, 1280] {
        let [client, server] = match netns::veth_pair(mtu) {
            Ok(ends) => ends,
            Err(why) => return println!("skipped: {why}"),
        };
        for (family, mss_bytes) in [(Family::V4, mtu), (Family::V6, mtu - 20)] {
            let ends = exchange(&client, &server, family, Config::default());
            for Seen { stats, socket } in &ends {
                assert_eq!(stats.mss_bytes, mss_bytes, "{family:?} MTU {mtu}");
                assert_eq!(socket.send_too_large, 0, "{family:?} MTU {mtu}");
            }
        }
    }
}

/// Both ends insist on more than the link takes: the system refuses, later packets get smaller, those that have a number
/// are fragmented.
#[test]
fn an_mss_beyond_the_link_still_gets_through() {
    for mtu in [1400, 1280] {
        let [client, server] = match netns::veth_pair(mtu) {
            Ok(ends) => ends,
            Err(why) => return println!("skipped: {why}"),
        };
        let config = Config::builder().mss_bytes(1500).build().expect("1500 is in range");
        for (family, payload_bytes) in [(Family::V4, mtu - 44), (Family::V6, mtu - 64)] {
            for Seen { stats, socket } in exchange(&client, &server, family, config.clone()) {
                assert_eq!((stats.mss_bytes, stats.payload_bytes), (1500, payload_bytes as usize), "{family:?}");
                assert!((1..100).contains(&socket.send_too_large), "{family:?}: {socket:?}");
            }
        }
    }
}

/// Neither end's device tells: a router in the middle does, by ICMP.
#[test]
fn a_narrow_router_is_noticed() {
    let [client, server, router] = match netns::routed_pair([1500, 1500]) {
        Ok(namespaces) => namespaces,
        Err(why) => return println!("skipped: {why}"),
    };
    for (port, subnet) in [("eth0", 1), ("eth1", 2)] {
        router.ip(&format!("route replace 10.77.{subnet}.0/24 dev {port} mtu lock 1300"));
        router.ip(&format!("-6 route add fd77:0:0:{subnet}::/64 dev {port} metric 1 mtu lock 1300"));
    }
    for (family, payload_bytes) in [(Family::V4, 1300 - 44), (Family::V6, 1300 - 64)] {
        for Seen { stats, socket } in exchange_bytes(&client, &server, family, Config::default(), FEW_BYTES) {
            assert_eq!(stats.payload_bytes, payload_bytes, "{family:?}");
            assert!((1..100).contains(&socket.send_too_large), "{family:?}: {socket:?}");
        }
    }
}

/// The kernel's route has a smaller MTU than its device, and is told not to find out more.
#[test]
fn a_locked_route_mtu_is_kept() {
    let [client, server] = match netns::veth_pair(1500) {
        Ok(ends) => ends,
        Err(why) => return println!("skipped: {why}"),
    };
    client.ip(&format!("route add {}/32 dev eth0 mtu lock 1350", netns::V4[1]));
    for Seen { stats, socket } in exchange(&client, &server, Family::V4, Config::default()) {
        assert_eq!((stats.mss_bytes, socket.send_too_large), (1350, 0));
    }
}

#[derive(Clone, Copy, Debug)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn addr(self, end: usize) -> SocketAddr {
        match self {
            Self::V4 => (netns::V4[end], 0).into(),
            Self::V6 => (netns::V6[end], 0).into(),
        }
    }
}

/// Moves [`BYTES`] each way between two namespaces; what the client and what the server saw.
fn exchange(client: &Namespace, server: &Namespace, family: Family, config: Config) -> [Seen; 2] {
    exchange_bytes(client, server, family, config, BYTES)
}

fn exchange_bytes(client: &Namespace, server: &Namespace, family: Family, config: Config, bytes: usize) -> [Seen; 2] {
    let (tell, told) = mpsc::channel();
    let (up, down) = (content(1, bytes), content(2, bytes));
    let serve = async || {
        let endpoint = Endpoint::bind(family.addr(1), EndpointConfig::default()).expect("our address");
        let listener = endpoint.listen(config.clone(), ListenLimits::default()).expect("nobody else listens");
        tell.send(endpoint.local_addr()).expect("the client waits");
        let mut stream = listener.accept().await.expect("the client comes");
        move_bytes(&mut stream, &endpoint, &down, &up).await
    };
    let call = async |told: mpsc::Receiver<SocketAddr>| {
        let endpoint = Endpoint::bind(family.addr(0), EndpointConfig::default()).expect("our address");
        let remote = told.recv().expect("the server listens");
        let mut stream = endpoint.connect(remote, config.clone()).await.expect("the server answers");
        move_bytes(&mut stream, &endpoint, &up, &down).await
    };
    let call = &call;
    std::thread::scope(|scope| {
        let served = scope.spawn(|| server.run(|| block_on(serve())));
        let called = client.run(move || block_on(call(told)));
        [called, served.join().expect("the server does not panic")]
    })
}

async fn move_bytes(stream: &mut Stream, endpoint: &Endpoint, sent: &[u8], expected: &[u8]) -> Seen {
    let mut received = vec![0; expected.len()];
    {
        let (mut reader, mut writer) = tokio::io::split(&mut *stream);
        let (written, read) = tokio::join!(writer.write_all(sent), reader.read_exact(&mut received));
        written.expect("everything is taken");
        read.expect("everything arrives");
    }
    assert!(received == expected, "what arrived is not what was sent");
    stream.close().await.expect("everything is acknowledged");
    let seen = Seen { stats: stream.stats(), socket: endpoint.socket_stats() };
    endpoint.close().await;
    seen
}

fn block_on<T>(task: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(HANG, task).await.expect("the transfer hangs") })
}

/// Bytes that differ everywhere and between seeds.
fn content(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(bytes).collect()
}

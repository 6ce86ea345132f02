//! What an endpoint's connections share: the socket with a second protocol, the address that the peer uses, the rate.

mod support;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use bytes::Bytes;
use godwit_udt::{
    Config, Endpoint, EndpointConfig, ListenLimits, SideChannelError, SideSendError, SideTransmit, SocketConfig,
};
use support::{V4, content, endpoint, exchange, in_time, listener, pair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn a_second_protocol_shares_the_socket_with_a_transfer() {
    in_time(async {
        let ([mut client, mut server], [_client_endpoint, server_endpoint]) = pair(V4, Config::default()).await;
        let mut side = server_endpoint.side_channel().unwrap();
        assert_eq!(server_endpoint.side_channel().unwrap_err(), SideChannelError::InUse);
        let other = UdpSocket::bind(V4).unwrap();
        let other_addr = other.local_addr().unwrap();
        let (up, down) = (content(1, 1 << 20), content(2, 1 << 20));
        let aside = async {
            // A QUIC short header looks like UDT data for a socket that nobody has.
            let quic: Vec<u8> = [0x40].into_iter().chain(content(3, 1199)).collect();
            for datagram in [&quic[..], b"short"] {
                other.send_to(datagram, server_endpoint.local_addr()).unwrap();
                let received = side.recv().await.unwrap();
                assert_eq!((&received.contents[..], received.from), (datagram, other_addr));
                assert_eq!(received.to, Some(server_endpoint.local_addr().ip()));
            }
            let answer = Bytes::from(content(4, 3000));
            let transmit =
                SideTransmit { contents: answer.clone(), segment_bytes: Some(1200), to: other_addr, from: None };
            side.try_send(transmit).unwrap();
            tokio::task::spawn_blocking(move || {
                other.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                for expected in answer.chunks(1200) {
                    let mut datagram = [0; 2000];
                    let length = other.recv(&mut datagram).unwrap();
                    assert_eq!(&datagram[..length], expected);
                }
            })
            .await
            .unwrap();
        };
        tokio::join!(exchange(&mut client, &up, &down), exchange(&mut server, &down, &up), aside);
        let large = Bytes::from(vec![0; 70_000]);
        let transmit = SideTransmit { contents: large, segment_bytes: None, to: other_addr, from: None };
        assert_eq!(side.try_send(transmit).unwrap_err(), SideSendError::TooLarge { bytes: 70_000 });
        drop(side);
        assert!(server_endpoint.side_channel().is_ok());
    })
    .await;
}

#[tokio::test]
async fn what_overflows_the_side_channel_is_counted() {
    in_time(async {
        let server = endpoint(V4);
        let sender = UdpSocket::bind(V4).unwrap();
        let all = |count: usize| {
            for _ in 0..count {
                sender.send_to(b"nobody's", server.local_addr()).unwrap();
            }
        };
        all(3);
        while server.socket_stats().unclaimed_datagrams < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut side = server.side_channel().unwrap();
        all(400);
        while server.socket_stats().received_datagrams < 403 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let dropped = server.socket_stats().side_channel_drops;
        assert!((1..400).contains(&dropped), "{dropped}");
        let mut received = 0;
        while received + dropped < 400 {
            received += side.recv().await.unwrap().contents.len() as u64 / 8;
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_on_all_addresses_answers_from_the_one_that_was_asked() {
    in_time(async {
        if !cfg!(target_os = "linux") {
            println!("skipped: elsewhere 127.0.0.2 is no address of the host");
            return;
        }
        let (server, listener, _) = listener("0.0.0.0:0", Config::default());
        let asked = format!("127.0.0.2:{}", server.local_addr().port()).parse().unwrap();
        let client = endpoint(V4);
        let (connected, accepted) = tokio::join!(client.connect(asked, Config::default()), listener.accept());
        let (mut connected, mut accepted) = (connected.unwrap(), accepted.unwrap());
        assert_eq!((connected.peer_addr(), accepted.local_addr()), (asked, asked));
        let (up, down) = (content(1, 100_000), content(2, 100_000));
        tokio::join!(exchange(&mut connected, &up, &down), exchange(&mut accepted, &down, &up));
    })
    .await;
}

/// Half a megabyte at 8 Mbit/s takes half a second at least, headers not counted; what has been sent faster would show.
async fn limited(set: impl FnOnce(&godwit_udt::Stream, &Endpoint)) {
    let ([mut client, mut server], [client_endpoint, _server_endpoint]) = pair(V4, Config::default()).await;
    set(&client, &client_endpoint);
    let sent = content(1, 500_000);
    let begun = Instant::now();
    let mut received = vec![0; sent.len()];
    let (written, read) = tokio::join!(client.write_all(&sent), server.read_exact(&mut received));
    written.unwrap();
    read.unwrap();
    assert!(received == sent);
    let least = Duration::from_millis(450);
    assert!(begun.elapsed() >= least, "too fast: {:?}", begun.elapsed());
    // And it lets go again.
    client.set_max_rate(None).unwrap();
    client_endpoint.set_max_rate(None);
    let (up, down) = (content(2, 4 << 20), content(3, 4 << 20));
    tokio::join!(exchange(&mut client, &up, &down), exchange(&mut server, &down, &up));
}

#[tokio::test]
async fn a_stream_keeps_its_rate() {
    in_time(limited(|stream, _| stream.set_max_rate(Some(8_000_000)).unwrap())).await;
}

#[tokio::test]
async fn an_endpoint_keeps_its_rate() {
    in_time(limited(|_, endpoint| endpoint.set_max_rate(Some(8_000_000)))).await;
}

#[tokio::test]
async fn the_buffers_that_were_granted_are_told() {
    let buffers = SocketConfig { receive_buffer_bytes: 100_000, send_buffer_bytes: 50_000, ..SocketConfig::default() };
    let endpoint = Endpoint::bind_with(V4.parse().unwrap(), EndpointConfig::default(), buffers).unwrap();
    let stats = endpoint.socket_stats();
    assert_eq!((stats.receive_buffer_bytes_asked, stats.send_buffer_bytes_asked), (100_000, 50_000));
    assert!(stats.receive_buffer_bytes >= 100_000 && stats.send_buffer_bytes >= 50_000, "{stats:?}");
}

#[tokio::test]
async fn without_offload_everything_arrives_and_runs_share_a_call() {
    in_time(async {
        let (_server_endpoint, listener, server_addr) = listener(V4, Config::default());
        let alone = SocketConfig { segmentation_offload: false, ..SocketConfig::default() };
        let client_endpoint = Endpoint::bind_with(V4.parse().unwrap(), EndpointConfig::default(), alone).unwrap();
        let connecting = client_endpoint.connect(server_addr, Config::default());
        let (client, server) = tokio::join!(connecting, listener.accept());
        let (up, down) = (content(1, 4 << 20), content(2, 1 << 10));
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        tokio::join!(exchange(&mut client, &up, &down), exchange(&mut server, &down, &up));
        let stats = client_endpoint.socket_stats();
        assert_eq!(stats.send_calls < stats.sent_datagrams, cfg!(target_os = "linux"), "{stats:?}");
    })
    .await;
}

#[tokio::test]
async fn garbage_disturbs_nobody() {
    in_time(async {
        let ([mut client, mut server], [_client_endpoint, server_endpoint]) = pair(V4, Config::default()).await;
        let attacker = UdpSocket::bind(V4).unwrap();
        let victim = server_endpoint.local_addr();
        let noise = async {
            for length in (0..1500).step_by(7) {
                let mut datagram = content(length as u64, length);
                // Aimed at a connection, at the listener, and at nobody.
                for (id, first) in [(server.id(), 0x80), (0, 0x80), (0, 0), (7, 0x80)] {
                    if length >= 16 {
                        datagram[0] = first;
                        datagram[12..16].copy_from_slice(&id.to_be_bytes());
                    }
                    attacker.send_to(&datagram, victim).unwrap();
                }
                tokio::task::yield_now().await;
            }
        };
        noise.await;
        let (up, down) = (content(1, 1 << 20), content(2, 1 << 20));
        tokio::join!(exchange(&mut client, &up, &down), exchange(&mut server, &down, &up));
        let limits = ListenLimits::default();
        assert!(server_endpoint.listen(Config::default(), limits).is_ok());
    })
    .await;
}

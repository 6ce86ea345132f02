//! How connections and endpoints begin and end.

mod support;

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use godwit_udt::{
    AcceptError, Config, ConnectError, ConnectionError, EndpointConfig, ListenError, ListenLimits, ListenRefused,
};
use support::{V4, V6, content, endpoint, exchange, in_time, listener, pair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn dropping_a_stream_resets_the_peer() {
    in_time(async {
        let ([mut client, server], _endpoints) = pair(V4, Config::default()).await;
        let ([mut other, kept], _others) = pair(V4, Config::default()).await;
        client.write_all(b"hello").await.unwrap();
        drop(server);
        let error = client.read_u8().await.unwrap_err();
        // The server had sent nothing, so nothing is missing: its abort is an end.
        assert!(matches!(error.kind(), ErrorKind::UnexpectedEof), "{error:?}");
        let sent = content(1, 4 << 20);
        let writer = async {
            let mut kept = kept;
            kept.write_all(&sent).await.unwrap();
            drop(kept);
        };
        let reader = async {
            let mut received = Vec::new();
            let error = other.read_to_end(&mut received).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
            assert!(sent.starts_with(&received) && received.len() < sent.len());
        };
        tokio::join!(writer, reader);
    })
    .await;
}

#[tokio::test]
async fn a_port_without_a_listener_is_a_timeout() {
    in_time(async {
        let silent = UdpSocket::bind(V4).unwrap();
        let config = Config::builder().connect_timeout(Duration::from_millis(300)).build().unwrap();
        let error = endpoint(V4).connect(silent.local_addr().unwrap(), config).await.unwrap_err();
        assert!(matches!(error, ConnectError::Failed { source: ConnectionError::HandshakeTimeout, .. }), "{error:?}");
        assert_eq!(std::io::Error::from(error).kind(), ErrorKind::TimedOut);
    })
    .await;
}

#[tokio::test]
async fn a_full_listener_refuses() {
    in_time(async {
        let server = endpoint(V4);
        let limits = ListenLimits { backlog: 1, ..ListenLimits::default() };
        let listener = server.listen(Config::default(), limits).unwrap();
        let client = endpoint(V4);
        let _first = client.connect(server.local_addr(), Config::default()).await.unwrap();
        let error = client.connect(server.local_addr(), Config::default()).await.unwrap_err();
        assert_eq!(std::io::Error::from(error).kind(), ErrorKind::ConnectionRefused);
        let _accepted = listener.accept().await.unwrap();
        let _second = client.connect(server.local_addr(), Config::default()).await.unwrap();
        assert_eq!((server.stats().accepted, server.stats().refused_by_limit), (2, 1));
    })
    .await;
}

#[tokio::test]
async fn wrong_addresses_are_told_at_once() {
    in_time(async {
        let client = endpoint(V4);
        let v6 = client.connect("[::1]:9".parse().unwrap(), Config::default()).await;
        assert!(matches!(v6, Err(ConnectError::AddressFamily { .. })), "{v6:?}");
        let port_0 = client.connect("127.0.0.1:0".parse().unwrap(), Config::default()).await;
        assert!(matches!(port_0, Err(ConnectError::Refused(_) | ConnectError::NoRoute { .. })), "{port_0:?}");
        // A socket on loopback has no way out.
        let far = client.connect("192.0.2.1:9".parse().unwrap(), Config::default()).await;
        assert!(matches!(far, Err(ConnectError::NoRoute { .. })), "{far:?}");
    })
    .await;
}

#[tokio::test]
async fn two_peers_meet_without_a_listener() {
    in_time(async {
        let (a, b) = (endpoint(V4), endpoint(V4));
        let config = Config::builder().rendezvous(true).build().unwrap();
        let (of_a, of_b) = tokio::join!(a.connect(b.local_addr(), config.clone()), b.connect(a.local_addr(), config));
        let (mut of_a, mut of_b) = (of_a.unwrap(), of_b.unwrap());
        let (up, down) = (content(1, 100_000), content(2, 100_000));
        tokio::join!(exchange(&mut of_a, &up, &down), exchange(&mut of_b, &down, &up));
    })
    .await;
}

#[tokio::test]
async fn a_port_listens_and_connects_at_once() {
    in_time(async {
        let ((a, a_listener, a_addr), (b, b_listener, b_addr)) =
            (listener(V4, Config::default()), listener(V4, Config::default()));
        let (to_b, to_a, at_a, at_b) = tokio::join!(
            a.connect(b_addr, Config::default()),
            b.connect(a_addr, Config::default()),
            a_listener.accept(),
            b_listener.accept()
        );
        let (mut to_b, mut to_a, mut at_a, mut at_b) = (to_b.unwrap(), to_a.unwrap(), at_a.unwrap(), at_b.unwrap());
        assert_eq!((at_b.peer_addr(), at_a.peer_addr()), (a_addr, b_addr));
        let (x, y) = (content(1, 50_000), content(2, 50_000));
        tokio::join!(
            exchange(&mut to_b, &x, &y),
            exchange(&mut at_b, &y, &x),
            exchange(&mut to_a, &y, &x),
            exchange(&mut at_a, &x, &y)
        );
    })
    .await;
}

#[tokio::test]
async fn both_families_share_a_port() {
    let v4 = endpoint("0.0.0.0:0");
    let v6 = format!("[::]:{}", v4.local_addr().port());
    match godwit_udt::Endpoint::bind(v6.parse().unwrap(), EndpointConfig::default()) {
        Ok(_) => {}
        Err(_) if UdpSocket::bind(V6).is_err() => println!("skipped: this system has no IPv6"),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_listener_ends_with_its_drop_and_can_be_followed_by_another() {
    in_time(async {
        let (server, first, addr) = listener(V4, Config::default());
        let client = endpoint(V4);
        let mut kept = client.connect(addr, Config::default()).await.unwrap();
        let mut accepted = first.accept().await.unwrap();
        let mut waiting = client.connect(addr, Config::default()).await.unwrap();
        let again = server.listen(Config::default(), ListenLimits::default()).unwrap_err();
        assert_eq!(again, ListenError::Refused(ListenRefused::AlreadyListening));
        drop(first);
        // Nobody accepted that one; what was accepted goes on.
        assert_eq!(waiting.read_chunk(9).await.unwrap(), None);
        exchange(&mut kept, b"", b"").await;
        let (up, down) = (content(1, 9000), content(2, 9000));
        tokio::join!(exchange(&mut kept, &up, &down), exchange(&mut accepted, &down, &up));
        let second = server.listen(Config::default(), ListenLimits::default()).unwrap();
        let (connected, accepted) = tokio::join!(client.connect(addr, Config::default()), second.accept());
        assert_eq!(connected.unwrap().local_addr(), accepted.unwrap().peer_addr());
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_accept_loses_no_connection() {
    in_time(async {
        let (_server, listener, addr) = listener(V4, Config::default());
        let client = endpoint(V4);
        assert!(tokio::time::timeout(Duration::from_millis(5), listener.accept()).await.is_err());
        let connecting = tokio::spawn(async move { (client.connect(addr, Config::default()).await.unwrap(), client) });
        let accepted = loop {
            if let Ok(accepted) = tokio::time::timeout(Duration::from_micros(100), listener.accept()).await {
                break accepted.unwrap();
            }
        };
        assert_eq!(accepted.peer_addr(), connecting.await.unwrap().0.local_addr());
    })
    .await;
}

#[tokio::test]
async fn closing_an_endpoint_delivers_everything() {
    in_time(async {
        let ([mut client, mut server], [client_endpoint, server_endpoint]) = pair(V4, Config::default()).await;
        let sent = content(1, 2 << 20);
        client.write_all(&sent).await.unwrap();
        let reader = async {
            let mut received = Vec::new();
            server.read_to_end(&mut received).await.unwrap();
            assert!(received == sent);
        };
        tokio::join!(client_endpoint.close(), reader);
        assert!(client.write_all(b"late").await.is_err());
        let late = client_endpoint.connect(server_endpoint.local_addr(), Config::default()).await;
        assert!(matches!(late, Err(ConnectError::EndpointClosed)), "{late:?}");
        assert_eq!(client_endpoint.connections(), 0);
    })
    .await;
}

#[tokio::test]
async fn the_last_handle_aborts_what_is_left() {
    in_time(async {
        let ([mut client, mut server], [client_endpoint, _server_endpoint]) = pair(V4, Config::default()).await;
        client.write_all(&content(1, 8 << 20)).await.unwrap();
        drop(client_endpoint);
        let mut received = Vec::new();
        assert_eq!(server.read_to_end(&mut received).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        // The stream whose driver has gone does not hang.
        assert!(client.read_u8().await.is_err());
        assert!(client.write_all(&content(1, 80 << 20)).await.is_err());
        assert!(client.shutdown().await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_listener_learns_that_its_endpoint_closes() {
    in_time(async {
        let (server, listener, _addr) = listener(V4, Config::default());
        let (accepted, ()) = tokio::join!(listener.accept(), server.close());
        assert_eq!(accepted.unwrap_err(), AcceptError::EndpointClosed);
    })
    .await;
}

#[tokio::test]
async fn a_close_that_the_peer_never_acknowledges_is_bounded_by_the_linger_time() {
    in_time(async {
        let config =
            Config::builder().linger(Duration::from_millis(300)).receive_buffer_bytes(64 << 10).build().unwrap();
        let ([mut client, _server], _endpoints) = pair(V4, config).await;
        // More than the peer has room for, and nobody reads there.
        let sent = content(1, 1 << 20);
        let _ = client.write_chunk(&sent).await.unwrap();
        let begun = Instant::now();
        let error = client.shutdown().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(begun.elapsed() >= Duration::from_millis(300));
    })
    .await;
}

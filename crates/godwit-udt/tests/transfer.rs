//! Bytes and messages between two ends of ours on loopback.

mod support;

use std::time::Duration;

use godwit_udt::{Config, MessageOptions, SocketType};
use support::{V4, V6, content, exchange, in_time, pair};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};

async fn both_ways(addr: &str) {
    let ([mut client, mut server], _endpoints) = pair(addr, Config::default()).await;
    let (up, down) = (content(1, 8 << 20), content(2, 8 << 20));
    tokio::join!(exchange(&mut client, &up, &down), exchange(&mut server, &down, &up));
    assert_eq!(client.peer_addr(), server.local_addr());
    assert_eq!(client.local_addr(), server.peer_addr());
    assert_eq!(client.stats().sender.sent_bytes - client.stats().sender.retransmitted_bytes, 8 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_mebibytes_both_ways_over_ipv4() {
    in_time(both_ways(V4)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_mebibytes_both_ways_over_ipv6() {
    if std::net::UdpSocket::bind(V6).is_err() {
        println!("skipped: this system has no IPv6");
        return;
    }
    in_time(both_ways(V6)).await;
}

#[tokio::test]
async fn one_thread_drives_both_ends() {
    in_time(both_ways(V4)).await;
}

#[tokio::test]
async fn sizes_around_a_packet_arrive_and_a_close_ends_the_stream() {
    in_time(async {
        for bytes in [1, 1455, 1456, 1457, 100_000] {
            let ([mut client, mut server], _endpoints) = pair(V4, Config::default()).await;
            let sent = content(bytes as u64, bytes);
            client.write_all(&sent).await.unwrap();
            // The reader does not wait for the close, nor the close for the reader.
            client.shutdown().await.unwrap();
            let mut received = Vec::new();
            server.read_to_end(&mut received).await.unwrap();
            assert!(received == sent, "{bytes} bytes");
            server.shutdown().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn chunks_are_as_long_as_asked_for_at_most() {
    in_time(async {
        let ([mut client, mut server], _endpoints) = pair(V4, Config::default()).await;
        let sent = content(3, 300_000);
        let sender = async {
            let mut rest = &sent[..];
            while !rest.is_empty() {
                let taken = client.write_chunk(rest).await.unwrap();
                rest = &rest[taken..];
            }
            client.close().await.unwrap();
        };
        let receiver = async {
            let mut received = Vec::new();
            while let Some(chunk) = server.read_chunk(1000).await.unwrap() {
                assert!((1..=1000).contains(&chunk.len()));
                received.extend_from_slice(&chunk);
            }
            assert!(received == sent);
        };
        tokio::join!(sender, receiver);
    })
    .await;
}

#[tokio::test]
async fn a_slow_reader_makes_the_writer_wait() {
    in_time(async {
        let config = Config::builder().send_buffer_bytes(256 << 10).receive_buffer_bytes(512 << 10).build().unwrap();
        let ([mut client, mut server], _endpoints) = pair(V4, config).await;
        let sent = content(4, 4 << 20);
        let mut accepted = 0;
        // Nobody reads: both buffers fill, then nothing is taken any more.
        while let Ok(taken) =
            tokio::time::timeout(Duration::from_millis(500), client.write_chunk(&sent[accepted..])).await
        {
            accepted += taken.unwrap();
            assert!(accepted < 2 << 20, "the writer never had to wait");
        }
        let writer = async {
            client.write_all(&sent[accepted..]).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let reader = async {
            let mut received = Vec::new();
            server.read_to_end(&mut received).await.unwrap();
            assert!(received == sent);
        };
        tokio::join!(writer, reader);
    })
    .await;
}

#[tokio::test]
async fn messages_keep_their_boundaries() {
    in_time(async {
        let config = Config::builder().socket_type(SocketType::Datagram).build().unwrap();
        let ([mut client, mut server], _endpoints) = pair(V4, config).await;
        let sizes = [1, 1456, 1457, 100_000, 1 << 20];
        let options = MessageOptions { in_order: true, ..MessageOptions::default() };
        let sender = async {
            for size in sizes {
                client.send_message(&content(size as u64, size), options).await.unwrap();
            }
            client.close().await.unwrap();
        };
        let receiver = async {
            for size in sizes {
                let message = server.recv_message().await.unwrap().expect("a message");
                assert!(message == content(size as u64, size), "message of {size} bytes");
            }
            assert_eq!(server.recv_message().await.unwrap(), None);
        };
        tokio::join!(sender, receiver);
    })
    .await;
}

#[tokio::test]
async fn cancelled_reads_and_writes_lose_nothing() {
    in_time(async {
        let config = Config::builder().send_buffer_bytes(64 << 10).build().unwrap();
        let ([mut client, mut server], _endpoints) = pair(V4, config).await;
        let sent = content(5, 1 << 20);
        let brief = Duration::from_micros(200);
        let writer = async {
            let mut rest = &sent[..];
            while !rest.is_empty() {
                if let Ok(taken) = tokio::time::timeout(brief, client.write_chunk(rest)).await {
                    rest = &rest[taken.unwrap()..];
                }
            }
            while tokio::time::timeout(brief, client.close()).await.is_err() {}
        };
        let reader = async {
            let mut received = Vec::new();
            loop {
                match tokio::time::timeout(brief, server.read_chunk(5000)).await {
                    Err(_cancelled) => {}
                    Ok(Ok(Some(chunk))) => received.extend_from_slice(&chunk),
                    Ok(end) => break assert_eq!(end.unwrap(), None),
                }
            }
            assert!(received == sent);
        };
        tokio::join!(writer, reader);
    })
    .await;
}

#[tokio::test]
async fn many_small_slices_are_written_at_once() {
    in_time(async {
        let ([mut client, mut server], _endpoints) = pair(V4, Config::default()).await;
        let sent = content(6, 100_000);
        let mut slices: Vec<std::io::IoSlice<'_>> = sent.chunks(999).map(std::io::IoSlice::new).collect();
        slices.insert(7, std::io::IoSlice::new(b""));
        assert!(client.is_write_vectored());
        let written = client.write_vectored(&slices).await.unwrap();
        assert_eq!(written, sent.len());
        client.shutdown().await.unwrap();
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert!(received == sent);
    })
    .await;
}

#[test]
fn streams_and_their_friends_move_between_threads() {
    const fn moves<T: Send + Sync + Unpin>() {}
    moves::<godwit_udt::Stream>();
    moves::<godwit_udt::Listener>();
    moves::<godwit_udt::Endpoint>();
    moves::<godwit_udt::SideChannel>();
    moves::<godwit_udt::ConnectionHandle>();
}

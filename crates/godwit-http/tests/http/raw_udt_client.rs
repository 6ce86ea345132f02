//! Our server under UDT clients that are not ours. UDT keeps real time, so the limits are short and only bounded below.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use godwit_http::{ServerConfig, Transport};
use godwit_udt::{Config, Endpoint, EndpointConfig, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::support::{HANG, Running, service};

const LIMIT: Duration = Duration::from_millis(300);

async fn connect(server: &Running) -> (Endpoint, Stream) {
    let endpoint = Endpoint::bind((Ipv4Addr::LOCALHOST, 0).into(), EndpointConfig::default()).expect("a free port");
    let stream = endpoint.connect(server.url.address, Config::default()).await.expect("the server listens");
    (endpoint, stream)
}

/// Everything up to the end of the connection, whatever the end is.
async fn read_to_end(stream: &mut Stream) -> String {
    let mut bytes = Vec::new();
    let _reset = timeout(HANG, stream.read_to_end(&mut bytes)).await.expect("no hang");
    String::from_utf8(bytes).expect("text")
}

#[tokio::test]
async fn requests_typed_by_hand_are_answered() {
    let server = Running::start(Transport::Udt, ServerConfig::default(), service);
    let (_endpoint, mut stream) = connect(&server).await;
    stream.write_all(b"GET /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.expect("an open connection");
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello"), "{answer}");
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let server =
        Running::start(Transport::Udt, ServerConfig { idle_timeout: LIMIT, ..ServerConfig::default() }, service);
    let start = Instant::now();
    let (_endpoint, mut stream) = connect(&server).await;
    assert_eq!(read_to_end(&mut stream).await, "");
    assert!(start.elapsed() >= LIMIT);
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let config = ServerConfig { request_head_timeout: LIMIT, idle_timeout: 2 * HANG, ..ServerConfig::default() };
    let server = Running::start(Transport::Udt, config, service);
    let (_endpoint, mut stream) = connect(&server).await;
    stream.write_all(b"GET / HTTP").await.expect("an open connection");
    assert_eq!(read_to_end(&mut stream).await, "");
}

#[tokio::test]
async fn a_client_that_sends_all_before_it_reads_gets_its_refusal() {
    let server = Running::start(Transport::Udt, ServerConfig::default(), service);
    let (_endpoint, mut stream) = connect(&server).await;
    stream.write_all(b"PUT /refuse HTTP/1.1\r\nhost: a\r\ncontent-length: 8388608\r\n\r\n").await.expect("the head");
    // The server may close before it has all: what it said must be readable nevertheless.
    let _closed = stream.write_all(&vec![0; 8 << 20]).await;
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("uploads are off here"), "{answer}");
}

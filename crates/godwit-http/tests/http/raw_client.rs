//! Our server under clients that are not ours: bytes typed by hand, misbehaviour, curl.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use godwit_http::{ConnectionHandle, ServerConfig, Transport, full_body};
use http::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{HANG, Running, client, get, large_body, service, text};

/// Of virtual time: the tests below that pause it wait for hours in no time at all.
const EVER: Duration = Duration::from_secs(24 * 3600);

async fn connect(server: &Running) -> TcpStream {
    TcpStream::connect(server.url.address).await.expect("the server listens")
}

async fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("an open connection");
}

/// Everything up to the end of the connection.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    timeout(EVER, stream.read_to_end(&mut bytes)).await.expect("no hang").expect("a clean end");
    String::from_utf8(bytes).expect("text")
}

/// Up to and with `end`.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let byte = timeout(EVER, stream.read_u8()).await.expect("no hang");
        text.push(char::from(byte.unwrap_or_else(|error| panic!("{error} after {text:?}"))));
    }
    text
}

fn tcp(config: ServerConfig) -> Running {
    Running::start(Transport::Tcp, config, service)
}

fn assert_about(elapsed: Duration, expected: Duration) {
    assert!(elapsed >= expected && elapsed < expected + Duration::from_secs(1), "{elapsed:?}, not {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_is_cut_off() {
    let server = tcp(ServerConfig::default());
    let mut stream = connect(&server).await;
    sleep(Duration::from_secs(30)).await;
    let start = Instant::now();
    for byte in ["G", "E", "T"] {
        send(&mut stream, byte).await;
        sleep(Duration::from_secs(4)).await;
    }
    assert_eq!(read_to_end(&mut stream).await, "");
    assert_about(start.elapsed(), ServerConfig::default().request_head_timeout);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed() {
    let server = tcp(ServerConfig::default());
    let start = Instant::now();
    assert_eq!(read_to_end(&mut connect(&server).await).await, "");
    assert_about(start.elapsed(), ServerConfig::default().idle_timeout);

    let mut stream = connect(&server).await;
    for _ in 0..3 {
        // Longer than the head may take: between requests that limit does not count.
        sleep(Duration::from_secs(50)).await;
        send(&mut stream, "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
        read_until(&mut stream, "hello").await;
    }
    let start = Instant::now();
    assert_eq!(read_to_end(&mut stream).await, "");
    assert_about(start.elapsed(), ServerConfig::default().idle_timeout);
}

#[tokio::test(start_paused = true)]
async fn work_and_slow_transfers_are_not_idle() {
    let slow = async |_request| {
        sleep(Duration::from_secs(1000)).await;
        Response::new(full_body("after long work"))
    };
    let server = Running::start(Transport::Tcp, ServerConfig::default(), slow);
    assert_eq!(text(client().request(get(&server.at("/"))).await.expect("a response")).await, "after long work");

    let server = tcp(ServerConfig::default());
    let mut stream = connect(&server).await;
    send(&mut stream, "PUT /read-trailer HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n").await;
    for _ in 0..10 {
        sleep(Duration::from_secs(45)).await;
        send(&mut stream, "x").await;
    }
    read_until(&mut stream, "10 bytes, None").await;
}

#[tokio::test(start_paused = true)]
async fn a_stalled_upload_is_closed() {
    let server = tcp(ServerConfig::default());
    let mut stream = connect(&server).await;
    send(&mut stream, "PUT /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc").await;
    let start = Instant::now();
    assert!(read_to_end(&mut stream).await.ends_with("abc"));
    assert_about(start.elapsed(), ServerConfig::default().idle_timeout);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_closed() {
    let (tell, mut told) = mpsc::channel(1);
    let serve = move |request: http::Request<_>| {
        tell.try_send(request.extensions().get::<ConnectionHandle>().cloned()).expect("one request only");
        async { Response::new(large_body(64 << 20)) }
    };
    let server = Running::start(Transport::Tcp, ServerConfig::default(), serve);
    let mut stream = connect(&server).await;
    send(&mut stream, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let handle = told.recv().await.flatten().expect("every request has its connection");
    let start = Instant::now();
    while handle.set_max_rate(None).is_ok() {
        assert!(start.elapsed() < EVER);
        sleep(Duration::from_secs(1)).await;
    }
    assert!(start.elapsed() >= ServerConfig::default().idle_timeout);
}

#[tokio::test]
async fn trailers_go_only_to_those_who_ask() {
    let server = tcp(ServerConfig::default());
    let mut stream = connect(&server).await;
    send(&mut stream, "GET /trailer HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\r\n").await;
    let with = read_until(&mut stream, "\r\n0\r\ndigest: the trailer of a response\r\n\r\n").await;
    assert!(with.contains("trailer: digest\r\n") && with.contains("transfer-encoding: chunked\r\n"), "{with}");
    send(&mut stream, "GET /trailer HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let without = read_to_end(&mut stream).await;
    assert!(without.ends_with("some bytes\r\n0\r\n\r\n"), "{without}");
}

#[tokio::test]
async fn a_request_trailer_reaches_the_service() {
    let server = tcp(ServerConfig::default());
    let mut stream = connect(&server).await;
    send(&mut stream, "PUT /read-trailer HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: digest\r\n\r\n")
        .await;
    send(&mut stream, "3\r\nabc\r\n0\r\ndigest: typed\r\n\r\n").await;
    read_until(&mut stream, "3 bytes, Some(\"typed\")").await;
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_order() {
    let server = tcp(ServerConfig::default());
    let mut stream = connect(&server).await;
    send(&mut stream, "GET /hello HTTP/1.1\r\nhost: a\r\n\r\nGET /missing HTTP/1.1\r\nhost: a\r\n\r\n").await;
    send(&mut stream, "GET /hello HTTP/1.0\r\n\r\n").await;
    let answers = read_to_end(&mut stream).await;
    let status: Vec<_> = answers.split("HTTP/1.").skip(1).map(|answer| &answer[2..5]).collect();
    assert_eq!(status, ["200", "404", "200"], "{answers}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_told_so() {
    let server = tcp(ServerConfig::default());
    let mut stream = connect(&server).await;
    send(&mut stream, "GET / HTTP/1.1\r\nhost: a\r\n").await;
    // More than fits, and still sending when the answer comes: the answer must survive it.
    let field = format!("x: {}\r\n", "y".repeat(1000));
    for _ in 0..100 {
        send(&mut stream, &field).await;
    }
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn what_is_not_http_is_told_so() {
    let server = tcp(ServerConfig::default());
    let mut stream = connect(&server).await;
    send(&mut stream, "\u{1}\u{2} nonsense\r\n\r\n").await;
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn only_who_may_upload_is_asked_to_continue() {
    let server = tcp(ServerConfig::default());
    let head = "HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
    let mut stream = connect(&server).await;
    send(&mut stream, &format!("PUT /read-trailer {head}")).await;
    assert_eq!(read_until(&mut stream, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    send(&mut stream, "abc").await;
    read_until(&mut stream, "3 bytes, None").await;

    let mut stream = connect(&server).await;
    send(&mut stream, &format!("PUT /refuse {head}")).await;
    let answer = read_until(&mut stream, "uploads are off here").await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("connection: close\r\n"), "{answer}");
}

/// As many simple clients do: everything is sent before anything is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_all_before_it_reads_gets_its_refusal() {
    let server = tcp(ServerConfig::default());
    let address = server.url.address;
    let client = move || {
        let mut stream = std::net::TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(HANG)).expect("a timeout");
        stream.set_write_timeout(Some(HANG)).expect("a timeout");
        stream.write_all(b"PUT /refuse HTTP/1.1\r\nhost: a\r\ncontent-length: 67108864\r\n\r\n").expect("the head");
        stream.write_all(&vec![0; 64 << 20]).expect("the server takes it all");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the answer");
        answer
    };
    let answer = tokio::task::spawn_blocking(client).await.expect("no panic");
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("uploads are off here"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_understands_us() {
    if Command::new("curl").arg("--version").output().is_err() {
        return eprintln!("skipped: curl is not installed");
    }
    let server = tcp(ServerConfig::default());
    let curl = async |args: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "100"]).args(args);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("curl runs");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    assert_eq!(curl(&[&server.at("/hello")]).await, "hello");
    assert!(curl(&["--head", &server.at("/hello")]).await.starts_with("HTTP/1.1 200 OK\r\n"));
    let upload = tempfile::NamedTempFile::new().expect("a temporary file");
    upload.as_file().set_len(64 << 20).expect("a sparse file");
    let path = upload.path().to_str().expect("a plain path");
    assert_eq!(curl(&["-T", path, &server.at("/read-trailer")]).await, "67108864 bytes, None");
    for expect in ["Expect: 100-continue", "Expect:"] {
        let refused = curl(&["-T", path, "-H", expect, "-w", " %{http_code}", &server.at("/refuse")]).await;
        assert_eq!(refused, "uploads are off here 403", "with {expect}");
    }
}

#[tokio::test]
async fn a_server_in_shutdown_closes_idle_connections_at_once() {
    let server = tcp(ServerConfig { drain_timeout: HANG, ..ServerConfig::default() });
    let (mut unused, mut kept) = (connect(&server).await, connect(&server).await);
    send(&mut kept, "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
    read_until(&mut kept, "hello").await;
    let start = Instant::now();
    server.shut_down().await;
    assert!(start.elapsed() < HANG / 2, "nothing to wait for");
    for stream in [&mut unused, &mut kept] {
        assert_eq!(read_to_end(stream).await, "");
    }
}

#[tokio::test]
async fn connections_over_the_limit_get_an_end_and_no_answer() {
    let server = tcp(ServerConfig { connections_max: 1, ..ServerConfig::default() });
    let mut first = connect(&server).await;
    send(&mut first, "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
    read_until(&mut first, "hello").await;
    let mut second: TcpStream = TcpStream::connect(server.url.address).await.expect("the kernel accepts");
    assert_eq!(read_to_end(&mut second).await, "");
    let _address: SocketAddr = first.local_addr().expect("still open");
    send(&mut first, "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
    read_until(&mut first, "hello").await;
}

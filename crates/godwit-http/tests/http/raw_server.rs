//! Our client under servers that are not ours: bytes typed by hand, and misbehaviour.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use godwit_http::{Client, ClientConfig, ConnectionHandle, ErrorKind, RequestError, body_error_kind};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout};

use crate::support::{HANG, client, get, large_body, text};

/// A server whose connections are handled one after the other, each by the next of `handlers`.
fn serve(handlers: Vec<fn(TcpStream)>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    let url = format!("http://{}/", listener.local_addr().expect("a bound socket"));
    let server = std::thread::spawn(move || {
        for handler in handlers {
            let (stream, _) = listener.accept().expect("a connection");
            stream.set_read_timeout(Some(HANG)).expect("a timeout");
            handler(stream);
        }
    });
    (url, server)
}

/// Reads a request head, and what the client has sent after it by chance.
fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut buf = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let bytes = stream.read(&mut buf).expect("a request");
        assert_ne!(bytes, 0, "a whole head");
        head.extend_from_slice(&buf[..bytes]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn answer_hello(mut stream: TcpStream) {
    read_head(&mut stream);
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").expect("an answer");
}

/// Closes with most of the request unread: the kernel sends a reset right after the answer.
fn refuse_and_reset(mut stream: TcpStream) {
    read_head(&mut stream);
    stream.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 8\r\n\r\ntoo much").expect("an answer");
}

/// Only the runtime's clock and the caller's patience limit what these tests wait for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_followed_by_a_reset_is_read() {
    for _ in 0..20 {
        let (url, server) = serve(vec![refuse_and_reset]);
        let request = Request::put(&url).body(large_body(64 << 20)).expect("a request");
        let response = timeout(HANG, client().request(request)).await.expect("no hang").expect("the refusal");
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(text(response).await, "too much");
        server.join().expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_closed_between_requests_is_replaced() {
    let (url, server) = serve(vec![answer_hello, answer_hello, answer_hello]);
    let client = client();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let response = client.request(get(&url)).await.expect("a response");
        ids.push(response.extensions().get::<ConnectionHandle>().expect("every response has it").id());
        assert_eq!(text(response).await, "hello");
    }
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
    server.join().expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_with_the_request_is_tried_once_more() {
    let lose = |mut stream: TcpStream| {
        read_head(&mut stream);
    };
    let (url, server) = serve(vec![lose, answer_hello]);
    assert_eq!(text(client().request(get(&url)).await.expect("the second time")).await, "hello");
    server.join().expect("no panic");

    let (url, server) = serve(vec![lose, lose]);
    let error = client().request(get(&url)).await.expect_err("not a third time");
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(matches!(error, RequestError::Lost { .. }), "{error}");
    server.join().expect("no panic");

    let (url, server) = serve(vec![lose]);
    let request = Request::put(&url).body(large_body(10)).expect("a request");
    let error = client().request(request).await.expect_err("an upload is not repeated");
    assert!(matches!(error, RequestError::Lost { .. }), "{error}");
    server.join().expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_body_is_a_network_error() {
    let (url, server) = serve(vec![|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello").expect("an answer");
    }]);
    let response = client().request(get(&url)).await.expect("the head");
    let error = response.into_body().collect().await.expect_err("45 bytes are missing");
    assert_eq!(body_error_kind(&error), ErrorKind::Network, "{error}");
    assert!(error.to_string().starts_with("the connection was lost before the end of the body: "), "{error}");
    server.join().expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_in_another_protocol_is_named() {
    let greet = |mut stream: TcpStream| stream.write_all(b"220 mail ready\r\n").expect("a greeting");
    let (url, server) = serve(vec![|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"220 mail ready\r\n").expect("an answer");
    }]);
    let error = client().request(get(&url)).await.expect_err("not HTTP");
    assert!(matches!(error, RequestError::NotHttp { .. }), "{error:?}");
    server.join().expect("no panic");

    // Unasked: whether hyper reads it before it writes is a race, but it is never a response.
    let (url, server) = serve(vec![greet, greet]);
    assert_eq!(client().request(get(&url)).await.expect_err("not HTTP").kind(), ErrorKind::Network);
    drop(TcpStream::connect(url.trim_start_matches("http://").trim_end_matches('/')));
    server.join().expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_begins_although_nobody_says_continue() {
    let (url, server) = serve(vec![|mut stream| {
        let head = read_head(&mut stream);
        assert!(head.ends_with("\r\n\r\n"), "no body before the wait is over: {head}");
        let mut body = [0; 10];
        stream.read_exact(&mut body).expect("the body");
        stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").expect("an answer");
    }]);
    let continue_timeout = Duration::from_millis(200);
    let client = Client::new(ClientConfig { continue_timeout, ..ClientConfig::default() });
    let start = Instant::now();
    let request = Request::put(&url).header("expect", "100-continue").body(large_body(10)).expect("a request");
    let response = timeout(HANG, client.request(request)).await.expect("no hang").expect("a response");
    assert_eq!(response.status(), StatusCode::CREATED);
    assert!(start.elapsed() >= continue_timeout);
    server.join().expect("no panic");
}

//! Requests and responses between our client and our server, the same over every transport.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::support::{HANG, Running, body_with_trailer, client, get, large_body, loopback, service, text};
use bytes::Bytes;
use godwit_http::{BindError, Body, ClientConfig, ConnectionHandle, ErrorKind, ListenUrl, RequestError, Server};
use godwit_http::{Client, ServerConfig, Transport, body_error_kind, empty_body, full_body};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokio::time::timeout;

/// Every test below, once per transport.
macro_rules! over_each_transport {
    ($($test:ident),* $(,)?) => {
        mod tcp { $(#[tokio::test] async fn $test() { super::$test(super::Transport::Tcp).await; })* }
        mod udt { $(#[tokio::test] async fn $test() { super::$test(super::Transport::Udt).await; })* }
    };
}

over_each_transport!(
    requests_get_responses,
    a_connection_is_used_again_and_says_so,
    connection_counters_see_the_bytes,
    large_bodies_arrive_both_ways,
    trailers_pass_both_ways,
    a_refused_upload_gets_its_answer,
    a_refused_upload_that_expects_sends_nothing,
    an_expected_upload_is_asked_for,
    a_failed_response_is_never_whole,
    a_lost_server_is_a_network_error,
    a_stalled_response_is_a_network_error,
    nobody_there_is_a_network_error,
    a_body_of_ours_that_fails_is_not_a_network_error,
    too_many_connections_are_closed_at_once,
    shutting_down_finishes_what_runs,
    shutting_down_aborts_what_does_not_finish,
    a_lower_rate_is_kept,
    a_configured_rate_is_kept_both_ways,
    rates_and_controllers_are_set_where_they_apply,
    two_hundred_connections_work_at_once,
    a_closed_client_tells_the_server,
    both_ip_versions_share_a_port,
    a_port_in_use_is_named,
);

async fn requests_get_responses(transport: Transport) {
    let server = Running::start(transport, ServerConfig::default(), service);
    let client = client();
    assert_eq!(text(client.request(get(&server.at("/hello"))).await.expect("a response")).await, "hello");
    let missing = client.request(get(&server.at("/missing"))).await.expect("a response");
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    // A name whose first address may have nobody: the next one is tried.
    let localhost = server.at("/hello").replace("127.0.0.1", "localhost");
    assert_eq!(text(client.request(get(&localhost)).await.expect("a response")).await, "hello");
    // Origin form, and the Host header with its port (RFC 9112 section 3.2).
    let uri = text(client.request(get(&server.at("/uri?a=b"))).await.expect("a response")).await;
    assert_eq!(uri, format!("/uri?a=b Some(\"{}\")", server.url.address));
    server.shut_down().await;
}

async fn a_connection_is_used_again_and_says_so(transport: Transport) {
    let server = Running::start(transport, ServerConfig::default(), service);
    let client = client();
    let mut seen = HashMap::new();
    let start = Instant::now();
    loop {
        let response = client.request(get(&server.at("/connection"))).await.expect("a response");
        let handle = response.extensions().get::<ConnectionHandle>().expect("every response has it").clone();
        assert_eq!((handle.transport(), handle.peer()), (transport, server.url.address));
        let theirs = text(response).await;
        assert_eq!(theirs.split(' ').nth(1), Some(&*handle.local().to_string()), "both ends name the same connection");
        if let Some(before) = seen.insert(handle.id(), theirs.clone()) {
            return assert_eq!(before, theirs, "the server sees the same connection, too");
        }
        // The pool takes the connection back in a task of its own.
        assert!(start.elapsed() < HANG, "never used again: {seen:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn connection_counters_see_the_bytes(transport: Transport) {
    let server = Running::start(transport, ServerConfig::default(), service);
    let request = Request::post(server.at("/echo")).body(full_body(vec![7; 100_000])).expect("a request");
    let response = client().request(request).await.expect("a response");
    let handle = response.extensions().get::<ConnectionHandle>().expect("every response has it").clone();
    let echoed = response.into_body().collect().await.expect("the body").to_bytes();
    assert_eq!(echoed, Bytes::from(vec![7; 100_000]));
    let stats = handle.stats();
    for bytes in [stats.bytes_sent, stats.bytes_received] {
        assert!((100_000..110_000).contains(&bytes), "{stats:?}");
    }
}

async fn large_bodies_arrive_both_ways(transport: Transport) {
    const SIZE: u64 = 16 << 20;
    let server = Running::start(transport, ServerConfig::default(), service);
    let request = Request::put(server.at("/echo")).body(large_body(SIZE)).expect("a request");
    let response = client().request(request).await.expect("a response");
    let echoed = timeout(HANG, response.into_body().collect()).await.expect("no hang").expect("the body").to_bytes();
    assert_eq!(echoed.len() as u64, SIZE);
    assert!(echoed.iter().all(|&byte| byte == 0));
}

async fn trailers_pass_both_ways(transport: Transport) {
    let server = Running::start(transport, ServerConfig::default(), service);
    let client = client();
    let mut request = get(&server.at("/trailer"));
    request.headers_mut().insert("te", "trailers".parse().expect("a value"));
    let response = client.request(request).await.expect("a response");
    let collected = response.into_body().collect().await.expect("the body");
    assert_eq!(collected.trailers().expect("trailers")["digest"], "the trailer of a response");

    let without = client.request(get(&server.at("/trailer"))).await.expect("a response");
    let collected = without.into_body().collect().await.expect("the body");
    assert_eq!(collected.trailers(), None, "only to those who ask (RFC 9110 section 6.5.1)");
    assert_eq!(collected.to_bytes(), "some bytes");

    let request = Request::put(server.at("/read-trailer"))
        .header("trailer", "digest")
        .body(body_with_trailer("twelve bytes", "digest", "of a request"))
        .expect("a request");
    let answer = text(client.request(request).await.expect("a response")).await;
    assert_eq!(answer, "12 bytes, Some(\"of a request\")");
}

async fn a_refused_upload_gets_its_answer(transport: Transport) {
    const SIZE: u64 = 64 << 20;
    let server = Running::start(transport, ServerConfig::default(), service);
    let client = client();
    for _ in 0..5 {
        let request = Request::put(server.at("/refuse")).body(large_body(SIZE)).expect("a request");
        let response =
            timeout(HANG, client.request(request)).await.expect("no hang").expect("the refusal, no broken pipe");
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        let handle = response.extensions().get::<ConnectionHandle>().expect("every response has it").clone();
        assert_eq!(text(response).await, "uploads are off here");
        assert!(handle.stats().bytes_sent < SIZE, "the upload stops when it is refused");
    }
}

async fn a_refused_upload_that_expects_sends_nothing(transport: Transport) {
    let server = Running::start(transport, ServerConfig::default(), service);
    let client = Client::new(ClientConfig { continue_timeout: HANG, ..ClientConfig::default() });
    let response = timeout(HANG / 2, client.request(expecting(&server.at("/refuse"), 64 << 20)));
    let response = response.await.expect("no wait").expect("the refusal");
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let handle = response.extensions().get::<ConnectionHandle>().expect("every response has it").clone();
    assert_eq!(text(response).await, "uploads are off here");
    assert!(handle.stats().bytes_sent < 1000, "{:?}", handle.stats());
    assert_eq!(text(client.request(get(&server.at("/hello"))).await.expect("a response")).await, "hello");
}

async fn an_expected_upload_is_asked_for(transport: Transport) {
    let server = Running::start(transport, ServerConfig::default(), service);
    let client = Client::new(ClientConfig { continue_timeout: HANG, ..ClientConfig::default() });
    let response = timeout(HANG / 2, client.request(expecting(&server.at("/read-trailer"), 1 << 20)));
    let response = response.await.expect("the server asks").expect("a response");
    assert_eq!(text(response).await, "1048576 bytes, None");
}

async fn a_failed_response_is_never_whole(transport: Transport) {
    let server = Running::start(transport, ServerConfig::default(), service);
    // The head may be lost with the connection, too.
    match client().request(get(&server.at("/fail"))).await {
        Ok(response) => {
            let body = timeout(HANG, response.into_body().collect()).await.expect("no hang");
            assert_eq!(body_error_kind(&body.expect_err("an incomplete body")), ErrorKind::Network);
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Network, "{error}"),
    }
}

async fn a_lost_server_is_a_network_error(transport: Transport) {
    let server = Running::start(transport, ServerConfig::default(), service);
    let mut response = client().request(get(&server.at("/stall"))).await.expect("the head");
    let first = response.body_mut().frame().await.expect("a frame").expect("the first bytes");
    assert_eq!(first.into_data().expect("data"), "a little");
    drop(server);
    let error = timeout(HANG, response.into_body().collect()).await.expect("no hang").expect_err("an incomplete body");
    assert_eq!(body_error_kind(&error), ErrorKind::Network, "{error}");
}

async fn a_stalled_response_is_a_network_error(transport: Transport) {
    let server = Running::start(transport, ServerConfig::default(), service);
    let client = Client::new(ClientConfig { stall_timeout: Duration::from_millis(100), ..ClientConfig::default() });
    let response = client.request(get(&server.at("/stall"))).await.expect("the head");
    let error = timeout(HANG, response.into_body().collect()).await.expect("no hang").expect_err("a stall");
    assert_eq!(body_error_kind(&error), ErrorKind::Network, "{error}");
    assert_eq!(error.to_string(), "the peer sent nothing for 100ms; try again");
}

async fn nobody_there_is_a_network_error(transport: Transport) {
    // A port that was free a moment ago.
    let server = Running::start(transport, ServerConfig::default(), service);
    let uri = server.at("/");
    server.shut_down().await;
    let client = Client::new(ClientConfig { connect_timeout: Duration::from_secs(5), ..ClientConfig::default() });
    let error = timeout(HANG, client.request(get(&uri))).await.expect("no hang").expect_err("nobody there");
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
    assert!(matches!(error, RequestError::Connect { .. } | RequestError::ConnectTimeout { .. }), "{error}");
}

async fn a_body_of_ours_that_fails_is_not_a_network_error(transport: Transport) {
    let server = Running::start(transport, ServerConfig::default(), service);
    let failing = full_body("abc").map_frame(|frame| frame).boxed_unsync();
    let failing: Body = http_body_util::Limited::new(failing, 1).boxed_unsync();
    let request = Request::put(server.at("/read-trailer")).body(failing).expect("a request");
    let error = timeout(HANG, client().request(request)).await.expect("no hang").expect_err("the body fails");
    assert_eq!(error.kind(), ErrorKind::Other, "{error}");
    assert_eq!(error.to_string(), "the request body failed: length limit exceeded");
}

async fn too_many_connections_are_closed_at_once(transport: Transport) {
    let config = ServerConfig { connections_per_address_max: 2, ..ServerConfig::default() };
    let server = Running::start(transport, config, service);
    // Each has a pool of its own, so each has a connection of its own.
    let clients = [client(), client(), client()];
    let mut open = Vec::new();
    for client in &clients[..2] {
        open.push(client.request(get(&server.at("/stall"))).await.expect("two are allowed"));
    }
    let error = timeout(HANG, clients[2].request(get(&server.at("/hello")))).await.expect("no hang");
    assert_eq!(error.expect_err("three are too many").kind(), ErrorKind::Network);
    drop(open);
    // The server sees the connections go and lets others in.
    let get_in = async {
        while clients[2].request(get(&server.at("/hello"))).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(HANG, get_in).await.expect("a closed connection makes room");
}

async fn shutting_down_finishes_what_runs(transport: Transport) {
    let (begun, mut has_begun) = tokio::sync::mpsc::channel(1);
    let slow = move |_request| {
        let begun = begun.clone();
        async move {
            begun.send(()).await.expect("the test waits");
            tokio::time::sleep(Duration::from_millis(300)).await;
            http::Response::new(full_body("finished"))
        }
    };
    let config = ServerConfig { drain_timeout: HANG, ..ServerConfig::default() };
    let mut server = Running::start(transport, config, slow);
    let (client, uri) = (client(), server.at("/"));
    let running = tokio::spawn(async move { client.request(get(&uri)).await });
    has_begun.recv().await.expect("the request is running");
    server.signal();
    assert_eq!(text(running.await.expect("no panic").expect("a response")).await, "finished");
    server.shut_down().await;
}

async fn shutting_down_aborts_what_does_not_finish(transport: Transport) {
    let config = ServerConfig { drain_timeout: Duration::from_millis(100), ..ServerConfig::default() };
    let server = Running::start(transport, config, service);
    let (idle, busy) = (client(), client());
    assert_eq!(text(idle.request(get(&server.at("/hello"))).await.expect("a response")).await, "hello");
    let response = busy.request(get(&server.at("/stall"))).await.expect("the head");
    let uri = server.at("/hello");
    server.shut_down().await;
    let error = timeout(HANG, response.into_body().collect()).await.expect("no hang").expect_err("an incomplete body");
    assert_eq!(body_error_kind(&error), ErrorKind::Network);
    let client = Client::new(ClientConfig { connect_timeout: Duration::from_secs(1), ..ClientConfig::default() });
    assert!(client.request(get(&uri)).await.is_err(), "the port is closed");
    // The same port can be bound again at once.
    let again = Server::bind(&[loopback(transport)], ServerConfig::default());
    assert!(again.is_ok());
}

async fn a_lower_rate_is_kept(transport: Transport) {
    const BITS_PER_S: u64 = 16_000_000;
    let limited = async |request: Request<Body>| {
        let handle = request.extensions().get::<ConnectionHandle>().expect("every request has it");
        handle.set_max_rate(Some(BITS_PER_S)).expect("the connection is open");
        http::Response::new(large_body(1 << 20))
    };
    let server = Running::start(transport, ServerConfig::default(), limited);
    let start = Instant::now();
    let response = client().request(get(&server.at("/"))).await.expect("a response");
    let handle = response.extensions().get::<ConnectionHandle>().expect("every response has it").clone();
    response.into_body().collect().await.expect("the body");
    // 8 Mibit at 16 Mbit/s take 524 ms; the first burst is for free. A slow machine only takes longer.
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
    drop(server);
    let closed = async {
        while handle.set_max_rate(None).is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(HANG, closed).await.expect("a closed connection has no rate");
}

async fn a_configured_rate_is_kept_both_ways(transport: Transport) {
    const BITS_PER_S: Option<u64> = Some(16_000_000);
    let udt = godwit_udt::Config::builder().max_rate_bits_per_s(BITS_PER_S).build().expect("in range");
    let server = ServerConfig { udt: udt.clone(), tcp_max_rate_bits_per_s: BITS_PER_S, ..ServerConfig::default() };
    let server = Running::start(transport, server, service);
    let client = Client::new(ClientConfig { udt, tcp_max_rate_bits_per_s: BITS_PER_S, ..ClientConfig::default() });
    let start = Instant::now();
    let sent = Bytes::from(vec![7; 1 << 20]);
    let request = Request::put(server.at("/echo")).body(full_body(sent.clone())).expect("a request");
    let response = client.request(request).await.expect("a response");
    assert!(response.into_body().collect().await.expect("the body").to_bytes() == sent);
    // 8 Mibit at 16 Mbit/s take 524 ms each way, at worst at the same time; the first burst is for free.
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
}

async fn rates_and_controllers_are_set_where_they_apply(transport: Transport) {
    let steered = async |request: Request<Body>| {
        let handle = request.extensions().get::<ConnectionHandle>().expect("every request has it");
        let set = [
            handle.set_max_rate(Some(20_000_000)),
            handle.set_min_rate(Some(30_000_000)),
            handle.set_min_rate(Some(10_000_000)),
            handle.set_controller(godwit_udt::ControllerKind::Low),
        ];
        let controller = handle.stats().udt.map(|udt| udt.controller);
        http::Response::new(full_body(Bytes::from(format!("{set:?} {controller:?}"))))
    };
    let server = Running::start(transport, ServerConfig::default(), steered);
    let response = client().request(get(&server.at("/"))).await.expect("a response");
    let answers = match transport {
        Transport::Tcp => "[Ok(()), Err(KernelDecides), Err(KernelDecides), Err(KernelDecides)] None",
        Transport::Udt => {
            "[Ok(()), Err(Bounds(RateBoundsError { min_bits_per_s: 30000000, max_bits_per_s: 20000000 })), Ok(()), Ok(())] \
             Some(Low)"
        }
    };
    assert_eq!(text(response).await, answers);
}

async fn two_hundred_connections_work_at_once(transport: Transport) {
    const CONNECTIONS: usize = 200;
    let server = Running::start(transport, ServerConfig::default(), service);
    let client = client();
    let mut exchanges = tokio::task::JoinSet::new();
    for index in 0..CONNECTIONS {
        let sent = Bytes::from(vec![u8::try_from(index).expect("fewer than 256"); 100_000]);
        let request = Request::put(server.at("/echo")).body(full_body(sent.clone())).expect("a request");
        let client = client.clone();
        exchanges.spawn(async move {
            let response = client.request(request).await.expect("a response");
            assert_eq!(response.into_body().collect().await.expect("the body").to_bytes(), sent);
        });
    }
    while let Some(exchange) = timeout(HANG, exchanges.join_next()).await.expect("no hang") {
        exchange.expect("no panic");
    }
}

async fn a_closed_client_tells_the_server(transport: Transport) {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let serve = move |request: Request<Body>| {
        tell.try_send(request.extensions().get::<ConnectionHandle>().cloned()).expect("one request only");
        service(request)
    };
    let config = ServerConfig { idle_timeout: 2 * HANG, ..ServerConfig::default() };
    let server = Running::start(transport, config, serve);
    let client = client();
    assert_eq!(text(client.request(get(&server.at("/hello"))).await.expect("a response")).await, "hello");
    let handle = told.recv().await.flatten().expect("every request has its connection");
    assert_eq!(handle.stats().udt.is_some(), transport == Transport::Udt);
    timeout(HANG, client.close()).await.expect("nothing to wait for");
    let closed = async {
        while handle.set_max_rate(None).is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(HANG, closed).await.expect("before the idle time is over");
}

async fn both_ip_versions_share_a_port(transport: Transport) {
    let v6 = |port| ListenUrl { transport, address: (Ipv6Addr::UNSPECIFIED, port).into() };
    let v4 = |port| ListenUrl { transport, address: (Ipv4Addr::UNSPECIFIED, port).into() };
    let Ok(probe) = Server::bind(&[v6(0)], ServerConfig::default()) else {
        return eprintln!("skipped: no IPv6 here");
    };
    let port = probe.local_urls()[0].address.port();
    // An IPv4 socket of somebody else may have the port; then there is nothing to see.
    let Ok(both) = Server::bind(&[v4(port)], ServerConfig::default()) else {
        return eprintln!("skipped: port {port} is taken in IPv4");
    };
    let service = async |_| http::Response::new(full_body("hello"));
    let serving = [probe, both].map(|server| tokio::spawn(server.serve(service, std::future::pending())));
    for host in ["[::1]", "127.0.0.1", "localhost"] {
        let uri = format!("{}://{host}:{port}/", transport.scheme());
        assert_eq!(text(client().request(get(&uri)).await.expect("a response")).await, "hello");
    }
    serving.iter().for_each(tokio::task::JoinHandle::abort);
}

async fn a_port_in_use_is_named(transport: Transport) {
    let server = Running::start(transport, ServerConfig::default(), service);
    let error = Server::bind(&[server.url], ServerConfig::default()).expect_err("it is taken");
    assert!(matches!(&error, BindError::Listen { url, .. } if *url == server.url), "{error}");
    assert!(error.to_string().starts_with(&format!("cannot listen on {}: ", server.url)), "{error}");
}

fn expecting(uri: &str, size: u64) -> Request<Body> {
    Request::put(uri).header("expect", "100-continue").body(large_body(size)).expect("a request")
}

#[tokio::test]
async fn urls_that_lead_nowhere_are_told_apart() {
    let client = Client::new(ClientConfig::default());
    let request = |uri: &str| Request::get(uri).body(empty_body()).expect("a URI");
    let error = client.request(request("ftp://127.0.0.1/")).await.expect_err("no such transport");
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::Other, "ftp://127.0.0.1/: not a udt:// or http:// URL".into())
    );
    let error = client.request(request("http://does-not-exist.invalid/")).await.expect_err("no such name");
    assert!(matches!(error, RequestError::Resolve { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Network);
}

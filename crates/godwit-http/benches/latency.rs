//! How long a small request takes on a connection that is there already, beside a plain datagram to and fro between two threads:
//! `cargo bench -p godwit-http`. Over the loopback, in turn; docs/performance.md says what the numbers mean.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::thread::spawn;
use std::time::{Duration, Instant};

use bytes::Bytes;
use godwit_http::{Body, Client, ClientConfig, ListenUrl, Server, ServerConfig, empty_body, full_body};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::runtime::Builder;
use tokio::time::sleep;

/// Each request and each answer carries as much, beside its head.
const PAYLOAD: [u8; 64] = [7; 64];
/// What is idle has had time to say everything: acknowledgements follow within 10 ms.
const IDLE: Duration = Duration::from_millis(15);
const IDLE_ROUNDS: usize = 300;
const BUSY_ROUNDS: usize = 5_000;
const WARM_UP_ROUNDS: usize = 50;

fn main() -> io::Result<()> {
    // `cargo test --all-targets` runs this, too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    // On one thread, as `godwit get` is.
    Builder::new_current_thread().enable_all().build()?.block_on(measure())
}

async fn measure() -> io::Result<()> {
    let echo = echo()?;
    let urls = serve();
    let client = Client::new(ClientConfig::default());
    println!("| loopback, {} bytes | median µs | p99 µs | beyond a datagram, median µs |", PAYLOAD.len());
    println!("|---|---|---|---|");
    for (name, rounds, pause) in
        [("after 15 ms of silence", IDLE_ROUNDS, IDLE), ("at once", BUSY_ROUNDS, Duration::ZERO)]
    {
        let mut times = [const { Vec::new() }; 3];
        for round in 0..WARM_UP_ROUNDS + rounds {
            for (way, times) in times.iter_mut().enumerate() {
                if !pause.is_zero() {
                    sleep(pause).await;
                }
                let started = Instant::now();
                match way.checked_sub(1) {
                    None => echo.ask(),
                    Some(url) => ask(&client, &urls[url]).await,
                }
                if round >= WARM_UP_ROUNDS {
                    times.push(started.elapsed());
                }
            }
        }
        let reference = percentile(&mut times[0], 50);
        for (way, times) in ["a datagram", "HTTP over UDT", "HTTP over TCP"].iter().zip(&mut times) {
            let [median, late] = [50, 99].map(|percent| percentile(times, percent));
            println!("| {way}, {name} | {median:.0} | {late:.0} | {:.0} |", median - reference);
        }
    }
    Ok(())
}

/// The time in microseconds that so many of a hundred stay under.
fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e6
}

/// Asks a thread that sends each datagram back.
struct Echo {
    socket: UdpSocket,
    peer: SocketAddr,
}

fn echo() -> io::Result<Echo> {
    let [ours, theirs] = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
    let peer = theirs.local_addr()?;
    spawn(move || -> io::Result<()> {
        loop {
            let mut buffer = PAYLOAD;
            let (_, from) = theirs.recv_from(&mut buffer)?;
            theirs.send_to(&buffer, from)?;
        }
    });
    Ok(Echo { socket: ours, peer })
}

impl Echo {
    fn ask(&self) {
        self.socket.send_to(&PAYLOAD, self.peer).expect("the loopback takes everything");
        self.socket.recv(&mut PAYLOAD.clone()).expect("the loopback loses nothing");
    }
}

/// A server on a thread and a runtime of its own, over UDT and over TCP.
fn serve() -> Vec<String> {
    let listen: Vec<ListenUrl> =
        ["udt://127.0.0.1:0", "http://127.0.0.1:0"].map(|url| url.parse().expect("a URL")).into();
    let (told, urls) = std::sync::mpsc::channel();
    spawn(move || {
        let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let server = Server::bind(&listen, ServerConfig::default()).expect("free ports");
            told.send(server.local_urls().iter().map(ToString::to_string).collect()).expect("somebody listens");
            let answer = async |_: Request<Body>| Response::new(full_body(Bytes::from_static(&PAYLOAD)));
            server.serve(answer, std::future::pending::<()>()).await;
        });
    });
    urls.recv().expect("the server listens")
}

async fn ask(client: &Client, url: &str) {
    let request = Request::get(url).body(empty_body()).expect("a request");
    let response = client.request(request).await.expect("an answer");
    let body = response.into_body().collect().await.expect("all of it").to_bytes();
    assert_eq!(body, PAYLOAD[..]);
}

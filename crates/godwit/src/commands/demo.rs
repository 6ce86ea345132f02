//! `godwit demo`: the main job on one machine: a download over a path that loses packets, under two congestion controls.

use std::fmt;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use godwit_files::client::{DownloadError, DownloadOptions, Fault, Outcome, RemoteUrl, download};
use godwit_files::hash::{Sha256, Sha256Digest};
use godwit_files::{FileService, FilesConfig, OpenRootError};
use godwit_http::{BindError, Client, ClientConfig, ConnectionHandle, ListenUrl, Server, ServerConfig, Transport};
use godwit_relay::{LinkConfig, Relay, StartError};
use godwit_udt::{Config, Stats};
use indicatif::HumanBytes;
use thiserror::Error;

use super::CLIENT_FAREWELL_TIME_MAX;
use crate::error::CommandError;
use crate::noise::noise;
use crate::policy::policy_name;
use crate::progress;

/// The whole demo, whatever happens: with some of the policies it takes a multiple of the ten seconds.
const TIME_MAX: Duration = Duration::from_secs(60);
/// Each way: a round trip takes twice as long.
const DELAY: Duration = Duration::from_millis(50);
/// Each way.
const LOSS: f64 = 0.01;
const RATE_BITS_PER_S: u64 = 200_000_000;
/// The same packets are lost in every run, as far as their order is the same.
const SEED: u64 = 1;

const BIG_NAME: &str = "noise.bin";
/// As much as libudt's own control moves in some eight seconds.
const BIG_BYTES: usize = 10 << 20;
const SMALL_FILES: [(&str, &str); 3] = [
    ("README.txt", "A sample tree, made by `godwit demo`.\n"),
    ("numbers.csv", "n,square\n1,1\n2,4\n3,9\n"),
    ("empty", ""),
];

/// Why the demo did not end well.
#[derive(Debug, Error)]
pub(crate) enum DemoError {
    #[error("cannot make the sample tree: {0}")]
    Sample(io::Error),
    #[error(transparent)]
    OpenRoot(#[from] OpenRootError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("cannot make the lossy path: {0}")]
    Path(#[from] StartError),
    #[error("{name}: {error}")]
    Download { name: &'static str, error: Box<DownloadError> },
    #[error("{name} arrived with SHA-256 {actual}, and {expected} was served")]
    Differs { name: &'static str, expected: Sha256Digest, actual: Sha256Digest },
    #[error("{name} arrived without being verified")]
    NotVerified { name: &'static str },
    #[error("cannot print: {0}")]
    Print(io::Error),
    #[error("the demo did not end within {0:?}: this machine is too slow for it, or too busy")]
    TooLong(Duration),
}

impl DemoError {
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::Download { error, .. } => error.fault(),
            Self::Differs { .. } | Self::NotVerified { .. } => Fault::Integrity,
            Self::Sample(_) | Self::OpenRoot(_) | Self::Bind(_) | Self::Path(_) => Fault::Other,
            Self::Print(_) | Self::TooLong(_) => Fault::Other,
        }
    }
}

/// Shows everything on stdout but the progress, which is on stderr; with `quiet` the table alone.
pub(crate) async fn run(quiet: bool, controls: [Config; 2]) -> Result<(), CommandError> {
    let limited = tokio::time::timeout(TIME_MAX, demonstrate(quiet, controls)).await;
    limited.unwrap_or(Err(DemoError::TooLong(TIME_MAX))).map_err(CommandError::Demo)
}

async fn demonstrate(quiet: bool, [ours, native]: [Config; 2]) -> Result<(), DemoError> {
    let tell = |line: fmt::Arguments<'_>| if quiet { Ok(()) } else { print(line) };
    let sample = Sample::make().map_err(DemoError::Sample)?;
    let (big, small) = (HumanBytes(BIG_BYTES as u64), SMALL_FILES.len());
    let (rtt_ms, percent, mbit) = (2 * DELAY.as_millis(), LOSS * 100.0, RATE_BITS_PER_S / 1_000_000);
    tell(format_args!(
        "{big} of noise and {small} small files, over {rtt_ms} ms RTT, {percent} % loss each way and {mbit} Mbit/s; \
         once under each control"
    ))?;
    let ours = sample.download_over_the_path(ours, quiet).await?;
    let native = sample.download_over_the_path(native, quiet).await?;
    print(Table([&ours, &native]))?;
    tell(format_args!("all files arrived whole: SHA-256 of {BIG_NAME} is {}", sample.big_sha256))?;
    tell(format_args!("TCP is not shown, since the path inside this process carries UDP only"))
}

fn print(lines: impl fmt::Display) -> Result<(), DemoError> {
    writeln!(io::stdout(), "{lines}").map_err(DemoError::Print)
}

/// What is served, and where it is downloaded to; both vanish with it.
struct Sample {
    served: tempfile::TempDir,
    downloads: tempfile::TempDir,
    big_sha256: Sha256Digest,
}

impl Sample {
    fn make() -> io::Result<Self> {
        let served = tempfile::tempdir()?;
        let noise = noise(BIG_BYTES);
        std::fs::write(served.path().join(BIG_NAME), &noise)?;
        for (name, content) in SMALL_FILES {
            std::fs::write(served.path().join(name), content)?;
        }
        Ok(Self { served, downloads: tempfile::tempdir()?, big_sha256: sha256(&noise) })
    }

    /// Serves and downloads everything over a lossy path of its own, which is the same each time.
    async fn download_over_the_path(&self, udt: Config, quiet: bool) -> Result<Row, DemoError> {
        let served = Served::start(self.served.path(), udt)?;
        let link =
            LinkConfig { delay: DELAY, rate_bits_per_s: Some(RATE_BITS_PER_S), loss: LOSS, ..LinkConfig::default() };
        let relay = Relay::start(served.url.address, link, link, SEED)?;
        let row = self.download(&served, relay.addr(), quiet).await?;
        if let Err(drops) = relay.stats().check() {
            print(format_args!("the path lost more than it should, this machine is busy: {drops}"))?;
        }
        Ok(row)
    }

    /// Downloads everything from `address` with a client of its own, so over a connection of its own.
    async fn download(&self, served: &Served, address: SocketAddr, quiet: bool) -> Result<Row, DemoError> {
        let client = Client::new(ClientConfig::default());
        let started = Instant::now();
        self.fetch(&client, address, BIG_NAME, self.big_sha256, quiet).await?;
        let time = started.elapsed();
        let stats = served.stats_of_last_request();
        for (name, content) in SMALL_FILES {
            self.fetch(&client, address, name, sha256(content.as_bytes()), quiet).await?;
        }
        let _ = tokio::time::timeout(CLIENT_FAREWELL_TIME_MAX, client.close()).await;
        Ok(Row { time, stats })
    }

    async fn fetch(
        &self,
        client: &Client,
        address: SocketAddr,
        name: &'static str,
        expected: Sha256Digest,
        quiet: bool,
    ) -> Result<(), DemoError> {
        let url: RemoteUrl = format!("udt://{address}/{name}").parse().expect("an address and a plain name make a URL");
        let target = self.downloads.path().join(name);
        let options = DownloadOptions { force: true, require_digest: true, ..DownloadOptions::default() };
        let observer = progress::observer(Path::new(name), quiet || name != BIG_NAME);
        let downloaded = download(client, &url, &target, &options, observer).await;
        let downloaded = downloaded.map_err(|error| DemoError::Download { name, error: Box::new(error) })?;
        if downloaded.outcome != Outcome::Verified {
            return Err(DemoError::NotVerified { name });
        }
        // What was verified on the way is compared with what is on the disk now, and with what was served.
        let actual = sha256(&std::fs::read(&target).map_err(DemoError::Sample)?);
        if actual != expected {
            return Err(DemoError::Differs { name, expected, actual });
        }
        Ok(())
    }
}

/// The server, as long as it is not dropped.
struct Served {
    url: ListenUrl,
    last: Arc<Mutex<Option<ConnectionHandle>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Served {
    fn start(root: &Path, udt: Config) -> Result<Self, DemoError> {
        let service = FileService::new(root, FilesConfig::default())?;
        let anywhere = ListenUrl { transport: Transport::Udt, address: (Ipv4Addr::LOCALHOST, 0).into() };
        let server = Server::bind(&[anywhere], ServerConfig { udt, ..ServerConfig::default() })?;
        let url = server.local_urls()[0];
        let last = Arc::<Mutex<Option<ConnectionHandle>>>::default();
        let seen = Arc::clone(&last);
        let answer = move |request: http::Request<godwit_http::Body>| {
            *lock(&seen) = request.extensions().get().cloned();
            let service = service.clone();
            async move { service.handle(request).await }
        };
        let task = tokio::spawn(server.serve(answer, std::future::pending()));
        Ok(Self { url, last, task })
    }

    /// What the sending side counts; its connection has just carried the last request.
    fn stats_of_last_request(&self) -> Stats {
        lock(&self.last).as_ref().and_then(|connection| connection.stats().udt).unwrap_or_default()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One download of the big file.
struct Row {
    time: Duration,
    stats: Stats,
}

struct Table<'a>([&'a Row; 2]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:10}{:>9}{:>15}{:>25}{:>12}", "control", "time", "rate", "retransmitted", "RTT")?;
        for row in self.0 {
            let rate = BIG_BYTES as f64 * 8.0 / row.time.as_secs_f64() / 1e6;
            let sender = row.stats.sender;
            let share = 100.0 * sender.retransmitted_packets as f64 / sender.sent_packets.max(1) as f64;
            let retransmitted = format!("{} of {} ({share:.1} %)", sender.retransmitted_packets, sender.sent_packets);
            let rtt = row.stats.rtt.as_secs_f64() * 1e3;
            let control = policy_name(row.stats.controller);
            let time = row.time.as_secs_f64();
            write!(f, "\n{control:10}{time:>7.2} s{rate:>8.1} Mbit/s{retransmitted:>25}{rtt:>9.1} ms")?;
        }
        Ok(())
    }
}

fn sha256(bytes: &[u8]) -> Sha256Digest {
    let mut sha256 = Sha256::new();
    sha256.update(bytes);
    sha256.finish()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

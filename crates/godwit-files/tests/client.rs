//! The client half against the server half in one process: what needs a hand in the middle of a transfer.

use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use godwit_files::client::{
    DownloadOptions, Outcome, RemoteUrl, RetryPolicy, UploadError, UploadOptions, download, list, upload,
};
use godwit_files::progress::{Event, Observer, Silent};
use godwit_files::{FileService, FilesConfig};
use godwit_http::{Client, ClientConfig, ListenUrl, Server, ServerConfig, Transport, empty_body};
use http::Request;
use http::header::ETAG;

/// A served directory and a client.
struct Pair {
    directory: tempfile::TempDir,
    url: String,
    client: Client,
    requests: Arc<AtomicUsize>,
}

impl Pair {
    fn start() -> Self {
        Self::start_over(Transport::Tcp, ClientConfig::default())
    }

    fn start_over(transport: Transport, client: ClientConfig) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(directory.path().join("root")).expect("created");
        let config = FilesConfig { allow_upload: true, settle_time: Duration::ZERO, ..FilesConfig::default() };
        let service = FileService::new(&directory.path().join("root"), config).expect("a directory");
        let anywhere = ListenUrl { transport, address: (Ipv4Addr::LOCALHOST, 0).into() };
        let server = Server::bind(&[anywhere], ServerConfig::default()).expect("a free port");
        let url = server.local_urls()[0].to_string();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let answer = move |request| {
            counted.fetch_add(1, Ordering::Relaxed);
            let service = service.clone();
            async move { service.handle(request).await }
        };
        tokio::spawn(server.serve(answer, std::future::pending()));
        Self { directory, url, client: Client::new(client), requests }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    fn serve(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.root().join(name);
        fs::write(&path, content).expect("written");
        path
    }

    fn local(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, content).expect("written");
        path
    }

    fn url_of(&self, path: &str) -> RemoteUrl {
        format!("{}{path}", self.url).parse().expect("a URL")
    }
}

/// Does something to a file as soon as the first bytes have moved.
struct Meddler<F> {
    done: AtomicBool,
    path: PathBuf,
    meddle: F,
}

impl<F> Meddler<F> {
    fn new(path: &Path, meddle: F) -> Arc<Self> {
        Arc::new(Self { done: AtomicBool::new(false), path: path.to_owned(), meddle })
    }
}

impl<F: Fn(&Path) + Send + Sync> Observer for Meddler<F> {
    fn on(&self, event: Event<'_>) {
        if matches!(event, Event::Moved { .. }) && !self.done.swap(true, Ordering::Relaxed) {
            (self.meddle)(&self.path);
        }
    }
}

/// Larger than all queues between disk and network together, so that the file is still being read when it changes.
const MUCH_BYTES: usize = 64 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_uploaded_is_not_stored() {
    let pair = Pair::start();
    let source = pair.local("log", &vec![7; MUCH_BYTES]);
    let meddler = Meddler::new(&source, |path: &Path| {
        let mut file = fs::File::options().append(true).open(path).expect("there");
        file.write_all(b"one more line").expect("written");
    });
    let uploaded = upload(&pair.client, &source, &pair.url_of("log"), UploadOptions::default(), meddler).await;
    assert!(matches!(uploaded, Err(UploadError::Changed(_))), "{uploaded:?}");
    assert!(list(&pair.client, &pair.url_of("")).await.expect("a listing").is_empty());
    assert!(!pair.root().join("log").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_nothing_and_says_nothing_is_left() {
    let pair = Pair::start();
    let source = pair.local("source", &vec![7; MUCH_BYTES]);
    // Connections wait in its backlog for ever.
    let silent = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let url = format!("http://{}/f", silent.local_addr().expect("bound")).parse().expect("a URL");
    let options = UploadOptions { stall_timeout: Duration::from_millis(50), ..UploadOptions::default() };
    let uploaded = upload(&pair.client, &source, &url, options, Arc::new(Silent)).await;
    assert!(matches!(uploaded, Err(UploadError::Stalled(_))), "{uploaded:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_uploaded_is_downloaded_and_then_up_to_date() {
    let pair = Pair::start();
    let source = pair.local("source", &vec![7; 3_000_000]);
    let url = pair.url_of("stored");
    let uploaded =
        upload(&pair.client, &source, &url, UploadOptions::default(), Arc::new(Silent)).await.expect("stored");
    assert!(!uploaded.replaced && uploaded.connection.is_some());
    let target = pair.directory.path().join("target");
    let options = DownloadOptions::default();
    let downloaded = download(&pair.client, &url, &target, &options, Arc::new(Silent)).await.expect("whole");
    assert_eq!((downloaded.outcome, downloaded.length, downloaded.received), (Outcome::Verified, 3_000_000, 3_000_000));
    assert_eq!(downloaded.sha256, Some(uploaded.sha256));
    assert_eq!(fs::read(&target).expect("there"), fs::read(&source).expect("there"));
    let again = download(&pair.client, &url, &target, &options, Arc::new(Silent)).await.expect("nothing to do");
    assert_eq!((again.outcome, again.received), (Outcome::UpToDate, 0));
}

/// What does not repeat at any segment's length.
fn content(bytes: u32) -> Vec<u8> {
    (0..bytes / 4).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

const SEVERAL: u32 = 40_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn segments_over_several_connections_are_put_together_in_order() {
    let pair = Pair::start();
    let content = content(SEVERAL);
    pair.serve("file", &content);
    pair.serve("empty", b"");
    pair.serve("small", b"small");
    // 4 MiB come with the first segment, the rest in segments of a MiB and more, the digest with one more request until it is known.
    for (connections, name, expected, requests) in [
        (4, "file", &content[..], 1 + 8 + 1),
        (32, "file", &content, 1 + 35),
        (usize::MAX, "small", b"small", 1 + 1),
        (4, "empty", b"", 1 + 1),
    ] {
        pair.requests.store(0, Ordering::Relaxed);
        let target = pair.directory.path().join(format!("{name}-{connections}"));
        let options = DownloadOptions { connections, ..DownloadOptions::default() };
        let downloaded = download(&pair.client, &pair.url_of(name), &target, &options, Arc::new(Silent)).await;
        let downloaded = downloaded.unwrap_or_else(|error| panic!("{name} over {connections}: {error}"));
        assert_eq!((downloaded.outcome, downloaded.received), (Outcome::Verified, expected.len() as u64));
        assert!(fs::read(&target).expect("there") == expected, "{name} over {connections} differs");
        assert_eq!(pair.requests.load(Ordering::Relaxed), requests, "{name} over {connections}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_come_over_several_sockets_of_udt() {
    let pair = Pair::start_over(Transport::Udt, ClientConfig { udt_sockets: 3, ..ClientConfig::default() });
    let content = content(SEVERAL);
    pair.serve("file", &content);
    let target = pair.directory.path().join("target");
    let options = DownloadOptions { connections: 3, ..DownloadOptions::default() };
    let downloaded = download(&pair.client, &pair.url_of("file"), &target, &options, Arc::new(Silent)).await;
    assert_eq!(downloaded.expect("whole").outcome, Outcome::Verified);
    assert!(fs::read(&target).expect("there") == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_connections_go_on_where_one_ended() {
    let pair = Pair::start();
    let content = content(SEVERAL);
    pair.serve("file", &content);
    let (url, target) = (pair.url_of("file"), pair.directory.path().join("target"));
    // What an earlier run leaves: a beginning, and what it is of.
    let head = Request::head(url.to_string()).body(empty_body()).expect("a request");
    let response = pair.client.request(head).await.expect("an answer");
    let etag = response.headers()[ETAG].to_str().expect("text");
    let meta = serde_json::json!({ "url": url.to_string(), "validator": { "etag": etag }, "length": SEVERAL });
    fs::write(pair.directory.path().join("target.part.meta"), meta.to_string()).expect("written");
    fs::write(pair.directory.path().join("target.part"), &content[..15_000_001]).expect("written");
    let options = DownloadOptions { connections: 3, ..DownloadOptions::default() };
    let downloaded = download(&pair.client, &url, &target, &options, Arc::new(Silent)).await.expect("the rest");
    assert_eq!((downloaded.outcome, downloaded.received), (Outcome::Verified, u64::from(SEVERAL) - 15_000_001));
    assert!(fs::read(&target).expect("there") == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_between_two_segments_is_fetched_anew() {
    let pair = Pair::start();
    let path = pair.serve("file", &content(SEVERAL));
    let newer: Vec<u8> = content(SEVERAL).into_iter().rev().collect();
    let replacement = newer.clone();
    let meddler = Meddler::new(&path, move |path: &Path| {
        // As an editor does it: what is being read stays what it was.
        let beside = path.with_extension("new");
        fs::write(&beside, &replacement).expect("written");
        fs::rename(&beside, path).expect("renamed");
    });
    let target = pair.directory.path().join("target");
    let retry = RetryPolicy { first_delay: Duration::ZERO, ..RetryPolicy::default() };
    let options = DownloadOptions { connections: 4, retry, ..DownloadOptions::default() };
    let downloaded = download(&pair.client, &pair.url_of("file"), &target, &options, meddler).await.expect("anew");
    assert_eq!(downloaded.outcome, Outcome::Verified);
    assert!(fs::read(&target).expect("there") == newer);
}

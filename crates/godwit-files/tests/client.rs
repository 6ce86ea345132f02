//! The client half against the server half in one process: what needs a hand in the middle of a transfer.

use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use godwit_files::client::{DownloadOptions, Outcome, RemoteUrl, UploadError, UploadOptions, download, list, upload};
use godwit_files::progress::{Event, Observer, Silent};
use godwit_files::{FileService, FilesConfig};
use godwit_http::{Client, ClientConfig, ListenUrl, Server, ServerConfig, Transport};

/// A served directory and a client, over TCP.
struct Pair {
    directory: tempfile::TempDir,
    url: String,
    client: Client,
}

impl Pair {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(directory.path().join("root")).expect("created");
        let config = FilesConfig { allow_upload: true, ..FilesConfig::default() };
        let service = FileService::new(&directory.path().join("root"), config).expect("a directory");
        let anywhere = ListenUrl { transport: Transport::Tcp, address: (Ipv4Addr::LOCALHOST, 0).into() };
        let server = Server::bind(&[anywhere], ServerConfig::default()).expect("a free port");
        let url = server.local_urls()[0].to_string();
        let answer = move |request| {
            let service = service.clone();
            async move { service.handle(request).await }
        };
        tokio::spawn(server.serve(answer, std::future::pending()));
        Self { directory, url, client: Client::new(ClientConfig::default()) }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
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

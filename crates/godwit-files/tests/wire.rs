//! The service behind a server, over TCP and UDT: what hyper makes of our responses, and our client of both.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use godwit_files::client::{DownloadOptions, RemoteUrl, UploadOptions, download, list, upload};
use godwit_files::headers::GODWIT_LENGTH;
use godwit_files::progress::Silent;
use godwit_files::{FileService, FilesConfig};
use godwit_http::{Client, ClientConfig, Server, ServerConfig, empty_body};
use http::Request;
use http_body_util::BodyExt as _;
use tempfile::TempDir;

struct Served {
    directory: TempDir,
    /// `udt://…` and `http://…`, without the final slash.
    urls: Vec<String>,
}

impl Served {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("root")).unwrap();
        let listen = ["udt://127.0.0.1:0", "http://127.0.0.1:0"].map(|url| url.parse().unwrap());
        let server = Server::bind(&listen, ServerConfig::default()).unwrap();
        let urls = server.local_urls().iter().map(|url| url.to_string().trim_end_matches('/').to_owned()).collect();
        let config = FilesConfig {
            allow_upload: true,
            settle_time: Duration::ZERO,
            concurrent_hashes_max: NonZeroUsize::MIN,
            ..FilesConfig::default()
        };
        let service = FileService::new(&directory.path().join("root"), config).unwrap();
        let service = move |request| {
            let service = service.clone();
            async move { service.handle(request).await }
        };
        tokio::spawn(server.serve(service, std::future::pending()));
        Self { directory, urls }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Sends these bytes over TCP and returns what comes until the server closes.
    fn exchange(&self, request: &str) -> String {
        let address = self.urls[1].strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

fn content() -> Vec<u8> {
    (0..3_000_000_u32).map(|i| (i.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_client_puts_lists_and_gets() {
    let served = Served::start();
    let client = Client::new(ClientConfig::default());
    fs::write(served.path("source"), content()).unwrap();
    for (index, base) in served.urls.iter().enumerate() {
        let name = format!("100% file {index}");
        let base: RemoteUrl = format!("{base}/").parse().unwrap();
        let url = base.join(name.as_bytes());
        let put = |force| {
            let (client, source, url) = (client.clone(), served.path("source"), url.clone());
            async move {
                upload(&client, &source, &url, UploadOptions { force, ..UploadOptions::default() }, Arc::new(Silent))
                    .await
            }
        };
        let uploaded = put(false).await.unwrap();
        assert!(!uploaded.replaced);
        assert!(put(false).await.is_err(), "it exists");
        assert!(put(true).await.unwrap().replaced);
        let entries = list(&client, &base).await.unwrap();
        assert!(entries.iter().any(|entry| entry.name == name && entry.size == Some(3_000_000)));
        // Unknown digest, then a known one.
        for run in 0..2 {
            let target = served.path(&format!("target-{index}-{run}"));
            let options = DownloadOptions { require_digest: true, ..DownloadOptions::default() };
            let downloaded = download(&client, &url, &target, &options, Arc::new(Silent)).await.unwrap();
            assert_eq!(downloaded.sha256, Some(uploaded.sha256));
            assert!(fs::read(&target).unwrap() == content());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_arrive_and_a_changed_file_cuts_the_response_off() {
    let served = Served::start();
    let client = Client::new(ClientConfig::default());
    for (index, base) in served.urls.iter().enumerate() {
        let path = served.path(&format!("root/f{index}"));
        for te in ["trailers", "deflate;q=0"] {
            fs::write(&path, content()).unwrap();
            let request = Request::get(format!("{base}/f{index}")).header("te", te).body(empty_body()).unwrap();
            let response = client.request(request).await.unwrap();
            let expects_trailers = te == "trailers";
            assert_eq!(response.headers().contains_key(GODWIT_LENGTH), expects_trailers);
            let body = response.into_body().collect().await.unwrap();
            assert_eq!(body.trailers().is_some_and(|trailers| trailers.contains_key("repr-digest")), expects_trailers);
            assert!(body.to_bytes() == content());

            // Too large for what sockets and windows could hold already.
            fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
            let request = Request::get(format!("{base}/f{index}")).header("te", te).body(empty_body()).unwrap();
            let mut body = client.request(request).await.unwrap().into_body();
            body.frame().await.unwrap().unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_len(1 << 29).unwrap();
            let rest = async {
                while let Some(frame) = body.frame().await {
                    if frame.is_err() {
                        return true;
                    }
                }
                false
            };
            assert!(rest.await, "{base} {te}: a response that looks whole");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_tell_what_get_would_send() {
    let served = Served::start();
    fs::write(served.path("root/f.txt"), "hello").unwrap();
    let ask = |method: &str, path: &str| {
        served.exchange(&format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")).to_lowercase()
    };
    let (head, get) = (ask("HEAD", "/f.txt"), ask("GET", "/f.txt"));
    assert!(head.contains("content-length: 5\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(get.contains("content-length: 5\r\n") && get.ends_with("\r\n\r\nhello"), "{get}");
    let (head, get) = (ask("HEAD", "/"), ask("GET", "/"));
    assert!(!head.contains("content-length") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(get.contains("transfer-encoding: chunked"), "{get}");
    let missing = ask("HEAD", "/missing");
    assert!(missing.contains("application/problem+json") && !missing.contains("content-length: 0"), "{missing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_comes_in_place_of_100_continue() {
    let served = Served::start();
    let put = |path: &str, length: &str, content: &str| {
        let head =
            format!("PUT {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{length}\r\nExpect: 100-continue\r\n\r\n");
        served.exchange(&(head + content))
    };
    assert!(put("/f", "Content-Length: 99999999999999", "").starts_with("HTTP/1.1 413 "));
    assert!(put("/missing/f", "Content-Length: 5", "").starts_with("HTTP/1.1 409 "));
    let stored = put("/f", "Content-Length: 5", "hello");
    assert!(stored.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 "), "{stored}");
}

/// Only one file is hashed at a time here: whoever leaves must make room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_is_given_up_when_its_client_leaves() {
    let served = Served::start();
    fs::write(served.path("root/small"), "hello").unwrap();
    // Sparse; hashing it would take many minutes.
    fs::File::create(served.path("root/endless")).unwrap().set_len(1 << 40).unwrap();
    for base in &served.urls {
        let head = |client: &Client, name: &str| {
            let request = Request::head(format!("{base}/{name}")).header("want-repr-digest", "sha-256=9");
            let (client, request) = (client.clone(), request.body(empty_body()).unwrap());
            async move { client.request(request).await }
        };
        let leaves = Client::new(ClientConfig::default());
        let gives_up = tokio::time::timeout(Duration::from_millis(200), head(&leaves, "endless")).await;
        assert!(gives_up.is_err(), "it cannot have been hashed");
        drop(leaves);
        let stays = Client::new(ClientConfig::default());
        let answer = tokio::time::timeout(Duration::from_secs(60), head(&stays, "small")).await;
        assert!(answer.expect("nobody waits for the other file").unwrap().headers().contains_key("repr-digest"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_vanishes_with_its_connection() {
    let served = Served::start();
    let address = served.urls[1].strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"PUT /f HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n").unwrap();
    stream.write_all(&[7; 300_000]).unwrap();
    let on_disk = || fs::read_dir(served.path("root")).unwrap().count();
    let until = async |count| {
        let wait = async {
            while on_disk() != count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("the condition never came true");
    };
    until(1).await;
    drop(stream);
    until(0).await;
}

//! A service over a temporary directory.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use godwit_files::hash::Sha256;
use godwit_files::{FileService, FilesConfig};
use godwit_http::{Body, BoxError, empty_body};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tempfile::TempDir;

/// A directory and the service that serves it.
pub(crate) struct Fixture {
    _directory: TempDir,
    /// What is served.
    pub(crate) root: PathBuf,
    /// A directory beside it, which must never be reached.
    pub(crate) outside: PathBuf,
    pub(crate) service: FileService,
}

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

/// Uploads are taken.
pub(crate) fn uploading() -> FilesConfig {
    FilesConfig { allow_upload: true, ..settled() }
}

/// Time stamps are trusted at once, so that ETags are strong and digests remembered.
pub(crate) fn settled() -> FilesConfig {
    FilesConfig { settle_time: Duration::ZERO, ..FilesConfig::default() }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(settled())
    }

    pub(crate) fn with(config: FilesConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (root, outside) = (directory.path().join("root"), directory.path().join("outside"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        let service = FileService::new(&root, config).unwrap();
        Self { _directory: directory, root, outside, service }
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.root.join(name), content).unwrap();
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        read(self.service.handle(request).await).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(request(Method::GET, path, fields)).await
    }

    /// The names in a directory, as its JSON listing has them.
    pub(crate) async fn names(&self, path: &str) -> Vec<String> {
        let answer = self.get(path, &[("accept", "application/json")]).await;
        let entries: Vec<serde_json::Value> = serde_json::from_slice(&answer.body).unwrap();
        entries.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn head(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(request(Method::HEAD, path, fields)).await
    }
}

impl Fixture {
    pub(crate) async fn put(&self, path: &str, fields: &[(&str, &str)], body: Frames) -> Answer {
        self.send(request(Method::PUT, path, fields).map(|_| body.boxed_unsync())).await
    }

    /// Everything in the served directory, hidden or not.
    pub(crate) fn on_disk(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.root).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A request body of given frames.
pub(crate) struct Frames {
    frames: VecDeque<Result<Frame<Bytes>, BoxError>>,
    /// Whether it waits for ever after the last frame, instead of ending.
    stalls: bool,
    pub(crate) is_polled: Arc<AtomicBool>,
}

impl Frames {
    pub(crate) fn of(chunks: &[&[u8]]) -> Self {
        let frames = chunks.iter().map(|chunk| Ok(Frame::data(Bytes::copy_from_slice(chunk)))).collect();
        Self { frames, stalls: false, is_polled: Arc::default() }
    }

    pub(crate) fn then_trailer(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).unwrap();
        let trailers = HeaderMap::from_iter([(HeaderName::from_static(name), value)]);
        self.frames.push_back(Ok(Frame::trailers(trailers)));
        self
    }

    pub(crate) fn then_error(mut self) -> Self {
        self.frames.push_back(Err("the connection broke".into()));
        self
    }

    pub(crate) fn then_stall(mut self) -> Self {
        self.stalls = true;
        self
    }
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.is_polled.store(true, Ordering::Relaxed);
        match self.frames.pop_front() {
            None if self.stalls => Poll::Pending,
            frame => Poll::Ready(frame),
        }
    }
}

/// A digest as `Repr-Digest` has it.
pub(crate) fn repr_digest(content: &[u8]) -> String {
    let mut sha256 = Sha256::new();
    sha256.update(content);
    sha256.finish().to_repr_digest().to_str().unwrap().to_owned()
}

impl Answer {
    /// A field of the head; empty if it is not there.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The `code` of a problem document.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.field("content-type"), "application/problem+json", "{self:?}");
        let document: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(document["status"], self.status.as_u16());
        assert_eq!(document["type"], "about:blank");
        assert_eq!(document["title"], self.status.canonical_reason().unwrap());
        assert!(document["detail"].as_str().unwrap().ends_with('.'));
        document["code"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn request(method: Method, path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    fields.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(empty_body()).unwrap()
}

/// Reads a response to its end, or to the error that cuts it off.
pub(crate) async fn read(response: Response<Body>) -> Result<Answer, BoxError> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned();
    Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes(), trailers })
}

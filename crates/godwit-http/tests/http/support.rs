//! A server and a client on loopback, and a service that does what the tests ask for.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use godwit_http::{Body, Client, ClientConfig, ConnectionHandle, ListenUrl, Server, ServerConfig, Transport};
use godwit_http::{BoxError, empty_body, full_body};
use http::header::{HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Whatever takes longer hangs; the tests judge by content only.
pub(crate) const HANG: Duration = Duration::from_secs(120);

/// A running server. Dropping it aborts it.
pub(crate) struct Running {
    pub(crate) url: ListenUrl,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start<S, F>(transport: Transport, config: ServerConfig, service: S) -> Self
    where
        S: Fn(Request<Body>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let server = Server::bind(&[loopback(transport)], config).expect("loopback has free ports");
        let url = server.local_urls()[0];
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.serve(service, async move {
            let _stopped = stopped.await;
        }));
        Self { url, stop: Some(stop), task }
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{}", self.url, path.trim_start_matches('/'))
    }

    /// Signals the shutdown and waits for its end.
    pub(crate) async fn shut_down(mut self) {
        self.signal();
        timeout(HANG, &mut self.task).await.expect("the server ends").expect("the server does not panic");
    }

    pub(crate) fn signal(&mut self) {
        let _already_gone = self.stop.take().map(|stop| stop.send(()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn loopback(transport: Transport) -> ListenUrl {
    ListenUrl { transport, address: (Ipv4Addr::LOCALHOST, 0).into() }
}

pub(crate) fn client() -> Client {
    Client::new(ClientConfig::default())
}

/// The service of most tests.
pub(crate) async fn service(request: Request<Body>) -> Response<Body> {
    match request.uri().path() {
        "/hello" => Response::new(full_body("hello")),
        "/echo" => Response::new(request.into_body()),
        "/connection" => connection(&request),
        "/trailer" => with_trailer("digest", "the trailer of a response"),
        "/read-trailer" => read_trailer(request).await,
        "/refuse" => refuse(),
        "/stall" => Response::new(stalling_body()),
        "/fail" => Response::new(failing_body()),
        "/uri" => Response::new(full_body(format!("{} {:?}", request.uri(), request.headers().get("host")))),
        _ => status(StatusCode::NOT_FOUND),
    }
}

fn connection(request: &Request<Body>) -> Response<Body> {
    let handle = request.extensions().get::<ConnectionHandle>().expect("every request has its connection");
    Response::new(full_body(format!("{} {} {}", handle.id(), handle.peer(), handle.local())))
}

fn refuse() -> Response<Body> {
    let mut response = Response::new(full_body("uploads are off here"));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(empty_body());
    *response.status_mut() = status;
    response
}

fn with_trailer(name: &'static str, value: &'static str) -> Response<Body> {
    let mut response = Response::new(body_with_trailer("some bytes", name, value));
    response.headers_mut().insert("trailer", HeaderValue::from_static(name));
    response
}

pub(crate) fn body_with_trailer(data: &'static str, name: &'static str, value: &'static str) -> Body {
    let mut trailers = HeaderMap::new();
    trailers.insert(name, HeaderValue::from_static(value));
    frames(vec![Ok(Frame::data(Bytes::from_static(data.as_bytes()))), Ok(Frame::trailers(trailers))])
}

async fn read_trailer(request: Request<Body>) -> Response<Body> {
    let collected = request.into_body().collect().await.expect("the whole body");
    let trailer = collected.trailers().and_then(|trailers| trailers.get("digest")).cloned();
    let data = collected.to_bytes();
    Response::new(full_body(format!("{} bytes, {trailer:?}", data.len())))
}

/// Sends a little and then nothing more.
fn stalling_body() -> Body {
    let first = frames(vec![Ok(Frame::data(Bytes::from_static(b"a little")))]);
    StalledAfter(first).boxed_unsync()
}

/// Sends a little and then fails.
fn failing_body() -> Body {
    frames(vec![Ok(Frame::data(Bytes::from_static(b"a little"))), Err("out of luck".into())])
}

fn frames(frames: Vec<Result<Frame<Bytes>, BoxError>>) -> Body {
    Frames(frames.into()).boxed_unsync()
}

/// That many zeros, with their Content-Length.
pub(crate) fn large_body(size: u64) -> Body {
    Zeros { left: size }.boxed_unsync()
}

const ZEROS: &[u8] = &[0; 64 << 10];

struct Zeros {
    left: u64,
}

impl http_body::Body for Zeros {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let bytes = self.left.min(ZEROS.len() as u64);
        self.left -= bytes;
        let chunk = Bytes::from_static(&ZEROS[..usize::try_from(bytes).expect("at most 64 KiB")]);
        Poll::Ready((bytes > 0).then(|| Ok(Frame::data(chunk))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.left)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}

/// Frames that are all there.
struct Frames(VecDeque<Result<Frame<Bytes>, BoxError>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.pop_front())
    }
}

struct StalledAfter(Body);

impl http_body::Body for StalledAfter {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.0).poll_frame(cx) {
            Poll::Ready(Some(frame)) => Poll::Ready(Some(frame)),
            _ => Poll::Pending,
        }
    }
}

pub(crate) fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(empty_body()).expect("a valid URI")
}

pub(crate) async fn text(response: Response<Body>) -> String {
    let bytes =
        timeout(HANG, response.into_body().collect()).await.expect("no hang").expect("the whole body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

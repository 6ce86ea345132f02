//! The client: one pool of kept-alive connections over either transport.

use std::error::Error;
use std::time::Duration;

use http::header::{CONNECTION, EXPECT, HeaderValue, TE};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::client_body::ResponseBody;
use crate::connector::{ConnectFailure, Connector, Target};
use crate::udt::UdtEndpoints;
use crate::upload_gate::{GatedBody, UploadGate};
use crate::{Body, RequestError, empty_body};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The limits of a client. Any value is valid.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// For the name resolution and all connection attempts of a request together. Default 10 s.
    pub connect_timeout: Duration,
    /// How long a request with `Expect: 100-continue` waits for the answer before it sends its body anyway. Default 1 s.
    pub continue_timeout: Duration,
    /// How long the next bytes of a response body may take. The head of a response has no limit: a server may have to
    /// work for it. Default 60 s.
    pub stall_timeout: Duration,
    /// How long an unused connection is kept. Default 30 s, which is less than what servers keep.
    pub pool_idle_timeout: Duration,
    /// Unused connections kept per scheme, host and port. Default 16.
    pub pool_idle_max: usize,
    /// Buffers, window and timeouts of UDT connections. Default: those of UDT, but `connect_timeout` as long as the one
    /// above, so that the one above decides.
    pub udt: godwit_udt::Config,
    /// UDP sockets that UDT connections are spread over, each with a driver of its own: connections side by side use as many
    /// cores here, and several drivers of a server. At least 1. Default 1.
    pub udt_sockets: usize,
    /// The highest sending rate of a TCP connection in bits per second; UDT's is in its own configuration. Default: none.
    pub tcp_max_rate_bits_per_s: Option<u64>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: CONNECT_TIMEOUT,
            continue_timeout: Duration::from_secs(1),
            stall_timeout: Duration::from_secs(60),
            pool_idle_timeout: Duration::from_secs(30),
            pool_idle_max: 16,
            udt: godwit_udt::Config::builder().connect_timeout(CONNECT_TIMEOUT).build().expect("10 s are in range"),
            udt_sockets: 1,
            tcp_max_rate_bits_per_s: None,
        }
    }
}

/// Sends requests to `http://` and `udt://` URLs. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct Client {
    pool: legacy::Client<Connector, GatedBody>,
    udt: UdtEndpoints,
    continue_timeout: Duration,
    stall_timeout: Duration,
}

impl Client {
    /// A client without connections yet. It works inside a tokio runtime with I/O and time.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        let udt = UdtEndpoints::new(config.udt, config.udt_sockets);
        let pool = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.pool_idle_timeout)
            .pool_max_idle_per_host(config.pool_idle_max)
            .build(Connector::new(config.connect_timeout, udt.clone(), config.tcp_max_rate_bits_per_s));
        Self { pool, udt, continue_timeout: config.continue_timeout, stall_timeout: config.stall_timeout }
    }

    /// Sends a request and returns the head of the response as soon as it is there; its body streams.
    ///
    /// The URI is absolute. The response has the [`ConnectionHandle`](crate::ConnectionHandle) of its connection in its
    /// extensions. A connection is used again when the response body has been read to its end.
    ///
    /// A request with `Expect: 100-continue` sends its body when the server asks for it, or after
    /// [`ClientConfig::continue_timeout`], and not at all if the server refuses before. The body of any request stops as
    /// soon as the server answers with an error status. A GET, HEAD or OPTIONS request without body is tried a second time
    /// when its connection ends before the response: servers close kept-alive connections when they like.
    ///
    /// # Errors
    ///
    /// [`RequestError`]; its `kind` tells network failures from others. A response with an error status is no error. The
    /// response body may fail later: see [`crate::body_error_kind`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up and closes its connection if the request was begun.
    pub async fn request(&self, request: Request<Body>) -> Result<Response<Body>, RequestError> {
        let target = Target::of(request.uri())?;
        let again = is_repeatable(&request).then(|| repeated(&request));
        match (self.send(&target, request).await, again) {
            (Err(RequestError::Lost { .. }), Some(again)) => self.send(&target, again).await,
            (result, _) => result,
        }
    }

    /// Closes the connections so that their peers know at once. Without it a program that exits leaves UDT peers waiting
    /// until their timeout; TCP connections are closed by the kernel. Takes at most the linger time of the UDT
    /// configuration, and no time where nothing is under way. Clones of this client open new connections if they have to.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the connections are then dropped.
    pub async fn close(self) {
        let udt = self.udt.clone();
        drop(self);
        udt.close().await;
    }

    async fn send(&self, target: &Target, mut request: Request<Body>) -> Result<Response<Body>, RequestError> {
        // All that the pool speaks; another version would be an error of its own.
        *request.version_mut() = Version::HTTP_11;
        if request.headers().contains_key(TE) {
            // RFC 9110 section 10.1.4: it is for the next hop only, and has to say so.
            request.headers_mut().entry(CONNECTION).or_insert(HeaderValue::from_static("te"));
        }
        let upload = UploadGate::new(expects_continue(&request));
        let informed = upload.clone();
        hyper::ext::on_informational(&mut request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                informed.open();
            }
        });
        let request = request.map(|body| GatedBody::new(body, upload.clone(), self.continue_timeout));
        match self.pool.request(request).await {
            Ok(response) => {
                upload.answered(response.status().is_client_error() || response.status().is_server_error());
                Ok(response.map(|incoming| ResponseBody::new(incoming, upload, self.stall_timeout).boxed_unsync()))
            }
            Err(error) => Err(request_error(target, &upload, error)),
        }
    }
}

fn expects_continue(request: &Request<Body>) -> bool {
    let expect = request.headers().get(EXPECT);
    expect.is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Whether sending the request twice does what sending it once does (RFC 9110 section 9.2.2), and can be done.
fn is_repeatable(request: &Request<Body>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) && request.body().is_end_stream()
}

fn repeated(request: &Request<Body>) -> Request<Body> {
    let mut again = Request::new(empty_body());
    again.method_mut().clone_from(request.method());
    again.uri_mut().clone_from(request.uri());
    again.headers_mut().clone_from(request.headers());
    again.extensions_mut().clone_from(request.extensions());
    again
}

fn request_error(target: &Target, upload: &UploadGate, error: legacy::Error) -> RequestError {
    if let Some(source) = upload.take_error() {
        return RequestError::Body { source };
    }
    if let Some(error) = find_cause::<ConnectFailure>(&error).and_then(ConnectFailure::take) {
        return error;
    }
    let host = target.authority.clone();
    match find_cause::<hyper::Error>(&error) {
        Some(cause) if cause.is_parse() => RequestError::NotHttp { host, source: error.into() },
        Some(cause) if cause.is_user() => RequestError::Invalid { host, source: error.into() },
        _ => RequestError::Lost { host, source: error.into() },
    }
}

fn find_cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.find_map(|error| error.downcast_ref())
}

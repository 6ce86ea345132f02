//! One connection of a server, from its acceptance to its end.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use tracing::debug;

use crate::Body;
use crate::activity::{Activity, TimeLimits};
use crate::byte_stream::ByteStream;
use crate::connection_handle::ConnectionHandle;
use crate::connection_io::ConnectionIo;
use crate::lingering_close::LingeringClose;
use crate::server_body::{RequestBody, ResponseBody};

/// What hyper may hold of a body before it wants it taken over by the connection, which has a buffer of its own: beyond this it asks
/// for no further chunk. Its own default is 400 KiB.
const BUFFERED_BYTES_MAX: usize = 64 << 10;

/// What a server wants of its connections. When its sender is gone, they abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerPhase {
    Serving,
    /// Finish the request in progress, begin no other.
    Draining,
    Aborting,
}

/// Limits of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionConfig {
    pub(crate) time_limits: TimeLimits,
    pub(crate) request_head_bytes_max: usize,
    pub(crate) tcp_max_rate_bits_per_s: Option<u64>,
}

/// Answers the requests of one connection until either side ends it.
pub(crate) async fn serve_connection<S, F>(
    stream: ByteStream,
    config: ConnectionConfig,
    service: S,
    mut phase: watch::Receiver<ServerPhase>,
) where
    S: Fn(Request<Body>) -> F,
    F: Future<Output = Response<Body>>,
{
    let Ok(io) = ConnectionIo::new(stream, config.tcp_max_rate_bits_per_s) else {
        return debug!("the peer closed the connection before it was accepted");
    };
    let (handle, activity) = (io.handle().clone(), io.activity().clone());
    debug!(id = handle.id(), peer = %handle.peer(), transport = %handle.transport(), "connection accepted");
    let _at_the_end = FinalCounters(handle.clone());
    let answer = service_fn(|request| answer(&service, request, &handle, &activity));
    let connection = http1::Builder::new()
        .max_header_size(config.request_head_bytes_max)
        .max_buf_size(BUFFERED_BYTES_MAX.max(config.request_head_bytes_max))
        // hyper's own limit also counts the time between requests; the watchdog below tells the two apart.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(LingeringClose::new(io)), answer);
    let mut connection = pin!(connection);
    let mut watchdog = Watchdog::new(activity.clone(), config.time_limits);
    loop {
        tokio::select! {
            biased;
            result = connection.as_mut() => {
                return debug!(id = handle.id(), error = result.err().map(tracing::field::display), "connection ended");
            }
            // After the connection, so that it sees what the poll above has changed.
            () = &mut watchdog => {
                return debug!(id = handle.id(), peer = %handle.peer(), "connection closed: the peer did nothing for too long");
            }
            change = phase.changed() => match change.map(|()| *phase.borrow_and_update()) {
                Ok(ServerPhase::Serving) => {}
                Ok(ServerPhase::Draining) => connection.as_mut().graceful_shutdown(),
                Ok(ServerPhase::Aborting) | Err(_) => return debug!(id = handle.id(), "connection aborted"),
            },
        }
    }
}

fn answer<S, F>(
    service: &S,
    request: Request<Incoming>,
    handle: &ConnectionHandle,
    activity: &Activity,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> + use<S, F>
where
    S: Fn(Request<Body>) -> F,
    F: Future<Output = Response<Body>>,
{
    activity.request_received();
    let mut request = request.map(|incoming| RequestBody::new(incoming, activity.clone()).boxed_unsync());
    request.extensions_mut().insert(handle.clone());
    let response = service(request);
    let activity = activity.clone();
    async move {
        let mut response = response.await;
        if activity.may_have_unread_input() {
            // hyper closes the connection after this response; RFC 9112 section 9.6 wants it said.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(|body| ResponseBody::new(body, activity)))
    }
}

/// Logs what a UDT connection has sent, however it ends.
struct FinalCounters(ConnectionHandle);

impl Drop for FinalCounters {
    fn drop(&mut self) {
        let id = self.0.id();
        if let Some(sender) = self.0.stats().udt.map(|udt| udt.sender) {
            let (sent_packets, retransmitted_packets) = (sender.sent_packets, sender.retransmitted_packets);
            debug!(id, sent_packets, retransmitted_packets, "packets of a UDT connection");
        }
    }
}

/// Completes when the connection's deadline passes. Polled after each poll of the connection.
struct Watchdog {
    activity: Activity,
    limits: TimeLimits,
    sleep: Pin<Box<Sleep>>,
}

impl Watchdog {
    fn new(activity: Activity, limits: TimeLimits) -> Self {
        // Never woken yet: the first poll sets the time.
        let sleep = Box::pin(tokio::time::sleep(limits.idle));
        Self { activity, limits, sleep }
    }
}

impl Future for Watchdog {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            let now = Instant::now();
            let deadline = this.activity.deadline(this.limits);
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(());
            }
            // A later deadline leaves the timer alone: most polls then touch no timer at all. It rings once too early.
            if let Some(deadline) = deadline.filter(|&deadline| deadline < this.sleep.deadline()) {
                this.sleep.as_mut().reset(deadline);
            }
            if this.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let next = deadline.unwrap_or(now + this.limits.idle).max(now + TIMER_TICK);
            this.sleep.as_mut().reset(next);
        }
    }
}

/// tokio's timers do not tell shorter times apart, and a timer of the past would ring at once, again and again.
const TIMER_TICK: std::time::Duration = std::time::Duration::from_millis(1);

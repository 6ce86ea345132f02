//! One line of log for each response, when its last byte has gone or its client has.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use godwit_http::{Body, BoxError};
use http::{Method, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tracing::info;

use crate::escape::Escaped;

/// What is known of a request before it is answered.
pub(crate) struct AccessLog {
    method: Method,
    /// Still percent-encoded.
    path: String,
    began: Instant,
}

impl AccessLog {
    pub(crate) fn new(method: &Method, path: &str) -> Self {
        Self { method: method.clone(), path: path.to_owned(), began: Instant::now() }
    }

    /// Has the response logged when its body is finished or dropped.
    pub(crate) fn watch(self, response: Response<Body>) -> Response<Body> {
        let status = response.status();
        response.map(|body| LoggedBody { body, log: self, status, sent_bytes: 0, is_failed: false }.boxed_unsync())
    }
}

struct LoggedBody {
    body: Body,
    log: AccessLog,
    status: StatusCode,
    sent_bytes: u64,
    is_failed: bool,
}

impl http_body::Body for LoggedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => self.sent_bytes += frame.data_ref().map_or(0, |bytes| bytes.len() as u64),
            Some(Err(error)) => {
                self.is_failed = true;
                let path = Escaped::new(&self.log.path);
                tracing::warn!(%path, %error, "aborted a response");
            }
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for LoggedBody {
    fn drop(&mut self) {
        let is_whole = !self.is_failed && self.body.is_end_stream();
        info!(
            method = %Escaped::new(self.log.method.as_str()),
            path = %Escaped::new(&self.log.path),
            status = self.status.as_u16(),
            sent_bytes = self.sent_bytes,
            is_whole,
            duration_ms = u64::try_from(self.log.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "request"
        );
    }
}

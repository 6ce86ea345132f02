//! Bodies of a server: requests coming in, responses going out, both telling the connection's activity.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use crate::activity::Activity;
use crate::error::BodyError;
use crate::{Body, BoxError};

/// A request body that tells when the service waits for the peer, and when it leaves the body unread.
#[derive(Debug)]
pub(crate) struct RequestBody {
    incoming: Incoming,
    activity: Activity,
    has_ended: bool,
}

/// A response body that tells when hyper is done with it.
pub(crate) struct ResponseBody {
    body: Body,
    activity: Activity,
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, activity: Activity) -> Self {
        let has_ended = http_body::Body::is_end_stream(&incoming);
        Self { incoming, activity, has_ended }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.activity.body_awaited(false);
        if !self.has_ended && !http_body::Body::is_end_stream(&self.incoming) {
            self.activity.body_left_unread();
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.incoming).poll_frame(cx);
        this.activity.body_awaited(frame.is_pending());
        let frame = ready!(frame);
        this.has_ended = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame.map(|frame| frame.map_err(|source| BodyError::Lost { source: source.into() }.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl ResponseBody {
    pub(crate) fn new(body: Body, activity: Activity) -> Self {
        Self { body, activity }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.activity.response_finished();
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

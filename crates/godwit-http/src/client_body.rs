//! The body of a response as the caller reads it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::BoxError;
use crate::error::BodyError;
use crate::upload_gate::UploadGate;

/// A response body that does not wait for ever, and tells a refused upload when to end.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    incoming: Incoming,
    upload: UploadGate,
    stall_timeout: Duration,
    /// Runs while we wait for the next frame.
    stall: Option<Pin<Box<Sleep>>>,
}

impl ResponseBody {
    pub(crate) fn new(incoming: Incoming, upload: UploadGate, stall_timeout: Duration) -> Self {
        if http_body::Body::is_end_stream(&incoming) {
            upload.response_finished();
        }
        Self { incoming, upload, stall_timeout, stall: None }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.upload.response_finished();
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                this.stall = None;
                if !matches!(frame, Some(Ok(_))) {
                    this.upload.response_finished();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(|error| BodyError::Lost { source: error.into() }.into())))
            }
            Poll::Pending => {
                let after = this.stall_timeout;
                let stall = this.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
                stall.as_mut().poll(cx).map(|()| Some(Err(BodyError::Stalled { after }.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

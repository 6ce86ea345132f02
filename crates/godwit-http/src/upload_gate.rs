//! Request bodies that wait for the server, stop when it refuses, and give way to its answer.
//!
//! RFC 9110 section 10.1.1: with `Expect: 100-continue` the body waits for 100 (Continue), but not for ever. RFC 9112
//! section 9.5: a client that sees an error response while it is sending stops at once. hyper has neither: it would send on
//! until the server closes the connection, and could lose the response to that. So the body goes through a gate.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Sleep;

use crate::{Body, BoxError};

/// What the rest of the client tells a body that is being sent.
#[derive(Clone, Debug)]
pub(crate) struct UploadGate {
    state: Arc<Mutex<State>>,
}

/// A request body behind its gate.
pub(crate) struct GatedBody {
    body: Body,
    gate: UploadGate,
    continue_timeout: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
struct State {
    course: Course,
    waker: Option<Waker>,
    error: Option<BoxError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// For 100 (Continue), or the end of the wait.
    Waiting,
    Sending,
    /// The server has answered without it; the answer is still being read, so the connection has to stay.
    Stopped,
    /// The answer is read, the connection is of no more use.
    Aborted,
    /// hyper has dropped the body, at its end or before.
    Gone,
}

/// What hyper gets to see instead of the body's own error, which the caller gets.
#[derive(Debug)]
struct UploadEnded;

impl UploadGate {
    pub(crate) fn new(waits_for_continue: bool) -> Self {
        let course = if waits_for_continue { Course::Waiting } else { Course::Sending };
        Self { state: Arc::new(Mutex::new(State { course, waker: None, error: None })) }
    }

    /// The server wants the body, or has not said that it does not.
    pub(crate) fn open(&self) {
        self.step(|course| course == Course::Waiting, Course::Sending);
    }

    /// The final response is there. An error status stops the body, and so does any answer instead of 100 (Continue).
    pub(crate) fn answered(&self, is_error: bool) {
        self.step(|course| course == Course::Waiting || is_error && course == Course::Sending, Course::Stopped);
    }

    /// The response is read or given up: a stopped body ends now, and the connection with it.
    pub(crate) fn response_finished(&self) {
        self.step(|course| course == Course::Stopped, Course::Aborted);
    }

    /// The body's own error, if that is why the request failed.
    pub(crate) fn take_error(&self) -> Option<BoxError> {
        self.lock().error.take()
    }

    fn step(&self, from: impl Fn(Course) -> bool, to: Course) {
        let waker = {
            let mut state = self.lock();
            if !from(state.course) {
                return;
            }
            state.course = to;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The course now; a change of it wakes the task.
    fn poll_course(&self, cx: &mut Context<'_>) -> Course {
        let mut state = self.lock();
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        state.course
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is a plain store: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GatedBody {
    pub(crate) fn new(body: Body, gate: UploadGate, continue_timeout: Duration) -> Self {
        Self { body, gate, continue_timeout, sleep: None }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map_err(|error| {
                self.gate.lock().error = Some(error);
                UploadEnded.into()
            })
        }))
    }

    /// The wait begins with the first poll: then hyper has written the head.
    fn poll_continue_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timeout = self.continue_timeout;
        self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout))).as_mut().poll(cx)
    }
}

impl Drop for GatedBody {
    fn drop(&mut self) {
        self.gate.step(|_| true, Course::Gone);
    }
}

impl http_body::Body for GatedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match this.gate.poll_course(cx) {
            Course::Waiting => {
                ready!(this.poll_continue_timeout(cx));
                this.gate.open();
                this.poll_body(cx)
            }
            Course::Sending => this.poll_body(cx),
            Course::Stopped => Poll::Pending,
            Course::Aborted | Course::Gone => Poll::Ready(Some(Err(UploadEnded.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Display for UploadEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request body ended early")
    }
}

impl std::error::Error for UploadEnded {}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::full_body;

    const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

    fn gated(waits_for_continue: bool) -> (UploadGate, GatedBody) {
        let gate = UploadGate::new(waits_for_continue);
        (gate.clone(), GatedBody::new(full_body("abc"), gate, CONTINUE_TIMEOUT))
    }

    #[tokio::test(start_paused = true)]
    async fn the_body_starts_with_100_or_after_a_while() {
        let start = Instant::now();
        let (gate, body) = gated(true);
        gate.open();
        assert_eq!(body.collect().await.expect("the body").to_bytes(), "abc");
        assert_eq!(start.elapsed(), Duration::ZERO);

        let (_gate, body) = gated(true);
        assert_eq!(body.collect().await.expect("the body").to_bytes(), "abc");
        assert!(start.elapsed() >= CONTINUE_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_body_sends_nothing_and_ends_with_the_response() {
        for waits_for_continue in [true, false] {
            let (gate, mut body) = gated(waits_for_continue);
            gate.answered(true);
            assert!(timeout(Duration::from_secs(100), body.frame()).await.is_err(), "not a byte and no error yet");
            gate.open();
            gate.response_finished();
            assert!(body.frame().await.expect("an end").is_err());
        }
    }

    #[tokio::test]
    async fn a_finished_response_does_not_end_an_accepted_upload() {
        let (gate, body) = gated(false);
        gate.answered(false);
        gate.response_finished();
        assert_eq!(body.collect().await.expect("the body").to_bytes(), "abc");
    }
}

//! What a server's connection is doing, as far as its time limits need to know.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The two time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLimits {
    /// From the first byte of a request to the end of its head.
    pub(crate) request_head: Duration,
    /// Without a byte while the peer is to act.
    pub(crate) idle: Duration,
}

/// Shared by the connection's I/O, its request bodies and its watchdog.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    phase_since: Instant,
    /// The last byte moved, either direction.
    moved_at: Instant,
    /// We have bytes that the peer does not take.
    write_blocked: bool,
    /// The service waits for bytes of the request body.
    body_awaited: bool,
    /// When one of the two above began.
    waiting_since: Instant,
    body_unread: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between requests.
    Idle,
    /// Part of a request head is there.
    Head,
    /// From the complete head to the last byte of the response.
    Exchange,
    /// Our direction is closed; the linger has limits of its own.
    Closing,
}

impl Activity {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let state = State {
            phase: Phase::Idle,
            phase_since: now,
            moved_at: now,
            write_blocked: false,
            body_awaited: false,
            waiting_since: now,
            body_unread: false,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn bytes_read(&self) {
        let mut state = self.lock();
        state.moved_at = Instant::now();
        if state.phase == Phase::Idle {
            state.enter(Phase::Head);
        }
    }

    pub(crate) fn bytes_written(&self) {
        let mut state = self.lock();
        state.moved_at = Instant::now();
        state.write_blocked = false;
    }

    pub(crate) fn write_blocked(&self) {
        let mut state = self.lock();
        state.begin_waiting();
        state.write_blocked = true;
    }

    pub(crate) fn request_received(&self) {
        self.lock().enter(Phase::Exchange);
    }

    pub(crate) fn response_finished(&self) {
        self.lock().enter(Phase::Idle);
    }

    pub(crate) fn closing(&self) {
        self.lock().enter(Phase::Closing);
    }

    pub(crate) fn body_awaited(&self, awaited: bool) {
        let mut state = self.lock();
        if awaited {
            state.begin_waiting();
        }
        state.body_awaited = awaited;
    }

    /// The service dropped a request body before its end.
    pub(crate) fn body_left_unread(&self) {
        self.lock().body_unread = true;
    }

    /// Whether the peer may be sending what nobody is going to read.
    pub(crate) fn may_have_unread_input(&self) -> bool {
        let state = self.lock();
        state.body_unread || state.phase == Phase::Head
    }

    /// When the connection has done nothing for too long, if nothing happens until then. `None` while it is our turn.
    pub(crate) fn deadline(&self, limits: TimeLimits) -> Option<Instant> {
        let state = self.lock();
        match state.phase {
            Phase::Head => Some(state.phase_since + limits.request_head),
            Phase::Idle => Some(state.phase_since.max(state.moved_at) + limits.idle),
            Phase::Exchange if state.write_blocked || state.body_awaited => {
                Some(state.waiting_since.max(state.moved_at) + limits.idle)
            }
            Phase::Exchange | Phase::Closing => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change below is a plain store: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_since = Instant::now();
    }

    fn begin_waiting(&mut self) {
        if !self.write_blocked && !self.body_awaited {
            self.waiting_since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TimeLimits = TimeLimits { request_head: Duration::from_secs(15), idle: Duration::from_secs(60) };

    #[tokio::test(start_paused = true)]
    async fn a_trickling_head_does_not_extend_its_deadline() {
        let activity = Activity::new();
        activity.bytes_read();
        let deadline = activity.deadline(LIMITS);
        assert_eq!(deadline, Some(Instant::now() + LIMITS.request_head));
        tokio::time::advance(Duration::from_secs(10)).await;
        activity.bytes_read();
        assert_eq!(activity.deadline(LIMITS), deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_work_has_no_deadline_and_waiting_for_the_peer_has() {
        let activity = Activity::new();
        activity.bytes_read();
        activity.request_received();
        assert_eq!(activity.deadline(LIMITS), None);
        tokio::time::advance(Duration::from_secs(1000)).await;
        activity.body_awaited(true);
        assert_eq!(activity.deadline(LIMITS), Some(Instant::now() + LIMITS.idle));
        activity.body_awaited(false);
        assert_eq!(activity.deadline(LIMITS), None);
    }

    #[tokio::test(start_paused = true)]
    async fn moving_bytes_push_the_idle_deadline() {
        let activity = Activity::new();
        activity.request_received();
        activity.write_blocked();
        tokio::time::advance(Duration::from_secs(59)).await;
        activity.bytes_written();
        activity.write_blocked();
        assert_eq!(activity.deadline(LIMITS), Some(Instant::now() + LIMITS.idle));
        activity.bytes_written();
        activity.response_finished();
        assert_eq!(activity.deadline(LIMITS), Some(Instant::now() + LIMITS.idle));
    }
}

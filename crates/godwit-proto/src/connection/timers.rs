//! The timers of a connection that belong to neither half: an enum and an array.

use std::time::{Duration, Instant};

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// Repeat the handshake request, or the response while the peer has sent nothing.
    Handshake,
    /// Give the handshake up.
    ConnectLimit,
    /// Say that we are here.
    KeepAlive,
    /// The peer has been silent for too long.
    PeerSilence,
    /// Introduce ourselves again.
    Hello,
    /// A close has waited long enough for the last acknowledgement.
    Linger,
    /// Say the shutdown, or repeat it, then be done.
    Shutdown,
}

impl Timer {
    const ALL: [Self; 7] = [
        Self::Handshake,
        Self::ConnectLimit,
        Self::KeepAlive,
        Self::PeerSilence,
        Self::Hello,
        Self::Linger,
        Self::Shutdown,
    ];
}

/// How far apart the ticks of an endpoint are. Ten thousand idle connections say a thousand times a second that they are there: this
/// makes it a hundred at a time, and waking up for each by itself cost twice as much as sending. Short against a second, after which
/// libudt wants to hear something.
const TICK: Duration = Duration::from_millis(100);

/// Times that all connections of an endpoint have in common, for what need not be done at a time of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    pub(crate) first: Instant,
}

impl Ticks {
    /// The last tick that is not after `at`, which is not before the first.
    pub(super) fn last_until(self, at: Instant) -> Instant {
        let beyond = at.saturating_duration_since(self.first).as_nanos() % TICK.as_nanos();
        at - Duration::from_nanos(u64::try_from(beyond).expect("less than a tick"))
    }
}

/// When each timer runs out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timers([Option<Instant>; Timer::ALL.len()]);

impl Timers {
    /// Starts a timer, or starts it anew.
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = Some(at);
    }

    /// Stops a timer.
    pub(super) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    /// Stops all.
    pub(super) fn stop_all(&mut self) {
        *self = Self::default();
    }

    /// A timer that has run out, which this stops.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<Timer> {
        let expired = Timer::ALL.into_iter().find(|&timer| self.0[timer as usize].is_some_and(|at| at <= now))?;
        self.stop(expired);
        Some(expired)
    }

    /// When the next one runs out.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.into_iter().flatten().min()
    }
}

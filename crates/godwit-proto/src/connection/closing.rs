//! How a connection ends. UDT has no half-close: one shutdown packet, unacknowledged, ends both directions
//! (specification section 7).

use std::task::Poll;
use std::time::Duration;

use crate::error::{ConnectionError, WriteError};

/// How often a shutdown is sent: it is not acknowledged, and a peer that misses it waits for 46 s. Deviation 49.
const SHUTDOWNS: u8 = 3;
/// The second one comes soon, since a process that is done does not wait for more...
const SHUTDOWN_REPEAT: Duration = Duration::from_millis(10);
/// ... and the third an RTT later, at most this much: losses come in bursts.
const SHUTDOWN_REPEAT_MAX: Duration = Duration::from_millis(500);

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// It has not begun.
    Open,
    /// The application has closed, and waits for the acknowledgement of everything.
    Lingering,
    /// Everything was acknowledged after a close, and a reader of messages gets time to read them.
    Pausing,
    /// Everything was acknowledged after a close.
    Closed(Farewell),
    /// The connection ended for another reason.
    Ended(ConnectionError, Farewell),
}

/// Shutdown packets still to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Farewell {
    left: u8,
    is_due: bool,
}

impl Farewell {
    const NONE: Self = Self { left: 0, is_due: false };
    const DUE: Self = Self { left: SHUTDOWNS, is_due: true };
}

impl Closing {
    /// The application closes; false if the end has begun already.
    pub(super) fn begin(&mut self) -> bool {
        let is_open = *self == Self::Open;
        if is_open {
            *self = Self::Lingering;
        }
        is_open
    }

    /// Everything is acknowledged; true if that is what a close was waiting for. It may have to pause before it goes on.
    pub(super) fn flushed(&mut self, pauses: bool) -> bool {
        let was_waiting = *self == Self::Lingering;
        if was_waiting {
            *self = if pauses { Self::Pausing } else { Self::Closed(Farewell::DUE) };
        }
        was_waiting
    }

    /// The pause is over; true if there was one.
    pub(super) fn paused(&mut self) -> bool {
        let was_pausing = *self == Self::Pausing;
        if was_pausing {
            *self = Self::Closed(Farewell::DUE);
        }
        was_pausing
    }

    /// The connection ends for this reason, without a shutdown unless one is queued.
    pub(super) fn finish(&mut self, reason: ConnectionError) {
        *self = Self::Ended(reason, Farewell::NONE);
    }

    /// A shutdown is to be sent: the first of several, or the next of them.
    pub(super) fn queue_shutdown(&mut self) {
        match self {
            Self::Closed(farewell) | Self::Ended(_, farewell) if farewell.left > 0 => farewell.is_due = true,
            Self::Ended(_, farewell) => *farewell = Farewell::DUE,
            _ => {}
        }
    }

    /// Whether to send a shutdown now; counts it.
    pub(super) fn take_shutdown(&mut self) -> bool {
        let (Self::Closed(farewell) | Self::Ended(_, farewell)) = self else { return false };
        let is_due = std::mem::take(&mut farewell.is_due);
        if is_due {
            farewell.left -= 1;
        }
        is_due
    }

    /// After which time the next shutdown is to follow the one just sent, if any.
    pub(super) fn shutdown_repeat(&self, srtt: Duration) -> Option<Duration> {
        match self.shutdowns_left() {
            0 => None,
            left if left == SHUTDOWNS - 1 => Some(SHUTDOWN_REPEAT),
            _ => Some(srtt.clamp(SHUTDOWN_REPEAT, SHUTDOWN_REPEAT_MAX)),
        }
    }

    /// Whether nothing may be received any more.
    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Closed(_) | Self::Ended(..))
    }

    /// Whether data, acknowledgements and their like may be sent.
    pub(super) fn may_send_data(&self) -> bool {
        !self.is_done()
    }

    /// Whether nothing is left to be sent either.
    pub(super) fn is_drained(&self) -> bool {
        self.is_done() && self.shutdowns_left() == 0
    }

    /// Whether the application may write.
    pub(super) fn check_writable(&self) -> Result<(), WriteError> {
        match *self {
            Self::Open => Ok(()),
            Self::Lingering | Self::Pausing | Self::Closed(_) => Err(WriteError::Closed),
            Self::Ended(reason, _) => Err(WriteError::ConnectionLost(reason)),
        }
    }

    /// What a reader gets once everything that arrived has been read: more may come, the end, or why it broke
    /// (deviation 51).
    pub(super) fn end_of_reading(&self) -> Poll<Result<(), ConnectionError>> {
        match *self {
            Self::Open | Self::Lingering | Self::Pausing => Poll::Pending,
            Self::Closed(_) | Self::Ended(ConnectionError::ClosedByPeer, _) => Poll::Ready(Ok(())),
            Self::Ended(reason, _) => Poll::Ready(Err(reason)),
        }
    }

    fn shutdowns_left(&self) -> u8 {
        match self {
            Self::Closed(farewell) | Self::Ended(_, farewell) => farewell.left,
            _ => 0,
        }
    }
}

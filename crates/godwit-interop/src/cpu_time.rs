//! What a process has cost so far.

use std::{fmt, time::Duration};

use crate::{Event, PeerError};

/// CPU time of a process with all its threads, those that have ended included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuTime {
    /// In the process itself.
    pub user: Duration,
    /// In the kernel on its behalf; on the loopback, a sender pays for the way up to the receiver's socket, too.
    pub system: Duration,
}

impl CpuTime {
    /// Of this process; `None` where the system does not tell.
    #[cfg(unix)]
    pub fn of_this_process() -> Option<Self> {
        use nix::sys::{
            resource::{UsageWho, getrusage},
            time::TimeVal,
        };
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        let duration = |time: TimeVal| {
            let seconds = Duration::from_secs(time.tv_sec().try_into().ok()?);
            Some(seconds + Duration::from_micros(time.tv_usec().try_into().ok()?))
        };
        Some(Self { user: duration(usage.user_time())?, system: duration(usage.system_time())? })
    }

    /// Of this process; `None` where the system does not tell.
    #[cfg(not(unix))]
    pub fn of_this_process() -> Option<Self> {
        None
    }

    /// Both together.
    pub fn total(&self) -> Duration {
        self.user + self.system
    }

    pub(crate) fn parse(event: &Event) -> Result<Self, PeerError> {
        let micros = |field| event.value(field).map(Duration::from_micros);
        Ok(Self { user: micros("user_us")?, system: micros("system_us")? })
    }
}

impl fmt::Display for CpuTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user_us={} system_us={}", self.user.as_micros(), self.system.as_micros())
    }
}

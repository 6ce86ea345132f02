//! The processor time of this process.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What all threads of this process have used so far, in user mode and in the kernel.
pub(super) fn of_this_process() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // Neither part of a clock that counts from 0 is negative.
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

//! Sleeps shorter than a tick of tokio's timer (1 ms): a packet every microsecond cannot wait for one.

use std::io;
use std::time::Instant;

#[cfg(target_os = "linux")]
use timerfd::TimerFd;

/// One alarm. On Linux a timerfd, which keeps to some tens of microseconds; elsewhere tokio's timer, which rounds up to
/// milliseconds.
#[derive(Debug)]
pub(crate) struct Pacer {
    #[cfg(target_os = "linux")]
    timer: Option<TimerFd>,
}

impl Pacer {
    /// Must be called inside a tokio runtime with I/O enabled.
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            timer: TimerFd::new()
                .inspect_err(|error| tracing::debug!(%error, "no timerfd: pacing has a granularity of 1 ms"))
                .ok(),
        }
    }

    /// Waits until `deadline`, for ever if there is none.
    ///
    /// # Errors
    /// The timer itself failed, which takes a defect of the system.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is lost, the next call sets the alarm again.
    pub(crate) async fn sleep_until(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let Some(deadline) = deadline else { return std::future::pending().await };
        #[cfg(target_os = "linux")]
        if let Some(timer) = &mut self.timer {
            return timer.sleep_until(deadline).await;
        }
        tokio::time::sleep_until(deadline.into()).await;
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod timerfd {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::{Duration, Instant};

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    #[derive(Debug)]
    pub(super) struct TimerFd {
        fd: AsyncFd<OwnedFd>,
        /// The deadline that the kernel has, so that an unchanged one costs no system call.
        armed: Option<Instant>,
    }

    impl TimerFd {
        #[expect(deprecated, reason = "its successor is unsafe; this is sound for an OwnedFd that nobody replaces")]
        pub(super) fn new() -> io::Result<Self> {
            let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            Ok(Self { fd: AsyncFd::with_interest(fd, Interest::READABLE)?, armed: None })
        }

        pub(super) async fn sleep_until(&mut self, deadline: Instant) -> io::Result<()> {
            if self.armed != Some(deadline) {
                let wait = deadline.saturating_duration_since(Instant::now());
                if wait.is_zero() {
                    return Ok(());
                }
                self.arm(wait)?;
                self.armed = Some(deadline);
            }
            loop {
                let mut ready = self.fd.readable().await?;
                let mut expirations = [0; 8];
                match ready.try_io(|fd| Ok(rustix::io::read(fd, &mut expirations)?)) {
                    Ok(read) => {
                        // Nothing is left to read before the alarm is set again; without this the next wait would try.
                        ready.clear_ready();
                        self.armed = None;
                        return read.map(drop);
                    }
                    // The event belonged to an alarm that has been set anew since.
                    Err(_would_block) => {}
                }
            }
        }

        /// Setting the timer also takes back an expiration that nobody has read.
        fn arm(&self, wait: Duration) -> io::Result<()> {
            let once = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: Timespec {
                    tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: wait.subsec_nanos().into(),
                },
            };
            timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &once)?;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn never_wakes_early_and_can_be_set_again_after_a_cancelled_sleep() {
        let mut pacer = Pacer::new();
        for microseconds in [0, 1, 50, 300, 2500] {
            let far = Instant::now() + Duration::from_secs(3600);
            let cancelled = tokio::time::timeout(Duration::ZERO, pacer.sleep_until(Some(far))).await;
            assert!(cancelled.is_err());
            let deadline = Instant::now() + Duration::from_micros(microseconds);
            pacer.sleep_until(Some(deadline)).await.unwrap();
            assert!(Instant::now() >= deadline);
        }
    }

    #[tokio::test]
    async fn a_deadline_in_the_past_is_due_at_once_and_none_never() {
        let mut pacer = Pacer::new();
        pacer.sleep_until(Some(Instant::now())).await.unwrap();
        let never = tokio::time::timeout(Duration::from_millis(5), pacer.sleep_until(None)).await;
        assert!(never.is_err());
    }
}

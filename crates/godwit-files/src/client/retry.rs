//! How often and when to try again.

use std::time::Duration;

/// Tries again after network errors, waiting twice as long each time. Whoever makes progress starts counting anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Retries in a row without a byte of progress; 0 means never.
    pub attempts_max: u32,
    /// Before the first retry.
    pub first_delay: Duration,
    /// The delay stops growing here.
    pub delay_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts_max: 5, first_delay: Duration::from_secs(1), delay_max: Duration::from_secs(60) }
    }
}

impl RetryPolicy {
    /// The wait before retry number `attempt` (from 1); `None` when it is enough.
    pub fn delay(&self, attempt: u32) -> Option<Duration> {
        let doublings = attempt.checked_sub(1).filter(|_| attempt <= self.attempts_max)?;
        Some(self.first_delay.saturating_mul(2_u32.saturating_pow(doublings)).min(self.delay_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_end() {
        let policy = RetryPolicy { attempts_max: 4, delay_max: Duration::from_secs(3), ..RetryPolicy::default() };
        let seconds: Vec<_> = (1..=5).map(|attempt| policy.delay(attempt).map(|delay| delay.as_secs())).collect();
        assert_eq!(seconds, [Some(1), Some(2), Some(3), Some(3), None]);
        assert_eq!(RetryPolicy { attempts_max: u32::MAX, ..policy }.delay(u32::MAX), Some(Duration::from_secs(3)));
    }
}

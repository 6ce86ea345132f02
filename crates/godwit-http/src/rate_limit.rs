//! The sending rate of a connection whose transport has no pacing of its own: a token bucket.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// What may go out at once after a pause. Short enough to be smooth, long against the timer's 1 ms.
const BURST: Duration = Duration::from_millis(20);
/// A burst is never shorter than this, so that low rates do not send single bytes.
const BURST_BYTES_MIN: u64 = 1500;
/// A sleeping writer looks this often whether its rate was changed.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// The rate of a connection without limit.
const UNLIMITED: u64 = u64::MAX;

/// The limit itself, which any thread may change while the connection runs.
#[derive(Debug)]
pub(crate) struct MaxRate {
    bits_per_s: AtomicU64,
}

/// The bucket of one writer.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    /// Credit in bytes × nanoseconds per second, so that no rate rounds to nothing.
    credit_byte_ns: u128,
    refilled_at: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl MaxRate {
    pub(crate) fn unlimited() -> Self {
        Self { bits_per_s: AtomicU64::new(UNLIMITED) }
    }

    pub(crate) fn set(&self, bits_per_s: Option<u64>) {
        // Zero would never wake up again; one bit per second is as good as stopped and can be lifted.
        self.bits_per_s.store(bits_per_s.map_or(UNLIMITED, |rate| rate.max(1)), Ordering::Relaxed);
    }

    fn bytes_per_s(&self) -> Option<u64> {
        match self.bits_per_s.load(Ordering::Relaxed) {
            UNLIMITED => None,
            bits_per_s => Some(bits_per_s.div_ceil(8)),
        }
    }
}

impl TokenBucket {
    pub(crate) fn new() -> Self {
        Self { credit_byte_ns: 0, refilled_at: Instant::now(), sleep: None }
    }

    /// How many bytes may be written now, at least one; `None` means any number. Pending until there is a byte's credit.
    pub(crate) fn poll_budget(&mut self, cx: &mut Context<'_>, rate: &MaxRate) -> Poll<Option<usize>> {
        loop {
            let Some(bytes_per_s) = rate.bytes_per_s() else {
                self.sleep = None;
                return Poll::Ready(None);
            };
            self.refill(bytes_per_s);
            let budget_bytes = self.credit_byte_ns / NANOS_PER_S;
            // Half a burst at a time: fewer, larger writes and wake-ups.
            if budget_bytes >= u128::from(burst_bytes(bytes_per_s) / 2) {
                self.sleep = None;
                return Poll::Ready(Some(usize::try_from(budget_bytes).unwrap_or(usize::MAX)));
            }
            let missing = u128::from(burst_bytes(bytes_per_s) / 2) * NANOS_PER_S - self.credit_byte_ns;
            let wait_ns = u64::try_from(missing / u128::from(bytes_per_s)).unwrap_or(u64::MAX);
            let wait = Duration::from_nanos(wait_ns.saturating_add(1)).min(SLEEP_MAX);
            ready!(self.poll_sleep(cx, wait));
        }
    }

    pub(crate) fn spend(&mut self, bytes: usize) {
        self.credit_byte_ns = self.credit_byte_ns.saturating_sub(bytes as u128 * NANOS_PER_S);
    }

    fn refill(&mut self, bytes_per_s: u64) {
        let now = Instant::now();
        let elapsed_ns = now.duration_since(self.refilled_at).as_nanos();
        self.refilled_at = now;
        let most = u128::from(burst_bytes(bytes_per_s)) * NANOS_PER_S;
        self.credit_byte_ns = (self.credit_byte_ns + elapsed_ns * u128::from(bytes_per_s)).min(most);
    }

    fn poll_sleep(&mut self, cx: &mut Context<'_>, wait: Duration) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(wait)));
        ready!(sleep.as_mut().poll(cx));
        self.sleep = None;
        Poll::Ready(())
    }
}

const NANOS_PER_S: u128 = 1_000_000_000;

fn burst_bytes(bytes_per_s: u64) -> u64 {
    let burst = u128::from(bytes_per_s) * BURST.as_nanos() / NANOS_PER_S;
    u64::try_from(burst).unwrap_or(u64::MAX).max(BURST_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn send(bucket: &mut TokenBucket, rate: &MaxRate, mut bytes: usize) {
        while bytes > 0 {
            let budget = poll_fn(|cx| bucket.poll_budget(cx, rate)).await.map_or(bytes, |budget| budget.min(bytes));
            bucket.spend(budget);
            bytes -= budget;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_megabyte_at_eight_megabits_takes_a_second() {
        let (mut bucket, rate) = (TokenBucket::new(), MaxRate::unlimited());
        rate.set(Some(8_000_000));
        let start = Instant::now();
        send(&mut bucket, &rate, 1_000_000).await;
        let took = start.elapsed();
        assert!((Duration::from_millis(970)..Duration::from_millis(1030)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn lifting_a_tiny_rate_frees_a_sleeping_writer() {
        let (mut bucket, rate) = (TokenBucket::new(), MaxRate::unlimited());
        rate.set(Some(0));
        let start = Instant::now();
        let lift = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            rate.set(None);
        };
        tokio::join!(send(&mut bucket, &rate, 1_000_000), lift);
        assert!(start.elapsed() <= Duration::from_secs(5) + SLEEP_MAX + Duration::from_millis(2));
    }
}

//! When the driver looks again at a socket that it has emptied: as soon as something comes, or, where much comes, a little later, as a
//! network card moderates its interrupts. At some hundred Mbit/s each datagram would else wake the driver by itself, and after it
//! everybody up to the file: docs/performance.md, "At moderate rates". A question and its answer never wait: "How long a question takes".

use std::time::{Duration, Instant};

/// How long the socket is left alone. Short against any round-trip that is worth it; and what it adds is taken off between our own
/// ends, where kernels stamp what arrives and an ACK says how old its news are.
const RECEIVE_MODERATION: Duration = Duration::from_micros(250);
/// How much "much" is: full packets of 1500 bytes each 150 µs, 80 Mbit/s. Questions and answers are shorter than that, and so is what
/// acknowledges them, however fast they follow each other.
const MODERATED_BYTES_PER_MS: u64 = 10_000;
/// What comes sooner than this after the last counts as if it came then: two datagrams in a row are no rate.
const INTERVAL_MIN: Duration = Duration::from_micros(100);
/// What comes later than this after the last is no stream: two pauses.
const INTERVAL_MAX: Duration = Duration::from_micros(500);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Moderation {
    /// When the socket was emptied for the last time.
    emptied_at: Option<Instant>,
    /// What has come since then.
    received_bytes: u64,
    /// Until when the socket is left alone.
    until: Option<Instant>,
}

impl Moderation {
    /// So much has come, and there may be more.
    pub(crate) fn received(&mut self, bytes: u64) {
        self.received_bytes += bytes;
    }

    /// What there was has been received.
    pub(crate) fn emptied(&mut self, now: Instant) {
        let bytes = std::mem::take(&mut self.received_bytes);
        if bytes == 0 {
            return;
        }
        let last = self.emptied_at.replace(now);
        let interval = last.map_or(Duration::MAX, |last| now.saturating_duration_since(last));
        let enough = interval.max(INTERVAL_MIN).as_micros() * u128::from(MODERATED_BYTES_PER_MS) / 1000;
        let is_much = interval < INTERVAL_MAX && u128::from(bytes) >= enough;
        self.until = is_much.then(|| now + RECEIVE_MODERATION);
    }

    /// Until when nobody looks at the socket; `None` if it may be looked at.
    pub(crate) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|&until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often the socket is left alone while so many bytes come in each interval, ten times.
    fn pauses(bytes: u64, interval_us: u64) -> usize {
        let (mut moderation, mut now) = (Moderation::default(), Instant::now());
        let mut pauses = 0;
        for _ in 0..10 {
            moderation.received(bytes);
            moderation.emptied(now);
            pauses += usize::from(moderation.until(now).is_some());
            now += Duration::from_micros(interval_us);
        }
        pauses
    }

    #[test]
    fn what_comes_in_numbers_waits_and_questions_do_not() {
        assert_eq!([pauses(1500, 150), pauses(1500, 151)], [9, 0], "full packets at 80 Mbit/s, and at less");
        assert_eq!([pauses(999, 1), pauses(1000, 1)], [0, 9], "one datagram right after the other is no rate");
        assert_eq!([pauses(1 << 20, 499), pauses(1 << 20, 500)], [9, 0], "much, but after a silence");
    }

    #[test]
    fn the_first_that_comes_never_waits_nor_does_anything_after_the_pause() {
        let (mut moderation, start) = (Moderation::default(), Instant::now());
        moderation.received(1 << 20);
        moderation.emptied(start);
        assert_eq!(moderation.until(start), None);
        let then = start + Duration::from_micros(300);
        moderation.received(2000);
        moderation.received(2000);
        moderation.emptied(then);
        let end = then + RECEIVE_MODERATION;
        assert_eq!(moderation.until(then), Some(end), "several calls emptied it");
        assert_eq!(moderation.until(end), None);
        // A look that finds nothing says nothing of what comes.
        moderation.emptied(end);
        moderation.received(4500);
        moderation.emptied(then + Duration::from_micros(450));
        assert!(moderation.until(then + Duration::from_micros(450)).is_some());
    }
}

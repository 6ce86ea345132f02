//! How fast packets arrive, and how fast the path could carry them: words 4 and 5 of a full ACK.
//!
//! libudt takes both from the times of single packets. With receive offload up to 64 packets share one time, and times
//! taken in user space only say when the process was awake. So both are estimated over *batches*, from kernel time
//! stamps:
//!
//! * arrival speed: the greatest number of packets over 10 ms within the last second; (deviation 41)
//! * link capacity: packet pairs where the two packets have times of their own, otherwise the dispersion of trains of
//!   batches (deviation 42).
//!
//! Source: specification section 4.4.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::peak::PeakSpeed;
use self::speed::SpeedWindow;
use crate::seq::Seq;

mod peak;
mod speed;

/// Neither estimate is reported above this: libudt's smoothing overflows beyond 2.6 · 10^8 (pitfall 21).
pub(crate) const MAX_REPORT_PACKETS_PER_S: u32 = 100_000_000;
/// Samples of the link capacity that are kept, as in libudt.
const CAPACITY_SAMPLES: usize = 64;
/// Fewer packet pairs than this are not trusted alone.
const MIN_PAIRS: usize = 4;
/// Fewer trains than this are not trusted.
const MIN_TRAINS: usize = 4;
/// A train of batches is measured over at least this long: the kernel takes packets from the network card in polls and
/// stamps them microseconds apart however slowly they came.
const MIN_TRAIN: Duration = Duration::from_micros(50);
/// The same for times taken in user space, which are only as good as the scheduler: a wake-up takes up to 80 µs.
const MIN_TRAIN_UNSTAMPED: Duration = Duration::from_millis(1);
/// Pairs older than this give way to trains: the sender's packets come in larger batches now.
const PAIRS_STAY_FRESH: Duration = Duration::from_secs(1);
/// libudt sends a packet whose number is a multiple of 16 and the next one back to back.
const PAIR_SPACING: u32 = 16;

/// Data packets that the kernel handed over with one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    /// When they arrived. Batches come in this order; an earlier time than the last batch's is taken for the same time.
    pub(crate) arrived: Instant,
    /// Whether `arrived` is the kernel's receive time stamp, rather than the time of the read.
    pub(crate) stamped: bool,
    /// Data packets, duplicates included, at least 1.
    pub(crate) packets: u32,
    /// Their payload, in bytes.
    pub(crate) bytes: u64,
    /// The sequence number of the first of them.
    pub(crate) first: Seq,
    /// The sequence number of the last of them.
    pub(crate) last: Seq,
}

/// Estimates arrival speed and link capacity.
#[derive(Clone, Debug, Default)]
pub(crate) struct ArrivalEstimator {
    speed: SpeedWindow,
    peak: PeakSpeed,
    pairs: IntervalSamples,
    trains: IntervalSamples,
    train: Option<Train>,
    last: Option<Batch>,
    last_pair: Option<Instant>,
    pinned_capacity: Option<u32>,
}

impl ArrivalEstimator {
    /// An estimator that has seen nothing.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Takes in the data packets of one batch. Batches with the same time may come one by one; they count as one.
    pub(crate) fn on_batch(&mut self, mut batch: Batch) {
        if let Some(last) = self.last {
            batch.arrived = batch.arrived.max(last.arrived);
            self.sample_pair(&last, &batch);
        }
        self.sample_train(&batch);
        self.speed.add(&batch);
        self.peak.add(&batch);
        self.last = Some(batch);
    }

    /// Reports this instead of the estimate of the link capacity, for a comparison with another receiver. `None` ends
    /// it.
    pub(crate) fn pin_capacity(&mut self, packets_per_s: Option<u32>) {
        self.pinned_capacity = packets_per_s.map(|pinned| pinned.clamp(1, MAX_REPORT_PACKETS_PER_S));
    }

    /// Packets per second, the most over 10 ms within the last second in which any came, 1 ..= 10^8.
    ///
    /// Never 0, which a libudt sender ignores: it would leave its slow start with 16 packets per second.
    pub(crate) fn arrival_speed_packets_per_s(&self) -> u32 {
        report(self.speed.packets_per_s().max(self.peak.packets_per_s()))
    }

    /// Payload bytes per second over the last 10 to 100 ms.
    pub(crate) fn arrival_speed_bytes_per_s(&self) -> u64 {
        self.speed.bytes_per_s() as u64
    }

    /// Packets per second that the path could carry, 1 ..= 10^8 and at least the arrival speed: from packet pairs, else
    /// from trains of batches, else the arrival speed.
    pub(crate) fn link_capacity_packets_per_s(&self) -> u32 {
        if let Some(pinned) = self.pinned_capacity {
            return pinned;
        }
        let interval_ns = if self.has_fresh_pairs() {
            self.pairs.filtered_mean()
        } else if self.trains.len() >= MIN_TRAINS {
            self.trains.lower_quartile()
        } else {
            None
        };
        let capacity = interval_ns.map_or(1, |interval_ns| report(1e9 / interval_ns));
        capacity.max(self.arrival_speed_packets_per_s())
    }

    fn has_fresh_pairs(&self) -> bool {
        let age = self.last_pair.zip(self.last).map(|(pair, last)| last.arrived.saturating_duration_since(pair));
        self.pairs.len() >= MIN_PAIRS && age.is_some_and(|age| age <= PAIRS_STAY_FRESH)
    }

    /// A pair counts when its first packet ends one batch and its second begins the next, with a kernel time for each.
    /// What the gap carried is the whole later batch.
    fn sample_pair(&mut self, earlier: &Batch, later: &Batch) {
        let gap = later.arrived.saturating_duration_since(earlier.arrived);
        let is_pair = earlier.last.value().is_multiple_of(PAIR_SPACING) && later.first == earlier.last.next();
        if is_pair && earlier.stamped && later.stamped && !gap.is_zero() {
            self.pairs.add(gap, later.packets);
            self.last_pair = Some(later.arrived);
        }
    }

    /// The packets of the first time of a train came before its time began to run, so they do not count.
    fn sample_train(&mut self, batch: &Batch) {
        let Some(train) = self.train.as_mut().filter(|train| train.stamped == batch.stamped) else {
            self.train = Some(Train::begin(batch.arrived, batch.stamped));
            return;
        };
        let length = train.ended.saturating_duration_since(train.began);
        // Only now it is certain that nothing more has the time at which the train ended.
        if batch.arrived > train.ended && length >= train.min_length() {
            self.trains.add(length, train.packets);
            *train = Train::begin(train.ended, batch.stamped);
        }
        if batch.arrived > train.began {
            train.ended = batch.arrived;
            train.packets = train.packets.saturating_add(batch.packets);
        }
    }
}

/// Batches that are measured together.
#[derive(Clone, Copy, Debug)]
struct Train {
    began: Instant,
    ended: Instant,
    stamped: bool,
    /// Those that came after `began`.
    packets: u32,
}

impl Train {
    fn begin(began: Instant, stamped: bool) -> Self {
        Self { began, ended: began, stamped, packets: 0 }
    }

    fn min_length(&self) -> Duration {
        if self.stamped { MIN_TRAIN } else { MIN_TRAIN_UNSTAMPED }
    }
}

/// The last times per packet.
#[derive(Clone, Debug, Default)]
struct IntervalSamples {
    intervals_ns: VecDeque<f64>,
}

impl IntervalSamples {
    fn add(&mut self, gap: Duration, packets: u32) {
        if self.intervals_ns.len() == CAPACITY_SAMPLES {
            self.intervals_ns.pop_front();
        }
        self.intervals_ns.push_back(gap.as_nanos() as f64 / f64::from(packets.max(1)));
    }

    fn len(&self) -> usize {
        self.intervals_ns.len()
    }

    /// The mean of the samples within a factor of 8 of their median, as libudt filters them.
    fn filtered_mean(&self) -> Option<f64> {
        let mut room = [0.0; CAPACITY_SAMPLES];
        let sorted = self.sorted(&mut room);
        let median = *sorted.get(sorted.len() / 2)?;
        let near = || sorted.iter().filter(|&&interval| interval > median / 8.0 && interval < median * 8.0);
        Some(near().sum::<f64>() / near().count() as f64)
    }

    /// The time per packet of the fastest quarter: most trains are as slow as the sender paces them, some are bursts.
    fn lower_quartile(&self) -> Option<f64> {
        let mut room = [0.0; CAPACITY_SAMPLES];
        let sorted = self.sorted(&mut room);
        sorted.get(sorted.len() / 4).copied()
    }

    fn sorted<'a>(&self, room: &'a mut [f64; CAPACITY_SAMPLES]) -> &'a [f64] {
        let sorted = &mut room[..self.intervals_ns.len()];
        sorted.iter_mut().zip(&self.intervals_ns).for_each(|(sorted, &interval)| *sorted = interval);
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    }
}

/// A rate as it may be reported: rounded up as in libudt, 1 ..= 10^8.
fn report(packets_per_s: f64) -> u32 {
    packets_per_s.ceil().clamp(1.0, f64::from(MAX_REPORT_PACKETS_PER_S)) as u32
}

#[cfg(test)]
mod tests {
    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::virtual_time;

    const fn us(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    /// A stream of equal batches whose sequence numbers follow each other.
    struct Stream {
        estimator: ArrivalEstimator,
        now: Instant,
        next: Seq,
        stamped: bool,
    }

    impl Stream {
        fn new() -> Self {
            let now = virtual_time::origin();
            Self { estimator: ArrivalEstimator::new(), now, next: Seq::new(0x7FFF_FFF0), stamped: true }
        }

        fn arrive(&mut self, after: Duration, packets: u32) {
            self.now += after;
            let (first, last) = (self.next, self.next.add(packets - 1));
            let bytes = u64::from(packets) * 1456;
            let (arrived, stamped) = (self.now, self.stamped);
            self.estimator.on_batch(Batch { arrived, stamped, packets, bytes, first, last });
            self.next = last.next();
        }

        fn speed(&self) -> u32 {
            self.estimator.arrival_speed_packets_per_s()
        }

        fn capacity(&self) -> u32 {
            self.estimator.link_capacity_packets_per_s()
        }
    }

    fn assert_near(value: u32, expected: u32) {
        assert!(value.abs_diff(expected) <= expected / 50 + 1, "{value} instead of {expected}");
    }

    #[test]
    fn the_speed_is_packets_over_time() {
        let mut stream = Stream::new();
        for _ in 0..2000 {
            stream.arrive(us(100), 1);
        }
        assert_near(stream.speed(), 10_000);
        assert_eq!(stream.estimator.arrival_speed_bytes_per_s() / 1456, u64::from(stream.speed()));
        for _ in 0..100 {
            stream.arrive(us(2000), 40);
        }
        assert_near(stream.speed(), 20_000);
    }

    /// Specification section 4.4: never 0 for ever; and a burst at the start is not a speed.
    #[test]
    fn before_any_estimate_it_reports_what_arrived() {
        let mut stream = Stream::new();
        assert_eq!((stream.speed(), stream.capacity()), (1, 1));
        for _ in 0..16 {
            stream.arrive(us(1), 1);
        }
        assert_eq!(stream.speed(), 1600);
        assert!(stream.capacity() >= 1600);
    }

    /// Deviation 41: a C++ sender's window would shrink with each pause, and make the next one.
    #[test]
    fn a_pause_does_not_lower_the_speed_at_once() {
        let mut stream = Stream::new();
        let mut run = |packets: u32, interval_us| {
            (0..packets).for_each(|_| stream.arrive(us(interval_us), 1));
            stream.speed()
        };
        assert_near(run(500, 100), 10_000);
        assert_near(run(1, 50_000), 10_000);
        assert_near(run(400, 1000), 10_000);
        assert_near(run(2000, 1000), 1_000);
    }

    #[test]
    fn the_last_speed_outlives_a_silence() {
        let mut stream = Stream::new();
        for _ in 0..500 {
            stream.arrive(us(100), 1);
        }
        assert_near(stream.speed(), 10_000);
        for _ in 0..16 {
            stream.arrive(Duration::from_secs(5), 1);
            assert_near(stream.speed(), 10_000);
        }
        for _ in 0..500 {
            stream.arrive(us(50), 1);
        }
        assert_near(stream.speed(), 20_000);
        assert!(stream.estimator.speed.len_slots() <= 101);
    }

    /// A libudt sender without offload: pairs at 0 and 1 mod 16 come 5 µs apart, the rest paced at 100 µs.
    #[test]
    fn pairs_give_the_capacity() {
        let mut stream = Stream::new();
        for _ in 0..1024 {
            let is_second = stream.next.value() % 16 == 1;
            stream.arrive(us(if is_second { 5 } else { 100 }), 1);
        }
        assert_near(stream.capacity(), 200_000);
    }

    /// House rule: a pair is trusted only across batches. Within one batch it has one time, and the burst of a batch is
    /// no capacity.
    #[test]
    fn a_batch_with_one_time_has_no_pair() {
        let mut stream = Stream::new();
        for _ in 0..200 {
            stream.arrive(us(1000), 32);
        }
        assert_near(stream.capacity(), 32_000);
    }

    #[test]
    fn bursts_of_batches_give_the_capacity() {
        let mut stream = Stream::new();
        for _ in 0..100 {
            stream.arrive(us(2000), 44);
            for _ in 0..3 {
                stream.arrive(us(60), 44);
            }
        }
        assert_near(stream.capacity(), 733_334);
        assert_near(stream.speed(), 80_700);
    }

    #[test]
    fn times_of_user_space_make_no_capacity_out_of_wake_ups() {
        let mut stream = Stream::new();
        stream.stamped = false;
        for _ in 0..100 {
            // Eight reads within 8 µs after each wake-up: paced at 8 per ms all the same.
            stream.arrive(us(993), 1);
            for _ in 0..7 {
                stream.arrive(us(1), 1);
            }
        }
        assert_near(stream.capacity(), 8_000);
    }

    /// A batched read hands over many messages with the time of the read: all of them count.
    #[test]
    fn batches_with_one_time_count_as_one() {
        let mut stream = Stream::new();
        stream.stamped = false;
        for _ in 0..100 {
            stream.arrive(us(1500), 1);
            for _ in 0..29 {
                stream.arrive(Duration::ZERO, 1);
            }
        }
        assert_near(stream.speed(), 20_000);
        assert_near(stream.capacity(), 20_000);
    }

    /// The capacity reported is never above the fastest that two time stamps in a row support, nor above the arrival
    /// speed.
    #[test]
    fn the_capacity_stays_below_what_the_time_stamps_support() {
        for seed in 0..200 {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let mut stream = Stream::new();
            let mut supported: f64 = 1.0;
            for _ in 0..500 {
                let (gap_limit_ns, packets_limit) = (10u64.pow(rng.random_range(1..7)), rng.random_range(2..64));
                let gap = Duration::from_nanos(rng.random_range(1..gap_limit_ns));
                let packets = rng.random_range(1..packets_limit);
                stream.arrive(gap, packets);
                supported = supported.max(f64::from(packets) / gap.as_secs_f64()).max(f64::from(stream.speed()));
                assert!(f64::from(stream.capacity()) <= supported.ceil());
            }
        }
    }

    #[test]
    fn equal_times_and_times_that_run_backwards_are_harmless() {
        let mut stream = Stream::new();
        for _ in 0..1000 {
            stream.arrive(Duration::ZERO, 1);
        }
        stream.now -= us(500);
        stream.arrive(Duration::ZERO, 1);
        assert_eq!((stream.speed(), stream.capacity()), (100_100, 100_100));
    }

    /// Pitfall 21.
    #[test]
    fn reports_stay_below_what_overflows_libudt() {
        let mut stream = Stream::new();
        for _ in 0..100_000 {
            stream.arrive(Duration::from_nanos(1), 1000);
        }
        stream.arrive(Duration::from_millis(20), u32::MAX);
        for _ in 0..64 {
            stream.arrive(Duration::from_nanos(1), 16);
            stream.arrive(Duration::from_nanos(1), 1);
        }
        assert!(stream.speed() <= MAX_REPORT_PACKETS_PER_S);
        assert!(stream.capacity() <= MAX_REPORT_PACKETS_PER_S);
    }

    #[test]
    fn a_pinned_capacity_is_reported() {
        let mut stream = Stream::new();
        stream.estimator.pin_capacity(Some(0));
        assert_eq!(stream.capacity(), 1);
        stream.estimator.pin_capacity(Some(777));
        assert_eq!(stream.capacity(), 777);
        stream.estimator.pin_capacity(None);
        stream.arrive(us(1), 1);
        assert_eq!(stream.capacity(), stream.speed());
    }
}

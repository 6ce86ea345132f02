//! One direction of a path in one argument: `rate=300M,delay=50ms,loss=1%,queue=2bdp`.

use std::str::FromStr;
use std::time::Duration;

use godwit_relay::{BurstLoss, CoDelConfig, Discipline, JitterShape, LinkConfig, Policer, Reorder};

/// What can be said, for a help page.
pub const HELP: &str = "\
rate=300M           bits per second of IP packets (k, M, G); without it there is no bottleneck
delay=50ms          one way (us, ms, s)
queue=1bdp          in front of the bottleneck, as a multiple of rate x RTT, or in bytes (64k, 1M); 1bdp if not said
jitter=2ms          uniform from 0 to that, packets keep their order;  jitter=exp:2ms with that mean
loss=1%             after the bottleneck (1% or 0.01);  loss-before=1% before it
burst=1%:20         losses in bursts of 20 packets on average
reorder=1%:5ms      packets held back, so that others overtake them
duplicate=0.1%      packets that arrive twice
police=50M:100k     a token bucket of that rate and so many bytes before the queue
codel=5ms           the queue is CoDel with that target";

/// How large the queue in front of the bottleneck is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Queue {
    /// A multiple of rate × RTT.
    Bdp(f64),
    /// Bytes.
    Bytes(usize),
}

/// One direction of a path; the size of its queue may depend on the RTT, to which the other direction belongs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkSpec {
    /// All but the size of the queue.
    pub link: LinkConfig,
    /// The queue. Default 1 BDP.
    pub queue: Queue,
}

/// Why an argument describes no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkSpecError {
    /// Not `key=value`.
    #[error("`{0}` is not of the form key=value, as in rate=300M,delay=50ms")]
    NoValue(Box<str>),
    /// No such key.
    #[error("a path has no `{0}`; it has:\n{HELP}")]
    Key(Box<str>),
    /// The value does not fit the key.
    #[error("`{value}` is not what `{key}` needs; it is written like this:\n{HELP}")]
    Value {
        /// Before the equals sign.
        key: Box<str>,
        /// Behind it.
        value: Box<str>,
    },
}

impl LinkSpec {
    /// Both directions of a path, their queues sized by the delay there and back.
    pub fn resolve(forward: Self, reverse: Self) -> [LinkConfig; 2] {
        let rtt = forward.link.delay + reverse.link.delay;
        [forward, reverse]
            .map(|spec| LinkConfig { queue_bytes: spec.queue.bytes(spec.link.rate_bits_per_s, rtt), ..spec.link })
    }

    /// The same rate, delay and queue, and nothing else: a way back for acknowledgements.
    pub fn without_faults(self) -> Self {
        let Self { link: LinkConfig { rate_bits_per_s, delay, .. }, queue } = self;
        Self { link: LinkConfig { rate_bits_per_s, delay, ..LinkConfig::default() }, queue }
    }
}

impl Default for LinkSpec {
    fn default() -> Self {
        Self { link: LinkConfig::default(), queue: Queue::Bdp(1.0) }
    }
}

impl Queue {
    /// A queue too small for ten packets is none: over a short path that is more than the multiple asked for.
    const BYTES_MIN: usize = 15_000;

    fn bytes(self, rate_bits_per_s: Option<u64>, rtt: Duration) -> usize {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Bdp(multiple) => {
                let bdp_bytes = rate_bits_per_s.unwrap_or(0) as f64 / 8.0 * rtt.as_secs_f64();
                ((bdp_bytes * multiple) as usize).max(Self::BYTES_MIN)
            }
        }
    }
}

impl FromStr for LinkSpec {
    type Err = LinkSpecError;

    fn from_str(text: &str) -> Result<Self, LinkSpecError> {
        let mut spec = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| LinkSpecError::NoValue(part.into()))?;
            spec.set(key, value)?;
        }
        Ok(spec)
    }
}

impl LinkSpec {
    fn set(&mut self, key: &str, value: &str) -> Result<(), LinkSpecError> {
        self.try_set(key, value)?.ok_or_else(|| LinkSpecError::Value { key: key.into(), value: value.into() })
    }

    /// `None`: the value does not fit.
    fn try_set(&mut self, key: &str, value: &str) -> Result<Option<()>, LinkSpecError> {
        let link = &mut self.link;
        Ok(match key {
            "rate" => count(value).map(|rate| link.rate_bits_per_s = Some(rate)),
            "delay" => duration(value).map(|delay| link.delay = delay),
            "queue" => queue(value).map(|queue| self.queue = queue),
            "jitter" => jitter(value).map(|(shape, jitter)| (link.jitter_shape, link.jitter) = (shape, jitter)),
            "loss" => share(value).map(|loss| link.loss = loss),
            "loss-before" => share(value).map(|loss| link.loss_before_queue = loss),
            "burst" => burst(value).map(|burst| link.burst_loss = burst),
            "reorder" => reorder(value).map(|reorder| link.reorder = reorder),
            "duplicate" => share(value).map(|duplicate| link.duplicate = duplicate),
            "police" => policer(value).map(|policer| link.policer = Some(policer)),
            "codel" => duration(value)
                .map(|target| link.discipline = Discipline::CoDel(CoDelConfig { target, ..CoDelConfig::default() })),
            _ => return Err(LinkSpecError::Key(key.into())),
        })
    }
}

/// `300M`, `1.5G`, `9000`.
fn count(text: &str) -> Option<u64> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let factor = match &text[split..] {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        _ => return None,
    };
    let number = non_negative(&text[..split])? * factor;
    (number < u64::MAX as f64).then_some(number.round() as u64)
}

/// `50ms`, `0.1s`, `200us`.
fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let unit = match &text[split..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(non_negative(&text[..split])? * unit).ok()
}

/// `1%`, `0.01`.
fn share(text: &str) -> Option<f64> {
    let share = match text.strip_suffix('%') {
        Some(percent) => non_negative(percent)? / 100.0,
        None => non_negative(text)?,
    };
    (share <= 1.0).then_some(share)
}

fn queue(text: &str) -> Option<Queue> {
    match text.strip_suffix("bdp") {
        Some(multiple) => non_negative(multiple).map(Queue::Bdp),
        None => usize::try_from(count(text)?).ok().map(Queue::Bytes),
    }
}

fn jitter(text: &str) -> Option<(JitterShape, Duration)> {
    match text.strip_prefix("exp:") {
        Some(mean) => Some((JitterShape::Exponential, duration(mean)?)),
        None => Some((JitterShape::Uniform, duration(text)?)),
    }
}

fn burst(text: &str) -> Option<BurstLoss> {
    let (mean, packets) = text.split_once(':')?;
    Some(BurstLoss { mean: share(mean)?, mean_packets: non_negative(packets)? })
}

fn reorder(text: &str) -> Option<Reorder> {
    let (probability, extra_delay) = text.split_once(':')?;
    Some(Reorder { probability: share(probability)?, extra_delay: duration(extra_delay)?, spread: Duration::ZERO })
}

fn policer(text: &str) -> Option<Policer> {
    let (rate, burst) = text.split_once(':')?;
    Some(Policer { rate_bits_per_s: count(rate)?, burst_bytes: count(burst)? })
}

fn non_negative(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_can_be_said() {
        let text = "rate=300M,delay=50ms,queue=64k,jitter=exp:200us,loss=1%,loss-before=0.5,burst=2%:20,reorder=1%:5ms,\
                    duplicate=0.1%,police=50M:100k,codel=7ms";
        let expected = LinkConfig {
            rate_bits_per_s: Some(300_000_000),
            delay: Duration::from_millis(50),
            jitter: Duration::from_micros(200),
            jitter_shape: JitterShape::Exponential,
            loss: 0.01,
            loss_before_queue: 0.5,
            burst_loss: BurstLoss { mean: 0.02, mean_packets: 20.0 },
            reorder: Reorder { probability: 0.01, extra_delay: Duration::from_millis(5), spread: Duration::ZERO },
            duplicate: 0.001,
            policer: Some(Policer { rate_bits_per_s: 50_000_000, burst_bytes: 100_000 }),
            discipline: Discipline::CoDel(CoDelConfig { target: Duration::from_millis(7), ..CoDelConfig::default() }),
            ..LinkConfig::default()
        };
        assert_eq!(text.parse(), Ok(LinkSpec { link: expected, queue: Queue::Bytes(64_000) }));
        assert_eq!("".parse(), Ok(LinkSpec::default()));
    }

    #[test]
    fn the_queue_counts_the_delay_of_both_directions() {
        let forward = "rate=100M,delay=30ms,queue=2bdp".parse().unwrap();
        let reverse = "rate=10M,delay=10ms".parse().unwrap();
        let [forward, reverse] = LinkSpec::resolve(forward, reverse);
        assert_eq!((forward.queue_bytes, reverse.queue_bytes), (1_000_000, 50_000));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let parse = |text: &str| text.parse::<LinkSpec>().unwrap_err();
        assert_eq!(parse("rate"), LinkSpecError::NoValue("rate".into()));
        assert_eq!(parse("speed=1M"), LinkSpecError::Key("speed".into()));
        for part in [
            "rate=",
            "rate=fast",
            "rate=-1M",
            "rate=1e99",
            "rate=1T",
            "delay=50",
            "delay=1h",
            "delay=-1s",
            "loss=101%",
            "loss=2",
            "loss=NaN",
            "burst=1%",
            "reorder=1%:5",
            "police=5M",
            "queue=bdp",
            "queue=-1bdp",
            "codel=",
            "jitter=exp",
        ] {
            let (key, value) = part.split_once('=').unwrap();
            assert_eq!(parse(part), LinkSpecError::Value { key: key.into(), value: value.into() });
        }
    }
}

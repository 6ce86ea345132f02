//! What the paths to other hosts carried lately, for the start of the next connection there.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Hosts that are remembered; of more, the one heard of longest ago is forgotten.
const PATHS_MAX: usize = 1024;
/// After this a path may be another one.
const LIFETIME: Duration = Duration::from_secs(600);
/// A connection that delivered less has not seen what the path carries.
const PACKETS_MIN: u64 = 256;
/// One that delivered this much knows the path, even if it carries less than an earlier one found.
const PACKETS_ENOUGH: u64 = 10_000;

/// What a connection knew of its path at its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathMemory {
    /// What the path carried, bytes per second, headers included.
    pub bytes_per_s: f64,
    /// Packets that were delivered over it.
    pub delivered_packets: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct PathCache {
    paths: HashMap<IpAddr, Remembered>,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    bytes_per_s: f64,
    at: Instant,
}

impl PathCache {
    /// A connection to this host has ended. A short one may teach only that the path carries more.
    pub(crate) fn learn(&mut self, now: Instant, host: IpAddr, memory: PathMemory) {
        if memory.delivered_packets < PACKETS_MIN || !memory.bytes_per_s.is_finite() {
            return;
        }
        let known = self.recall(now, host).unwrap_or(0.0);
        let knows = memory.delivered_packets >= PACKETS_ENOUGH;
        let bytes_per_s = if knows { memory.bytes_per_s } else { memory.bytes_per_s.max(known) };
        if !self.paths.contains_key(&host) && self.paths.len() >= PATHS_MAX {
            self.forget_oldest();
        }
        self.paths.insert(host, Remembered { bytes_per_s, at: now });
    }

    /// What the path to this host carried, bytes per second.
    pub(crate) fn recall(&self, now: Instant, host: IpAddr) -> Option<f64> {
        let path = self.paths.get(&host)?;
        (now.saturating_duration_since(path.at) < LIFETIME).then_some(path.bytes_per_s)
    }

    fn forget_oldest(&mut self) {
        // Of equals the one with the least address, so that runs can be repeated.
        let oldest = self.paths.iter().map(|(host, path)| (path.at, *host)).min();
        if let Some((_, host)) = oldest {
            self.paths.remove(&host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    fn memory(bytes_per_s: f64, delivered_packets: u64) -> PathMemory {
        PathMemory { bytes_per_s, delivered_packets }
    }

    #[test]
    fn a_path_is_remembered_for_ten_minutes() {
        let now = crate::tests::epoch();
        let mut cache = PathCache::default();
        cache.learn(now, host(1), memory(1e6, PACKETS_MIN));
        assert_eq!(cache.recall(now + LIFETIME - Duration::from_secs(1), host(1)), Some(1e6));
        assert_eq!((cache.recall(now + LIFETIME, host(1)), cache.recall(now, host(2))), (None, None));
    }

    #[test]
    fn short_connections_teach_only_more() {
        let now = crate::tests::epoch();
        let mut cache = PathCache::default();
        cache.learn(now, host(1), memory(9e6, PACKETS_MIN - 1));
        assert_eq!(cache.recall(now, host(1)), None);
        let rates = [(1e6, 300), (5e5, 300), (2e6, 300), (1e6, PACKETS_ENOUGH), (f64::NAN, PACKETS_ENOUGH)].map(
            |(rate, packets)| {
                cache.learn(now, host(1), memory(rate, packets));
                cache.recall(now, host(1)).expect("it is known")
            },
        );
        assert_eq!(rates, [1e6, 1e6, 2e6, 1e6, 1e6]);
    }

    #[test]
    fn the_oldest_makes_room() {
        let now = crate::tests::epoch();
        let mut cache = PathCache::default();
        for number in 0..PATHS_MAX as u32 + 3 {
            cache.learn(now + Duration::from_millis(number.into()), host(number), memory(1e6, 1000));
        }
        assert_eq!(cache.paths.len(), PATHS_MAX);
        assert_eq!([2, 3].map(|number| cache.recall(now, host(number)).is_some()), [false, true]);
    }
}

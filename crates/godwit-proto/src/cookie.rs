//! Handshake cookies: a listener keeps no state for a client that has not shown that it receives at its address.
//!
//! libudt hashes address, port and the minute without a secret, and never accepts the minute before (specification
//! section 2.4). Ours are keyed, so that nobody else can compute them, and live for one to two periods. Deviation 9.

use std::hash::{Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use siphasher::sip::SipHasher24;

/// A cookie is accepted in the period in which it was made and in the next one.
const PERIOD: Duration = Duration::from_secs(60);

/// Makes and checks cookies.
#[derive(Debug)]
pub(crate) struct CookieJar {
    key: [u8; 16],
    /// Periods are counted from the first use.
    start: Option<Instant>,
}

impl CookieJar {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Self { key, start: None }
    }

    /// The cookie for a client at `address`.
    pub(crate) fn bake(&mut self, now: Instant, address: SocketAddr) -> u32 {
        let period = self.period(now);
        self.cookie(address, period)
    }

    /// Whether this endpoint gave that cookie to that address in this period or the one before.
    pub(crate) fn accepts(&mut self, now: Instant, address: SocketAddr, cookie: u32) -> bool {
        let period = self.period(now);
        [Some(period), period.checked_sub(1)].into_iter().flatten().any(|p| self.cookie(address, p) == cookie)
    }

    fn period(&mut self, now: Instant) -> u64 {
        let start = *self.start.get_or_insert(now);
        now.saturating_duration_since(start).as_secs() / PERIOD.as_secs()
    }

    fn cookie(&self, address: SocketAddr, period: u64) -> u32 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        address.hash(&mut hasher);
        period.hash(&mut hasher);
        hasher.finish() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pitfall 8: libudt ignores a client whose handshake straddles the minute.
    #[test]
    fn a_cookie_of_the_period_before_is_accepted() {
        let mut jar = CookieJar::new([7; 16]);
        let (start, address) = (crate::tests::epoch(), "192.0.2.1:9000".parse().expect("an address"));
        jar.bake(start, address);
        let cookie = jar.bake(start + Duration::from_millis(59_900), address);
        assert!(jar.accepts(start + Duration::from_millis(60_100), address, cookie));
        assert!(jar.accepts(start + Duration::from_millis(119_900), address, cookie));
        assert!(!jar.accepts(start + Duration::from_millis(120_100), address, cookie));
    }

    #[test]
    fn a_cookie_is_bound_to_address_port_and_key() {
        let start = crate::tests::epoch();
        let (mut jar, mut other) = (CookieJar::new([7; 16]), CookieJar::new([8; 16]));
        let cookie = jar.bake(start, "192.0.2.1:9000".parse().expect("an address"));
        for address in ["192.0.2.1:9001", "192.0.2.2:9000"] {
            assert!(!jar.accepts(start, address.parse().expect("an address"), cookie));
        }
        assert!(!other.accepts(start, "192.0.2.1:9000".parse().expect("an address"), cookie));
    }
}

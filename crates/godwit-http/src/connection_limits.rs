//! How many connections a server holds at once, in total and per peer address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by all listeners of a server.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionLimits {
    total_max: usize,
    per_address_max: usize,
    open: Arc<Mutex<Open>>,
}

/// The right to one open connection, given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    address: IpAddr,
    open: Arc<Mutex<Open>>,
}

/// Which limit a connection would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverLimit {
    Total,
    PerAddress,
}

/// As many entries as addresses with an open connection: bounded by the total.
#[derive(Debug, Default)]
struct Open {
    total: usize,
    per_address: HashMap<IpAddr, usize>,
}

impl ConnectionLimits {
    pub(crate) fn new(total_max: usize, per_address_max: usize) -> Self {
        Self { total_max, per_address_max, open: Arc::default() }
    }

    /// A slot for one more connection from `address`, unless that is one too many.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<Slot, OverLimit> {
        // The same peer must not count twice because a socket shows IPv4 as IPv6.
        let address = address.to_canonical();
        let mut open = lock(&self.open);
        if open.total >= self.total_max {
            return Err(OverLimit::Total);
        }
        if open.per_address.get(&address).copied().unwrap_or(0) >= self.per_address_max {
            return Err(OverLimit::PerAddress);
        }
        open.total += 1;
        *open.per_address.entry(address).or_default() += 1;
        Ok(Slot { address, open: Arc::clone(&self.open) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        open.total -= 1;
        if let Some(count) = open.per_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.per_address.remove(&self.address);
            }
        }
    }
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    // Both counts change together without a panic in between.
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_hold_and_slots_come_back() {
        let [a, b, c] = [1, 2, 3].map(|last| IpAddr::from([10, 0, 0, last]));
        let limits = ConnectionLimits::new(3, 2);
        let first = limits.admit(a).expect("1 of 3");
        let _second = limits.admit(a).expect("2 of 3");
        assert_eq!(limits.admit(a).err(), Some(OverLimit::PerAddress));
        let _third = limits.admit(b).expect("3 of 3");
        assert_eq!(limits.admit(c).err(), Some(OverLimit::Total));
        drop(first);
        assert!(limits.admit(c).is_ok());
        assert_eq!(lock(&limits.open).per_address.len(), 2, "an address without connections is forgotten");
    }

    #[test]
    fn mapped_ipv4_is_the_same_address() {
        let limits = ConnectionLimits::new(10, 1);
        let _slot = limits.admit(IpAddr::from([10, 0, 0, 1])).expect("the first");
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().expect("an address");
        assert_eq!(limits.admit(mapped).err(), Some(OverLimit::PerAddress));
    }
}

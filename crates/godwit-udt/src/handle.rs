//! A look at a connection from outside.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use godwit_proto::{ControllerKind, Path, RateBoundsError, Stats};

use crate::connection::Connection;
use crate::shared::Shared;

/// A handle to a connection: what it counts, its rate and its controller. It keeps neither the connection open nor its memory; after
/// the connection's end the counters stay as they were.
#[derive(Clone, Debug)]
pub struct ConnectionHandle {
    connection: Weak<Connection>,
    shared: Arc<Shared>,
    last_stats: Arc<OnceLock<Stats>>,
    id: u32,
    peer_addr: SocketAddr,
    local_addr: SocketAddr,
}

impl ConnectionHandle {
    pub(crate) fn new(connection: &Arc<Connection>, shared: Arc<Shared>) -> Self {
        let local = shared.local;
        let Path { remote, local: used } = connection.path;
        Self {
            connection: Arc::downgrade(connection),
            last_stats: connection.last_stats(),
            id: connection.id,
            peer_addr: remote,
            local_addr: SocketAddr::new(used.unwrap_or_else(|| local.ip()), local.port()),
            shared,
        }
    }

    /// Limits what the connection sends, in bits per second, IP and UDP headers included; `None` lifts the limit. It works
    /// from the next packet on.
    ///
    /// # Errors
    /// It is less than the minimum rate; nothing has changed.
    pub fn set_max_rate(&self, bits_per_s: Option<u64>) -> Result<(), RateBoundsError> {
        self.steer(|protocol| protocol.set_max_rate(Instant::now(), bits_per_s)).unwrap_or(Ok(()))
    }

    /// Keeps what the connection sends from falling below this, in bits per second, IP and UDP headers included, while the
    /// application writes as much and the path loses less than 10 % beyond its random loss; `None` lifts the bound. The
    /// controllers `Low`, `Cubic` and `Native` keep no minimum.
    ///
    /// # Errors
    /// It is more than the maximum rate; nothing has changed.
    pub fn set_min_rate(&self, bits_per_s: Option<u64>) -> Result<(), RateBoundsError> {
        self.steer(|protocol| protocol.set_min_rate(Instant::now(), bits_per_s)).unwrap_or(Ok(()))
    }

    /// Sends under this controller from now on, within the same bounds. Between `Fair`, `Low`, `High` and `Fixed` what was learnt of
    /// the path stays known; any other controller begins with the rate and the RTT of now.
    pub fn set_controller(&self, kind: ControllerKind) {
        self.steer(|protocol| protocol.set_controller(Instant::now(), kind));
    }

    /// What the connection counts. Takes the lock of this connection alone, for a copy.
    #[must_use]
    pub fn stats(&self) -> Stats {
        match self.connection.upgrade() {
            Some(connection) => connection.stats(),
            // It may be just going, on another thread: nobody can have it any more, and its counters are about to be left.
            None => *self.last_stats.wait(),
        }
    }

    /// This end's UDT socket id, unique on its endpoint.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// The peer's address.
    #[must_use]
    pub const fn peer_addr(&self) -> SocketAddr {
        self.peer_addr
    }

    /// This end's address: with the IP address that the peer uses.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// `None` if the connection is gone.
    fn steer<T>(&self, change: impl FnOnce(&mut godwit_proto::Connection) -> T) -> Option<T> {
        let connection = self.connection.upgrade()?;
        let changed = change(&mut connection.lock().protocol);
        self.shared.touch(&connection);
        Some(changed)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use godwit_proto::{Endpoint, EndpointConfig};

    use super::*;
    use crate::memory_budget::MemoryBudgets;

    #[test]
    fn the_counters_of_a_connection_that_is_just_going_are_waited_for() {
        let config = EndpointConfig::default();
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let budgets = MemoryBudgets::new(&config);
        let shared = Arc::new(Shared::new(Endpoint::new(config, [0; 32]), budgets, addr, Box::default()));
        let (connection, last_stats) = (Weak::new(), Arc::default());
        let handle = ConnectionHandle { connection, shared, last_stats, id: 1, peer_addr: addr, local_addr: addr };
        let last = Stats { age: Duration::from_secs(7), ..Stats::default() };
        let (asking, asks) = mpsc::channel();
        thread::scope(|scope| {
            let asked = scope.spawn(|| {
                asking.send(()).unwrap();
                handle.stats()
            });
            asks.recv().unwrap();
            // Time to ask in; whoever asks later finds them.
            thread::sleep(Duration::from_millis(20));
            handle.last_stats.set(last).unwrap();
            assert_eq!(asked.join().unwrap(), last);
        });
    }
}

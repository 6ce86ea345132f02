//! What an endpoint's handles, its streams and its drivers share.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use godwit_proto as proto;
use tokio::sync::{Notify, mpsc, watch};

use crate::SocketStats;
use crate::connection::{Connection, State};
use crate::driver_handle::DriverHandle;
use crate::memory_budget::MemoryBudgets;
use crate::rate_limit::RateLimit;
use crate::side_channel::{SideReceived, SideSends};

/// See the module. Locks are taken in this order: table, connection, the small ones.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) local: SocketAddr,
    pub(crate) rate_limit: RateLimit,
    pub(crate) budgets: Arc<MemoryBudgets>,
    pub(crate) side_sends: SideSends,
    table: Mutex<Table>,
    /// By their index. All limits are in what the drivers share, so they hold for the whole port.
    drivers: Box<[DriverHandle]>,
    running_drivers: AtomicUsize,
    stage: watch::Sender<Stage>,
}

/// Who is who on this port.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) protocol: proto::Endpoint,
    pub(crate) connections: BTreeMap<proto::ConnectionHandle, Arc<Connection>>,
    pub(crate) acceptor: Option<Arc<AcceptQueue>>,
    pub(crate) side_channel: Option<mpsc::Sender<SideReceived>>,
}

/// The life of an endpoint, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It works.
    Open,
    /// Its connections are being closed; each may linger.
    Closing,
    /// Its connections are being aborted.
    Aborting,
    /// The drivers have ended.
    Ended,
}

/// Connections that nobody has accepted yet; the protocol bounds their number by the listener's backlog.
#[derive(Debug, Default)]
pub(crate) struct AcceptQueue {
    queue: Mutex<VecDeque<Arc<Connection>>>,
    arrived: Notify,
}

impl Shared {
    pub(crate) fn new(
        protocol: proto::Endpoint,
        budgets: MemoryBudgets,
        local: SocketAddr,
        drivers: Box<[DriverHandle]>,
    ) -> Self {
        let table = Table { protocol, connections: BTreeMap::new(), acceptor: None, side_channel: None };
        Self {
            local,
            rate_limit: RateLimit::new(Instant::now()),
            budgets: Arc::new(budgets),
            side_sends: SideSends::default(),
            table: Mutex::new(table),
            running_drivers: AtomicUsize::new(drivers.len()),
            drivers,
            stage: watch::Sender::new(Stage::Open),
        }
    }

    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Visits all connections, and wakes whoever waits for what that changed.
    pub(crate) fn each_connection(&self, mut visit: impl FnMut(&Arc<Connection>, &mut State)) {
        let connections: Vec<_> = self.table().connections.values().cloned().collect();
        for connection in connections {
            let mut state = connection.lock();
            visit(&connection, &mut state);
            let wakeups = state.drain_events();
            let writer = if wakeups.has_room && !state.is_writer_queued { state.call_writer() } else { None };
            drop(state);
            wakeups.wake();
            writer.into_iter().for_each(Waker::wake);
        }
    }

    /// Tells its driver that somebody else has changed this connection: it sends, and sets the timers anew.
    pub(crate) fn touch(&self, connection: &Arc<Connection>) {
        self.driver(connection.driver).touch(connection);
    }

    /// `index` is below their number, as that of each connection is.
    pub(crate) fn driver(&self, index: usize) -> &DriverHandle {
        &self.drivers[index]
    }

    pub(crate) fn drivers(&self) -> &[DriverHandle] {
        &self.drivers
    }

    pub(crate) fn wake_drivers(&self) {
        self.drivers.iter().for_each(DriverHandle::wake);
    }

    /// One driver ends; true if it is the last. The others are to end, too: they cannot do its work.
    pub(crate) fn driver_ends(&self) -> bool {
        let is_last = self.running_drivers.fetch_sub(1, Ordering::AcqRel) == 1;
        self.enter(if is_last { Stage::Ended } else { Stage::Aborting });
        is_last
    }

    /// The counters of all sockets together.
    pub(crate) fn socket_stats(&self) -> SocketStats {
        self.drivers.iter().map(|driver| driver.counters.read()).fold(SocketStats::default(), SocketStats::and)
    }

    pub(crate) fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.stage() != Stage::Open
    }

    /// Moves on to `stage`; never back.
    pub(crate) fn enter(&self, stage: Stage) {
        let moved = self.stage.send_if_modified(|now| {
            let moves = *now < stage;
            *now = stage.max(*now);
            moves
        });
        if moved {
            let acceptor = self.table().acceptor.clone();
            if let Some(acceptor) = acceptor {
                acceptor.arrived.notify_waiters();
            }
            self.wake_drivers();
        }
    }

    /// Waits until the drivers have ended.
    pub(crate) async fn ended(&self) {
        let mut stage = self.stage.subscribe();
        // An error would mean that the sender is gone, which is ours.
        let _ = stage.wait_for(|stage| *stage == Stage::Ended).await;
    }
}

impl AcceptQueue {
    pub(crate) fn push(&self, connection: Arc<Connection>) {
        self.lock().push_back(connection);
        self.arrived.notify_one();
    }

    pub(crate) fn pop(&self) -> Option<Arc<Connection>> {
        self.lock().pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Waits for the next connection, unless `is_closed` says that none will come.
    pub(crate) async fn next(&self, is_closed: impl Fn() -> bool) -> Option<Arc<Connection>> {
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            // From here on even notify_waiters is noticed.
            arrived.as_mut().enable();
            if is_closed() {
                return None;
            }
            if let Some(connection) = self.pop() {
                // Two connections that came at once may have left a single permit; another waiter takes the rest.
                if self.len() > 0 {
                    self.arrived.notify_one();
                }
                return Some(connection);
            }
            arrived.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Connection>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

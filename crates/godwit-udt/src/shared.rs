//! What an endpoint's handles, its streams and its driver share.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use godwit_proto as proto;
use tokio::sync::{Notify, mpsc, watch};

use crate::connection::Connection;
use crate::rate_limit::RateLimit;
use crate::receive_budget::ReceiveBudget;
use crate::side_channel::{SideReceived, SideSends};
use crate::socket_stats::SocketCounters;

/// See the module. Locks are taken in this order: table, connection, the small ones.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) local: SocketAddr,
    pub(crate) counters: Arc<SocketCounters>,
    pub(crate) rate_limit: RateLimit,
    pub(crate) receive_budget: Arc<ReceiveBudget>,
    pub(crate) side_sends: SideSends,
    table: Mutex<Table>,
    /// Connections that applications have changed since the driver looked, each at most once.
    touched: Mutex<Vec<Arc<Connection>>>,
    work: Notify,
    stage: watch::Sender<Stage>,
}

/// Who is who on this socket.
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
    /// The driver has ended.
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
        receive_budget: ReceiveBudget,
        local: SocketAddr,
        counters: Arc<SocketCounters>,
    ) -> Self {
        let table = Table { protocol, connections: BTreeMap::new(), acceptor: None, side_channel: None };
        Self {
            local,
            counters,
            rate_limit: RateLimit::new(Instant::now()),
            receive_budget: Arc::new(receive_budget),
            side_sends: SideSends::default(),
            table: Mutex::new(table),
            touched: Mutex::default(),
            work: Notify::new(),
            stage: watch::Sender::new(Stage::Open),
        }
    }

    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the driver that the application has changed this connection: it sends, and sets the timers anew.
    pub(crate) fn touch(&self, connection: &Arc<Connection>) {
        if connection.touch() {
            self.touched.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(connection));
            self.wake_driver();
        }
    }

    /// The connections touched since the last call, into an empty vector.
    pub(crate) fn take_touched(&self, into: &mut Vec<Arc<Connection>>) {
        std::mem::swap(into, &mut self.touched.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn wake_driver(&self) {
        self.work.notify_one();
    }

    /// Waits for [`wake_driver`](Self::wake_driver); remembers one call that came before.
    pub(crate) async fn work(&self) {
        self.work.notified().await;
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
            self.wake_driver();
        }
    }

    /// Waits until the driver has ended.
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

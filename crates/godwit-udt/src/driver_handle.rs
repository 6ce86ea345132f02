//! What one driver is told by others: applications, and drivers that received something for a connection of its.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::connection::Connection;
use crate::socket_stats::SocketCounters;

/// See the module.
#[derive(Debug)]
pub(crate) struct DriverHandle {
    /// Those of its socket.
    pub(crate) counters: Arc<SocketCounters>,
    /// Connections of this driver that others have changed since it looked, each at most once.
    touched: Mutex<Vec<Arc<Connection>>>,
    work: Notify,
}

impl DriverHandle {
    pub(crate) fn new(counters: Arc<SocketCounters>) -> Self {
        Self { counters, touched: Mutex::default(), work: Notify::new() }
    }

    /// This connection has changed: the driver sends what it has, and sets its timers anew.
    pub(crate) fn touch(&self, connection: &Arc<Connection>) {
        if connection.touch() {
            self.touched.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(connection));
            self.wake();
        }
    }

    /// The connections touched since the last call, into an empty vector.
    pub(crate) fn take_touched(&self, into: &mut Vec<Arc<Connection>>) {
        std::mem::swap(into, &mut self.touched.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn wake(&self) {
        self.work.notify_one();
    }

    /// Waits for [`wake`](Self::wake); remembers one call that came before.
    pub(crate) async fn work(&self) {
        self.work.notified().await;
    }
}

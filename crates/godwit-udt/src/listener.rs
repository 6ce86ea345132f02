//! Taking connections in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::endpoint::Guard;
use crate::error::AcceptError;
use crate::shared::AcceptQueue;
use crate::stream::Stream;

/// Connections from others, one after the other. An endpoint has one at most; it keeps the endpoint alive.
///
/// Dropping it stops listening and aborts the connections that nobody has accepted; accepted ones go on.
#[derive(Debug)]
pub struct Listener {
    guard: Arc<Guard>,
    queue: Arc<AcceptQueue>,
}

impl Listener {
    pub(crate) const fn new(guard: Arc<Guard>, queue: Arc<AcceptQueue>) -> Self {
        Self { guard, queue }
    }

    /// Waits for the next connection. Its handshake is complete as far as we are concerned; whether the peer learnt of
    /// that shows when it sends.
    ///
    /// # Errors
    /// The endpoint is closing or closed: no connection will come any more.
    ///
    /// # Cancel safety
    /// Cancel safe: a connection that was not returned is returned by the next call.
    pub async fn accept(&self) -> Result<Stream, AcceptError> {
        let shared = self.guard.shared();
        let connection = self.queue.next(|| shared.is_closing()).await.ok_or(AcceptError::EndpointClosed)?;
        Ok(Stream::new(connection, Arc::clone(shared)))
    }

    /// The address that the endpoint is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.guard.shared().local
    }

    /// Connections that wait to be accepted.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let shared = self.guard.shared();
        {
            let mut table = shared.table();
            table.protocol.stop_listening();
            table.acceptor = None;
        }
        while let Some(connection) = self.queue.pop() {
            connection.lock().protocol.abort(Instant::now());
            shared.touch(&connection);
        }
    }
}

//! An end of ours that a test drives from its own thread, while the C++ peer does its part.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use godwit_udt::{Config, Endpoint, EndpointConfig, ListenLimits, Listener, SocketStats, Stream};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

use crate::{TransferError, meeting::Place};

/// How long one thing that an end of ours does may take. Longer than it takes on any machine: it only ends what hangs.
const HANG_LIMIT: Duration = Duration::from_secs(150);

/// An endpoint of ours on a thread of its own, so that it goes on while a test waits for something else.
#[derive(Debug)]
pub struct OurEnd {
    runtime: Runtime,
    endpoint: Endpoint,
}

impl OurEnd {
    /// Opens any port of this address.
    ///
    /// # Errors
    /// No thread, or no port.
    pub fn bind(ip: IpAddr) -> Result<Self, TransferError> {
        Self::bind_at(None, ip)
    }

    /// The same at another place.
    pub(crate) fn bind_at(place: Option<Place>, ip: IpAddr) -> Result<Self, TransferError> {
        let mut builder = Builder::new_multi_thread();
        if let Some(place) = place {
            builder.on_thread_start(move || place());
        }
        let runtime = builder.worker_threads(1).enable_all().build().map_err(TransferError::Runtime)?;
        // On the runtime's thread, which is the one at that place.
        let binding = async move { Endpoint::bind((ip, 0).into(), EndpointConfig::default()) };
        let endpoint = runtime.block_on(runtime.spawn(binding)).expect("binding does not panic")?;
        Ok(Self { runtime, endpoint })
    }

    /// The address that it is bound to.
    pub fn addr(&self) -> SocketAddr {
        self.endpoint.local_addr()
    }

    /// What went through its socket.
    pub fn socket_stats(&self) -> SocketStats {
        self.endpoint.socket_stats()
    }

    /// Connects to `remote`, or meets the peer there if `config` says rendezvous.
    ///
    /// # Errors
    /// As [`Endpoint::connect`].
    pub fn connect(&self, remote: SocketAddr, config: Config) -> Result<Stream, TransferError> {
        let endpoint = self.endpoint.clone();
        Ok(self.run(async move { endpoint.connect(remote, config).await })?)
    }

    /// Begins to take connections in.
    ///
    /// # Errors
    /// As [`Endpoint::listen`].
    pub fn listen(&self, config: Config) -> Result<Arc<Listener>, TransferError> {
        Ok(Arc::new(self.endpoint.listen(config, ListenLimits::default())?))
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// As [`Listener::accept`].
    pub fn accept(&self, listener: &Arc<Listener>) -> Result<Stream, TransferError> {
        let listener = Arc::clone(listener);
        Ok(self.run(async move { listener.accept().await })?)
    }

    /// Does something on this end's thread and waits for the result.
    ///
    /// # Panics
    /// If it hangs, or panics.
    pub fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let running = self.spawn(work);
        self.wait(running)
    }

    /// Begins to do something on this end's thread; [`wait`](Self::wait) has the result.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Running<T> {
        let limited = async { tokio::time::timeout(HANG_LIMIT, work).await };
        Running(self.runtime.spawn(async { limited.await.expect("our end hangs") }))
    }

    /// Waits for the result of what [`spawn`](Self::spawn) began.
    ///
    /// # Panics
    /// If that hung, or panicked.
    pub fn wait<T>(&self, running: Running<T>) -> T {
        match self.runtime.block_on(running.0) {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Ends without a word to the peer, as a killed process does: its socket is closed, its streams are lost.
    pub fn kill(self) {
        self.runtime.shutdown_timeout(HANG_LIMIT);
    }
}

/// Something that goes on on the thread of an [`OurEnd`].
#[derive(Debug)]
#[must_use = "only `OurEnd::wait` tells how it ended"]
pub struct Running<T>(JoinHandle<T>);

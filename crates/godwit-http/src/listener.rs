//! A bound socket that takes connections, and the loop that no error of it ends.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tracing::warn;

use crate::byte_stream::ByteStream;
use crate::listen_url::ListenUrl;
use crate::server::ServerConfig;
use crate::udt::UdtListener;
use crate::{BindError, Transport, tcp};

/// After an error that will not go away by itself, such as too many open files. Doubled up to the most below.
const BACK_OFF_MIN: Duration = Duration::from_millis(50);
/// Long enough to cost nothing, short enough for a peer that waits in the backlog.
const BACK_OFF_MAX: Duration = Duration::from_secs(1);
/// Errors in a row before the first back-off: each connection that gave up in the backlog is one error.
const ERRORS_WITHOUT_BACK_OFF: u32 = 64;

/// A bound socket of either transport.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Udt(UdtListener),
}

impl Listener {
    /// Binds and listens.
    ///
    /// # Errors
    ///
    /// [`BindError::Listen`] with the kernel's reason.
    pub(crate) fn bind(url: ListenUrl, config: &ServerConfig) -> Result<Self, BindError> {
        match url.transport {
            Transport::Tcp => tcp::listen(url.address, config.accept_backlog).map(Self::Tcp),
            Transport::Udt => UdtListener::bind(url.address, config).map(Self::Udt),
        }
        .map_err(|source| BindError::Listen { url, source })
    }

    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn local_url(&self) -> io::Result<ListenUrl> {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map(|address| ListenUrl { transport: Transport::Tcp, address })
            }
            Self::Udt(listener) => Ok(ListenUrl { transport: Transport::Udt, address: listener.local_addr() }),
        }
    }

    /// The endpoint that has to be closed after the last connection, if there is one.
    pub(crate) fn endpoint(&self) -> Option<godwit_udt::Endpoint> {
        match self {
            Self::Tcp(_) => None,
            Self::Udt(listener) => Some(listener.endpoint().clone()),
        }
    }

    /// Accepts connections for ever.
    pub(crate) async fn accept_loop(self, url: ListenUrl, on_connection: impl FnMut(ByteStream)) {
        accept_loop(url, self, on_connection).await;
    }
}

/// A source of connections.
trait Accept {
    type Connection;

    /// # Errors
    ///
    /// Of one connection or of the system; the listener goes on.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

impl Accept for Listener {
    type Connection = ByteStream;

    async fn accept(&mut self) -> io::Result<ByteStream> {
        match self {
            Self::Tcp(listener) => tcp::accept(listener).await.map(ByteStream::Tcp),
            Self::Udt(listener) => listener.accept().await.map(ByteStream::Udt),
        }
    }
}

/// The peer that a stream comes from, unless it has gone.
pub(crate) fn peer_of(stream: &ByteStream) -> Option<SocketAddr> {
    stream.peer().ok()
}

async fn accept_loop<A: Accept>(url: ListenUrl, mut listener: A, mut on_connection: impl FnMut(A::Connection)) {
    let mut errors = 0_u32;
    loop {
        match listener.accept().await {
            Ok(connection) => {
                errors = 0;
                on_connection(connection);
            }
            Err(error) => {
                errors = errors.saturating_add(1);
                if let Some(pause) = back_off(&error, errors) {
                    warn!(%url, %error, ?pause, "cannot accept connections; trying again");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

/// How long to wait after the given number of errors in a row. Errors of single connections cost no wait unless there is
/// no end to them.
fn back_off(error: &io::Error, errors: u32) -> Option<Duration> {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    let is_of_one_connection =
        matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted);
    let doublings = match errors.checked_sub(ERRORS_WITHOUT_BACK_OFF) {
        None if is_of_one_connection => return None,
        Some(beyond) if is_of_one_connection => beyond,
        _ => errors - 1,
    };
    Some(BACK_OFF_MAX.min(BACK_OFF_MIN * 2_u32.pow(doublings.min(10))))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::time::{Instant, timeout};

    use super::*;

    const EMFILE: i32 = 24;

    /// Fails ten times, then has one connection.
    struct Exhausted {
        calls: u32,
    }

    impl Accept for Exhausted {
        type Connection = u32;

        async fn accept(&mut self) -> io::Result<u32> {
            self.calls += 1;
            match self.calls {
                1..=10 => Err(io::Error::from_raw_os_error(EMFILE)),
                11 => Ok(self.calls),
                _ => std::future::pending().await,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn running_out_of_files_backs_off_and_goes_on() {
        let url = ListenUrl { transport: Transport::Tcp, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
        let mut accepted_at = Vec::new();
        let start = Instant::now();
        let accept_loop = accept_loop(url, Exhausted { calls: 0 }, |calls| accepted_at.push((calls, start.elapsed())));
        assert!(timeout(Duration::from_secs(60), accept_loop).await.is_err(), "it never ends");
        // 50 + 100 + 200 + 400 + 800 ms, then five times a second.
        assert_eq!(accepted_at.len(), 1);
        assert_eq!(accepted_at[0].0, 11);
        assert!(accepted_at[0].1 >= Duration::from_millis(6550) && accepted_at[0].1 < Duration::from_millis(6600));
    }

    #[test]
    fn single_connections_cost_no_wait_but_a_storm_does() {
        let aborted = io::Error::from(io::ErrorKind::ConnectionAborted);
        assert_eq!(back_off(&aborted, 1), None);
        assert_eq!(back_off(&aborted, ERRORS_WITHOUT_BACK_OFF), Some(BACK_OFF_MIN));
        let no_files = io::Error::from_raw_os_error(EMFILE);
        assert_eq!(back_off(&no_files, 1), Some(BACK_OFF_MIN));
        assert_eq!(back_off(&no_files, u32::MAX), Some(BACK_OFF_MAX));
    }
}

//! The connections of a test.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use godwit_http::{Transport, tcp};
use godwit_udt::{Config, ConnectError, Endpoint, EndpointConfig, SocketConfig};
use tokio::task::JoinSet;

use super::connection::Connection;
use super::error::PerfError;
use super::url::Target;
use crate::commands::FAREWELL_TIME_MAX;

/// For all connections of a test together.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// Addresses of a name that are tried, one after the other.
const ATTEMPTS_MAX: usize = 8;

/// Makes connections, over UDT from one socket.
#[derive(Debug)]
pub(super) struct Connector {
    udt: Config,
    socket: SocketConfig,
    endpoint: Option<Endpoint>,
}

impl Connector {
    pub(super) fn new(udt: Config, socket: SocketConfig) -> Self {
        Self { udt, socket, endpoint: None }
    }

    /// As many connections as asked for, all to the first address that takes one.
    ///
    /// # Errors
    /// One of them cannot be had.
    pub(super) async fn connect(&mut self, target: &Target, connections: usize) -> Result<Vec<Connection>, PerfError> {
        let attempts = async {
            let first = self.connect_first(target).await?;
            let address = first.peer();
            let mut others = JoinSet::new();
            for _ in 1..connections {
                let (udt, endpoint, transport) = (self.udt.clone(), self.endpoint.clone(), target.transport);
                others.spawn(async move { connect(transport, address, endpoint.as_ref(), &udt).await });
            }
            let mut all = vec![first];
            while let Some(connected) = others.join_next().await {
                all.push(connected.expect("nobody cancels it, and it does not panic")?);
            }
            Ok(all)
        };
        let limited = tokio::time::timeout(CONNECT_TIME_MAX, attempts).await;
        limited.unwrap_or_else(|_| Err(PerfError::ConnectTimeout { target: target.clone(), after: CONNECT_TIME_MAX }))
    }

    /// Tells the peers that we leave.
    pub(super) async fn close(&self) {
        close(&self.endpoint).await;
    }

    async fn connect_first(&mut self, target: &Target) -> Result<Connection, PerfError> {
        let resolved = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
        let addresses =
            resolved.map_err(|source| PerfError::Resolve { host: target.host.clone(), source })?.take(ATTEMPTS_MAX);
        let mut failed = PerfError::NoAddress { host: target.host.clone() };
        for address in addresses {
            if target.transport == Transport::Udt {
                let any = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
                let any = SocketAddr::new(any, 0);
                self.endpoint = Some(Endpoint::bind_with(any, EndpointConfig::default(), self.socket)?);
            }
            match connect(target.transport, address, self.endpoint.as_ref(), &self.udt).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

/// Tells the peers of these endpoints that we leave, whatever they are doing, and waits a little until that is said.
pub(super) async fn close(endpoints: impl IntoIterator<Item = &Endpoint>) {
    let farewell = async {
        for endpoint in endpoints {
            endpoint.close().await;
        }
    };
    let _ = tokio::time::timeout(FAREWELL_TIME_MAX, farewell).await;
}

async fn connect(
    transport: Transport,
    address: SocketAddr,
    endpoint: Option<&Endpoint>,
    udt: &Config,
) -> Result<Connection, PerfError> {
    let connected = match endpoint {
        Some(endpoint) => {
            let connected = endpoint.connect(address, udt.clone()).await;
            connected.map(|stream| Connection::udt(stream, endpoint.clone())).map_err(reason)
        }
        None => tcp::connect(address).await.and_then(Connection::tcp),
    };
    connected.map_err(|source| PerfError::Connect { address, transport, source })
}

/// The reason alone: the error that it goes into names the address.
fn reason(error: ConnectError) -> io::Error {
    match error {
        ConnectError::NoRoute { source, .. } => source,
        ConnectError::Failed { source, .. } => source.into(),
        other => other.into(),
    }
}

//! UDT 4 on tokio: reliable streams and messages over UDP, wire-compatible with libudt 4.11.
//!
//! An [`Endpoint`] is one UDP port; a [`Listener`] takes connections in, [`Endpoint::connect`] makes them, and all share
//! its socket. A [`Stream`] is one connection, an [`AsyncRead`](tokio::io::AsyncRead) and
//! [`AsyncWrite`](tokio::io::AsyncWrite).
//!
//! ```
//! use godwit_udt::{Config, Endpoint, EndpointConfig, ListenLimits};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Endpoint::bind("127.0.0.1:0".parse()?, EndpointConfig::default())?;
//! let listener = server.listen(Config::default(), ListenLimits::default())?;
//!
//! let client = Endpoint::bind("127.0.0.1:0".parse()?, EndpointConfig::default())?;
//! let mut upstream = client.connect(server.local_addr(), Config::default()).await?;
//! upstream.write_all(b"hello").await?;
//! upstream.close().await?; // everything is acknowledged now
//!
//! let mut downstream = listener.accept().await?;
//! let mut received = String::new();
//! downstream.read_to_string(&mut received).await?;
//! assert_eq!(received, "hello");
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! The protocol itself is `godwit-proto`, a value without I/O. This crate is its driver: one task per socket (`driver.rs`)
//! that moves whole batches of datagrams between the kernel and the connections, with segmentation offload where the
//! kernel has it, receive time stamps from the kernel, and alarms finer than tokio's.
//!
//! What it takes, and what is bounded: the kernel's buffers ([`SocketConfig`]), unread data of all connections together and what
//! they have to send (the budgets of [`EndpointConfig`]), connections and the queue of those not accepted ([`ListenLimits`]),
//! datagrams of the side channel. A stream that is not read makes its peer wait.
//!
//! What this crate does not do:
//!
//! * encrypt or authenticate: UDT does neither, so run TLS over the stream;
//! * half-close: UDT has none (see [`Stream`]);
//! * let a connection move to another address, or through a NAT that changes its port;
//! * notice an ICMP "port unreachable": connecting to a dead port is a timeout, as with libudt;
//! * fragment packets beyond the path's MTU on other systems than Linux, where the MSS has to fit the path.

mod arrival_clock;
mod buffer_pool;
mod connection;
mod driver;
mod driver_handle;
mod endpoint;
mod error;
mod handle;
mod inbound;
mod listener;
mod memory_budget;
mod moderation;
#[cfg(target_os = "linux")]
mod multi_send;
mod outbound;
mod pacer;
mod path_mtu;
mod rate_limit;
mod readiness;
mod schedule;
mod shared;
mod side_channel;
mod socket;
mod socket_buffers;
mod socket_options;
mod socket_stats;
mod stream;
mod writer_queue;

pub use buffer_pool::{BufferPool, PoolBuffer};
pub use endpoint::Endpoint;
pub use error::{
    AcceptError, BindError, ConnectError, ConnectionError, ListenError, ListenRefused, ReadError, SideChannelError,
    SideSendError, WriteError,
};
pub use godwit_proto::{
    Config, ConfigBuilder, ConfigError, ControllerKind, EndpointConfig, EndpointStats, ListenLimits, MessageOptions,
    RateBoundsError, ReceiverStats, SenderStats, Side, SocketType, Stats,
};
pub use handle::ConnectionHandle;
pub use listener::Listener;
pub use side_channel::{SideChannel, SideReceived, SideTransmit};
pub use socket_stats::{SocketConfig, SocketStats, sockets_per_core};
pub use stream::Stream;

//! UDT 4 as a value: no I/O, no clock, no threads, no async.
//!
//! An [`Endpoint`] says for whom a datagram is and makes [`Connection`]s; a connection takes datagrams and gives out
//! datagrams. Time is an argument of every call. One mutation, then drain: after any `handle_*`, `write`, `read`, `close`
//! the caller polls [`Connection::poll_transmit`] and [`Connection::poll_event`] until both return `None`, and calls
//! [`Connection::handle_timeout`] when [`Connection::poll_timeout`] says so.
//!
//! ```
//! use std::{collections::VecDeque, time::Instant};
//! use bytes::Bytes;
//! use godwit_proto::{Batch, Config, Contents, Endpoint, EndpointConfig, Handshaken, Path, Route};
//!
//! let now = Instant::now();
//! let address = "127.0.0.1:9000".parse()?;
//! let path = Path { remote: address, local: None };
//! let mut client = Endpoint::new(EndpointConfig::default(), [1; 32]);
//! let (_, mut connection) = client.connect(now, path, Config::default())?;
//!
//! let mut datagram = Vec::new();
//! let transmit = connection.poll_transmit(now, 1, &mut datagram).expect("a request");
//! assert!(matches!(transmit.contents, Contents::Scratch));
//!
//! let mut server = Endpoint::new(EndpointConfig::default(), [2; 32]);
//! server.listen(Config::default(), Default::default())?;
//! assert_eq!(server.route(now, &datagram, address), Route::Handshake);
//! let mut reply = Vec::new();
//! let handshaken = server.handle_handshake(now, &datagram, path, 1500, 0, &mut reply);
//! assert!(matches!(handshaken, Handshaken::Reply));
//!
//! let batch = Batch { stride: reply.len(), capacity_bytes: reply.len(), contents: Bytes::from(reply), arrived: now, is_stamped: false };
//! connection.handle_datagrams(now, &batch);
//! assert!(connection.poll_transmit(now, 1, &mut datagram).is_some(), "the request with the cookie");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What this crate does not do: sockets, timers and wakers (that is `godwit-udt`), encryption or authentication of any kind
//! (UDT has none: run TLS over the stream), half-closed connections (UDT has none either), migration to another address.

mod config;
pub mod congestion;
mod connection;
mod cookie;
mod datagram;
mod endpoint;
mod error;
pub mod packet;
mod path_cache;
pub mod seq;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod virtual_time;

pub use config::{
    Config, ConfigBuilder, DEFAULT_MSS_BYTES, EndpointConfig, ListenLimits, MAX_MSS_BYTES, MIN_MSS_BYTES,
    MIN_WINDOW_PACKETS, SocketType, WallClock,
};
pub use congestion::ControllerKind;
pub use connection::{
    Connection, MessageOptions, Payloads, ReceiverStats, SendMemory, SenderStats, Side, SlabRun, Stats, WriteSlab,
};
pub use datagram::{Batch, Contents, Event, Path, SEGMENTS_MAX, TRANSMIT_BYTES_MAX, Transmit};
pub use endpoint::{ConnectionHandle, DRIVERS_MAX, Endpoint, EndpointStats, Handshaken, Route, driver_index};
pub use error::{ConfigError, ConnectError, ConnectionError, ListenError, RateBoundsError, ReadError, WriteError};
pub use path_cache::PathMemory;

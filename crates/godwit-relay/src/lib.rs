//! A lossy UDP path inside the process, for the demo and for tests.
//!
//! Two halves: [`Link`] is one direction of a path as a value (no socket, no clock, no thread: a simulator can use it as
//! it is), and [`Relay`] runs two of them between real UDP sockets on the loopback.
//!
//! ```
//! use std::{net::UdpSocket, time::Duration};
//! use godwit_relay::{LinkConfig, Relay};
//!
//! let server = UdpSocket::bind("127.0.0.1:0")?;
//! let path = LinkConfig { delay: Duration::from_millis(1), ..LinkConfig::default() };
//! let relay = Relay::start(server.local_addr()?, path, path, 7)?;
//!
//! let client = UdpSocket::bind("127.0.0.1:0")?;
//! client.send_to(b"over the path", relay.addr())?;
//! let mut datagram = [0; 64];
//! let (length, _relay) = server.recv_from(&mut datagram)?;
//! assert_eq!(&datagram[..length], b"over the path");
//! relay.stats().check()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What it does not do: emulate a kernel (no queue discipline but drop-tail and CoDel, no ECN, no fragmentation), keep the sender's
//! segmentation offload (datagrams are forwarded one by one), or carry anything but UDP. One thread forwards everything,
//! so it is no yardstick for throughput: [`RelayStats::check`] says whether the path was still the one asked for.

mod codel;
mod drops;
mod error;
mod filter;
mod link;
mod link_config;
mod relay;
mod routes;
mod socket;
mod worker;

pub use codel::CoDelConfig;
pub use drops::udp_drops_on_port;
pub use error::{LinkConfigError, StartError, UnplannedDrops};
pub use filter::{Direction, Filter, Verdict, drop_first, drop_nth};
pub use link::{Fate, Link, LinkCounters};
pub use link_config::{BurstLoss, Discipline, JitterShape, LinkConfig, Policer, Reorder};
pub use relay::{Relay, RelayBuilder};
pub use worker::RelayStats;

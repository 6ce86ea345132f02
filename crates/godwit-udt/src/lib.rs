//! UDT 4 on tokio: Endpoint, Listener, Stream
#![cfg_attr(not(test), expect(dead_code, reason = "the driver, which uses these parts, comes next"))]

mod arrival_clock;
mod pacer;
mod path_mtu;
mod receive_pool;
mod socket;
mod socket_buffers;
mod socket_options;
mod socket_stats;

pub use socket_stats::{SocketConfig, SocketStats};

//! Real kernels over an emulated path.
//!
//! A [`Network`](network::Network) is two sides, each of one or more hosts (network namespaces of Linux), joined by a link emulator in
//! user space over TUN devices. The link is godwit-relay's [`Link`](godwit_relay::Link), the model that the simulator uses, too. A
//! [`Scenario`](scenario::Scenario) names such a path and what is transferred over it.
//!
//! It needs Linux, root, `/dev/net/tun` and the program `ip`; [`Network::start`](network::Network::start) says which is missing.

#![cfg(target_os = "linux")]

pub mod bench;
pub mod error;
pub mod files;
pub mod link_spec;
pub mod many;
pub mod network;
pub mod peer;
pub mod perf;
pub mod quic;
pub mod report;
pub mod results;
mod run_name;
pub mod scenario;
mod scratch;

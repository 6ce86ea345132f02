//! What can be set on a connection and on an endpoint: each value with its unit, range and default, checked when built.

use std::time::{Duration, Instant};

use crate::congestion::ControllerKind;
use crate::error::{ConfigError, RateBoundsError};
use crate::packet::{HEADER_BYTES, UDP_IP_HEADER_BYTES};
use crate::seq::Seq;

/// Whether a connection carries a byte stream or messages. Both ends must choose the same.
///
/// Source: specification section 2.2, word 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SocketType {
    /// An ordered stream of bytes.
    #[default]
    Stream,
    /// Messages with boundaries, an optional time to live and optional order.
    Datagram,
}

impl SocketType {
    pub(crate) const fn to_wire(self) -> crate::packet::SocketType {
        match self {
            Self::Stream => crate::packet::SocketType::STREAM,
            Self::Datagram => crate::packet::SocketType::DGRAM,
        }
    }
}

/// The settings of one connection. Made by [`Config::builder`]; a value of this type is always valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub(crate) socket_type: SocketType,
    pub(crate) mss_bytes: Option<u32>,
    pub(crate) flow_window_packets: u32,
    pub(crate) send_buffer_bytes: usize,
    pub(crate) receive_buffer_bytes: usize,
    pub(crate) max_rate_bits_per_s: Option<u64>,
    pub(crate) min_rate_bits_per_s: Option<u64>,
    pub(crate) linger: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) peer_timeout: Duration,
    pub(crate) rendezvous: bool,
    pub(crate) controller: ControllerKind,
    pub(crate) initial_seq: Option<Seq>,
    pub(crate) pinned_capacity_packets_per_s: Option<u32>,
}

/// MSS that is used where neither the configuration nor the route says otherwise: an Ethernet packet.
pub const DEFAULT_MSS_BYTES: u32 = 1500;
/// The least MSS: libudt's own bound (specification section 9.1).
pub const MIN_MSS_BYTES: u32 = 76;
/// The greatest MSS: what fits in an IPv4 packet.
pub const MAX_MSS_BYTES: u32 = 65_535;

impl Default for Config {
    fn default() -> Self {
        Self {
            socket_type: SocketType::Stream,
            mss_bytes: None,
            flow_window_packets: 65_536,
            send_buffer_bytes: 64 << 20,
            receive_buffer_bytes: 96 << 20,
            max_rate_bits_per_s: None,
            min_rate_bits_per_s: None,
            linger: Duration::from_secs(180),
            connect_timeout: Duration::from_secs(3),
            peer_timeout: Duration::from_secs(45),
            rendezvous: false,
            controller: ControllerKind::default(),
            initial_seq: None,
            pinned_capacity_packets_per_s: None,
        }
    }
}

impl Config {
    /// Starts from the defaults.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder { config: Self::default(), connect_timeout: None }
    }

    /// Stream or messages.
    pub const fn socket_type(&self) -> SocketType {
        self.socket_type
    }

    /// The MSS asked for in bytes, or `None` for the route's MTU.
    pub const fn mss_bytes(&self) -> Option<u32> {
        self.mss_bytes
    }

    /// Whether both sides connect to each other.
    pub const fn rendezvous(&self) -> bool {
        self.rendezvous
    }

    /// The same settings with another MSS, brought into its range: what a driver does when it knows the route's MTU.
    #[must_use]
    pub fn with_mss_bytes(mut self, mss_bytes: u32) -> Self {
        self.mss_bytes = Some(mss_bytes.clamp(MIN_MSS_BYTES, MAX_MSS_BYTES));
        self
    }

    pub(crate) fn rate_bounds(&self) -> RateBounds {
        RateBounds { min_bits_per_s: self.min_rate_bits_per_s, max_bits_per_s: self.max_rate_bits_per_s }
    }

    pub(crate) fn mss_or_default(&self) -> u32 {
        self.mss_bytes.unwrap_or(DEFAULT_MSS_BYTES)
    }

    /// The window for the handshake: how many packets of `payload_bytes` the receive buffer could ever hold, at most
    /// the flow window. A C++ sender indexes its loss list by this number, so no later ACK may exceed it (pitfall 10). Deviation 16.
    pub(crate) fn announced_window_packets(&self, payload_bytes: usize) -> u32 {
        let held = self.receive_buffer_bytes / (payload_bytes + crate::connection::PACKET_OVERHEAD_BYTES);
        self.flow_window_packets.min(u32::try_from(held).unwrap_or(u32::MAX)).max(MIN_WINDOW_PACKETS)
    }
}

/// Between what a connection may send, in bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RateBounds {
    pub(crate) min_bits_per_s: Option<u64>,
    pub(crate) max_bits_per_s: Option<u64>,
}

impl RateBounds {
    /// The same if they leave a rate between them.
    pub(crate) fn check(self) -> Result<Self, RateBoundsError> {
        match (self.min_bits_per_s, self.max_bits_per_s) {
            (Some(min_bits_per_s), Some(max_bits_per_s)) if min_bits_per_s > max_bits_per_s => {
                Err(RateBoundsError { min_bits_per_s, max_bits_per_s })
            }
            _ => Ok(self),
        }
    }
}

/// The least window that a C++ peer can work with (pitfall 9).
pub const MIN_WINDOW_PACKETS: u32 = 32;

/// Data payload of a full packet under this MSS: MSS − 44, for IPv4 and IPv6 alike (pitfall 1).
pub(crate) const fn payload_bytes(mss_bytes: u32) -> usize {
    mss_bytes as usize - UDP_IP_HEADER_BYTES - HEADER_BYTES
}

/// Builds a [`Config`]; every setter takes any value and [`build`](Self::build) says which one is out of range.
#[derive(Clone, Debug)]
pub struct ConfigBuilder {
    config: Config,
    connect_timeout: Option<Duration>,
}

impl ConfigBuilder {
    /// Stream (default) or messages.
    #[must_use]
    pub const fn socket_type(mut self, socket_type: SocketType) -> Self {
        self.config.socket_type = socket_type;
        self
    }

    /// MSS in bytes: IPv4 header, UDP header and UDT packet. 76 ..= 65535; default: the route's MTU.
    #[must_use]
    pub const fn mss_bytes(mut self, mss_bytes: u32) -> Self {
        self.config.mss_bytes = Some(mss_bytes);
        self
    }

    /// The most packets that the peer may have in flight towards us, as far as the receive buffer has room for them: what the handshake
    /// announces. To a stream's sender the first ACK offers 1 MiB of it, and later ones more as it is seen to need it. 32 ..= 2^24;
    /// default 65,536.
    #[must_use]
    pub const fn flow_window_packets(mut self, packets: u32) -> Self {
        self.config.flow_window_packets = packets;
        self
    }

    /// Upper bound of the send buffer in bytes, headers of packets included. What a stream's writer is given grows with need: with what is
    /// in flight, and what leaves in 20 ms or a quarter of the round-trip time. 64 KiB ..= 4 GiB; default 64 MiB.
    #[must_use]
    pub const fn send_buffer_bytes(mut self, bytes: usize) -> Self {
        self.config.send_buffer_bytes = bytes;
        self
    }

    /// Upper bound of the receive buffer in bytes, as the memory that packets keep alive, which may be more than their payload. It is
    /// taken as packets wait, for the reader or behind a gap; how many may is what [`flow_window_packets`](Self::flow_window_packets)
    /// says. 48 KiB ..= 4 GiB; default 96 MiB.
    #[must_use]
    pub const fn receive_buffer_bytes(mut self, bytes: usize) -> Self {
        self.config.receive_buffer_bytes = bytes;
        self
    }

    /// The greatest sending rate in bits per second, UDP and IP headers included. At least 1000; default none.
    #[must_use]
    pub const fn max_rate_bits_per_s(mut self, rate: Option<u64>) -> Self {
        self.config.max_rate_bits_per_s = rate;
        self
    }

    /// The sending rate in bits per second, UDP and IP headers included, that is kept while the application writes as much and
    /// the path loses less than 10 % beyond its random loss. At least 1000, at most the greatest rate; default none. The
    /// controllers `Low`, `Cubic` and `Native` keep none.
    #[must_use]
    pub const fn min_rate_bits_per_s(mut self, rate: Option<u64>) -> Self {
        self.config.min_rate_bits_per_s = rate;
        self
    }

    /// How long a close waits for the peer's acknowledgement of everything. 0 ..= 1 h; default 180 s.
    #[must_use]
    pub const fn linger(mut self, linger: Duration) -> Self {
        self.config.linger = linger;
        self
    }

    /// How long the handshake may take. 100 ms ..= 1 h; default 3 s, in rendezvous 30 s.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Silence of the peer after which the connection counts as lost. 5 s ..= 1 h; default 45 s.
    #[must_use]
    pub const fn peer_timeout(mut self, timeout: Duration) -> Self {
        self.config.peer_timeout = timeout;
        self
    }

    /// Whether both sides connect to each other, without a listener. Default no.
    #[must_use]
    pub const fn rendezvous(mut self, rendezvous: bool) -> Self {
        self.config.rendezvous = rendezvous;
        self
    }

    /// The congestion controller. Default fair.
    #[must_use]
    pub const fn controller(mut self, controller: ControllerKind) -> Self {
        self.config.controller = controller;
        self
    }

    /// The first sequence number, for tests of the wrap; default random, which anything but a test needs (pitfall 12).
    #[must_use]
    pub const fn initial_seq(mut self, seq: Option<u32>) -> Self {
        self.config.initial_seq = match seq {
            Some(value) => Some(Seq::new(value)),
            None => None,
        };
        self
    }

    /// Reports this link capacity to the peer instead of the measured one, in packets per second: it decides how fast a
    /// C++ sender speeds up, so a comparison of receivers pins it. Default: as measured.
    #[must_use]
    pub const fn pinned_capacity_packets_per_s(mut self, capacity: Option<u32>) -> Self {
        self.config.pinned_capacity_packets_per_s = capacity;
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    /// The first value that is out of its range.
    pub fn build(self) -> Result<Config, ConfigError> {
        let mut config = self.config;
        let default_timeout = Duration::from_secs(if config.rendezvous { 30 } else { 3 });
        config.connect_timeout = self.connect_timeout.unwrap_or(default_timeout);
        let hour_ms = 3_600_000;
        let max_bytes = 4 << 30;
        let limits = [
            ("mss_bytes", u64::from(config.mss_or_default()), MIN_MSS_BYTES.into(), MAX_MSS_BYTES.into()),
            ("flow_window_packets", config.flow_window_packets.into(), MIN_WINDOW_PACKETS.into(), 1 << 24),
            ("send_buffer_bytes", config.send_buffer_bytes as u64, 64 << 10, max_bytes),
            ("receive_buffer_bytes", config.receive_buffer_bytes as u64, 48 << 10, max_bytes),
            ("max_rate_bits_per_s", config.max_rate_bits_per_s.unwrap_or(u64::MAX), 1000, u64::MAX),
            (
                "min_rate_bits_per_s",
                config.min_rate_bits_per_s.unwrap_or(1000),
                1000,
                config.max_rate_bits_per_s.unwrap_or(u64::MAX),
            ),
            ("linger (ms)", millis(config.linger), 0, hour_ms),
            ("connect_timeout (ms)", millis(config.connect_timeout), 100, hour_ms),
            ("peer_timeout (ms)", millis(config.peer_timeout), 5000, hour_ms),
        ];
        for (field, value, min, max) in limits {
            if value < min || value > max {
                return Err(ConfigError { field, value, min, max });
            }
        }
        Ok(config)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The settings of an endpoint. All values are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// Most connections of all kinds, accepted and connected. Default 20,000.
    pub connections_max: usize,
    /// What the receive buffers of all connections together may hold, in bytes. Default 1 GiB.
    pub receive_budget_bytes: usize,
    /// What the send buffers of all connections together may hold, in bytes, and an eighth of it what waits there to be sent. Default 1 GiB.
    pub send_budget_bytes: usize,
    /// What the clock on the wall says. Flows that share a bottleneck make room at the same moments by it; without one
    /// each does so by the age of its connection. Default: none here, the system's where there is a driver.
    pub wall_clock: Option<WallClock>,
}

/// The wall clock as seen once: what it said at an `Instant`. Being off by 100 ms does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    /// When it was read.
    pub at: Instant,
    /// What it said: the time since the beginning of 1970.
    pub unix_time: Duration,
}

impl WallClock {
    /// What it says at `now`.
    pub fn unix_time_at(&self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.at);
        (self.unix_time + since).saturating_sub(self.at.saturating_duration_since(now))
    }
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self { connections_max: 20_000, receive_budget_bytes: 1 << 30, send_budget_bytes: 1 << 30, wall_clock: None }
    }
}

/// What a listener lets in. All values are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenLimits {
    /// Most connections that were accepted and are still open. Default 10,000.
    pub connections_max: usize,
    /// Most of them from one IP address. Default 1,000.
    pub connections_per_address_max: usize,
    /// Most connections whose peer has sent nothing since its handshake. Default 1,024.
    pub half_open_max: usize,
    /// Most connections that wait to be taken by `accept`. Default 1,024.
    pub backlog: usize,
}

impl Default for ListenLimits {
    fn default() -> Self {
        Self { connections_max: 10_000, connections_per_address_max: 1_000, half_open_max: 1_024, backlog: 1_024 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_the_value_that_is_out_of_range() {
        let error = Config::builder().mss_bytes(75).build().unwrap_err();
        assert_eq!((error.field, error.value, error.min), ("mss_bytes", 75, 76));
        assert!(Config::builder().flow_window_packets(31).build().is_err());
        assert!(Config::builder().peer_timeout(Duration::from_secs(4)).build().is_err());
        let bounded = |min, max| Config::builder().min_rate_bits_per_s(Some(min)).max_rate_bits_per_s(Some(max));
        assert!(bounded(2000, 2000).build().is_ok());
        let error = bounded(2001, 2000).build().unwrap_err();
        assert_eq!((error.field, error.value, error.max), ("min_rate_bits_per_s", 2001, 2000));
    }

    #[test]
    fn rendezvous_waits_longer_unless_told_otherwise() {
        let rendezvous = Config::builder().rendezvous(true);
        assert_eq!(rendezvous.clone().build().unwrap().connect_timeout, Duration::from_secs(30));
        let second = Duration::from_secs(1);
        assert_eq!(rendezvous.connect_timeout(second).build().unwrap().connect_timeout, second);
    }

    #[test]
    fn the_announced_window_fits_the_receive_buffer() {
        let config = Config::builder().receive_buffer_bytes((1456 + 96) * 100).build().unwrap();
        assert_eq!(config.announced_window_packets(1456), 100);
    }
}

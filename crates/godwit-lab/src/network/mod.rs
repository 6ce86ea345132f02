//! Two sides joined by an emulated path.

mod counters;
mod error;
mod host;

use godwit_relay::LinkConfig;

pub use counters::{Counters, DirectionCounters};
pub use error::{CalibrationError, NetworkError};
pub use host::Host;

/// What a network is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NetworkConfig {
    /// The path from left to right. Rates and queues count the bytes of IP packets, headers included. By convention the data go this way.
    pub forward: LinkConfig,
    /// The path from right to left.
    pub reverse: LinkConfig,
    /// Hosts on the left, at least 1. They share the path.
    pub hosts_left: usize,
    /// Hosts on the right, at least 1.
    pub hosts_right: usize,
    /// The MTU of every device, in bytes. Default 1500.
    pub mtu: u16,
    /// Decides all random faults. Default 0.
    pub seed: u64,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        let path = LinkConfig::default();
        Self { forward: path, reverse: path, hosts_left: 1, hosts_right: 1, mtu: 1500, seed: 0 }
    }
}

/// Two sides joined by an emulated path. Dropping it takes namespaces, devices and the emulator's thread down.
#[derive(Debug)]
pub struct Network {
    left: Vec<Host>,
    right: Vec<Host>,
}

impl Network {
    /// Makes the namespaces and their devices, and starts the emulator.
    ///
    /// # Errors
    /// What is missing on this machine, and what to do.
    pub fn start(_config: &NetworkConfig) -> Result<Self, NetworkError> {
        Err(NetworkError::Unfinished)
    }

    /// What the path did since the last call (or the start).
    pub fn counters(&self) -> Counters {
        Counters::default()
    }

    /// Measures the path, which must be idle: rate, loss and RTT against what was asked for.
    ///
    /// # Errors
    /// It could not be measured. A path that was measured and is off is no error: see [`Calibration::check`].
    pub fn calibrate(&self) -> Result<Calibration, CalibrationError> {
        Err(CalibrationError::Unfinished)
    }

    /// Host `index` on the left, which by convention sends.
    ///
    /// # Panics
    /// There are not that many.
    pub fn left(&self, index: usize) -> &Host {
        &self.left[index]
    }

    /// Host `index` on the right.
    ///
    /// # Panics
    /// There are not that many.
    pub fn right(&self, index: usize) -> &Host {
        &self.right[index]
    }
}

/// What a path was measured to be.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Calibration {}

//! What a transfer moved, and what it cost.

use serde::{Deserialize, Serialize};

/// A transfer in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Measured {
    /// What arrived.
    pub bytes: u64,
    /// In which time.
    pub seconds: f64,
    /// CPU time of the sending process.
    pub sender_cpu_s: f64,
    /// CPU time of the receiving process.
    pub receiver_cpu_s: f64,
}

impl Measured {
    /// The goodput, in bits per second.
    pub fn goodput_bits_per_s(&self) -> f64 {
        goodput_bits_per_s(self.bytes, self.seconds)
    }

    /// Seconds per 10^9 bytes.
    pub fn sender_cpu_s_per_gb(&self) -> f64 {
        cpu_s_per_gb(self.sender_cpu_s, self.bytes)
    }

    /// Seconds per 10^9 bytes.
    pub fn receiver_cpu_s_per_gb(&self) -> f64 {
        cpu_s_per_gb(self.receiver_cpu_s, self.bytes)
    }
}

/// Of a transfer that took no time nearly infinite, so that it can be compared.
pub(crate) fn goodput_bits_per_s(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 * 8.0 / seconds.max(1e-9)
}

/// Of nothing as of one byte, so that it can be compared.
pub(crate) fn cpu_s_per_gb(cpu_s: f64, bytes: u64) -> f64 {
    cpu_s * 1e9 / bytes.max(1) as f64
}

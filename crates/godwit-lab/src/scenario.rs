//! Named paths, and what is transferred over them.

use std::time::Duration;

use crate::network::NetworkConfig;
use godwit_relay::LinkConfig;

/// A path and what is transferred over it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// What `godwit-lab run` calls it.
    pub name: String,
    /// One line for people.
    pub about: String,
    /// The path.
    pub network: NetworkConfig,
    /// What goes over it.
    pub workload: Workload,
}

/// What is transferred.
#[derive(Debug, Clone, PartialEq)]
pub enum Workload {
    /// Each peer alone transfers one file of so many bytes.
    File {
        /// Its size.
        bytes: u64,
    },
    /// Each peer alone transfers for so long, from a file that is long enough.
    Timed {
        /// How long.
        duration: Duration,
    },
    /// Several flows at once, each between hosts of its own (flow `i` from left host `i` to right host `i`).
    Sharing {
        /// The flows.
        flows: Vec<Flow>,
        /// How long they are measured together, from the start of the last.
        duration: Duration,
    },
}

/// One of several flows that share the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Whose flow: a name of `--peers`.
    pub peer: &'static str,
    /// When it starts, from the beginning of the run.
    pub starts_after: Duration,
}

/// Our UDT with the default policy.
pub const UDT_FAIR: &str = "udt-fair";
/// Our UDT as a scavenger.
pub const UDT_LOW: &str = "udt-low";
/// HTTP over the kernel's TCP with CUBIC.
pub const TCP_CUBIC: &str = "curl-cubic";
/// HTTP over the kernel's TCP with BBR.
pub const TCP_BBR: &str = "curl-bbr";

/// All scenarios, in the order in which they are listed.
pub fn all() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for rtt_ms in [20, 100, 250] {
        for (loss, percent) in [(0.0, "0"), (0.001, "0.1"), (0.01, "1"), (0.05, "5")] {
            let network = path(300_000_000, Duration::from_millis(rtt_ms), loss);
            let workload = Workload::Timed { duration: Duration::from_secs(60) };
            let about = format!("300 Mbit/s, RTT {rtt_ms} ms, {percent} % loss, for 60 s");
            scenarios.push(Scenario { name: format!("300m-{rtt_ms}ms-{percent}%"), about, network, workload });
        }
    }
    scenarios
}

/// The scenario of that name.
pub fn named(name: &str) -> Option<Scenario> {
    all().into_iter().find(|scenario| scenario.name == name)
}

fn path(rate_bits_per_s: u64, rtt: Duration, loss: f64) -> NetworkConfig {
    let direction = LinkConfig {
        delay: rtt / 2,
        rate_bits_per_s: Some(rate_bits_per_s),
        queue_bytes: bdp_bytes(rate_bits_per_s, rtt),
        ..LinkConfig::default()
    };
    NetworkConfig { forward: LinkConfig { loss, ..direction }, reverse: direction, ..NetworkConfig::default() }
}

/// The bandwidth-delay product.
fn bdp_bytes(rate_bits_per_s: u64, rtt: Duration) -> usize {
    (rate_bits_per_s as f64 * rtt.as_secs_f64() / 8.0) as usize
}

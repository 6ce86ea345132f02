//! What was measured, as it is kept in JSON.

#[cfg(test)]
pub(crate) mod fixture;
mod machine;
mod measured;
mod spread;
mod summary;
mod table;

use serde::{Deserialize, Serialize};

pub use machine::Machine;
pub use measured::Measured;
pub(crate) use measured::cpu_s_per_gb;
pub use spread::Spread;
pub use summary::Summary;
pub use table::Table;
pub(crate) use table::show;

use crate::network::{Calibration, Counters};

/// Payload of a full TCP segment with time stamps in an IPv4 packet of 1500 bytes. It is the measure for every peer, so that ratios can be
/// compared: UDT's packets carry 1456 bytes and so could reach 1.006 of it, quinn's at most 1.0.
pub const PAYLOAD_SHARE: f64 = 1448.0 / 1500.0;

/// One start of `godwit-lab run`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Where and how.
    pub machine: Machine,
    /// In the order in which they ran.
    pub scenarios: Vec<ScenarioResults>,
}

/// Everything about one scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScenarioResults {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub about: String,
    /// The path.
    pub path: PathDescription,
    /// What was transferred.
    pub work: Work,
    /// What the path was measured to be before the first run; `None` if nobody asked.
    pub calibration: Option<Calibration>,
    /// Settings of the kernel in the namespaces, as read back: name and value.
    pub settings: Vec<(String, String)>,
    /// Who took part, and who could not.
    pub peers: Vec<PeerDescription>,
    /// In the order in which they ran.
    pub runs: Vec<Run>,
}

/// A path in numbers. Both directions have the same rate unless `about` says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PathDescription {
    /// The bottleneck, in bits per second of IP packets.
    pub rate_bits_per_s: f64,
    /// Without queues, in seconds.
    pub rtt_s: f64,
    /// Share of packets that are lost after the bottleneck.
    pub loss: f64,
    /// The queue in front of the bottleneck.
    pub queue_bytes: u64,
}

/// What was transferred.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A file, to its end.
    File {
        /// Its size.
        bytes: u64,
    },
    /// As much as fits.
    Timed {
        /// For so long.
        seconds: f64,
    },
    /// Several flows at once.
    Sharing {
        /// From the start of the last.
        seconds: f64,
    },
}

/// Who took part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerDescription {
    /// As `--peers` takes it.
    pub name: String,
    /// What it is made of.
    pub about: String,
    /// Versions of the programs; `None` if one is missing.
    pub version: Option<String>,
    /// What is missing, and what to do.
    pub missing: Option<String>,
}

/// One transfer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Whose.
    pub peer: String,
    /// From 0.
    pub round: u32,
    /// Which of several flows at once; 0 if alone.
    pub flow: usize,
    /// When it started, from the start of the first of several flows at once, in seconds.
    pub starts_s: f64,
    /// How it ended.
    pub outcome: Outcome,
    /// What the receiver has.
    pub bytes: u64,
    /// From the start of the client process to its end, or to the limit, in seconds.
    pub seconds: f64,
    /// When the receiving file had its first byte, from the start of the client process, in seconds.
    pub first_byte_s: Option<f64>,
    /// When the receiving file had so many bytes: bytes and seconds.
    pub milestones: Vec<(u64, f64)>,
    /// How it grew: seconds and bytes. Only of the first round.
    pub growth: Vec<(f64, u64)>,
    /// Of several flows at once: the rate while all of them ran, in bits per second.
    pub overlap_bits_per_s: Option<f64>,
    /// Share of the packets sent that were sent again, as the peer or its kernel counts.
    pub retransmitted: Option<f64>,
    /// Both processes.
    pub sender: Usage,
    /// Both processes.
    pub receiver: Usage,
    /// What the kernel says of its TCP connections, if the peer has any.
    pub tcp: Option<TcpReadBack>,
    /// Datagrams that the kernel dropped because a UDP socket's buffer was full, both hosts together.
    pub socket_drops: u64,
    /// What the path did meanwhile; of several flows at once, all of them.
    pub path: Counters,
}

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All is there. Whether its bytes were compared with the original.
    Complete {
        /// And are the same.
        verified: bool,
    },
    /// It was stopped at the time limit.
    Stopped,
    /// It failed.
    Failed {
        /// Why, and what the program printed last.
        reason: String,
    },
}

/// What an end of a transfer cost, all its processes together.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// User and system time, in seconds.
    pub cpu_s: f64,
    /// The highest resident size of its largest process.
    pub resident_bytes_max: u64,
}

/// What `ss -tin` said on the sender's host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TcpReadBack {
    /// What it was told to use.
    pub wanted: String,
    /// The congestion controls seen on its connections; empty if no reading met a connection.
    pub seen: Vec<String>,
    /// The most connections at once.
    pub connections: usize,
}

impl Run {
    /// One of which nothing is known but how it ended.
    pub(crate) fn new(peer: String, round: u32, outcome: Outcome) -> Self {
        Self {
            peer,
            round,
            flow: 0,
            starts_s: 0.0,
            outcome,
            bytes: 0,
            seconds: 0.0,
            first_byte_s: None,
            milestones: Vec::new(),
            growth: Vec::new(),
            overlap_bits_per_s: None,
            retransmitted: None,
            sender: Usage::default(),
            receiver: Usage::default(),
            tcp: None,
            socket_drops: 0,
            path: Counters::default(),
        }
    }

    /// The goodput, in bits per second.
    pub fn goodput_bits_per_s(&self) -> f64 {
        measured::goodput_bits_per_s(self.bytes, self.seconds)
    }

    /// The goodput over what the path could carry: (1 − loss) × rate × [`PAYLOAD_SHARE`].
    pub fn ratio(&self, path: &PathDescription) -> f64 {
        self.goodput_bits_per_s() / path.goodput_bits_per_s_max()
    }

    /// Whether it moved bytes, used what it was told to use, and nothing else went wrong.
    pub fn is_valid(&self) -> bool {
        let is_told = self.tcp.as_ref().is_none_or(TcpReadBack::is_as_told);
        is_told && !matches!(self.outcome, Outcome::Failed { .. })
    }
}

impl PathDescription {
    /// What the path could carry at best, in bits per second of payload.
    pub fn goodput_bits_per_s_max(&self) -> f64 {
        self.rate_bits_per_s * PAYLOAD_SHARE * (1.0 - self.loss)
    }
}

impl TcpReadBack {
    /// Whether every connection that was seen used it. Nothing seen is not an answer.
    pub fn is_as_told(&self) -> bool {
        !self.seen.is_empty() && self.seen.iter().all(|seen| *seen == self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_everything() {
        let results = fixture::results();
        let text = serde_json::to_string(&results).expect("results have string keys only");
        assert_eq!(serde_json::from_str::<Results>(&text).expect("it was just written"), results);
    }

    #[test]
    fn a_run_counts_only_if_its_tcp_was_as_told() {
        let good = fixture::run("curl-bbr", 0, 1e6);
        let other = |seen: &[&str]| {
            let seen = seen.iter().map(ToString::to_string).collect();
            Run { tcp: good.tcp.clone().map(|tcp| TcpReadBack { seen, ..tcp }), ..good.clone() }
        };
        assert!(good.is_valid() && !other(&["cubic"]).is_valid() && !other(&["bbr", "cubic"]).is_valid());
        assert!(!other(&[]).is_valid(), "nothing seen is no answer");
    }

    #[test]
    fn ratios_are_to_what_can_pass() {
        let path = PathDescription { rate_bits_per_s: 300e6, rtt_s: 0.1, loss: 0.01, queue_bytes: 1 };
        let ratio = fixture::run("curl-bbr", 0, 300e6 * 0.99 * PAYLOAD_SHARE).ratio(&path);
        assert!((ratio - 1.0).abs() < 1e-6, "{ratio}");
    }
}

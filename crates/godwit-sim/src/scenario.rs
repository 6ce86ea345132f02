//! What is simulated: a bottleneck, the flows over it, what changes on the way, and what must come out.

use std::time::Duration;

use godwit_relay::LinkConfig;

use crate::controller::ControllerChoice;
use crate::host::HostNoise;
use crate::line::Line;
use crate::rival::RivalKind;
use crate::workload::Workload;

/// Bytes of a full packet on the wire. Rates, queues and utilisation are counted in these.
pub const PACKET_BYTES: usize = 1500;

/// One simulation, apart from its seed.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Unique, without blanks: the argument of `replay` and `plot`.
    pub name: String,
    /// Its number in the list of scenarios.
    pub number: &'static str,
    /// The link that all flows share, towards their receivers; its delay is 0.
    pub bottleneck: LinkConfig,
    /// The flows, in the order of the report.
    pub flows: Vec<Flow>,
    /// What changes while it runs, in order of time.
    pub changes: Vec<Change>,
    /// How long it runs.
    pub duration: Duration,
    /// Utilisation and queue count from here on.
    pub warm_up: Duration,
    /// What must hold.
    pub lines: Vec<Line>,
    /// What the prototype of the controller reached, if it was measured.
    pub reference: Reference,
}

/// A mean over seeds that somebody else's simulator reached, for the scenario's flows together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reference {
    /// Utilisation with the fair controller.
    pub fair: Option<f64>,
    /// Mean queue in milliseconds with it.
    pub fair_queue_ms: Option<f64>,
    /// Utilisation with libudt's controller.
    pub native: Option<f64>,
    /// Utilisation with a model of TCP BBR.
    pub bbr: Option<f64>,
    /// Utilisation with a model of TCP CUBIC.
    pub cubic: Option<f64>,
}

/// One flow.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Who sends.
    pub kind: FlowKind,
    /// Round-trip time without queues; half of it each way.
    pub rtt: Duration,
    /// When it starts.
    pub start: Duration,
    /// When it falls silent, if before the end.
    pub stop: Option<Duration>,
    /// A link of its own before the bottleneck, if any.
    pub before: Option<LinkConfig>,
    /// Its own faults after the bottleneck; the delay is added.
    pub after: LinkConfig,
    /// Its own faults on the way back; the delay is added.
    pub back: LinkConfig,
    /// The sending and the receiving host.
    pub sender_noise: HostNoise,
    /// See above.
    pub receiver_noise: HostNoise,
    /// What its application writes. TCP models always have data.
    pub workload: Workload,
    /// Buffers and windows of our protocol.
    pub buffers: Buffers,
}

/// Who a flow belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FlowKind {
    /// Our protocol at both ends.
    Godwit(ControllerChoice),
    /// Our sender and a model of libudt's receiver.
    ToLibudt(ControllerChoice),
    /// A model of libudt's sender and our receiver.
    FromLibudt,
    /// Models of libudt at both ends.
    Libudt,
    /// A model of TCP.
    Rival(RivalKind),
}

/// Buffers of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// The window of the handshake, in packets.
    pub flow_window_packets: u32,
    /// Upper bound of the send buffer.
    pub send_bytes: usize,
    /// Upper bound of the receive buffer.
    pub receive_bytes: usize,
    /// MSS in bytes.
    pub mss_bytes: u32,
    /// First sequence number; `None`: drawn.
    pub initial_seq: Option<u32>,
}

impl Default for Buffers {
    /// Large enough never to limit.
    fn default() -> Self {
        Self {
            flow_window_packets: 1 << 20,
            send_bytes: 2 << 30,
            receive_bytes: 2 << 30,
            mss_bytes: PACKET_BYTES as u32,
            initial_seq: None,
        }
    }
}

/// Something about the path that becomes another.
#[derive(Clone, Debug)]
pub struct Change {
    /// When.
    pub at: Duration,
    /// Which link.
    pub link: LinkName,
    /// What it is like from then on.
    pub to: LinkConfig,
}

/// A link of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkName {
    /// The one that is shared.
    Bottleneck,
    /// A flow's own after it, by the number of the flow. The configuration includes the delay.
    After(usize),
    /// A flow's own on the way back. The configuration includes the delay.
    Back(usize),
}

impl Flow {
    /// A flow on a clean path that starts at once and never stops.
    pub fn new(kind: FlowKind, rtt: Duration) -> Self {
        Self {
            kind,
            rtt,
            start: Duration::ZERO,
            stop: None,
            before: None,
            after: LinkConfig::default(),
            back: LinkConfig::default(),
            sender_noise: HostNoise::default(),
            receiver_noise: HostNoise::default(),
            workload: Workload::Endless,
            buffers: Buffers::default(),
        }
    }

    /// The link after the bottleneck, with the delay.
    pub fn after_link(&self) -> LinkConfig {
        LinkConfig { delay: self.after.delay + self.rtt / 2, ..self.after }
    }

    /// The link back, with the delay.
    pub fn back_link(&self) -> LinkConfig {
        LinkConfig { delay: self.back.delay + self.rtt / 2, ..self.back }
    }
}

impl Scenario {
    /// A bottleneck of this rate, with a queue of so many bandwidth-delay products of `rtt`, and these flows on it.
    pub fn new(name: impl Into<String>, rate_mbits: f64, rtt: Duration, queue_bdp: f64, flows: Vec<Flow>) -> Self {
        let bdp_packets = rate_mbits * 1e6 / 8.0 / PACKET_BYTES as f64 * rtt.as_secs_f64();
        // One packet is on the wire, and fewer than four make no queue.
        let queue_packets = (bdp_packets * queue_bdp).max(4.0) + 1.0;
        Self {
            name: name.into(),
            number: "",
            bottleneck: LinkConfig {
                rate_bits_per_s: Some((rate_mbits * 1e6) as u64),
                queue_bytes: (queue_packets * PACKET_BYTES as f64) as usize,
                ..LinkConfig::default()
            },
            flows,
            changes: Vec::new(),
            duration: Duration::from_secs(30),
            warm_up: Duration::from_millis(7500),
            lines: Vec::new(),
            reference: Reference::default(),
        }
    }

    /// Runs this long, and counts from a quarter of it on.
    #[must_use]
    pub fn lasting(mut self, seconds: f64) -> Self {
        self.duration = Duration::from_secs_f64(seconds);
        self.warm_up = self.duration / 4;
        self
    }

    /// Counts from here on.
    #[must_use]
    pub fn warm_after(mut self, seconds: f64) -> Self {
        self.warm_up = Duration::from_secs_f64(seconds);
        self
    }

    /// Its number in the list of scenarios.
    #[must_use]
    pub fn numbered(mut self, number: &'static str) -> Self {
        self.number = number;
        self
    }

    /// What must hold.
    #[must_use]
    pub fn must(mut self, lines: impl IntoIterator<Item = Line>) -> Self {
        self.lines.extend(lines);
        self
    }

    /// What the prototype reached.
    #[must_use]
    pub fn prototype(mut self, fair: f64, fair_queue_ms: f64) -> Self {
        self.reference.fair = Some(fair);
        self.reference.fair_queue_ms = Some(fair_queue_ms);
        self
    }

    /// What libudt's controller reached in the prototype's simulator.
    #[must_use]
    pub fn prototype_native(mut self, native: f64) -> Self {
        self.reference.native = Some(native);
        self
    }

    /// What the models of TCP BBR and CUBIC reached there.
    #[must_use]
    pub fn prototype_tcp(mut self, bbr: f64, cubic: f64) -> Self {
        self.reference.bbr = Some(bbr);
        self.reference.cubic = Some(cubic);
        self
    }

    /// Each flow starts this long after the one before.
    #[must_use]
    pub fn staggered(mut self, seconds: f64) -> Self {
        for (number, flow) in self.flows.iter_mut().enumerate() {
            flow.start = Duration::from_secs_f64(seconds * number as f64);
        }
        self
    }

    /// The same with random loss of this share for the first flow.
    #[must_use]
    pub fn lossy(mut self, loss: f64) -> Self {
        self.flows[0].after.loss = loss;
        self
    }

    /// Rate of the bottleneck at the start, bits per second.
    pub fn rate_bits_per_s(&self) -> f64 {
        self.bottleneck.rate_bits_per_s.unwrap_or(u64::MAX) as f64
    }

    /// The rate that the utilisation refers to: of the policer, if there is one.
    pub fn usable_bits_per_s(&self) -> f64 {
        self.bottleneck.policer.map_or_else(|| self.rate_bits_per_s(), |policer| policer.rate_bits_per_s as f64)
    }
}

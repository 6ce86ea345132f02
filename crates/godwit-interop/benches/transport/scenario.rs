//! What is compared, and how one run of it goes.

use std::time::Duration;

use godwit_interop::{Content, CppPeer, CppPeerBuilder, Library};
use godwit_relay::{LinkConfig, Relay};

use crate::ack_reports::AckReports;
use crate::report::{Report, Run};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// One way of 20 ms RTT, with 1 % loss in both directions.
fn lossy() -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(10), loss: 0.01, ..LinkConfig::default() }
}

/// What libudt uses, and what is left of an Ethernet frame; the loopback would take more.
const MSS_BYTES: u32 = 1500;

/// How much is sent, and over what.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Workload {
    /// So many bytes directly; the sender waits until everything is acknowledged.
    Loopback { bytes: u64 },
    /// As much as fits in this time through the lossy relay.
    Lossy { time: Duration },
}

/// Who plays an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Godwit,
    Cpp(Library),
}

/// One way to do the work.
#[derive(Clone, Copy, Debug)]
struct Variant {
    name: &'static str,
    sender: End,
    receiver: End,
    /// Whether the receiver reports the capacity that the baseline's receiver reported in the same round.
    is_capacity_pinned: bool,
    /// The ratio to reach.
    goal: Option<f64>,
}

/// Variants that do the same work in turn. The first is what the others are compared with.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    title: &'static str,
    workload: Workload,
    variants: Vec<Variant>,
}

impl Comparison {
    /// Both ends ours over both ends libudt's.
    pub(crate) fn loopback(workload: Workload, library: Library) -> Self {
        let ours = Variant::new("godwit to godwit", End::Godwit, End::Godwit).goal(2.0);
        Self { title: "loopback", workload, variants: vec![Variant::baseline(library), ours] }
    }

    /// Receivers of a C++ sender.
    pub(crate) fn receivers(workload: Workload, library: Library) -> Self {
        let cpp = End::Cpp(library);
        let variants = vec![
            Variant::baseline(library),
            Variant::new("C++ to godwit, pinned", cpp, End::Godwit).pinned().goal(1.5),
            Variant::new("C++ to godwit", cpp, End::Godwit).goal(3.0),
        ];
        Self { title: "receivers of a C++ sender, 1 % loss each way, 20 ms RTT", workload, variants }
    }

    /// Senders to a C++ receiver.
    pub(crate) fn senders(workload: Workload, library: Library) -> Self {
        let ours = Variant::new("godwit to C++", End::Godwit, End::Cpp(library));
        let variants = vec![Variant::baseline(library), ours];
        Self { title: "senders to a C++ receiver, 1 % loss each way, 20 ms RTT", workload, variants }
    }

    /// Runs the variants in turn, `rounds` times, and reports each run and then the ratios.
    pub(crate) fn run(&self, rounds: u32, report: &mut Report) -> Result<()> {
        report.begin_comparison(self.title);
        let mut runs: Vec<Vec<Run>> = vec![Vec::new(); self.variants.len()];
        for round in 0..rounds {
            let mut baseline_capacity = None;
            for (variant, runs) in self.variants.iter().zip(&mut runs) {
                let pinned = baseline_capacity.filter(|_| variant.is_capacity_pinned);
                let run = variant.run(self.workload, u64::from(round), pinned)?;
                baseline_capacity = baseline_capacity.or(run.capacity_packets_per_s);
                report.run(self.title, variant.name, round, &run)?;
                runs.push(run);
            }
        }
        for (variant, runs_of_variant) in self.variants.iter().zip(&runs).skip(1) {
            report.ratio(self.title, variant.name, &runs[0], runs_of_variant, variant.goal)?;
        }
        Ok(())
    }
}

impl Variant {
    const fn new(name: &'static str, sender: End, receiver: End) -> Self {
        Self { name, sender, receiver, is_capacity_pinned: false, goal: None }
    }

    const fn baseline(library: Library) -> Self {
        Self::new("C++ to C++", End::Cpp(library), End::Cpp(library))
    }

    const fn pinned(self) -> Self {
        Self { is_capacity_pinned: true, ..self }
    }

    const fn goal(self, goal: f64) -> Self {
        Self { goal: Some(goal), ..self }
    }

    fn run(&self, workload: Workload, seed: u64, pinned: Option<u32>) -> Result<Run> {
        match workload {
            Workload::Loopback { bytes } => self.run_on_loopback(bytes),
            Workload::Lossy { time } => self.run_over_relay(time, seed, pinned),
        }
    }

    fn run_on_loopback(&self, bytes: u64) -> Result<Run> {
        let mut receiver = self.receiver.receive()?.spawn()?;
        let sender = self.sender.send(Content::new(1, bytes))?.connect(receiver.address()?).spawn()?;
        let sent = sender.finish()?;
        let run = Run::of(&sent, &receiver.finish()?, None)?;
        if run.received_bytes != bytes {
            return Err(format!("{} of {bytes} bytes arrived", run.received_bytes).into());
        }
        Ok(run)
    }

    fn run_over_relay(&self, time: Duration, seed: u64, pinned: Option<u32>) -> Result<Run> {
        let reports = AckReports::default();
        let mut receiver = self.receiver.receive()?;
        if let Some(capacity) = pinned {
            receiver = receiver.extra_option("--pinned-capacity", capacity);
        }
        let mut receiver = receiver.spawn()?;
        let relay =
            Relay::builder(receiver.address()?).both_ways(lossy()).seed(seed).filter(reports.filter()).start()?;
        // What is not acknowledged in time is given up: only what arrived is measured.
        let sender = self.sender.send(Content::new(1, u64::MAX))?.stop_after(time).linger(Duration::ZERO);
        let sent = sender.connect(relay.addr()).spawn()?.finish()?;
        let received = receiver.finish()?;
        relay.stats().check()?;
        Ok(Run::of(&sent, &received, reports.capacity_packets_per_s())?)
    }
}

impl End {
    fn receive(self) -> Result<CppPeerBuilder> {
        Ok(self.configure(CppPeer::recv(self.library()))?.unchecked())
    }

    fn send(self, content: Content) -> Result<CppPeerBuilder> {
        Ok(self.configure(CppPeer::send(self.library(), content))?.unchecked())
    }

    fn configure(self, peer: CppPeerBuilder) -> Result<CppPeerBuilder> {
        let peer = peer.mss(MSS_BYTES).perfmon();
        Ok(match self {
            Self::Godwit => peer.program(std::env::current_exe()?),
            Self::Cpp(_) => peer,
        })
    }

    /// Ours ignores it.
    const fn library(self) -> Library {
        match self {
            Self::Godwit => Library::Bundled,
            Self::Cpp(library) => library,
        }
    }
}

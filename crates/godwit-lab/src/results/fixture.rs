//! Made-up results for tests: two scenarios, one peer missing, one run failed.

use std::time::Duration;

use super::{
    Machine, Outcome, PathDescription, PeerDescription, Results, Run, ScenarioResults, TcpReadBack, Usage, Work,
};
use crate::network::{Counters, DirectionCounters};

pub(crate) fn results() -> Results {
    let machine =
        Machine { date: "2026-01-02T03:04:05Z".into(), command: "godwit-lab run".into(), ..Machine::default() };
    Results { machine, scenarios: vec![timed(), sharing()] }
}

fn timed() -> ScenarioResults {
    let failed = Outcome::Failed { reason: "it was made up".into() };
    let runs = vec![
        run("godwit-fair", 0, 275e6),
        run("curl-bbr", 0, 200e6),
        run("godwit-fair", 1, 285e6),
        run("curl-bbr", 1, 220e6),
        Run { outcome: failed, bytes: 0, ..run("curl-bbr", 2, 0.0) },
    ];
    scenario("300M-100ms-1%", 300e6, 0.01, Work::Timed { seconds: 10.0 }, runs)
}

fn sharing() -> ScenarioResults {
    let ours = Run { flow: 1, starts_s: 5.0, overlap_bits_per_s: Some(20e6), ..run("godwit-fair", 0, 20e6) };
    let theirs = Run { overlap_bits_per_s: Some(80e6), ..run("curl-cubic", 0, 80e6) };
    scenario("share-cubic", 100e6, 0.0, Work::Sharing { seconds: 10.0 }, vec![theirs, ours])
}

fn scenario(name: &str, rate_bits_per_s: f64, loss: f64, work: Work, runs: Vec<Run>) -> ScenarioResults {
    let missing = "rsync is not installed (Debian: apt-get install rsync)".to_owned();
    ScenarioResults {
        name: name.to_owned(),
        about: "made up".to_owned(),
        path: PathDescription { rate_bits_per_s, rtt_s: 0.1, loss, queue_bytes: 3_750_000 },
        work,
        calibration: None,
        settings: vec![("net.ipv4.tcp_rmem".into(), "4096 131072 67108864".into())],
        peers: vec![PeerDescription {
            name: "rsync-bbr".into(),
            about: "made up".into(),
            version: None,
            missing: Some(missing),
        }],
        runs,
    }
}

/// Ten seconds at this rate.
pub(crate) fn run(peer: &str, round: u32, bits_per_s: f64) -> Run {
    let bytes = (bits_per_s * 10.0 / 8.0) as u64;
    let (_, tcp) = peer.rsplit_once('-').unwrap_or_default();
    let tcp = TcpReadBack { wanted: tcp.to_owned(), seen: vec![tcp.to_owned()], connections: 1 };
    let forward = DirectionCounters {
        entered_bytes: bytes + bytes / 10,
        queue_delay_mean: Duration::from_millis(5),
        queue_delay_p95: Duration::from_millis(9),
        ..DirectionCounters::default()
    };
    Run {
        peer: peer.to_owned(),
        round,
        flow: 0,
        starts_s: 0.0,
        outcome: Outcome::Stopped,
        bytes,
        seconds: 10.0,
        first_byte_s: Some(0.25),
        milestones: vec![(1_000_000, 0.5), (10_000_000, 1.0)],
        growth: (0..=10).map(|second| (f64::from(second), bytes / 10 * second as u64)).collect(),
        overlap_bits_per_s: None,
        retransmitted: Some(0.01),
        sender: Usage { cpu_s: 1.0, resident_bytes_max: 10_000_000 },
        receiver: Usage { cpu_s: 2.0, resident_bytes_max: 20_000_000 },
        tcp: peer.starts_with("curl").then_some(tcp),
        socket_drops: 0,
        path: Counters { forward, ..Counters::default() },
    }
}

//! Named paths, and what is transferred over them.

use std::time::Duration;

use godwit_relay::LinkConfig;

use crate::link_spec::{LinkSpec, Queue};
use crate::network::NetworkConfig;

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
pub const UDT_FAIR: &str = "godwit-fair";
/// Our UDT as a scavenger.
pub const UDT_LOW: &str = "godwit-low";
/// HTTP over the kernel's TCP with CUBIC.
pub const TCP_CUBIC: &str = "curl-cubic";
/// HTTP over the kernel's TCP with BBR.
pub const TCP_BBR: &str = "curl-bbr";

/// All scenarios, in the order in which they are listed.
pub fn all() -> Vec<Scenario> {
    [one_minute(), gigabit(), short(), sharing()].concat()
}

/// The scenario of that name.
pub fn named(name: &str) -> Option<Scenario> {
    all().into_iter().find(|scenario| scenario.name == name)
}

/// The rate that two cores carry beside both ends, at each RTT and loss.
fn one_minute() -> Vec<Scenario> {
    let losses = [(0.0, "0%"), (0.001, "0.1%"), (0.01, "1%"), (0.05, "5%")];
    let cases = [20, 100, 250].into_iter().flat_map(|rtt_ms| losses.map(|(loss, percent)| (rtt_ms, loss, percent)));
    let scenario = |(rtt_ms, loss, percent)| Scenario {
        name: format!("300M-{rtt_ms}ms-{percent}"),
        about: format!("60 s over 300 Mbit/s, RTT {rtt_ms} ms, {percent} loss"),
        network: path(300_000_000, rtt_ms, loss),
        workload: Workload::Timed { duration: MINUTE },
    };
    cases.map(scenario).collect()
}

/// One file over a link on which loss decides.
fn gigabit() -> Vec<Scenario> {
    let scenario = |(loss, percent)| Scenario {
        name: format!("1G-100ms-{percent}"),
        about: format!("a 300 MB file over 1 Gbit/s, RTT 100 ms, {percent} loss"),
        network: path(1_000_000_000, 100, loss),
        workload: Workload::File { bytes: 300_000_000 },
    };
    [(0.0, "0%"), (0.01, "1%")].map(scenario).into()
}

/// Files so small that the start decides.
fn short() -> Vec<Scenario> {
    let scenario = |megabytes: u64| Scenario {
        name: format!("short-{megabytes}MB"),
        about: format!("a {megabytes} MB file over 300 Mbit/s, RTT 100 ms, no loss"),
        network: path(300_000_000, 100, 0.0),
        workload: Workload::File { bytes: megabytes * 1_000_000 },
    };
    [1, 10].map(scenario).into()
}

/// Several flows behind one queue of 1 BDP, and one that has it to itself.
fn sharing() -> Vec<Scenario> {
    let cases: [(&str, &str, &[&'static str], Duration); 5] = [
        ("alone", "one of ours: how much queue it makes", &[UDT_FAIR], MINUTE),
        ("share-cubic", "one of ours and one TCP CUBIC", &[TCP_CUBIC, UDT_FAIR], MINUTE),
        // It takes two of BBR's periods of ten seconds to recognise it, and another to get a share.
        ("share-bbr", "one of ours and one TCP BBR, two minutes", &[TCP_BBR, UDT_FAIR], 2 * MINUTE),
        ("share-ours", "two of ours", &[UDT_FAIR, UDT_FAIR], MINUTE),
        ("low-cubic", "our scavenger beside one TCP CUBIC", &[TCP_CUBIC, UDT_LOW], MINUTE),
    ];
    let scenario = |(name, about, peers, duration): (&str, &str, &[&'static str], _)| Scenario {
        name: name.to_owned(),
        about: format!("{about}, 100 Mbit/s, RTT 50 ms, queue 1 BDP"),
        network: NetworkConfig { hosts_left: peers.len(), hosts_right: peers.len(), ..path(100_000_000, 50, 0.0) },
        workload: Workload::Sharing { flows: staggered(peers), duration },
    };
    cases.map(scenario).into()
}

const MINUTE: Duration = Duration::from_secs(60);

/// Long enough for the flow before to have settled.
const STAGGER: Duration = Duration::from_secs(5);

fn staggered(peers: &[&'static str]) -> Vec<Flow> {
    let starts = (0..).map(|index| STAGGER * index);
    peers.iter().zip(starts).map(|(&peer, starts_after)| Flow { peer, starts_after }).collect()
}

/// A path with its loss after the bottleneck, a queue of 1 BDP, and a way back without loss.
fn path(rate_bits_per_s: u64, rtt_ms: u64, loss: f64) -> NetworkConfig {
    let delay = Duration::from_millis(rtt_ms) / 2;
    let direction = LinkConfig { delay, rate_bits_per_s: Some(rate_bits_per_s), ..LinkConfig::default() };
    let spec = |link| LinkSpec { link, queue: Queue::Bdp(1.0) };
    let [forward, reverse] = LinkSpec::resolve(spec(LinkConfig { loss, ..direction }), spec(direction));
    NetworkConfig { forward, reverse, ..NetworkConfig::default() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        let names: HashSet<_> = all().into_iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), all().len());
        assert_eq!(named("300M-100ms-0.1%").unwrap().network.forward.loss, 0.001);
        assert_eq!(named("300M-100ms"), None);
    }

    #[test]
    fn the_queue_holds_one_bdp() {
        let network = named("1G-100ms-1%").unwrap().network;
        assert_eq!([network.forward, network.reverse].map(|link| link.queue_bytes), [12_500_000; 2]);
        assert_eq!(network.reverse.loss, 0.0);
    }

    #[test]
    fn each_flow_has_hosts_of_its_own() {
        for scenario in all() {
            if let Workload::Sharing { flows, .. } = scenario.workload {
                assert_eq!([scenario.network.hosts_left, scenario.network.hosts_right], [flows.len(); 2]);
            }
        }
    }
}

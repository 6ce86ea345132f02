//! Who transfers files, and how each of them is started.

mod files;
mod godwit;
mod http;
mod libudt;
mod program;
mod quic;
mod rsync;
mod scp;
mod site;
mod transfer;

use std::fmt;
use std::str::FromStr;

pub(crate) use libudt::ROOM as LIBUDT_ROOM;
pub use program::{Missing, Programs};
pub use site::Site;
pub use transfer::{Launch, Readiness, SetUpError, Transfer};

/// Every peer listens here, in a namespace of its own.
pub const PORT: u16 = 9100;

/// A way to transfer a file from the left host to the right one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Peer {
    /// `godwit serve` and `godwit get` over UDT.
    Godwit(Policy),
    /// The same over the kernel's TCP.
    GodwitTcp(Congestion),
    /// The C++ library at both ends.
    Libudt,
    /// `godwit cat` to the C++ library.
    GodwitToLibudt(Policy),
    /// The C++ library to `godwit cat`.
    LibudtToGodwit,
    /// curl from nginx.
    Curl(Congestion),
    /// aria2 with 16 connections from nginx.
    Aria2(Congestion),
    /// OpenSSH's scp.
    Scp(Congestion),
    /// rsync from its own daemon, so without encryption.
    Rsync(Congestion),
    /// QUIC: quinn at both ends.
    Quinn(Congestion),
}

/// What `godwit --policy` is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Policy {
    /// The default.
    Fair,
    /// A scavenger.
    Low,
    /// The weight of four.
    High,
    /// CUBIC.
    Cubic,
    /// libudt's own control.
    Native,
    /// A rate, as `--policy fixed:RATE` takes it.
    Fixed(String),
}

/// The congestion control of a peer that is told one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Congestion {
    /// CUBIC.
    Cubic,
    /// BBR: version 1 in the kernel, quinn's own in QUIC.
    Bbr,
}

/// No peer has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no peer is called {0}; `godwit-lab list` names them")]
pub struct UnknownPeer(pub String);

impl Peer {
    /// All of them, in the order of the tables. `godwit-fixed:RATE` exists for every rate and is not among them.
    pub fn all() -> Vec<Self> {
        use Congestion::{Bbr, Cubic};
        let policies = [Policy::Fair, Policy::Low, Policy::High, Policy::Cubic, Policy::Native];
        let mut peers: Vec<Self> = policies.into_iter().map(Self::Godwit).collect();
        peers.extend([Self::GodwitTcp(Bbr), Self::GodwitTcp(Cubic)]);
        peers.extend([Self::Libudt, Self::GodwitToLibudt(Policy::Fair), Self::LibudtToGodwit]);
        for kind in [Self::Curl, Self::Aria2, Self::Scp, Self::Rsync, Self::Quinn] {
            peers.extend([kind(Bbr), kind(Cubic)]);
        }
        peers
    }

    /// The kernel's congestion control that this peer is to use, if it uses TCP.
    pub fn tcp(&self) -> Option<Congestion> {
        match self {
            Self::GodwitTcp(tcp) | Self::Curl(tcp) | Self::Aria2(tcp) | Self::Scp(tcp) | Self::Rsync(tcp) => Some(*tcp),
            Self::Godwit(_) | Self::Libudt | Self::GodwitToLibudt(_) | Self::LibudtToGodwit | Self::Quinn(_) => None,
        }
    }

    /// One line for people: programs, and what they were told beside the congestion control.
    pub fn about(&self) -> &'static str {
        match self {
            Self::Godwit(_) => "godwit serve → godwit get over UDT",
            Self::GodwitTcp(_) => "godwit serve → godwit get over TCP",
            Self::Libudt => "libudt at both ends, window and buffers of 96 MB",
            Self::GodwitToLibudt(_) => "godwit cat → libudt, window and buffers of 96 MB",
            Self::LibudtToGodwit => "libudt → godwit cat",
            Self::Curl(_) => "nginx → curl, one connection, HTTP without TLS",
            Self::Aria2(_) => "nginx → aria2c -x16 -s16, HTTP without TLS",
            Self::Scp(_) => "sshd → scp (SFTP inside SSH, encrypted)",
            Self::Rsync(_) => "rsync daemon → rsync --whole-file, not encrypted",
            Self::Quinn(_) => "quinn at both ends, a stream per MiB, windows of 96 MB, encrypted",
        }
    }

    /// How this peer transfers the site's file.
    ///
    /// # Errors
    /// A file that it needs could not be written.
    pub fn transfer(&self, site: &Site) -> Result<Transfer, SetUpError> {
        match self {
            Self::Godwit(policy) => Ok(godwit::over_udt(policy, site)),
            Self::GodwitTcp(_) => Ok(godwit::over_tcp(site)),
            Self::Libudt => Ok(libudt::both_ends(site)),
            Self::GodwitToLibudt(policy) => libudt::receiver(policy, site),
            Self::LibudtToGodwit => libudt::sender(site),
            Self::Curl(_) => http::curl(site),
            Self::Aria2(_) => http::aria2(site),
            Self::Scp(_) => scp::transfer(site),
            Self::Rsync(_) => rsync::transfer(site),
            Self::Quinn(congestion) => Ok(quic::transfer(*congestion, site)),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Godwit(policy) => write!(f, "godwit-{policy}"),
            Self::GodwitTcp(tcp) => write!(f, "godwit-tcp-{tcp}"),
            Self::Libudt => f.write_str("libudt"),
            Self::GodwitToLibudt(policy) => write!(f, "godwit-{policy}-to-libudt"),
            Self::LibudtToGodwit => f.write_str("libudt-to-godwit"),
            Self::Curl(tcp) => write!(f, "curl-{tcp}"),
            Self::Aria2(tcp) => write!(f, "aria2-{tcp}"),
            Self::Scp(tcp) => write!(f, "scp-{tcp}"),
            Self::Rsync(tcp) => write!(f, "rsync-{tcp}"),
            Self::Quinn(congestion) => write!(f, "quinn-{congestion}"),
        }
    }
}

impl FromStr for Peer {
    type Err = UnknownPeer;

    fn from_str(name: &str) -> Result<Self, UnknownPeer> {
        let fixed = name.strip_prefix("godwit-fixed:").map(|rate| match rate.strip_suffix("-to-libudt") {
            Some(rate) => Self::GodwitToLibudt(Policy::Fixed(rate.to_owned())),
            None => Self::Godwit(Policy::Fixed(rate.to_owned())),
        });
        let toward_libudt = [Policy::Low, Policy::High, Policy::Cubic, Policy::Native].map(Self::GodwitToLibudt);
        let mut known = Self::all().into_iter().chain(toward_libudt);
        fixed.or_else(|| known.find(|peer| peer.to_string() == name)).ok_or_else(|| UnknownPeer(name.to_owned()))
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fair => f.write_str("fair"),
            Self::Low => f.write_str("low"),
            Self::High => f.write_str("high"),
            Self::Cubic => f.write_str("cubic"),
            Self::Native => f.write_str("native"),
            Self::Fixed(rate) => write!(f, "fixed:{rate}"),
        }
    }
}

impl Congestion {
    /// As the kernel calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
        }
    }
}

impl fmt::Display for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Congestion {
    type Err = UnknownCongestion;

    fn from_str(name: &str) -> Result<Self, UnknownCongestion> {
        [Self::Cubic, Self::Bbr].into_iter().find(|congestion| congestion.name() == name).ok_or(UnknownCongestion)
    }
}

/// No congestion control of ours to choose from has that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the congestion control must be `cubic` or `bbr`")]
pub struct UnknownCongestion;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{self, Workload};

    #[test]
    fn every_name_means_its_peer() {
        for peer in Peer::all() {
            assert_eq!(peer.to_string().parse(), Ok(peer));
        }
        let fixed = Peer::Godwit(Policy::Fixed("270M".into()));
        assert_eq!(("godwit-fixed:270M".parse(), fixed.to_string().as_str()), (Ok(fixed.clone()), "godwit-fixed:270M"));
        assert_eq!("curl-vegas".parse::<Peer>(), Err(UnknownPeer("curl-vegas".into())));
    }

    #[test]
    fn every_scenario_has_flows_of_known_peers() {
        for scenario in scenario::all() {
            let Workload::Sharing { flows, .. } = scenario.workload else { continue };
            flows
                .iter()
                .for_each(|flow| assert!(flow.peer.parse::<Peer>().is_ok(), "{}: {}", scenario.name, flow.peer));
        }
    }

    #[test]
    fn who_uses_tcp_is_told_an_algorithm() {
        let told = |name: &str| name.parse::<Peer>().expect("a peer").tcp();
        assert_eq!((told("scp-cubic"), told("aria2-bbr")), (Some(Congestion::Cubic), Some(Congestion::Bbr)));
        assert_eq!((told("quinn-bbr"), told("godwit-fair"), told("libudt")), (None, None, None));
    }
}

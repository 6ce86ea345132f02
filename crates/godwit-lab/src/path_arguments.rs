//! A path on the command line.

use clap::Args;
use godwit_lab::link_spec::{self, LinkSpec};
use godwit_lab::network::NetworkConfig;
use godwit_lab::scenario;

/// A path, by name or in words.
#[derive(Debug, Args)]
pub(crate) struct PathArguments {
    /// The path of this scenario.
    scenario: Option<String>,
    /// Both directions of the path, without losses on the way back (see below).
    #[arg(long, value_name = "PATH", conflicts_with = "scenario")]
    path: Option<LinkSpec>,
    /// The way back, if it is another.
    #[arg(long, value_name = "PATH")]
    reverse: Option<LinkSpec>,
    /// Hosts on each side.
    #[arg(long, default_value_t = 1)]
    hosts: usize,
    /// Of the devices, in bytes.
    #[arg(long, default_value_t = 1500)]
    mtu: u16,
    /// Decides all random faults.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Why there is no path.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PathError {
    #[error("no scenario is called {0}; `godwit-lab list` names them")]
    Scenario(String),
    #[error("name a scenario (`godwit-lab list`), or describe a path, as in --path rate=300M,delay=50ms,loss=1%")]
    Missing,
}

impl PathArguments {
    /// The network that they describe.
    pub(crate) fn network(&self) -> Result<NetworkConfig, PathError> {
        if let Some(name) = &self.scenario {
            let scenario = scenario::named(name).ok_or_else(|| PathError::Scenario(name.clone()))?;
            return Ok(NetworkConfig { seed: self.seed, ..scenario.network });
        }
        let forward = self.path.ok_or(PathError::Missing)?;
        let reverse = self.reverse.unwrap_or_else(|| forward.without_faults());
        let [forward, reverse] = LinkSpec::resolve(forward, reverse);
        let (hosts_left, hosts_right) = (self.hosts, self.hosts);
        Ok(NetworkConfig { forward, reverse, hosts_left, hosts_right, mtu: self.mtu, seed: self.seed })
    }
}

/// For help pages.
pub(crate) fn path_help() -> String {
    format!("A PATH is a list with commas, as in rate=300M,delay=50ms,loss=1%:\n{}", link_spec::HELP)
}

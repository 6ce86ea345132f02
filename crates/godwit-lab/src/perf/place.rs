//! Where they meet: the loopback, or two namespaces joined by a pair of veth devices.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::BenchError;
use crate::network::{IprouteError, Namespace, Naming, NetworkError, Side, ip, ip_batch, remove_leftovers};

/// Which way the packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The machine's.
    Loopback,
    /// Two namespaces; needs root and `ip`.
    Veth,
}

/// No place has that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the place must be `loopback` or `veth`")]
pub struct PlaceError;

/// A place that is ready.
#[derive(Debug)]
pub(crate) enum Ground {
    Loopback,
    Veth { left: Namespace, right: Namespace },
}

impl Ground {
    pub(crate) fn prepare(place: Place) -> Result<Self, BenchError> {
        match place {
            Place::Loopback => Ok(Self::Loopback),
            Place::Veth => join().map_err(|error| BenchError::Network(NetworkError::Iproute(error))),
        }
    }

    pub(crate) fn address(&self, side: Side) -> IpAddr {
        match self {
            Self::Loopback => Ipv4Addr::LOCALHOST.into(),
            Self::Veth { .. } => veth_address(side).into(),
        }
    }

    /// A command on a side.
    pub(crate) fn command(&self, side: Side, program: PathBuf) -> Command {
        let namespace = match (self, side) {
            (Self::Loopback, _) => return Command::new(program),
            (Self::Veth { left, .. }, Side::Left) => left,
            (Self::Veth { right, .. }, Side::Right) => right,
        };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace.name()]).arg(program);
        command
    }
}

fn join() -> Result<Ground, IprouteError> {
    remove_leftovers()?;
    let naming = Naming::new();
    let left = Namespace::new(naming, Side::Left, 0)?;
    let right = Namespace::new(naming, Side::Right, 0)?;
    let (one, other) = (["name", "veth0", "netns", left.name()], ["name", "veth0", "netns", right.name()]);
    ip(&[&["link", "add"][..], &one, &["type", "veth", "peer"], &other].concat())?;
    for (namespace, side) in [(&left, Side::Left), (&right, Side::Right)] {
        let address = veth_address(side);
        let script = format!("link set lo up\naddress add {address}/24 dev veth0\nlink set veth0 up\n");
        ip_batch(namespace.name(), &script)?;
    }
    Ok(Ground::Veth { left, right })
}

/// In a network that nobody else sees.
fn veth_address(side: Side) -> Ipv4Addr {
    match side {
        Side::Left => Ipv4Addr::new(10, 78, 0, 1),
        Side::Right => Ipv4Addr::new(10, 78, 0, 2),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "loopback",
            Self::Veth => "veth",
        })
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(name: &str) -> Result<Self, PlaceError> {
        [Self::Loopback, Self::Veth].into_iter().find(|place| place.to_string() == name).ok_or(PlaceError)
    }
}

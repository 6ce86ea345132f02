//! One host of a side: a network namespace with one device towards the path.

use std::convert::identity;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;

use super::addressing::{self, Side};
use super::error::CongestionError;
use super::iproute::{IprouteError, ip_batch};
use super::namespace::{Namespace, Naming, remove_leftovers};

/// The controllers of TCP that any program may choose. The list is the whole machine's.
const ALLOWED: &str = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";
/// The controller of the namespace in which the writer is.
const CONTROLLER: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// A host: a network namespace. It lives as long as its [`Network`](super::Network).
#[derive(Debug)]
pub struct Host {
    namespace: Namespace,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
}

/// A host without a path, for both ends of a transfer: they meet on the loopback of its namespace, at its address.
pub(crate) fn loopback_host() -> Result<Host, IprouteError> {
    remove_leftovers()?;
    let host = Host::new(Namespace::new(Naming::new(), Side::Left, 0)?, Side::Left, 0);
    ip_batch(host.name(), &format!("link set lo up\naddress add {}/32 dev lo\n", host.addr()))?;
    Ok(host)
}

impl Host {
    pub(crate) fn new(namespace: Namespace, side: Side, index: usize) -> Self {
        Self { namespace, v4: addressing::v4(side, index), v6: addressing::v6(side, index) }
    }

    /// The namespace, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        self.namespace.name()
    }

    /// Its IPv4 address on the path.
    pub fn addr(&self) -> IpAddr {
        self.v4.into()
    }

    /// Its IPv6 address on the path.
    pub fn addr_v6(&self) -> IpAddr {
        self.v6.into()
    }

    /// A command that runs inside the namespace. Directory, environment, standard streams and process id are as without it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.name()]).arg(program);
        command
    }

    /// Runs `work` on a thread inside the namespace and waits for it. Sockets opened there stay there and can be used by any thread.
    ///
    /// # Errors
    /// The namespace could not be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        self.namespace.run(work)
    }

    /// Sets the congestion control of TCP connections that begin from now on in this namespace.
    ///
    /// A namespace may only have one that the machine allows to everybody, so this also adds it to `net.ipv4.tcp_allowed_congestion_control`.
    ///
    /// # Errors
    /// The kernel has no controller of that name.
    pub fn set_tcp_congestion(&self, name: &str) -> Result<(), CongestionError> {
        let allowed = fs::read_to_string(ALLOWED).unwrap_or_default();
        if !allowed.split_whitespace().any(|known| known == name) {
            fs::write(ALLOWED, format!("{} {name}", allowed.trim())).map_err(CongestionError::Unknown)?;
        }
        self.run(|| fs::write(CONTROLLER, name)).and_then(identity).map_err(CongestionError::NotAllowed)
    }

    /// The congestion control of TCP connections that begin now in this namespace.
    ///
    /// # Errors
    /// The namespace could not be entered.
    pub fn tcp_congestion(&self) -> io::Result<String> {
        let name = self.run(|| fs::read_to_string(CONTROLLER))??;
        Ok(name.trim().to_owned())
    }
}

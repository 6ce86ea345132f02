//! One host of a side: a network namespace with one device towards the path.

use std::io;
use std::net::IpAddr;
use std::process::Command;

/// A network namespace. It lives as long as its [`Network`](super::Network).
#[derive(Debug)]
pub struct Host {
    name: String,
    addr: IpAddr,
}

impl Host {
    /// The namespace, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its IPv4 address on the path.
    pub fn addr(&self) -> IpAddr {
        self.addr
    }

    /// A command that runs inside the namespace. Nothing else is changed: directory, environment and standard streams are the caller's.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Sets the congestion control of TCP connections that begin from now on in this namespace, and allows it to everybody there.
    ///
    /// # Errors
    /// The kernel has no controller of that name.
    pub fn set_tcp_congestion(&self, name: &str) -> io::Result<()> {
        let status = self
            .command("sysctl")
            .args(["-q", "-w"])
            .arg(format!("net.ipv4.tcp_congestion_control={name}"))
            .status()?;
        if status.success() { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

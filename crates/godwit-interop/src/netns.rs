//! Network namespaces joined by virtual Ethernet, made by a test for itself and gone with it.
//!
//! A namespace here has no name: it lives as long as its descriptor, so that a killed test leaves nothing behind. Code
//! runs inside one on a thread of its own ([`Namespace::run`]); a process spawned by that code is inside, too.
//!
//! ```no_run
//! use godwit_interop::netns;
//!
//! match netns::veth_pair(1280) {
//!     Ok([client, server]) => {
//!         let socket = server.run(|| std::net::UdpSocket::bind((netns::V4[1], 9000)));
//!         client.run(|| std::process::Command::new("ping").arg(netns::V4[1].to_string()).status());
//!         # drop(socket);
//!     }
//!     Err(why) => println!("skipped: {why}"),
//! }
//! ```

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::process::{Command, Output};

use nix::sched::{CloneFlags, setns, unshare};
use thiserror::Error;

/// IPv4 addresses of the two ends.
pub const V4: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 1, 1), Ipv4Addr::new(10, 77, 2, 2)];
/// IPv6 addresses of the two ends.
pub const V6: [Ipv6Addr; 2] = [Ipv6Addr::new(0xfd77, 0, 0, 1, 0, 0, 0, 1), Ipv6Addr::new(0xfd77, 0, 0, 2, 0, 0, 0, 2)];

/// Why a test that needs namespaces cannot run here: it should say so and pass.
#[derive(Debug, Error)]
pub enum Unavailable {
    /// No right to make a namespace.
    #[error("network namespaces need root (CAP_SYS_ADMIN)")]
    NotPermitted,
    /// The kernel has none.
    #[error("this kernel makes no network namespace: {0}")]
    NoNamespaces(nix::Error),
    /// The program `ip` is missing.
    #[error("the program `ip` (package iproute2) cannot be run: {0}")]
    NoIp(#[source] io::Error),
}

/// A network namespace of its own, with its loopback up.
#[derive(Debug)]
pub struct Namespace {
    descriptor: File,
}

impl Namespace {
    /// Makes an empty one.
    ///
    /// # Errors
    /// Where this process may or can not.
    pub fn new() -> Result<Self, Unavailable> {
        Command::new("ip").arg("-V").output().map_err(Unavailable::NoIp)?;
        let made = std::thread::scope(|scope| scope.spawn(make).join().expect("making a namespace does not panic"));
        let namespace = made.map_err(|error| match error {
            nix::Error::EPERM => Unavailable::NotPermitted,
            error => Unavailable::NoNamespaces(error),
        })?;
        namespace.ip("link set lo up");
        Ok(namespace)
    }

    /// Runs `work` inside, on a thread of its own, and returns what it returns. A tokio runtime started by it must be
    /// of one thread: other threads would be outside.
    ///
    /// # Panics
    /// If `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            self.enter();
            work()
        };
        std::thread::scope(|scope| match scope.spawn(inside).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// Moves the calling thread inside for good, for the threads of a runtime.
    ///
    /// # Panics
    /// If the kernel refuses, as it does not to who made a namespace.
    pub fn enter(&self) {
        setns(&self.descriptor, CloneFlags::CLONE_NEWNET).expect("a namespace of ours can be entered");
    }

    /// Runs `ip` inside, with these words as its arguments.
    ///
    /// # Panics
    /// If it fails: a test that got this far has all it takes.
    pub fn ip(&self, arguments: &str) {
        let Output { status, stderr, .. } = self
            .run(|| Command::new("ip").args(arguments.split_ascii_whitespace()).output())
            .expect("`ip` has been run before");
        assert!(status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&stderr));
    }

    /// A path that names this namespace to other programs while it lives.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.descriptor.as_raw_fd())
    }
}

/// Two namespaces with a cable of this MTU between them; the first has the first of [`V4`] and [`V6`], the other the
/// second.
///
/// # Errors
/// As [`Namespace::new`].
pub fn veth_pair(mtu: u32) -> Result<[Namespace; 2], Unavailable> {
    let ends = [Namespace::new()?, Namespace::new()?];
    cable(&ends[0], "eth0", &ends[1], "eth0", mtu);
    for (end, other) in [(0, 1), (1, 0)] {
        ends[end].ip(&format!("addr add {}/8 dev eth0", V4[end]));
        ends[end].ip(&format!("addr add {}/64 dev eth0 nodad", V6[end]));
        ends[end].ip(&format!("-6 route add {}/128 dev eth0", V6[other]));
    }
    Ok(ends)
}

/// As [`veth_pair`], with a router in the middle (the third namespace): the cable to the first end has the first MTU,
/// the cable to the second the other.
///
/// # Errors
/// As [`Namespace::new`].
pub fn routed_pair(mtus: [u32; 2]) -> Result<[Namespace; 3], Unavailable> {
    let [first, second, router] = [Namespace::new()?, Namespace::new()?, Namespace::new()?];
    for (end, namespace) in [&first, &second].into_iter().enumerate() {
        let (port, subnet) = (format!("eth{end}"), end + 1);
        cable(namespace, "eth0", &router, &port, mtus[end]);
        router.ip(&format!("addr add 10.77.{subnet}.254/24 dev {port}"));
        router.ip(&format!("addr add fd77:0:0:{subnet}::fe/64 dev {port} nodad"));
        namespace.ip(&format!("addr add {}/24 dev eth0", V4[end]));
        namespace.ip(&format!("addr add {}/64 dev eth0 nodad", V6[end]));
        namespace.ip(&format!("route add default via 10.77.{subnet}.254"));
        namespace.ip(&format!("-6 route add default via fd77:0:0:{subnet}::fe"));
    }
    router.run(|| {
        for switch in ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"] {
            std::fs::write(switch, "1").expect("forwarding can be switched on in a namespace of ours");
        }
    });
    Ok([first, second, router])
}

fn make() -> nix::Result<Namespace> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    let descriptor = File::open("/proc/thread-self/ns/net")
        .map_err(|error| nix::Error::from_raw(error.raw_os_error().unwrap_or(0)))?;
    Ok(Namespace { descriptor })
}

fn cable(a: &Namespace, a_port: &str, b: &Namespace, b_port: &str, mtu: u32) {
    a.ip(&format!("link add {a_port} mtu {mtu} type veth peer name {b_port} mtu {mtu} netns {}", b.path()));
    a.ip(&format!("link set {a_port} up"));
    b.ip(&format!("link set {b_port} up"));
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn datagrams_cross_the_cable_and_the_router() {
        let pairs = veth_pair(1280).map(|[a, b]| vec![a, b]);
        let routed = routed_pair([1500, 1300]).map(|[a, b, router]| vec![a, b, router]);
        for namespaces in [pairs, routed] {
            let namespaces = match namespaces {
                Ok(namespaces) => namespaces,
                Err(why) => return println!("skipped: {why}"),
            };
            let (a, b) = (&namespaces[0], &namespaces[1]);
            let receivers = b.run(|| [UdpSocket::bind((V4[1], 0)).unwrap(), UdpSocket::bind((V6[1], 0)).unwrap()]);
            let senders = a.run(|| [UdpSocket::bind((V4[0], 0)).unwrap(), UdpSocket::bind((V6[0], 0)).unwrap()]);
            for (sender, receiver) in senders.iter().zip(&receivers) {
                receiver.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
                sender.send_to(b"across", receiver.local_addr().unwrap()).unwrap();
                assert_eq!(receiver.recv_from(&mut [0; 9]).unwrap(), (6, sender.local_addr().unwrap()));
            }
        }
    }
}

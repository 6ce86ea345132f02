//! Why there is no network, and how far it is from the one asked for.

use std::io;

use godwit_relay::LinkConfigError;

use super::addressing::HOSTS_MAX;
use super::iproute::IprouteError;

/// Why a network could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Not root, or root without the rights.
    #[error(
        "network namespaces and TUN devices need root (CAP_NET_ADMIN and CAP_SYS_ADMIN): run it with sudo, or in a container with --privileged"
    )]
    NotRoot,
    /// No TUN devices.
    #[error(
        "cannot open /dev/net/tun: {0}; load the module (modprobe tun), or give the container the device (--device /dev/net/tun)"
    )]
    NoTun(#[source] io::Error),
    /// A side without hosts, or with too many.
    #[error("each side of a network has 1 to {HOSTS_MAX} hosts, not {0}")]
    Hosts(usize),
    /// An MTU that IPv6 can't use or no packet has.
    #[error("the MTU must be at least 1280 bytes, not {0}")]
    Mtu(u16),
    /// The forward path makes no sense.
    #[error("the forward path cannot be built: {0}")]
    Forward(#[source] LinkConfigError),
    /// The reverse path makes no sense.
    #[error("the reverse path cannot be built: {0}")]
    Reverse(#[source] LinkConfigError),
    /// `ip` or `tc` failed.
    #[error(transparent)]
    Iproute(#[from] IprouteError),
    /// A TUN device could not be created or configured.
    #[error("cannot make a TUN device: {0}")]
    Device(#[source] io::Error),
    /// A namespace of ours could not be entered or configured.
    #[error("cannot enter a namespace that was just made: {0}")]
    Namespace(#[source] io::Error),
    /// The emulator's thread could not be started.
    #[error("cannot start the emulator's thread: {0}")]
    Thread(#[source] io::Error),
}

/// Why the controller of TCP could not be set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CongestionError {
    /// The kernel does not have it.
    #[error("this kernel has no TCP congestion control of that name (modprobe tcp_NAME may load it): {0}")]
    Unknown(#[source] io::Error),
    /// It is there, but the machine does not allow it.
    #[error(
        "this machine does not allow that TCP congestion control in namespaces \
         (net.ipv4.tcp_allowed_congestion_control lists those that it does): {0}"
    )]
    NotAllowed(#[source] io::Error),
}

/// Why a network could not be calibrated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// The probes could not be sent or received.
    #[error("cannot measure the path: {0}")]
    Probe(#[source] io::Error),
    /// No ping came back.
    #[error("no ping came back over the path; is it down, or its loss near 100 %?")]
    Silence,
}

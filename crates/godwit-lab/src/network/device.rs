//! A TUN device: one end inside a namespace, the other with the emulator.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::addressing::{V4_PREFIX_BITS, V6_PREFIX_BITS};
use super::error::NetworkError;
use super::iproute::{ip, ip_batch, tc};
use super::namespace::Namespace;

/// What the device is called inside its namespace.
pub(crate) const DEVICE: &str = "path";

/// Packets that the kernel holds for the emulator, per device: 120 ms at 1 Gbit/s if none is to be segmented. A sender that fills it, or an emulator
/// that stays away so long, has made the run invalid.
const TRANSMIT_QUEUE_PACKETS: usize = 10_000;

/// Creates a device and checks that this machine has any.
pub(crate) fn create(name: &str, mtu: u16) -> Result<SyncDevice, NetworkError> {
    let device = DeviceBuilder::new().name(name).layer(Layer::L3).mtu(mtu).enable(false).offload(true).build_sync();
    let device = device.map_err(NetworkError::Device)?;
    device.set_nonblocking(true).map_err(NetworkError::Device)?;
    Ok(device)
}

/// Whether there are TUN devices at all.
pub(crate) fn check() -> Result<(), NetworkError> {
    let opened = std::fs::File::options().read(true).write(true).open("/dev/net/tun");
    opened.map(drop).map_err(NetworkError::NoTun)
}

/// Moves the device into its namespace and configures it there. It has no queueing discipline: packets go straight to the emulator.
pub(crate) fn install(device: &SyncDevice, inside: &Namespace, v4: Ipv4Addr, v6: Ipv6Addr) -> Result<(), NetworkError> {
    let namespace = inside.name();
    let name = device.name().map_err(NetworkError::Device)?;
    ip(&["link", "set", "dev", &name, "netns", namespace, "name", DEVICE])?;
    ip_batch(namespace, &format!("link set lo up\nlink set {DEVICE} txqueuelen {TRANSMIT_QUEUE_PACKETS}\n"))?;
    tc(namespace, &["qdisc", "replace", "dev", DEVICE, "root", "noqueue"])?;
    inside.run(settings).and_then(|settled| settled).map_err(NetworkError::Namespace)?;
    let addresses = format!(
        "link set {DEVICE} up\naddr add {v4}/{V4_PREFIX_BITS} dev {DEVICE}\naddr add {v6}/{V6_PREFIX_BITS} dev {DEVICE} nodad\n"
    );
    ip_batch(namespace, &addresses)?;
    Ok(())
}

/// Settings of the namespace, so that nothing but the path limits a connection.
fn settings() -> io::Result<()> {
    // The kernel must not remember from one run how the path was, and begin the next one with that.
    std::fs::write("/proc/sys/net/ipv4/tcp_no_metrics_save", "1")?;
    // Twice the bytes in flight of 1 Gbit/s over 250 ms with a queue of 1 BDP, and then twice that, for the kernel's own share.
    std::fs::write("/proc/sys/net/ipv4/tcp_rmem", "4096 131072 268435456")?;
    std::fs::write("/proc/sys/net/ipv4/tcp_wmem", "4096 16384 268435456")?;
    // The only packets are those of the programs under test. Without IPv6 there is nothing to switch off.
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{DEVICE}/router_solicitations"), "0");
    Ok(())
}

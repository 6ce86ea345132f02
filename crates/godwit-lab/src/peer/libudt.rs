//! The C++ library, driven by `cpp-peer` of godwit-interop.

use std::fs::File;
use std::process::Stdio;

use super::{Launch, PORT, Policy, Readiness, SetUpError, Site, Transfer};
use crate::network::Side;

/// Window and buffers such that they are not what limits it: as large as ours, in packets and in bytes. The socket buffer is libudt's
/// default of 8192 packets.
pub(crate) const ROOM: [&str; 8] =
    ["--fc", "65536", "--rcvbuf", "96000000", "--sndbuf", "96000000", "--udp-rcvbuf", "12288000"];

/// libudt to libudt.
pub(crate) fn both_ends(site: &Site) -> Transfer {
    let listener = send(site, "--listen");
    let connector = receive(site, "--connect", site.left);
    Transfer { listener, readiness: Readiness::Udp(PORT), connector }
}

/// `godwit cat` to libudt.
pub(crate) fn receiver(policy: &Policy, site: &Site) -> Result<Transfer, SetUpError> {
    let listener = receive(site, "--listen", site.right);
    let url = format!("udt://{}:{PORT}", site.right.addr());
    let mut connector = Launch::new(site, Side::Left, site.programs.godwit());
    connector.command.args(["--policy", &policy.to_string(), "cat", &url]).stdin(Stdio::from(open(site)?));
    Ok(Transfer { listener, readiness: Readiness::Udp(PORT), connector })
}

/// libudt to `godwit cat`.
pub(crate) fn sender(site: &Site) -> Result<Transfer, SetUpError> {
    let address = format!("{}:{PORT}", site.right.addr());
    let mut listener = Launch::new(site, Side::Right, site.programs.godwit()).args(["cat", "--listen", &address]);
    listener.received = Some(site.target());
    let mut connector = send(site, "--connect");
    connector.command.arg(address);
    Ok(Transfer { listener, readiness: Readiness::Udp(PORT), connector })
}

fn send(site: &Site, how: &str) -> Launch {
    let mut launch = Launch::new(site, Side::Left, site.programs.cpp_peer()).args(["send"]).args(ROOM);
    launch.command.arg("--input").arg(site.file).arg("--perfmon").arg(how);
    if how == "--listen" {
        launch.command.arg(format!("{}:{PORT}", site.left.addr()));
    }
    launch
}

fn receive(site: &Site, how: &str, at: &crate::network::Host) -> Launch {
    let mut launch = Launch::new(site, Side::Right, site.programs.cpp_peer()).args(["recv"]).args(ROOM);
    launch.command.arg("--unchecked").arg("--output").arg(site.target()).arg(how).arg(format!("{}:{PORT}", at.addr()));
    launch
}

fn open(site: &Site) -> Result<File, SetUpError> {
    File::open(site.file).map_err(|source| SetUpError::Open { path: site.file.to_owned(), source })
}

//! quinn: this program itself plays both ends.

use super::{Congestion, Launch, PORT, Readiness, Site, Transfer};
use crate::network::Side;

/// Hidden subcommands of this program.
pub(crate) fn transfer(congestion: Congestion, site: &Site) -> Transfer {
    let address = format!("{}:{PORT}", site.left.addr());
    let certificate = site.scratch.join("certificate.der");
    let mut listener =
        Launch::new(site, Side::Left, site.programs.godwit_lab()).args(["quinn-serve", "--listen", &address]);
    listener.command.args(["--congestion", congestion.name(), "--certificate"]).args([&certificate]).arg(site.file);
    let mut connector = Launch::new(site, Side::Right, site.programs.godwit_lab()).args(["quinn-get", &address]);
    connector.command.arg("--certificate").arg(certificate).arg(site.target());
    Transfer { listener, readiness: Readiness::Udp(PORT), connector }
}

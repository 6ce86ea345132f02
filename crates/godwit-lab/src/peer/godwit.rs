//! Our own program.

use super::{Launch, PORT, Policy, Readiness, Site, Transfer};
use crate::network::Side;

/// `serve` and `get` over UDT. The policy is the server's: it is the one that sends.
pub(crate) fn over_udt(policy: &Policy, site: &Site) -> Transfer {
    served(site, "udt", Readiness::Udp(PORT), &["--policy", &policy.to_string()])
}

/// `serve` and `get` over TCP.
pub(crate) fn over_tcp(site: &Site) -> Transfer {
    served(site, "http", Readiness::Tcp(PORT), &[])
}

fn served(site: &Site, scheme: &str, readiness: Readiness, options: &[&str]) -> Transfer {
    let base = format!("{scheme}://{}:{PORT}", site.left.addr());
    let mut listener =
        Launch::new(site, Side::Left, site.programs.godwit()).args(options).args(["serve", "--listen", &base]);
    listener.command.arg("--").arg(site.served()).env("GODWIT_LOG", "warn,godwit_http=debug");
    let mut connector = Launch::new(site, Side::Right, site.programs.godwit());
    connector.command.arg("get").arg(format!("{base}/{}", site.file_name())).arg("--output").arg(site.target());
    Transfer { listener, readiness, connector }
}

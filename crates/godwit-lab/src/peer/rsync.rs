//! rsync from its own daemon.

use super::{Launch, PORT, Readiness, SetUpError, Site, Transfer, files};
use crate::network::Side;

/// The daemon, so that ssh is not measured twice.
pub(crate) fn transfer(site: &Site) -> Result<Transfer, SetUpError> {
    let (address, served, scratch) = (site.left.addr(), site.served().display(), site.scratch.display());
    let settings = format!(
        "address = {address}\nport = {PORT}\nuse chroot = no\nuid = root\ngid = root\nlog file = {scratch}/rsyncd.log\n\
         lock file = {scratch}/rsyncd.lock\n[served]\n  path = {served}\n  read only = yes\n"
    );
    let settings = files::write(site.scratch, "rsyncd.conf", &settings)?;
    let mut listener = Launch::new(site, Side::Left, "rsync").args(["--daemon", "--no-detach", "--config"]);
    listener.command.arg(settings);
    let url = format!("rsync://{address}:{PORT}/served/{}", site.file_name());
    let connector = Launch::new(site, Side::Right, "rsync").args(["--whole-file", &url]);
    let connector = connector.args([site.target()]);
    Ok(Transfer { listener, readiness: Readiness::Tcp(PORT), connector })
}

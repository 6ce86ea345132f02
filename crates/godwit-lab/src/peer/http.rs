//! nginx, and who downloads from it.

use super::{Launch, PORT, Readiness, SetUpError, Site, Transfer, files};
use crate::network::Side;

/// One connection.
pub(crate) fn curl(site: &Site) -> Result<Transfer, SetUpError> {
    let mut connector =
        Launch::new(site, Side::Right, "curl").args(["--silent", "--show-error", "--fail", "--http1.1"]);
    connector.command.arg("--output").arg(site.target()).arg(url(site));
    from_nginx(site, connector)
}

/// Sixteen connections. Nothing is kept in memory for long and nothing allocated beforehand, so that the file shows the progress.
pub(crate) fn aria2(site: &Site) -> Result<Transfer, SetUpError> {
    let connector = Launch::new(site, Side::Right, "aria2c").args([
        "--no-conf",
        "--max-connection-per-server=16",
        "--split=16",
        "--min-split-size=1M",
        "--file-allocation=none",
        "--disk-cache=0",
        "--summary-interval=0",
        "--console-log-level=warn",
        "--dir",
    ]);
    from_nginx(site, connector.args([site.received.as_os_str(), url(site).as_ref()]))
}

fn from_nginx(site: &Site, connector: Launch) -> Result<Transfer, SetUpError> {
    let settings = files::write(site.scratch, "nginx.conf", &nginx_settings(site))?;
    let mut listener = Launch::new(site, Side::Left, "nginx");
    listener.command.arg("-e").arg("stderr").arg("-p").arg(site.scratch).arg("-c").arg(settings);
    Ok(Transfer { listener, readiness: Readiness::Tcp(PORT), connector })
}

/// nginx has no directive for the congestion control: it has the namespace's.
fn nginx_settings(site: &Site) -> String {
    let (address, served, scratch) = (site.left.addr(), site.served().display(), site.scratch.display());
    format!(
        "daemon off;\nworker_processes 1;\nuser root;\npid {scratch}/nginx.pid;\nevents {{ worker_connections 256; }}\nhttp {{\n  \
         access_log off;\n  sendfile on;\n  tcp_nopush on;\n  default_type application/octet-stream;\n  \
         client_body_temp_path {scratch}/body;\n  proxy_temp_path {scratch}/proxy;\n  fastcgi_temp_path {scratch}/fastcgi;\n  \
         uwsgi_temp_path {scratch}/uwsgi;\n  scgi_temp_path {scratch}/scgi;\n  \
         server {{ listen {address}:{PORT}; root {served}; }}\n}}\n"
    )
}

fn url(site: &Site) -> String {
    format!("http://{}:{PORT}/{}", site.left.addr(), site.file_name())
}

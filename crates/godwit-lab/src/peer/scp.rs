//! scp from a server of our own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Launch, PORT, Readiness, SetUpError, Site, Transfer, files};
use crate::network::Side;

/// sshd insists on this directory and on an absolute path of its own.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// With keys made for this transfer alone.
pub(crate) fn transfer(site: &Site) -> Result<Transfer, SetUpError> {
    let (host_key, user_key) = (key(site.scratch, "host_key")?, key(site.scratch, "user_key")?);
    fs::create_dir_all(PRIVILEGE_SEPARATION)
        .map_err(|source| SetUpError::Write { path: PRIVILEGE_SEPARATION.into(), source })?;
    let settings = format!(
        "ListenAddress {}:{PORT}\nHostKey {}\nAuthorizedKeysFile {}.pub\nPidFile none\nStrictModes no\nUsePAM no\n\
         PermitRootLogin yes\nPasswordAuthentication no\nUseDNS no\nSubsystem sftp internal-sftp\n",
        site.left.addr(),
        host_key.display(),
        user_key.display()
    );
    let settings = files::write(site.scratch, "sshd_config", &settings)?;
    let server = site.programs.path("sshd").unwrap_or_else(|| "/usr/sbin/sshd".into());
    let mut listener = Launch::new(site, Side::Left, server).args(["-D", "-e", "-f"]);
    listener.command.arg(settings);
    let port = PORT.to_string();
    let mut connector = Launch::new(site, Side::Right, "scp").args(["-q", "-F", "none", "-P", &port, "-i"]);
    connector.command.arg(user_key).args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
    connector.command.args(["-o", "BatchMode=yes"]);
    connector.command.arg(format!("root@{}:{}", site.left.addr(), site.file.display())).arg(site.target());
    Ok(Transfer { listener, readiness: Readiness::Tcp(PORT), connector })
}

fn key(directory: &Path, name: &str) -> Result<PathBuf, SetUpError> {
    let path = directory.join(name);
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).stdin(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(path),
        _ => Err(SetUpError::NoKey(path)),
    }
}

//! Who downloads, from whom, and how both are started.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::network::Side;
use crate::peer::{Congestion, Launch, PORT, Peer, Readiness, SetUpError, Site, Transfer};

/// A way to get the file from its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Downloader {
    /// `godwit get` over UDT, from a server that knows the file's SHA-256.
    Godwit,
    /// The same, and the server computes the SHA-256 while it sends.
    GodwitCold,
    /// `godwit get` over TCP under CUBIC, from a server that knows the file's SHA-256.
    GodwitTcp,
    /// curl from nginx over TCP under CUBIC: nobody verifies anything.
    CurlCubic,
}

/// Nobody has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nobody is called {0}; there are godwit, godwit-cold, godwit-tcp and curl-cubic")]
pub struct UnknownDownloader(pub String);

impl Downloader {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 4] = [Self::Godwit, Self::GodwitCold, Self::GodwitTcp, Self::CurlCubic];

    /// As `--contenders` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Godwit => "godwit",
            Self::GodwitCold => "godwit-cold",
            Self::GodwitTcp => "godwit-tcp",
            Self::CurlCubic => "curl-cubic",
        }
    }

    /// The congestion control that the kernel is told, where TCP carries the bytes.
    pub(crate) const fn tcp(self) -> Option<Congestion> {
        match self {
            Self::Godwit | Self::GodwitCold => None,
            Self::GodwitTcp | Self::CurlCubic => Some(Congestion::Cubic),
        }
    }

    /// Whether the server is asked for the SHA-256 before the clock starts.
    pub(crate) const fn is_warmed(self) -> bool {
        matches!(self, Self::Godwit | Self::GodwitTcp)
    }

    /// The two processes.
    pub(crate) fn transfer(self, site: &Site) -> Result<Transfer, SetUpError> {
        match self {
            Self::Godwit | Self::GodwitCold => Ok(godwit(site, "udt", Readiness::Udp(PORT))),
            Self::GodwitTcp => Ok(godwit(site, "http", Readiness::Tcp(PORT))),
            Self::CurlCubic => Peer::Curl(Congestion::Cubic).transfer(site),
        }
    }
}

/// The server listens on both transports, so that it can be asked for the SHA-256 by what knows no UDT.
fn godwit(site: &Site, scheme: &str, readiness: Readiness) -> Transfer {
    let base = |scheme: &str| format!("{scheme}://{}:{PORT}", site.left.addr());
    let listen = ["-q", "serve", "--listen", &base("http"), "--listen", &base("udt"), "--"];
    let mut listener = Launch::new(site, Side::Left, site.programs.godwit()).args(listen);
    listener.command.arg(site.served());
    let url = format!("{}/{}", base(scheme), site.file_name());
    // Without a digest it would be no verification.
    let get = ["get", "--require-digest", &url, "--output"];
    let mut connector = Launch::new(site, Side::Right, site.programs.godwit()).args(get);
    connector.command.arg(site.target());
    Transfer { listener, readiness, connector }
}

/// Asks a server of ours for the SHA-256 of the file.
pub(crate) fn ask_digest(site: &Site) -> Launch {
    let url = format!("http://{}:{PORT}/{}", site.left.addr(), site.file_name());
    let ask = ["--silent", "--show-error", "--fail", "--head", "--header", "Want-Repr-Digest: sha-256=9", &url];
    Launch::new(site, Side::Right, "curl").args(ask)
}

/// Whether an answer, as curl prints it, has a SHA-256.
pub(crate) fn has_digest(head: &str) -> bool {
    head.lines().any(|line| line.to_ascii_lowercase().starts_with("repr-digest: sha-256=:"))
}

impl fmt::Display for Downloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Downloader {
    type Err = UnknownDownloader;

    fn from_str(name: &str) -> Result<Self, UnknownDownloader> {
        Self::ALL.into_iter().find(|known| known.name() == name).ok_or_else(|| UnknownDownloader(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_means_its_downloader() {
        for downloader in Downloader::ALL {
            assert_eq!(downloader.name().parse(), Ok(downloader));
            assert_eq!(serde_json::to_value(downloader).expect("a name"), downloader.name());
        }
        assert!("wget".parse::<Downloader>().is_err());
    }

    #[test]
    fn a_digest_is_seen_in_a_head() {
        assert!(has_digest(
            "HTTP/1.1 200 OK\r\nRepr-Digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:\r\n"
        ));
        assert!(!has_digest("HTTP/1.1 200 OK\r\netag: \"repr-digest\"\r\n"));
    }
}

//! Who takes part, and how both ends of each are started and read.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bench::log;
use crate::peer::{Congestion, LIBUDT_ROOM, Programs};

/// A way to move bytes from one process to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contender {
    /// `godwit perf` over UDT.
    Godwit,
    /// The same without segmentation offload.
    GodwitNoGso,
    /// `godwit perf` over the kernel's TCP.
    GodwitTcp,
    /// The C++ library at both ends.
    Libudt,
    /// quinn at both ends, encrypted.
    Quinn,
    /// UDP in segmented sends, with nothing above it: what gets lost stays lost.
    RawGso,
    /// UDP, one datagram per system call.
    Raw,
}

/// Nobody has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nobody is called {0}; there are godwit, godwit-no-gso, godwit-tcp, libudt, quinn, raw-gso and raw")]
pub struct UnknownContender(pub String);

/// An IP packet of 1500 bytes, as the others use.
const MSS: &str = "1500";
/// As many datagrams of an [`MSS`] as one call takes.
const SEGMENTS: &str = "44";

impl Contender {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 7] =
        [Self::Godwit, Self::GodwitNoGso, Self::Libudt, Self::Quinn, Self::GodwitTcp, Self::RawGso, Self::Raw];

    /// As `--contenders` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Godwit => "godwit",
            Self::GodwitNoGso => "godwit-no-gso",
            Self::GodwitTcp => "godwit-tcp",
            Self::Libudt => "libudt",
            Self::Quinn => "quinn",
            Self::RawGso => "raw-gso",
            Self::Raw => "raw",
        }
    }

    pub(crate) fn program(self, programs: &Programs) -> PathBuf {
        match self {
            Self::Godwit | Self::GodwitNoGso | Self::GodwitTcp => programs.godwit(),
            Self::Libudt => programs.cpp_peer(),
            Self::Quinn | Self::RawGso | Self::Raw => programs.godwit_lab(),
        }
    }

    /// The arguments of the receiver, which listens.
    pub(crate) fn receive(self, address: IpAddr, scratch: &Path) -> Vec<String> {
        let listen = format!("{address}:0");
        match self {
            Self::Godwit | Self::GodwitNoGso => words(&["perf", "serve", "--listen", &format!("udt://{listen}")]),
            Self::GodwitTcp => words(&["perf", "serve", "--listen", &format!("tcp://{listen}")]),
            Self::Libudt => {
                let how = ["recv", "--unchecked", "--mss", MSS, "--listen", &listen];
                words(&[&how[..], &LIBUDT_ROOM].concat())
            }
            Self::Quinn => words(&["quinn-sink", "--listen", &listen, "--certificate", &certificate(scratch)]),
            Self::RawGso | Self::Raw => words(&["raw-sink", "--listen", &listen]),
        }
    }

    /// The arguments of the sender, which goes to what [`listening_at`](Self::listening_at) found.
    pub(crate) fn send(self, address: &str, duration: Duration, scratch: &Path) -> Vec<String> {
        let seconds = duration.as_secs_f64().to_string();
        match self {
            Self::Godwit | Self::GodwitNoGso | Self::GodwitTcp => {
                let milliseconds = format!("{}ms", duration.as_millis());
                let how = ["-q", "perf", "send", address, "--json", "--secs", &milliseconds];
                let more: &[&str] = if self == Self::GodwitNoGso { &["--no-gso"] } else { &[] };
                words(&[&how[..], more].concat())
            }
            Self::Libudt => {
                let much = i64::MAX.to_string();
                let how = ["send", "--unchecked", "--mss", MSS, "--connect", address];
                let until = ["--bytes", &much, "--seconds", &seconds, "--linger", "0"];
                words(&[&how[..], &until, &LIBUDT_ROOM].concat())
            }
            Self::Quinn => {
                let congestion = Congestion::Cubic.name();
                let certificate = certificate(scratch);
                let how = ["quinn-source", address, "--certificate", &certificate];
                words(&[&how[..], &["--congestion", congestion, "--secs", &seconds]].concat())
            }
            Self::RawGso => words(&["raw-source", address, "--segments", SEGMENTS, "--secs", &seconds]),
            Self::Raw => words(&["raw-source", address, "--segments", "1", "--secs", &seconds]),
        }
    }

    /// Where the receiver says that it listens.
    pub(crate) fn listening_at(self, log: &str) -> Option<String> {
        let start = if self == Self::Libudt { "bound address=" } else { "listening on " };
        log::after(log, start).map(str::to_owned)
    }

    /// Whether the result stands in the sender's log.
    pub(crate) const fn is_told_by_sender(self) -> bool {
        matches!(self, Self::Godwit | Self::GodwitNoGso | Self::GodwitTcp)
    }

    /// Bytes that arrived, and in how many seconds.
    pub(crate) fn result(self, log: &str) -> Option<(u64, f64)> {
        if self.is_told_by_sender() {
            let object = log::json_object(log)?;
            return Some((object["bytes"].as_u64()?, object["seconds"].as_f64()?));
        }
        let line = log::after(log, "received ")?;
        let time_us: f64 = log::value(line, "elapsed_us")?.parse().ok()?;
        Some((log::value(line, "bytes")?.parse().ok()?, time_us / 1e6))
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Contender {
    type Err = UnknownContender;

    fn from_str(name: &str) -> Result<Self, UnknownContender> {
        Self::ALL.into_iter().find(|known| known.name() == name).ok_or_else(|| UnknownContender(name.to_owned()))
    }
}

fn certificate(scratch: &Path) -> String {
    scratch.join("certificate").to_string_lossy().into_owned()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_means_its_contender() {
        for contender in Contender::ALL {
            assert_eq!(contender.name().parse(), Ok(contender));
            assert_eq!(serde_json::to_value(contender).expect("a name"), contender.name());
        }
        assert!("curl".parse::<Contender>().is_err());
    }

    #[test]
    fn results_are_read_when_their_line_is_complete() {
        let godwit = "      time\n{\"bytes\":7,\"seconds\":0.5}\n";
        assert_eq!(Contender::Godwit.result(godwit), Some((7, 0.5)));
        assert_eq!(Contender::Godwit.result(godwit.trim_end()), None);
        let others = "listening on 127.0.0.1:9\nreceived bytes=7 sha256=- elapsed_us=500000 end=eof\n";
        assert_eq!(Contender::Raw.result(others), Some((7, 0.5)));
        assert_eq!(Contender::Raw.listening_at(others).as_deref(), Some("127.0.0.1:9"));
        assert_eq!(Contender::Libudt.listening_at("bound address=127.0.0.1:9\n").as_deref(), Some("127.0.0.1:9"));
    }
}

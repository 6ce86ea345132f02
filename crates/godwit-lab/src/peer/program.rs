//! The programs that peers are made of: where they are, which version they have, what to do about one that is missing.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Peer;
use super::transfer::SEARCH_PATH;

/// What was resolved when this program was built.
const LOCK_FILE: &str = include_str!("../../../../Cargo.lock");

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The workspace's directory of optimised programs.
    release: PathBuf,
}

/// Why a peer cannot take part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// A package is not installed.
    #[error("{program} is not installed (Debian: apt-get install {package})")]
    Program {
        /// The program.
        program: &'static str,
        /// What brings it.
        package: &'static str,
    },
    /// A program of this workspace is not built.
    #[error("{program} is not built: cargo build --release {arguments}")]
    NotBuilt {
        /// The program, which belongs into the target directory of this one.
        program: &'static str,
        /// How to build it.
        arguments: &'static str,
    },
}

impl Programs {
    /// Beside this program, in the target directory that it was built in.
    ///
    /// # Errors
    /// The system does not say where this program is.
    pub fn find() -> io::Result<Self> {
        let this = env::current_exe()?;
        // target/{debug,release}/godwit-lab, or target/{debug,release}/deps/TEST.
        let profile = this.ancestors().skip(1).find(|directory| !directory.ends_with("deps"));
        let target = profile.and_then(Path::parent).unwrap_or_else(|| Path::new("target"));
        Ok(Self { release: target.join("release") })
    }

    /// The optimised `godwit` of this workspace.
    pub fn godwit(&self) -> PathBuf {
        self.release.join("godwit")
    }

    /// The optimised driver of the C++ library.
    pub fn cpp_peer(&self) -> PathBuf {
        self.release.join("cpp-peer")
    }

    /// This program, optimised whichever is running.
    pub fn godwit_lab(&self) -> PathBuf {
        self.release.join("godwit-lab")
    }

    /// Where a program is installed.
    pub fn path(&self, program: &str) -> Option<PathBuf> {
        SEARCH_PATH.split(':').map(|directory| Path::new(directory).join(program)).find(|path| path.exists())
    }

    /// The versions of what a peer is made of.
    ///
    /// # Errors
    /// One of them is missing.
    pub fn version(&self, peer: &Peer) -> Result<String, Missing> {
        let godwit = || {
            self.built("godwit", "-p godwit")?;
            Ok(said(Command::new(self.godwit()).arg("--version")))
        };
        let libudt = || {
            self.built("cpp-peer", "-p godwit-interop --bin cpp-peer")?;
            Ok(format!("libudt 4.11 (libudt4-sys {})", resolved("libudt4-sys")))
        };
        let nginx = || self.said("nginx", "nginx-light", "-v");
        let pair = |one: Result<String, Missing>, other: Result<String, Missing>| Ok(format!("{}, {}", one?, other?));
        match peer {
            Peer::Godwit(_) | Peer::GodwitTcp(_) => godwit(),
            Peer::Libudt => libudt(),
            Peer::GodwitToLibudt(_) | Peer::LibudtToGodwit => pair(godwit(), libudt()),
            Peer::Curl(_) => pair(nginx(), self.said("curl", "curl", "--version")),
            Peer::Aria2(_) => pair(nginx(), self.said("aria2c", "aria2", "--version")),
            Peer::Scp(_) => {
                self.installed("sshd", "openssh-server")?;
                self.said("ssh", "openssh-client", "-V")
            }
            Peer::Rsync(_) => self.said("rsync", "rsync", "--version"),
            Peer::Quinn(_) => {
                self.built("godwit-lab", "-p godwit-lab")?;
                Ok(format!("quinn {}", resolved("quinn")))
            }
        }
    }

    fn built(&self, program: &'static str, arguments: &'static str) -> Result<(), Missing> {
        if self.release.join(program).exists() { Ok(()) } else { Err(Missing::NotBuilt { program, arguments }) }
    }

    fn installed(&self, program: &'static str, package: &'static str) -> Result<PathBuf, Missing> {
        self.path(program).ok_or(Missing::Program { program, package })
    }

    fn said(&self, program: &'static str, package: &'static str, option: &str) -> Result<String, Missing> {
        let path = self.installed(program, package)?;
        Ok(said(Command::new(path).arg(option)))
    }
}

/// The first line that a program prints, on whichever stream, up to where it begins to list what it can do.
fn said(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return "unknown".to_owned() };
    let text =
        String::from_utf8_lossy(if output.stdout.is_empty() { &output.stderr } else { &output.stdout }).into_owned();
    let line = text.lines().next().unwrap_or_default().trim_start_matches("nginx version: ");
    line.split("  protocol").next().unwrap_or(line).split(" (").next().unwrap_or(line).trim().to_owned()
}

/// The version of a library in `Cargo.lock`.
fn resolved(library: &str) -> &'static str {
    let mut lines = LOCK_FILE.lines().skip_while(|line| *line != format!("name = \"{library}\""));
    lines.nth(1).and_then(|line| line.split('"').nth(1)).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_have_the_version_they_were_resolved_to() {
        assert!(resolved("tun-rs").starts_with("2."), "{}", resolved("tun-rs"));
        assert_eq!(resolved("no-such-library"), "unknown");
    }

    #[test]
    fn what_is_missing_says_what_to_do() {
        let programs = Programs::find().expect("a test is a program");
        let missing = programs.installed("no-such-program", "its-package").expect_err("it is not there");
        assert_eq!(missing.to_string(), "no-such-program is not installed (Debian: apt-get install its-package)");
        let built = programs.built("no-such", "-p godwit").expect_err("it is not there");
        assert_eq!(built.to_string(), "no-such is not built: cargo build --release -p godwit");
    }
}

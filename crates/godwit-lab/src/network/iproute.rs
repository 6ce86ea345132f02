//! The programs `ip` and `tc`. They are needed anyway (people enter a namespace with `ip netns exec`), and a network is made of a handful
//! of calls, so a netlink library would only be a second way to say the same.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

/// Why a call of `ip` or `tc` did not do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IprouteError {
    /// There is no such program.
    #[error("cannot run `{program}`, which is part of iproute2 (apt install iproute2): {source}")]
    NotRun {
        /// `ip` or `tc`.
        program: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// It ran and refused.
    #[error("{0}")]
    Refused(Box<Refusal>),
}

/// What was asked, and what came back.
#[derive(Debug)]
pub struct Refusal {
    /// `ip` or `tc`.
    pub program: &'static str,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What it said.
    pub output: Output,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments = self.arguments.join(OsStr::new(" "));
        let said = String::from_utf8_lossy(&self.output.stderr);
        write!(f, "`{} {}` failed: {}", self.program, arguments.display(), said.trim())
    }
}

/// Runs `ip` and returns what it prints.
pub(crate) fn ip(arguments: &[&str]) -> Result<String, IprouteError> {
    run("ip", arguments, "")
}

/// Runs several commands of `ip` in a namespace, one a line.
pub(crate) fn ip_batch(namespace: &str, script: &str) -> Result<(), IprouteError> {
    run("ip", &["-n", namespace, "-batch", "-"], script).map(drop)
}

/// Runs `tc` in a namespace.
pub(crate) fn tc(namespace: &str, arguments: &[&str]) -> Result<(), IprouteError> {
    run("tc", &[&["-n", namespace], arguments].concat(), "").map(drop)
}

fn run(program: &'static str, arguments: &[&str], input: &str) -> Result<String, IprouteError> {
    let output = feed(Command::new(program).args(arguments), input)
        .map_err(|source| IprouteError::NotRun { program, source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let arguments = arguments.iter().map(OsString::from).collect();
    Err(IprouteError::Refused(Box::new(Refusal { program, arguments, output })))
}

fn feed(command: &mut Command, input: &str) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().expect("it is piped");
    // Fails if the program ends before it has read all; then its exit code says why.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output()
}

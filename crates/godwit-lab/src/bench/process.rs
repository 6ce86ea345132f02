//! A child process: started, watched, ended by its id, and what it cost.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use wait4::Wait4 as _;

use super::proc::{self, ProcessStat};
use crate::error::{LastLine, TransferError};
use crate::network::Side;
use crate::peer::{Launch, Readiness};
use crate::results::Usage;

/// How long a process may take to end by itself when it is asked to, before it is killed: more than `godwit serve` lets transfers finish.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(7);
/// A listener that has not opened its port by then never will.
const READY_TIME_MAX: Duration = Duration::from_secs(10);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);
/// A line of a log in a table.
const LINE_CHARACTERS_MAX: usize = 200;

/// What a process is to do or say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// It listens.
    Port,
    /// It has all its connections.
    Connections,
    /// It knows what the transfer came to.
    Result,
}

impl Awaited {
    /// It ended before.
    fn ended(self, status: ExitStatus, said: LastLine) -> TransferError {
        match self {
            Self::Port => TransferError::ListenerEnded { status, said },
            Self::Connections | Self::Result => TransferError::ClientEnded { status, said },
        }
    }

    /// Its time is over.
    fn late(self, side: Side, seconds: u64, said: LastLine) -> TransferError {
        match self {
            Self::Port => TransferError::NotListening { seconds, said },
            Self::Connections => TransferError::NotConnected { seconds, said },
            Self::Result => TransferError::NoResult { side, seconds, said },
        }
    }
}

/// A running child, or one that has ended. Dropping it kills it and its descendants.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pub(crate) side: Side,
    log: PathBuf,
    usage: Usage,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts it. What it prints goes to the log, unless its standard output is what it receives.
    pub(crate) fn start(launch: Launch, log: PathBuf) -> Result<Self, TransferError> {
        let Launch { side, mut command, received } = launch;
        let create =
            |path: &Path| File::create(path).map_err(|source| TransferError::Write { path: path.to_owned(), source });
        let output = create(&log)?;
        let stdout = match received {
            Some(path) => create(&path)?,
            None => output.try_clone().map_err(TransferError::Wait)?,
        };
        // A group of its own, so that an interrupt from the terminal ends us first, and we end it.
        command.stdout(stdout).stderr(output).process_group(0);
        let program = command.get_program().into();
        let child = command.spawn().map_err(|source| TransferError::Start { program, source })?;
        Ok(Self { child, side, log, usage: Usage::default(), status: None })
    }

    /// Whether it has ended; how, once [`finish`](Self::finish) was called.
    pub(crate) fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.status.is_some() || !matches!(waitid(WaitId::Pid(self.pid()), options), Ok(None))
    }

    /// Waits until its port is open.
    pub(crate) fn wait_until_ready(&mut self, readiness: Readiness) -> Result<(), TransferError> {
        let is_open = |process: &Self| match readiness {
            Readiness::Tcp(port) => proc::is_port_open(process.child.id(), "tcp", port),
            Readiness::Udp(port) => proc::is_port_open(process.child.id(), "udp", port),
        };
        self.wait(Awaited::Port, READY_TIME_MAX, |process| is_open(process).then_some(()))
    }

    /// Waits until its log says what is awaited.
    pub(crate) fn wait_for<T>(
        &mut self,
        awaited: Awaited,
        limit: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<T, TransferError> {
        self.wait(awaited, limit, |process| find(&process.log()))
    }

    /// Waits until it has ended, or the time is over.
    pub(crate) fn wait_for_end(&self, limit: Duration) {
        let started = Instant::now();
        while !self.has_ended() && started.elapsed() < limit {
            sleep(LOOK_AGAIN_AFTER);
        }
    }

    /// Takes note of what it and its descendants have cost until now: those that are killed later tell nobody.
    pub(crate) fn look(&mut self) {
        let tree = self.tree();
        self.usage.cpu_s = self.usage.cpu_s.max(proc::cpu_s(&tree));
        let resident = tree.iter().map(|process| proc::resident_bytes_max(process.pid)).max();
        self.usage.resident_bytes_max = self.usage.resident_bytes_max.max(resident.unwrap_or(0));
    }

    /// As [`look`](Self::look), of its memory alone and without its descendants: cheap enough to be done often. What `wait4` says of memory
    /// is no use: it counts ours, from which the process was forked.
    pub(crate) fn glance(&mut self) {
        let resident = proc::resident_bytes_max(self.pid().as_raw_nonzero().get());
        self.usage.resident_bytes_max = self.usage.resident_bytes_max.max(resident);
    }

    /// Ends it if it has not ended: it is asked first, then killed with all its descendants.
    pub(crate) fn finish(&mut self) -> Result<ExitStatus, TransferError> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        self.look();
        let tree = self.tree();
        if !self.has_ended() {
            // Fails only if it ends right now.
            let _ = kill_process(self.pid(), Signal::TERM);
            self.wait_for_end(FAREWELL_TIME_MAX);
        }
        if !self.has_ended() {
            let _ = kill_process(self.pid(), Signal::KILL);
        }
        let used = self.child.wait4().map_err(TransferError::Wait)?;
        for descendant in tree.iter().skip(1).filter_map(|process| Pid::from_raw(process.pid)) {
            // Most have ended with their parent.
            let _ = kill_process(descendant, Signal::KILL);
        }
        let cpu_s = (used.rusage.utime + used.rusage.stime).as_secs_f64();
        self.usage.cpu_s = self.usage.cpu_s.max(cpu_s);
        self.status = Some(used.status);
        Ok(used.status)
    }

    /// The CPU time of it and its descendants until now.
    pub(crate) fn cpu_s(&self) -> f64 {
        proc::cpu_s(&self.tree())
    }

    /// What it cost, with all descendants, as far as it is known.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    pub(crate) fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The line of its log that says most: one that begins with "error", else the last.
    pub(crate) fn last_line(&self) -> LastLine {
        let log = self.log();
        let mut lines = log.lines().rev().map(str::trim).filter(|line| !line.is_empty());
        let last = lines.next().unwrap_or_default();
        let line = std::iter::once(last).chain(lines).find(|line| line.starts_with("error")).unwrap_or(last);
        LastLine(line.chars().take(LINE_CHARACTERS_MAX).collect())
    }

    fn wait<T>(
        &mut self,
        awaited: Awaited,
        limit: Duration,
        find: impl Fn(&Self) -> Option<T>,
    ) -> Result<T, TransferError> {
        let started = Instant::now();
        loop {
            // Asked first, so that what it did right before its end is found.
            let has_ended = self.has_ended();
            if let Some(found) = find(self) {
                return Ok(found);
            }
            if has_ended {
                return Err(awaited.ended(self.finish()?, self.last_line()));
            }
            if started.elapsed() > limit {
                return Err(awaited.late(self.side, limit.as_secs(), self.last_line()));
            }
            sleep(LOOK_AGAIN_AFTER);
        }
    }

    fn tree(&self) -> Vec<ProcessStat> {
        proc::tree(self.pid().as_raw_nonzero().get())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody asks any more how it ended.
        let _: Result<_, io::Error> = self.finish().map_err(io::Error::other);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn start(directory: &Path, script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let launch = Launch { side: Side::Left, command, received: None };
        Process::start(launch, directory.join("log")).expect("sh starts")
    }

    #[test]
    fn a_process_that_ends_tells_what_it_used_and_said() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut process = start(directory.path(), "echo first; echo last >&2; exit 3");
        while !process.has_ended() {
            sleep(LOOK_AGAIN_AFTER);
        }
        assert_eq!(process.finish().expect("it ended").code(), Some(3));
        assert_eq!(process.last_line(), LastLine("last".into()));
    }

    #[test]
    fn one_that_is_late_is_told_from_one_that_ended() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut process = start(directory.path(), "sleep 1000");
        let late = [Awaited::Port, Awaited::Connections, Awaited::Result].map(|awaited| {
            let waited: Result<(), _> = process.wait_for(awaited, Duration::ZERO, |_| None);
            waited.expect_err("it says nothing").to_string()
        });
        for (error, begins) in
            late.iter().zip(["the listener's port was", "the client had not all", "the sender gave no"])
        {
            assert!(error.starts_with(begins) && error.contains("it printed nothing"), "{error}");
        }
        process.finish().expect("it ends");
        let ended = |awaited, process: &mut Process| process.wait_for::<()>(awaited, Duration::MAX, |_| None);
        assert!(matches!(ended(Awaited::Port, &mut process), Err(TransferError::ListenerEnded { .. })));
        assert!(matches!(ended(Awaited::Result, &mut process), Err(TransferError::ClientEnded { .. })));
    }

    #[test]
    fn one_that_goes_on_is_ended_with_its_children() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut process = start(directory.path(), "sleep 1000 & echo $!; wait");
        let deadline = Instant::now() + Duration::from_secs(60);
        while process.log().is_empty() && Instant::now() < deadline {
            sleep(LOOK_AGAIN_AFTER);
        }
        let child: i32 = process.log().trim().parse().expect("the child's id");
        process.glance();
        assert!(process.usage().resident_bytes_max > 0);
        process.finish().expect("it ends");
        while !proc::tree(child).is_empty() && Instant::now() < deadline {
            sleep(LOOK_AGAIN_AFTER); // until its new parent has waited for it
        }
        assert!(proc::tree(child).is_empty());
    }
}

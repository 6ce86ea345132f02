//! One transfer, from its preparation to what it came to.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::growth::{Growth, received_bytes};
use super::process::Process;
use super::{content, proc, sent_again, socket_table};
use crate::error::TransferError;
use crate::network::{Host, Side};
use crate::peer::{Launch, PORT, Peer, Programs, Site, Transfer};
use crate::results::{Outcome, Run, TcpReadBack, Usage};
use crate::scratch;

/// A transfer that is prepared, runs or has ended.
#[derive(Debug)]
pub(crate) struct Flow<'a> {
    peer: &'a Peer,
    place: Place<'a>,
    listener: Process,
    /// Until it is started.
    launch: Option<Launch>,
    connector: Option<Process>,
    started: Instant,
    growth: Growth,
    tcp: Option<TcpReadBack>,
    counters_before: [String; 2],
}

/// Two hosts, and directories of this flow alone.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    pub(crate) left: &'a Host,
    pub(crate) right: &'a Host,
    pub(crate) file: &'a Path,
    pub(crate) programs: &'a Programs,
    /// Emptied before each flow.
    pub(crate) directory: PathBuf,
}

impl<'a> Flow<'a> {
    /// Starts the listener and waits until it listens.
    pub(crate) fn prepare(peer: &'a Peer, place: Place<'a>) -> Result<Self, TransferError> {
        let (received, logs) = (place.directory.join("received"), place.directory.join("scratch"));
        for directory in [&received, &logs] {
            scratch::renew(directory).map_err(|source| TransferError::Write { path: directory.clone(), source })?;
        }
        let Place { left, right, file, programs, .. } = place;
        let site = Site { left, right, file, received: &received, scratch: &logs, programs };
        let Transfer { listener, readiness, connector } = peer.transfer(&site)?;
        let counters_before = [counters(left), counters(right)];
        let mut listener = Process::start(listener, logs.join("listener.log"))?;
        listener.wait_until_ready(readiness)?;
        let tcp = peer.tcp().map(|congestion| TcpReadBack { wanted: congestion.to_string(), ..TcpReadBack::default() });
        let (launch, growth, started) = (Some(connector), Growth::default(), Instant::now());
        Ok(Self { peer, place, listener, launch, connector: None, started, growth, tcp, counters_before })
    }

    /// Starts the clock and the client. Without effect the second time.
    pub(crate) fn start(&mut self) -> Result<(), TransferError> {
        if let Some(launch) = self.launch.take() {
            self.started = Instant::now();
            let log = self.place.directory.join("scratch/connector.log");
            self.connector = Some(Process::start(launch, log)?);
        }
        Ok(())
    }

    /// Since the client was started.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Reads how much has arrived; true once something has.
    pub(crate) fn sample(&mut self) -> bool {
        let bytes = received_bytes(&self.received());
        self.growth.add(self.started.elapsed().as_secs_f64(), bytes);
        self.growth.first_byte_s.is_some()
    }

    /// Whether the client has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.connector.as_ref().is_some_and(Process::has_ended)
    }

    /// Looks at what takes a while to look at: connections of TCP, and what the processes have cost. The table of connections is read
    /// for every peer, so that reading it slows all of them equally.
    pub(crate) fn look(&mut self) {
        let mut unused = TcpReadBack::default();
        socket_table::read(self.place.left, PORT, self.tcp.as_mut().unwrap_or(&mut unused));
        self.listener.look();
        self.connector.iter_mut().for_each(Process::look);
    }

    /// Looks at the memory that the processes take.
    pub(crate) fn glance(&mut self) {
        self.listener.glance();
        self.connector.iter_mut().for_each(Process::glance);
    }

    /// How it grew.
    pub(crate) fn growth(&self) -> &Growth {
        &self.growth
    }

    /// Ends what has not ended, at `seconds` after the start, and says what it came to. The path's counters are the caller's business.
    pub(crate) fn finish(mut self, seconds: f64, round: u32, must_compare: bool) -> Run {
        let had_ended = self.has_ended();
        let outcome = match self.outcome(had_ended, must_compare) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed { reason: error.to_string() },
        };
        // Only now the listener: a server counts when its client has gone.
        let _ = self.listener.finish();
        let bytes = match outcome {
            Outcome::Complete { .. } => content::length(&self.target()),
            Outcome::Stopped | Outcome::Failed { .. } => self.growth.bytes_at(seconds) as u64,
        };
        let counters_after = [counters(self.place.left), counters(self.place.right)];
        let added = |host: usize, group: &str, name: &str| {
            let count = |table: &[String; 2]| proc::snmp_counter(&table[host], group, name);
            count(&counters_after).saturating_sub(count(&self.counters_before))
        };
        let retransmitted = match self.peer.tcp() {
            Some(_) => sent_again::share(added(0, "Tcp", "RetransSegs"), added(0, "Tcp", "OutSegs")),
            None => sent_again::told(&self.log_of(Side::Left)),
        };
        Run {
            bytes,
            seconds,
            first_byte_s: self.growth.first_byte_s,
            milestones: self.growth.milestones.clone(),
            growth: if round == 0 { self.growth.thinned() } else { Vec::new() },
            retransmitted,
            sender: self.usage(Side::Left),
            receiver: self.usage(Side::Right),
            tcp: self.tcp.clone(),
            socket_drops: (0..2).map(|host| added(host, "Udp", "RcvbufErrors")).sum(),
            ..Run::new(self.peer.to_string(), round, outcome)
        }
    }

    fn outcome(&mut self, had_ended: bool, must_compare: bool) -> Result<Outcome, TransferError> {
        let target = self.target();
        let Some(connector) = &mut self.connector else { return Ok(Outcome::Stopped) };
        let status = connector.finish()?;
        if !had_ended {
            return Ok(Outcome::Stopped);
        }
        if !status.success() {
            return Err(TransferError::ClientEnded { status, said: connector.last_line() });
        }
        if connector.side == Side::Left {
            // The sender has gone, but the receiver may still be writing; it ends by itself.
            self.listener.finish()?;
        }
        content::check(self.place.file, &target, must_compare)?;
        Ok(Outcome::Complete { verified: must_compare })
    }

    fn received(&self) -> PathBuf {
        self.place.directory.join("received")
    }

    fn target(&self) -> PathBuf {
        self.received().join(self.place.file.file_name().expect("the file has a name"))
    }

    fn log_of(&self, side: Side) -> String {
        self.ends().filter(|process| process.side == side).map(Process::log).collect()
    }

    fn usage(&self, side: Side) -> Usage {
        self.ends().find(|process| process.side == side).map(Process::usage).unwrap_or_default()
    }

    fn ends(&self) -> impl Iterator<Item = &Process> {
        std::iter::once(&self.listener).chain(&self.connector)
    }
}

/// The counters of a namespace.
fn counters(host: &Host) -> String {
    host.run(|| fs::read_to_string("/proc/thread-self/net/snmp")).and_then(std::convert::identity).unwrap_or_default()
}

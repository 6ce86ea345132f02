//! A C++ peer in a process of its own.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use crate::{Content, Event, Library, PeerError, Report};

/// How long to wait for an event that is not expected to take this long on any machine.
const HANG_LIMIT: Duration = Duration::from_secs(120);

/// A running C++ peer. Dropping it kills it.
#[derive(Debug)]
pub struct CppPeer {
    child: Child,
    /// Open as long as the peer is to hold its connection.
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    events: Vec<Event>,
    hang_limit: Duration,
}

impl CppPeer {
    /// A peer that receives until the connection is over.
    pub fn recv(library: Library) -> CppPeerBuilder {
        CppPeerBuilder::new(library, "recv")
    }

    /// A peer that sends `content` and closes.
    pub fn send(library: Library, content: Content) -> CppPeerBuilder {
        CppPeerBuilder::new(library, "send").content(content)
    }

    /// A peer that sends `content` and receives `expected_bytes` at the same time, then closes.
    pub fn both(library: Library, content: Content, expected_bytes: u64) -> CppPeerBuilder {
        CppPeerBuilder::new(library, "both").content(content).expect_bytes(expected_bytes)
    }

    /// A peer that sends back what it receives, until the connection is over.
    pub fn echo(library: Library) -> CppPeerBuilder {
        CppPeerBuilder::new(library, "echo")
    }

    /// A peer that connects and does nothing until it is released.
    pub fn idle(library: Library) -> CppPeerBuilder {
        CppPeerBuilder::new(library, "idle").hold()
    }

    /// Waits until the peer's port is open, and says where.
    ///
    /// # Errors
    /// It could not open its port.
    pub fn address(&mut self) -> Result<SocketAddr, PeerError> {
        self.wait_for("bound")?.value("address")
    }

    /// Waits until the peer is connected, and says to whom.
    ///
    /// # Errors
    /// It could not connect, with libudt's code.
    pub fn connected(&mut self) -> Result<SocketAddr, PeerError> {
        self.wait_for("connected")?.value("peer")
    }

    /// Waits for an event of this name, or finds it among those that came before.
    ///
    /// # Errors
    /// The peer failed, ended or hangs.
    pub fn wait_for(&mut self, name: &'static str) -> Result<Event, PeerError> {
        let deadline = Instant::now() + self.hang_limit;
        let mut seen = 0;
        loop {
            while let Some(event) = self.events.get(seen) {
                if event.name() == name {
                    return Ok(event.clone());
                }
                if event.name() == "error" {
                    let call = event.value("call")?;
                    return Err(PeerError::Udt { call, code: event.value("code")? });
                }
                seen += 1;
            }
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.events.push(Event::new(line)),
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended(name)),
                Err(RecvTimeoutError::Timeout) => return Err(self.hangs(name)),
            }
        }
    }

    /// Lets a peer that holds its connection go on to close it.
    pub fn release(&mut self) {
        self.stdin = None;
    }

    /// Releases the peer, waits until it has done its work and closed, and returns what it printed.
    ///
    /// # Errors
    /// It failed, hangs, or was ended by something else.
    pub fn finish(mut self) -> Result<Report, PeerError> {
        self.release();
        self.wait_for("closed")?;
        Ok(Report { events: std::mem::take(&mut self.events) })
    }

    /// Kills the peer: its connection is left without a shutdown.
    pub fn kill(mut self) -> Report {
        self.stop();
        while let Ok(line) = self.lines.recv() {
            self.events.push(Event::new(line));
        }
        Report { events: std::mem::take(&mut self.events) }
    }

    /// The process id, to pause it or to look at its resources.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    fn ended(&mut self, awaited: &'static str) -> PeerError {
        match self.child.wait() {
            Ok(status) => PeerError::Ended { status, awaited, printed: self.events.clone() },
            Err(error) => PeerError::Wait(error),
        }
    }

    fn hangs(&mut self, awaited: &'static str) -> PeerError {
        self.stop();
        PeerError::Hangs { awaited, limit: self.hang_limit, printed: self.events.clone() }
    }

    /// Fails only if it has ended already.
    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for CppPeer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A C++ peer to be started. Without an address it listens on any port of the IPv4 loopback.
#[derive(Debug, Clone)]
#[must_use = "no process runs before `spawn`"]
pub struct CppPeerBuilder {
    program: Option<PathBuf>,
    arguments: Vec<OsString>,
    has_address: bool,
    hang_limit: Duration,
}

impl CppPeerBuilder {
    fn new(library: Library, role: &str) -> Self {
        let arguments = vec![role.into()];
        let builder = Self { program: None, arguments, has_address: false, hang_limit: HANG_LIMIT };
        builder.option("--library", library)
    }

    /// Starts this program instead of `cpp-peer`. It must take the same arguments and print the same events: so another
    /// implementation can be measured in the same way.
    pub fn program(mut self, path: PathBuf) -> Self {
        self.program = Some(path);
        self
    }

    /// An option that only the other [`program`](Self::program) knows.
    pub fn extra_option(self, name: &str, value: impl ToString) -> Self {
        self.option(name, value)
    }

    /// Accepts one connection at this address; port 0 is any.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.has_address = true;
        self.option("--listen", address)
    }

    /// Connects to this address.
    pub fn connect(mut self, address: SocketAddr) -> Self {
        self.has_address = true;
        self.option("--connect", address)
    }

    /// Meets `peer` in rendezvous mode, from the local address `local`.
    pub fn rendezvous(self, local: SocketAddr, peer: SocketAddr) -> Self {
        self.connect(peer).option("--bind", local).flag("--rendezvous")
    }

    /// The local address to connect from.
    pub fn bind(self, local: SocketAddr) -> Self {
        self.option("--bind", local)
    }

    /// Messages of this size instead of a stream, delivered in any order; 1 MiB is the most that fits default buffers well.
    pub fn messages(self, message_bytes: usize) -> Self {
        self.option("--message-bytes", message_bytes)
    }

    /// Messages are to be delivered in the order in which they were sent.
    pub fn in_order(self) -> Self {
        self.flag("--in-order")
    }

    /// UDT_MSS, in bytes.
    pub fn mss(self, bytes: u32) -> Self {
        self.option("--mss", bytes)
    }

    /// UDT_FC: the largest flow window, in packets.
    pub fn flow_window(self, packets: u32) -> Self {
        self.option("--fc", packets)
    }

    /// UDT_RCVBUF, in bytes; it also limits the window that is announced.
    pub fn receive_buffer(self, bytes: u32) -> Self {
        self.option("--rcvbuf", bytes)
    }

    /// UDT_SNDBUF, in bytes.
    pub fn send_buffer(self, bytes: u32) -> Self {
        self.option("--sndbuf", bytes)
    }

    /// UDP_RCVBUF, in bytes.
    pub fn udp_receive_buffer(self, bytes: u32) -> Self {
        self.option("--udp-rcvbuf", bytes)
    }

    /// UDT_MAXBW, in bytes per second.
    pub fn max_rate(self, bytes_per_s: u64) -> Self {
        self.option("--max-rate", bytes_per_s)
    }

    /// How long `close` waits for acknowledgements at most; zero closes at once and loses what is not acknowledged.
    pub fn linger(self, at_most: Duration) -> Self {
        self.option("--linger", at_most.as_secs())
    }

    /// Reads no faster than this.
    pub fn slow_read(self, bytes_per_s: u64) -> Self {
        self.option("--slow-read", bytes_per_s)
    }

    /// Bytes per call to `send` (default 64 KiB) and room per call to `recv`.
    pub fn chunk(self, bytes: usize) -> Self {
        self.option("--chunk", bytes)
    }

    /// Stops receiving after this many bytes instead of at the end of the connection.
    pub fn expect_bytes(self, bytes: u64) -> Self {
        self.option("--expect", bytes)
    }

    /// Sends by `sendfile`, which marks its packets as ordered.
    pub fn by_sendfile(self) -> Self {
        self.flag("--sendfile")
    }

    /// Stops sending after this time.
    pub fn stop_after(self, time: Duration) -> Self {
        self.option("--seconds", time.as_secs_f64())
    }

    /// Sends one block again and again, and counts what is received without looking at it: for measurements.
    pub fn unchecked(self) -> Self {
        self.flag("--unchecked")
    }

    /// Connects without blocking.
    pub fn non_blocking(self) -> Self {
        self.flag("--non-blocking")
    }

    /// Keeps the connection open after the transfer until it is released.
    pub fn hold(self) -> Self {
        self.flag("--hold")
    }

    /// Reports the performance counters before closing.
    pub fn perfmon(self) -> Self {
        self.flag("--perfmon")
    }

    /// How long any one wait may last before the peer counts as hung. Default 120 s.
    pub fn hang_limit(mut self, limit: Duration) -> Self {
        self.hang_limit = limit;
        self
    }

    /// Starts the process.
    ///
    /// # Errors
    /// The binary cannot be started.
    pub fn spawn(self) -> Result<CppPeer, PeerError> {
        let this = if self.has_address { self } else { self.listen((Ipv4Addr::LOCALHOST, 0).into()) };
        let path = this.program.unwrap_or_else(program);
        let mut command = Command::new(&path);
        command.args(&this.arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|source| PeerError::Start { path, source })?;
        let stdout = BufReader::new(child.stdout.take().expect("stdout was asked for as a pipe"));
        let (line_sender, lines) = mpsc::channel();
        // Ends with the process: then the pipe does. The lines of one peer are few, so the channel needs no limit.
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| line_sender.send(line)).ok();
        });
        Ok(CppPeer { stdin: child.stdin.take(), child, lines, events: Vec::new(), hang_limit: this.hang_limit })
    }

    fn content(self, content: Content) -> Self {
        self.option("--seed", content.seed).option("--bytes", content.bytes)
    }

    fn flag(mut self, name: &str) -> Self {
        self.arguments.push(name.into());
        self
    }

    fn option(mut self, name: &str, value: impl ToString) -> Self {
        self.arguments.extend([OsString::from(name), value.to_string().into()]);
        self
    }
}

/// Where cargo puts `cpp-peer`: beside the directory of the test that runs.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    let directories = test.ancestors().skip(1).take(2);
    let mut candidates =
        directories.map(|directory| directory.join(format!("cpp-peer{}", std::env::consts::EXE_SUFFIX)));
    candidates.find(|candidate| candidate.exists()).unwrap_or_else(|| "cpp-peer".into())
}

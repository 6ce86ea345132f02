//! Content that one end of ours and a C++ peer send to each other, judged by its hash.

use std::{panic::resume_unwind, sync::Arc, thread::ScopedJoinHandle, time::Duration};

use godwit_relay::{Filter, LinkConfig, RelayStats};
use godwit_udt::{ConfigBuilder, MessageOptions, SocketStats, SocketType, Stats, Stream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf},
    time::Instant,
};

use crate::{
    Content, CppPeer, CppPeerBuilder, Fingerprint, FingerprintHash, Library, Meeting, MessageFingerprint, Met, OurEnd,
    Report, Role, TransferError,
};

/// How often a run is repeated whose path lost what nobody planned, before the machine counts as too busy.
const ATTEMPTS_MAX: u32 = 4;

/// Bytes per call to write, as the C++ peer does it.
const PIECE_BYTES: usize = 64 << 10;

/// A transfer between an end of ours and a C++ peer. We connect, unless it is told otherwise.
///
/// ```no_run
/// use godwit_interop::{Content, Library, Transfer};
///
/// Transfer::to_cpp(Library::Bundled, Content::new(1, 64 << 20)).we_listen().lossy(0.01).run()?;
/// # Ok::<(), godwit_interop::TransferError>(())
/// ```
#[derive(Clone)]
#[must_use = "nothing is transferred before `run`"]
pub struct Transfer {
    meeting: Meeting,
    library: Library,
    plan: Plan,
    cpp: Vec<Arc<dyn Fn(CppPeerBuilder) -> CppPeerBuilder + Send + Sync>>,
}

/// How a transfer went, once the content has been found to be right.
#[derive(Debug)]
pub struct Outcome {
    /// What our end counted until all of the content was there.
    pub stats: Stats,
    /// What went through our socket.
    pub socket: SocketStats,
    /// What the C++ peer did.
    pub cpp: Report,
    /// What the path did, if there was a relay.
    pub path: Option<RelayStats>,
}

#[derive(Debug, Clone, Copy)]
struct Messages {
    bytes: usize,
    in_order: bool,
}

impl Transfer {
    /// We send, then close; the peer reads to the end.
    pub fn to_cpp(library: Library, content: Content) -> Self {
        Self::new(library, Some(content), None)
    }

    /// The peer sends, then closes; we read to the end.
    pub fn from_cpp(library: Library, content: Content) -> Self {
        Self::new(library, None, Some(content))
    }

    /// Both send at the same time; then we close.
    pub fn both_ways(library: Library, to_cpp: Content, from_cpp: Content) -> Self {
        Self::new(library, Some(to_cpp), Some(from_cpp))
    }

    /// In this role.
    pub fn role(mut self, role: Role) -> Self {
        self.meeting = self.meeting.role(role);
        self
    }

    /// The peer connects to us.
    pub fn we_listen(self) -> Self {
        self.role(Role::WeListen)
    }

    /// Both connect to each other.
    pub fn rendezvous(self) -> Self {
        self.role(Role::Rendezvous)
    }

    /// Over the IPv6 loopback.
    pub fn over_ipv6(mut self) -> Self {
        self.meeting = self.meeting.over_ipv6();
        self
    }

    /// Each end inside of a network namespace, with this address there; ours first.
    #[cfg(target_os = "linux")]
    pub fn inside(mut self, namespaces: [Arc<crate::netns::Namespace>; 2], ips: [std::net::IpAddr; 2]) -> Self {
        self.meeting = self.meeting.inside(namespaces, ips);
        self
    }

    /// As messages of this size, delivered in any order.
    pub fn messages(mut self, bytes: usize) -> Self {
        self.plan.messages = Some(Messages { bytes, in_order: false });
        self.ours(|config| config.socket_type(SocketType::Datagram)).cpp(move |peer| peer.messages(bytes))
    }

    /// As messages of this size, delivered in order.
    pub fn messages_in_order(self, bytes: usize) -> Self {
        let mut this = self.messages(bytes);
        this.plan.messages = Some(Messages { bytes, in_order: true });
        this.cpp(CppPeerBuilder::in_order)
    }

    /// Changes the settings of our end.
    pub fn ours(mut self, set: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Self {
        self.meeting = self.meeting.ours(set);
        self
    }

    /// Changes the settings of the C++ peer.
    pub fn cpp(mut self, set: impl Fn(CppPeerBuilder) -> CppPeerBuilder + Send + Sync + 'static) -> Self {
        self.cpp.push(Arc::new(set));
        self
    }

    /// We read no faster than this.
    pub fn we_read_slowly(mut self, bytes_per_s: u64) -> Self {
        self.plan.slow_read_bytes_per_s = Some(bytes_per_s);
        self
    }

    /// Both ways over a path through a relay like this.
    pub fn over(self, path: LinkConfig) -> Self {
        self.over_each(path, path)
    }

    /// Over a path through a relay: what we send takes the first link, what the peer sends the other.
    pub fn over_each(mut self, from_us: LinkConfig, to_us: LinkConfig) -> Self {
        self.meeting = self.meeting.over(from_us, to_us);
        self
    }

    /// Over a path of 10 ms there and back that loses this share of all packets each way.
    pub fn lossy(self, loss: f64) -> Self {
        self.over(LinkConfig { delay: Duration::from_millis(5), loss, ..LinkConfig::default() })
    }

    /// Decides the random faults of the path.
    pub fn seed(mut self, seed: u64) -> Self {
        self.meeting = self.meeting.seed(seed);
        self
    }

    /// Through a relay that judges each datagram; see [`Meeting::filtered`].
    pub fn filtered(mut self, filter: impl Fn() -> Filter + Send + Sync + 'static) -> Self {
        self.meeting = self.meeting.filtered(filter);
        self
    }

    /// Connects, transfers, closes, and compares. A run is repeated, a few times, if its path lost what nobody planned.
    ///
    /// # Errors
    /// Something failed, or the content is not what was sent.
    pub fn run(&self) -> Result<Outcome, TransferError> {
        let mut attempt = 1;
        loop {
            let start = Instant::now();
            let met = self.meeting.start(self.cpp_peer())?;
            let (result, path) = self.transfer(met);
            println!("{:?} for {:?} {:?}", start.elapsed(), self.plan, self.meeting);
            match path.map_or(Ok(()), |path| path.check()) {
                Ok(()) => return result.map(|outcome| Outcome { path, ..outcome }),
                Err(drops) if attempt == ATTEMPTS_MAX => return Err(TransferError::Invalid { attempt, drops }),
                Err(drops) => eprintln!("attempt {attempt} is invalid and repeated: {drops}"),
            }
            attempt += 1;
        }
    }

    /// Runs these at the same time, because most of the time of a lossy transfer nobody does anything.
    ///
    /// # Errors
    /// As [`run`](Self::run); all have come to their end by then.
    pub fn run_together(transfers: impl IntoIterator<Item = Self>) -> Result<Vec<Outcome>, TransferError> {
        std::thread::scope(|scope| {
            let start = |transfer: Self| scope.spawn(move || transfer.run());
            let running: Vec<_> = transfers.into_iter().map(start).collect();
            let finish = |thread: ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            // Not lazily: all are to be over, whichever fails.
            let results: Vec<_> = running.into_iter().map(finish).collect();
            results.into_iter().collect()
        })
    }

    fn new(library: Library, to_cpp: Option<Content>, from_cpp: Option<Content>) -> Self {
        let meeting = Meeting::new(Role::WeConnect);
        let plan = Plan { to_cpp, from_cpp, messages: None, slow_read_bytes_per_s: None };
        Self { meeting, library, plan, cpp: Vec::new() }
    }

    fn cpp_peer(&self) -> CppPeerBuilder {
        let peer = match (self.plan.to_cpp, self.plan.from_cpp) {
            // Holds, because a close of libudt forgets acknowledgements that it has yet to send.
            (Some(to_cpp), Some(from_cpp)) => CppPeer::both(self.library, from_cpp, to_cpp.bytes).hold(),
            (None, Some(from_cpp)) => CppPeer::send(self.library, from_cpp),
            // Holds, because a shutdown that finds a reader of messages waiting may cost it the last one.
            (Some(to_cpp), None) if self.plan.messages.is_some() => {
                CppPeer::recv(self.library).expect_bytes(to_cpp.bytes).hold()
            }
            (_, None) => CppPeer::recv(self.library),
        };
        self.cpp.iter().fold(peer, |peer, set| set(peer))
    }

    /// Also what the path did until then, whatever came of it.
    fn transfer(&self, met: Met) -> (Result<Outcome, TransferError>, Option<RelayStats>) {
        let Met { stream, ours, cpp, relay } = met;
        let result = self.exchange_and_close(stream, &ours, cpp);
        (result, relay.map(|relay| relay.stats()))
    }

    fn exchange_and_close(
        &self,
        mut stream: Stream,
        ours: &OurEnd,
        mut cpp: CppPeer,
    ) -> Result<Outcome, TransferError> {
        let plan = self.plan;
        let exchange = async move { plan.exchange(&mut stream).await.map(|arrived| (arrived, stream)) };
        let (arrived, mut stream) = ours.run(exchange)?;
        let report = if self.plan.to_cpp.is_none() {
            let report = cpp.finish()?;
            // Over a lossy path the only shutdown of libudt may be lost.
            if self.meeting.is_clear() {
                stream = ours.run(async move { expect_end(&mut stream, plan.messages).await.map(|()| stream) })?;
            }
            report
        } else {
            if self.plan.from_cpp.is_some() {
                cpp.wait_for("sent")?;
            }
            if self.plan.from_cpp.is_some() || self.plan.messages.is_some() {
                cpp.wait_for("received")?;
            }
            stream = ours.run(async move { stream.close().await.map(|()| stream) })?;
            cpp.finish()?
        };
        let stats = stream.stats();
        self.plan.judge(arrived, &report)?;
        no_objections(&stats)?;
        Ok(Outcome { stats, socket: ours.socket_stats(), cpp: report, path: None })
    }
}

/// What goes each way, and how.
#[derive(Debug, Clone, Copy)]
struct Plan {
    to_cpp: Option<Content>,
    from_cpp: Option<Content>,
    messages: Option<Messages>,
    slow_read_bytes_per_s: Option<u64>,
}

impl Plan {
    /// Our part of it.
    async fn exchange(self, stream: &mut Stream) -> Result<Arrived, TransferError> {
        let Some(messages) = self.messages else {
            let (reader, writer) = tokio::io::split(stream);
            let (arrived, ()) = tokio::try_join!(self.receive(reader), self.send(writer))?;
            return Ok(arrived);
        };
        self.send_messages(stream, messages).await?;
        self.receive_messages(stream).await
    }

    async fn send(self, mut writer: WriteHalf<&mut Stream>) -> Result<(), TransferError> {
        for piece in self.to_cpp.iter().flat_map(|content| content.pieces(PIECE_BYTES)) {
            writer.write_all(&piece).await.map_err(TransferError::Write)?;
        }
        Ok(())
    }

    async fn receive(self, mut reader: ReadHalf<&mut Stream>) -> Result<Arrived, TransferError> {
        let mut arrived = Arrived::begin(self);
        let mut buffer = vec![0; PIECE_BYTES];
        while arrived.lacks_bytes() {
            match reader.read(&mut buffer).await.map_err(TransferError::Read)? {
                0 => return Err(TransferError::EndedEarly { bytes: arrived.bytes }),
                length => arrived.add(&buffer[..length]).await,
            }
        }
        Ok(arrived)
    }

    async fn send_messages(self, stream: &mut Stream, messages: Messages) -> Result<(), TransferError> {
        let options = MessageOptions { in_order: messages.in_order, ..MessageOptions::default() };
        for message in self.to_cpp.iter().flat_map(|content| content.pieces(messages.bytes)) {
            stream.send_message(&message, options).await.map_err(|error| TransferError::Write(error.into()))?;
        }
        Ok(())
    }

    async fn receive_messages(self, stream: &mut Stream) -> Result<Arrived, TransferError> {
        let mut arrived = Arrived::begin(self);
        while arrived.lacks_bytes() {
            match stream.recv_message().await.map_err(|error| TransferError::Read(error.into()))? {
                None => return Err(TransferError::EndedEarly { bytes: arrived.bytes }),
                Some(message) => arrived.add(&message).await,
            }
        }
        Ok(arrived)
    }

    fn judge(self, arrived: Arrived, cpp: &Report) -> Result<(), TransferError> {
        if let Some(content) = self.from_cpp {
            self.compare("us", content, arrived.stream.finish(), arrived.messages)?;
        }
        if let Some(content) = self.to_cpp {
            let received = cpp.received()?;
            self.compare("the C++ peer", content, received.fingerprint, received.messages)?;
        }
        Ok(())
    }

    fn compare(
        self,
        receiver: &'static str,
        content: Content,
        stream: Fingerprint,
        messages: MessageFingerprint,
    ) -> Result<(), TransferError> {
        let is_stream_right = stream == content.fingerprint();
        let is_right = match self.messages {
            None => is_stream_right,
            Some(Messages { bytes, in_order }) => {
                messages == content.message_fingerprint(bytes) && (is_stream_right || !in_order)
            }
        };
        if is_right { Ok(()) } else { Err(TransferError::WrongContent { receiver, content, arrived: stream }) }
    }
}

/// What has arrived here.
struct Arrived {
    expected_bytes: u64,
    bytes_per_s: Option<u64>,
    start: Instant,
    bytes: u64,
    stream: FingerprintHash,
    messages: MessageFingerprint,
}

impl Arrived {
    fn begin(plan: Plan) -> Self {
        Self {
            expected_bytes: plan.from_cpp.map_or(0, |content| content.bytes),
            bytes_per_s: plan.slow_read_bytes_per_s,
            start: Instant::now(),
            bytes: 0,
            stream: FingerprintHash::default(),
            messages: MessageFingerprint::default(),
        }
    }

    fn lacks_bytes(&self) -> bool {
        self.bytes < self.expected_bytes
    }

    /// Takes what was read, and lets a slow reader wait until it may read on.
    async fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.stream.update(bytes);
        self.messages.add(bytes);
        if let Some(bytes_per_s) = self.bytes_per_s {
            let due = Duration::from_secs_f64(self.bytes as f64 / bytes_per_s as f64);
            tokio::time::sleep_until(self.start + due).await;
        }
    }
}

/// The peer closes, and sends nothing more before that.
async fn expect_end(stream: &mut Stream, messages: Option<Messages>) -> Result<(), TransferError> {
    let more = match messages {
        None => stream.read_chunk(PIECE_BYTES).await,
        Some(_) => stream.recv_message().await,
    };
    match more.map_err(|error| TransferError::Read(error.into()))? {
        None => Ok(()),
        Some(more) => Err(TransferError::TooMuch { bytes: more.len() }),
    }
}

/// A sound peer over a path that corrupts nothing sends no packet that we have to refuse.
fn no_objections(stats: &Stats) -> Result<(), TransferError> {
    let (malformed_packets, invalid_entries) =
        (stats.malformed_packets, stats.sender.invalid_entries + stats.receiver.invalid_entries);
    if malformed_packets + invalid_entries == 0 {
        return Ok(());
    }
    Err(TransferError::Objections { malformed_packets, invalid_entries })
}

//! What is counted: a transfer between two ends in virtual time, over a path that only delays and loses.

use std::collections::VecDeque;
use std::hint::black_box;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use godwit_proto::{
    Batch, Config, Connection, ConnectionHandle, Contents, Endpoint, EndpointConfig, Handshaken, ListenLimits, Path,
    Route, SEGMENTS_MAX,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// The argument that makes this program one transfer.
pub(crate) const ROLE: &str = "transfer";

/// What the application writes and reads at once.
const CHUNK_BYTES: usize = 256 << 10;
static CHUNK: [u8; CHUNK_BYTES] = [7; CHUNK_BYTES];

/// A path and how the kernels at its ends batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    name: &'static str,
    rate_bits_per_s: u64,
    one_way: Duration,
    loss: f64,
    /// Whether the receiver's kernel hands over runs, or each datagram alone.
    is_coalesced: bool,
}

impl Case {
    pub(crate) const ALL: [Self; 3] = [
        Self {
            name: "bulk",
            rate_bits_per_s: 10_000_000_000,
            one_way: Duration::from_micros(500),
            loss: 0.0,
            is_coalesced: true,
        },
        Self {
            name: "paced",
            rate_bits_per_s: 300_000_000,
            one_way: Duration::from_millis(10),
            loss: 0.0,
            is_coalesced: false,
        },
        Self {
            name: "lossy",
            rate_bits_per_s: 1_000_000_000,
            one_way: Duration::from_millis(10),
            loss: 0.01,
            is_coalesced: true,
        },
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.name == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        self.name
    }
}

/// Which end's instructions count.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Sender,
    Receiver,
}

impl Side {
    pub(crate) const ALL: [Self; 2] = [Self::Sender, Self::Receiver];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Receiver => "receiver",
        }
    }

    /// The function within which callgrind counts.
    pub(crate) const fn function(self) -> &'static str {
        match self {
            Self::Sender => "within_sender",
            Self::Receiver => "within_receiver",
        }
    }

    fn count<T>(self, work: impl FnOnce() -> T) -> T {
        match self {
            Self::Sender => within_sender(work),
            Self::Receiver => within_receiver(work),
        }
    }
}

// Two that differ: of equal functions the compiler keeps one.
#[inline(never)]
fn within_sender<T>(work: impl FnOnce() -> T) -> T {
    black_box(Side::Sender);
    work()
}

#[inline(never)]
fn within_receiver<T>(work: impl FnOnce() -> T) -> T {
    black_box(Side::Receiver);
    work()
}

struct End {
    side: Side,
    address: SocketAddr,
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    scratch: Vec<u8>,
    /// What is under way to this end.
    coming: VecDeque<(Instant, Bytes, usize)>,
}

/// Transfers this many packets' worth of bytes.
pub(crate) fn run(case: Case, packets: u64) {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant cannot be made from a number; virtual time needs an origin"
    )]
    let mut now = Instant::now();
    let mut ends = [End::new(Side::Sender, 1), End::new(Side::Receiver, 2)];
    let mut rng = StdRng::seed_from_u64(1);
    let config = config(case);
    ends[1].endpoint.listen(config.clone(), ListenLimits::default()).expect("the first listener");
    let path = ends[0].path_to(&ends[1]);
    ends[0].connection = Some(ends[0].endpoint.connect(now, path, config).expect("room"));
    let wanted_bytes = packets * 1456;
    let mut read_bytes = 0;
    while read_bytes < wanted_bytes {
        for index in 0..2 {
            let from = ends[1 - index].address;
            ends[index].arrive(now, from);
            ends[index].run_timers(now);
            match ends[index].side {
                Side::Sender => ends[index].write(now),
                Side::Receiver => read_bytes += ends[index].read(now),
            }
            let [own, other] = ends.get_disjoint_mut([index, 1 - index]).expect("two ends");
            own.transmit(now, case, &mut rng, other);
        }
        now = ends.iter().filter_map(End::next).min().expect("there is always a timer").max(now);
    }
}

fn config(case: Case) -> Config {
    let builder = Config::builder().max_rate_bits_per_s(Some(case.rate_bits_per_s)).send_buffer_bytes(4 << 20);
    builder.build().expect("valid settings")
}

impl End {
    fn new(side: Side, number: u8) -> Self {
        Self {
            side,
            address: SocketAddr::from(([192, 0, 2, number], 9000)),
            endpoint: Endpoint::new(EndpointConfig::default(), [number; 32]),
            connection: None,
            scratch: Vec::new(),
            coming: VecDeque::new(),
        }
    }

    const fn path_to(&self, other: &Self) -> Path {
        Path { remote: other.address, local: Some(self.address.ip()) }
    }

    fn next(&self) -> Option<Instant> {
        let timer = self.connection.as_ref().and_then(|(_, connection)| connection.poll_timeout());
        self.coming.front().map(|&(at, ..)| at).into_iter().chain(timer).min()
    }

    fn arrive(&mut self, now: Instant, from: SocketAddr) {
        while self.coming.front().is_some_and(|&(at, ..)| at <= now)
            && let Some((at, contents, stride)) = self.coming.pop_front()
        {
            let capacity_bytes = contents.len();
            let batch = Batch { contents, stride, capacity_bytes, arrived: at, is_stamped: true };
            let routes_to_connection = self.side.count(|| {
                let (route, bytes) = self.endpoint.route_run(now, &batch.contents, stride, from);
                matches!(route, Route::Connection(_)) && bytes == batch.contents.len()
            });
            if !routes_to_connection {
                self.shake_hands(now, &batch, from);
            } else if let Some((_, connection)) = &mut self.connection {
                self.side.count(|| {
                    connection.handle_datagrams(now, &batch);
                    drop(batch);
                });
            }
        }
    }

    fn shake_hands(&mut self, now: Instant, batch: &Batch, from: SocketAddr) {
        let path = Path { remote: from, local: Some(self.address.ip()) };
        match self.endpoint.handle_handshake(now, &batch.contents, path, 1500, 0, &mut self.scratch) {
            Handshaken::Accepted(handle, connection) => self.connection = Some((handle, *connection)),
            Handshaken::Reply | Handshaken::Ignored | Handshaken::Existing(_) => {}
        }
    }

    fn run_timers(&mut self, now: Instant) {
        let Some((_, connection)) = &mut self.connection else { return };
        self.side.count(|| {
            if connection.poll_timeout().is_some_and(|timeout| timeout <= now) {
                connection.handle_timeout(now);
            }
        });
    }

    fn write(&mut self, now: Instant) {
        let Some((_, connection)) = &mut self.connection else { return };
        self.side.count(|| while connection.write(now, &CHUNK).is_ready() {});
    }

    fn read(&mut self, now: Instant) -> u64 {
        let Some((_, connection)) = &mut self.connection else { return 0 };
        let mut chunks = VecDeque::with_capacity(1024);
        self.side.count(|| {
            let mut read_bytes = 0;
            while let Poll::Ready(Ok(taken @ 1..)) = connection.read(now, CHUNK_BYTES, &mut chunks) {
                read_bytes += taken as u64;
                chunks.clear();
            }
            read_bytes
        })
    }

    fn transmit(&mut self, now: Instant, case: Case, rng: &mut StdRng, other: &mut Self) {
        // The answer of a listener: the one datagram that no connection sends.
        if self.connection.is_none() && !self.scratch.is_empty() {
            let answer = Bytes::from(std::mem::take(&mut self.scratch));
            let length = answer.len();
            other.coming.push_back((now + case.one_way, answer, length));
        }
        let Some((_, connection)) = &mut self.connection else { return };
        while let Some(transmit) = self.side.count(|| connection.poll_transmit(now, SEGMENTS_MAX, &mut self.scratch)) {
            let sent = match &transmit.contents {
                Contents::Scratch => &self.scratch[..],
                Contents::Slab(run) => run.bytes(),
            };
            let stride = transmit.segment_bytes.unwrap_or(sent.len());
            let mut arriving = Vec::with_capacity(sent.len());
            for datagram in sent.chunks(stride).filter(|_| !rng.random_bool(case.loss)) {
                arriving.extend_from_slice(datagram);
                if !case.is_coalesced {
                    other.coming.push_back((now + case.one_way, Bytes::from(std::mem::take(&mut arriving)), stride));
                }
            }
            if !arriving.is_empty() {
                other.coming.push_back((now + case.one_way, Bytes::from(arriving), stride));
            }
            if let Contents::Slab(run) = transmit.contents {
                self.side.count(|| connection.restore(run));
            }
        }
        self.side.count(|| while connection.poll_event().is_some() {});
    }
}

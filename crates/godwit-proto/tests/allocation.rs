//! What the cores take from the allocator: nothing per packet and nothing per batch once a transfer is under way, and little for a
//! connection that is idle.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use bytes::{Buf as _, Bytes, BytesMut};
use godwit_proto::{
    Batch, Config, Connection, Contents, Endpoint, EndpointConfig, Handshaken, ListenLimits, Path, Payloads,
    SEGMENTS_MAX,
};

/// What an idle connection may hold.
const IDLE_BYTES_MAX: usize = 16 << 10;
const DELAY: Duration = Duration::from_millis(10);

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from a number; a test needs one origin")]
fn origin() -> Instant {
    Instant::now()
}

/// A run of datagrams on its way.
struct Flying {
    arrives: Instant,
    batch: BytesMut,
    stride: usize,
}

/// One end: its connection, what is on its way to it, and what its calls took from the allocator.
struct End {
    connection: Connection,
    inbox: VecDeque<Flying>,
    allocations: u64,
    batches: u64,
}

/// A sender (0) and a receiver (1) on a path that keeps the order and may lose each `lost_every`th datagram.
struct Pair {
    now: Instant,
    ends: [End; 2],
    datagrams: u64,
    lost_every: u64,
    data: Vec<u8>,
    chunks: VecDeque<Payloads>,
    scratch: Vec<u8>,
    read_bytes: u64,
}

impl Pair {
    fn connected(config: &Config, lost_every: u64) -> Self {
        let now = origin();
        let path = |host: u8| Path { remote: SocketAddr::from(([192, 0, 2, host], 9000)), local: None };
        let [mut client, mut server] = [1, 2].map(|seed| Endpoint::new(EndpointConfig::default(), [seed; 32]));
        server.listen(config.clone(), ListenLimits::default()).expect("the first listener");
        let (_, mut connection) = client.connect(now, path(2), config.clone()).expect("room");
        let (mut request, mut reply) = (Vec::new(), Vec::new());
        let accepted = loop {
            connection.poll_transmit(now, 1, &mut request).expect("a request");
            match server.handle_handshake(now, &request, path(1), 1500, 0, &mut reply) {
                Handshaken::Accepted(_, accepted) => break *accepted,
                _ => connection.handle_datagrams(now, &batch_of(Bytes::copy_from_slice(&reply), reply.len(), now)),
            }
        };
        let end = |connection| End { connection, inbox: VecDeque::with_capacity(1 << 16), allocations: 0, batches: 0 };
        let mut pair = Self {
            now,
            ends: [end(connection), end(accepted)],
            datagrams: 0,
            lost_every,
            data: vec![7; 1 << 16],
            chunks: VecDeque::with_capacity(1 << 16),
            scratch: Vec::with_capacity(1 << 16),
            read_bytes: 0,
        };
        (0..2).for_each(|end| pair.drain(end));
        while pair.ends[0].connection.is_connecting() {
            pair.step(false);
        }
        pair
    }

    /// Lets time pass, with a sender that writes whenever there is room or not at all.
    fn run_for(&mut self, time: Duration, writes: bool) {
        let end = self.now + time;
        while self.now < end {
            self.step(writes);
        }
    }

    fn step(&mut self, writes: bool) {
        if writes {
            self.write(usize::MAX);
        }
        let next = |end: &End| {
            end.inbox.front().map(|flying| flying.arrives).into_iter().chain(end.connection.poll_timeout()).min()
        };
        self.now = self.ends.iter().filter_map(next).min().expect("a connection has a timer").max(self.now);
        for place in 0..2 {
            let now = self.now;
            let end = &mut self.ends[place];
            while end.inbox.front().is_some_and(|flying| flying.arrives <= now) {
                let flying = end.inbox.pop_front().expect("its front has just been seen");
                let batch = batch_of(flying.batch.freeze(), flying.stride, now);
                end.batches += 1;
                end.allocations += measure(|| end.connection.handle_datagrams(now, &batch)).count_total;
            }
            if end.connection.poll_timeout().is_some_and(|at| at <= now) {
                end.allocations += measure(|| end.connection.handle_timeout(now)).count_total;
            }
            self.drain(place);
            self.read(place);
        }
    }

    /// Writes as much as there is room for, and says how much that was.
    fn write(&mut self, mut bytes: usize) -> usize {
        let before = bytes;
        let (now, data) = (self.now, &self.data);
        let end = &mut self.ends[0];
        while bytes > 0 {
            let mut taken = 0;
            let write = |connection: &mut Connection| connection.write(now, &data[..data.len().min(bytes)]);
            let info = measure(|| {
                if let Poll::Ready(written) = write(&mut end.connection) {
                    taken = written.expect("the connection is open");
                }
            });
            end.allocations += info.count_total;
            bytes -= taken;
            if taken == 0 {
                break;
            }
        }
        self.drain(0);
        before - bytes
    }

    fn read(&mut self, place: usize) {
        let (now, chunks) = (self.now, &mut self.chunks);
        let end = &mut self.ends[place];
        let info = measure(|| {
            let _ = end.connection.read(now, 1 << 20, chunks);
        });
        end.allocations += info.count_total;
        self.read_bytes += chunks.drain(..).map(|chunk| chunk.remaining() as u64).sum::<u64>();
        self.drain(place);
    }

    fn drain(&mut self, place: usize) {
        let now = self.now;
        loop {
            let (end, scratch) = (&mut self.ends[place], &mut self.scratch);
            let mut transmit = None;
            let info = measure(|| transmit = end.connection.poll_transmit(now, SEGMENTS_MAX, scratch));
            end.allocations += info.count_total;
            let Some(transmit) = transmit else { break };
            let bytes = match &transmit.contents {
                Contents::Scratch => &scratch[..],
                Contents::Slab(run) => run.bytes(),
            };
            let stride = transmit.segment_bytes.unwrap_or(bytes.len());
            let mut arriving = BytesMut::with_capacity(bytes.len());
            for datagram in bytes.chunks(stride) {
                self.datagrams += 1;
                if !self.datagrams.is_multiple_of(self.lost_every) {
                    arriving.extend_from_slice(datagram);
                }
            }
            if let Contents::Slab(run) = transmit.contents {
                end.allocations += measure(|| end.connection.restore(run)).count_total;
            }
            if !arriving.is_empty() {
                // Shared from the beginning, as the driver's buffers are: the first slice must not make it so.
                drop(arriving.split_off(arriving.len()));
                self.ends[1 - place].inbox.push_back(Flying { arrives: now + DELAY, batch: arriving, stride });
            }
        }
        let end = &mut self.ends[place];
        end.allocations += measure(|| while end.connection.poll_event().is_some() {}).count_total;
    }
}

fn batch_of(contents: Bytes, stride: usize, arrived: Instant) -> Batch {
    Batch { capacity_bytes: contents.len(), contents, stride, arrived, is_stamped: true }
}

/// What a lossy sender may take in the seconds that are counted: the queue of what is in flight and the slabs grow, by doubling, whenever
/// a gap holds back more than any before. 28 were measured (docs/performance.md); the room is for a controller that paces otherwise.
const LOSSY_ALLOCATIONS_MAX: u64 = 32;

/// Allocations of the sender and of the receiver in some seconds of a transfer of 300 Mbit/s over 20 ms, after some others.
fn steady_allocations(lost_every: u64) -> [u64; 2] {
    let config = Config::builder().max_rate_bits_per_s(Some(300_000_000)).build().expect("valid");
    let mut pair = Pair::connected(&config, lost_every);
    pair.run_for(Duration::from_secs(20), true);
    let read_bytes = pair.read_bytes;
    for end in &mut pair.ends {
        (end.allocations, end.batches) = (0, 0);
    }
    pair.run_for(Duration::from_secs(5), true);
    let packets = (pair.read_bytes - read_bytes) / 1456;
    assert!(packets > 120_000, "{packets} packets arrived");
    let batches = pair.ends.each_ref().map(|end| end.batches);
    assert!(batches.iter().all(|&batches| batches > 3000), "{batches:?}");
    pair.ends.map(|end| end.allocations)
}

#[test]
fn a_steady_transfer_allocates_nothing() {
    assert_eq!(steady_allocations(u64::MAX), [0, 0]);
}

#[test]
fn nor_does_one_that_loses_packets_but_for_longer_gaps_than_before() {
    let [sender, receiver] = steady_allocations(101);
    assert!(sender <= LOSSY_ALLOCATIONS_MAX && receiver == 0, "{sender} and {receiver}");
}

/// What each end of an idle connection holds, the value itself included, after so many bytes.
fn idle_bytes(transferred: usize) -> [usize; 2] {
    [0, 1].map(|end| {
        let mut pair = Pair::connected(&Config::default(), 101);
        let mut written = 0;
        while written < transferred {
            written += pair.write(transferred - written);
            pair.run_for(Duration::from_millis(1), false);
        }
        pair.run_for(Duration::from_secs(40), false);
        assert_eq!(pair.read_bytes, transferred as u64);
        let connection = pair.ends.into_iter().nth(end).expect("there are two").connection;
        // What lies behind the value is what its end gives back.
        let freed_bytes = -measure(|| drop(connection)).bytes_current;
        usize::try_from(freed_bytes).expect("an end allocates nothing") + size_of::<Connection>()
    })
}

#[test]
fn an_idle_connection_takes_less_than_16_kib() {
    for transferred in [1000, 20_000_000] {
        let bytes = idle_bytes(transferred);
        assert!(bytes.iter().all(|&bytes| bytes < IDLE_BYTES_MAX), "{bytes:?} after {transferred}");
    }
}

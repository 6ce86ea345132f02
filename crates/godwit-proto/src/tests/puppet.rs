//! One real connection whose peer the test plays by hand, packet by packet.

use std::net::SocketAddr;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes};

use super::network::noise;
use crate::packet::{
    AckRates, Control, DataHeader, FullAck, Handshake, LossReport, MessagePosition, Packet, RequestType, SocketType,
};
use crate::seq::{AckNumber, MsgNumber, Seq};
use crate::{
    Batch, Config, Connection, ConnectionHandle, Contents, Endpoint, EndpointConfig, Event, Handshaken, ListenLimits,
    Path, Route,
};

/// The socket id of the peer that the test plays.
pub(crate) const PEER_ID: u32 = 0x0BAD_CAFE;
/// The window that it announces.
pub(crate) const PEER_WINDOW_PACKETS: u32 = 8192;
/// No honest exchange has more answers to one event.
const ANSWERS_MAX: usize = 100_000;

pub(crate) struct Puppet {
    pub(crate) now: Instant,
    pub(crate) endpoint: Endpoint,
    pub(crate) connection: Connection,
    pub(crate) peer: SocketAddr,
    pub(crate) isn: Seq,
    pub(crate) events: Vec<Event>,
}

impl Puppet {
    /// The test plays a client that was accepted and has been heard.
    pub(crate) fn accepted(config: Config) -> Self {
        let mut puppet = Self::half_open(config);
        puppet.receive(&Control::KeepAlive);
        puppet
    }

    /// The test plays a client that has sent its conclusion and nothing else.
    pub(crate) fn half_open(config: Config) -> Self {
        let (now, peer) = (crate::tests::epoch(), peer_address());
        let path = Path { remote: peer, local: None };
        let mut endpoint = Endpoint::new(EndpointConfig::default(), [1; 32]);
        let isn = config.initial_seq.unwrap_or(Seq::new(1000));
        let request = Handshake { socket_type: config.socket_type().to_wire(), isn, ..peer_handshake() };
        endpoint.listen(config, ListenLimits::default()).expect("the first listener");
        let mut reply = Vec::new();
        let induction = encoded(&Control::Handshake(request), 0);
        endpoint.handle_handshake(now, &induction, path, 1500, 0, &mut reply);
        let conclusion = Handshake { request: RequestType::Conclusion, ..handshake_in(&reply) };
        let conclusion = encoded(&Control::Handshake(conclusion), 0);
        match endpoint.handle_handshake(now, &conclusion, path, 1500, 0, &mut reply) {
            Handshaken::Accepted(_, connection) => {
                Self { now, endpoint, connection: *connection, peer, isn, events: Vec::new() }
            }
            other => panic!("not accepted: {other:?}"),
        }
    }

    /// The test plays a listener that has answered nothing yet.
    pub(crate) fn connecting(config: Config) -> Self {
        Self::connecting_to(config, peer_address())
    }

    pub(crate) fn connecting_to(config: Config, peer: SocketAddr) -> Self {
        let now = crate::tests::epoch();
        let mut endpoint = Endpoint::new(EndpointConfig::default(), [2; 32]);
        let path = Path { remote: peer, local: None };
        let (_, connection) = endpoint.connect(now, path, config).expect("room");
        Self { now, endpoint, connection, peer, isn: Seq::new(0), events: Vec::new() }
    }

    /// The test plays a listener that has let the connection in.
    pub(crate) fn connected(config: Config) -> Self {
        Self::connected_to(config, peer_address())
    }

    pub(crate) fn connected_to(config: Config, peer: SocketAddr) -> Self {
        let mut puppet = Self::connecting_to(config, peer);
        let request = handshake_in(&puppet.drain()[0]);
        let response = Handshake { cookie: 7, ..request };
        let conclusion = handshake_in(&puppet.receive(&Control::Handshake(response))[0]);
        puppet.isn = conclusion.isn;
        let response = Handshake { isn: conclusion.isn, request: RequestType::Conclusion, ..peer_handshake() };
        puppet.receive(&Control::Handshake(response));
        assert!(puppet.events.contains(&Event::Connected));
        puppet
    }

    /// Hands over a control packet and returns what goes out.
    pub(crate) fn receive(&mut self, control: &Control<'_>) -> Vec<Vec<u8>> {
        let datagram = encoded(control, self.connection.id());
        self.receive_datagram(&datagram)
    }

    /// Hands over a datagram, which has to be addressed to the connection, and returns what goes out.
    pub(crate) fn receive_datagram(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        self.receive_batch(datagram, datagram.len())
    }

    /// Hands over datagrams of `stride` bytes that arrived together.
    pub(crate) fn receive_batch(&mut self, datagrams: &[u8], stride: usize) -> Vec<Vec<u8>> {
        let route = self.endpoint.route(self.now, &datagrams[..stride.min(datagrams.len())], self.peer);
        assert!(!matches!(route, Route::Handshake), "a datagram for the endpoint");
        let (contents, arrived) = (Bytes::copy_from_slice(datagrams), self.now);
        let batch =
            Batch { contents, stride: stride.max(1), capacity_bytes: datagrams.len(), arrived, is_stamped: true };
        self.connection.handle_datagrams(self.now, &batch);
        self.drain()
    }

    /// Hands over a conclusion that came again, as the endpoint says.
    pub(crate) fn receive_conclusion(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let (contents, arrived) = (Bytes::copy_from_slice(datagram), self.now);
        let batch = Batch { contents, stride: datagram.len(), capacity_bytes: 64, arrived, is_stamped: true };
        self.connection.handle_datagrams(self.now, &batch);
        self.drain()
    }

    /// The name of the connection within its endpoint.
    pub(crate) fn handle(&mut self) -> ConnectionHandle {
        let packet = encoded(&Control::KeepAlive, self.connection.id());
        match self.endpoint.route(self.now, &packet, self.peer) {
            Route::Connection(handle) => handle,
            route => panic!("{route:?}"),
        }
    }

    /// Packet `offset` of the peer's stream, with this payload.
    pub(crate) fn data(&self, offset: u32, payload: &[u8]) -> Vec<u8> {
        self.message_packet(offset, payload, MessagePosition::Solo, MsgNumber::FIRST)
    }

    pub(crate) fn message_packet(
        &self,
        offset: u32,
        payload: &[u8],
        position: MessagePosition,
        message: MsgNumber,
    ) -> Vec<u8> {
        let (seq, destination) = (self.isn.add(offset), self.connection.id());
        let mut datagram = vec![0; 16];
        DataHeader { seq, position, in_order: false, message, timestamp_us: 0, destination }.encode(&mut datagram);
        datagram.extend_from_slice(payload);
        datagram
    }

    /// Hands over full packets of the peer's stream.
    pub(crate) fn receive_data(&mut self, offsets: impl IntoIterator<Item = u32>) -> Vec<Vec<u8>> {
        let payload = noise(self.connection.stats(self.now).mss_bytes as usize - 44);
        let packets: Vec<_> = offsets.into_iter().map(|offset| self.data(offset, &payload)).collect();
        packets.iter().flat_map(|packet| self.receive_datagram(packet)).collect()
    }

    /// A full ACK of the first `packets` packets, with this window.
    pub(crate) fn ack(&self, number: u32, packets: u32, available_packets: u32) -> Control<'static> {
        let rates = AckRates { arrival_speed_packets_per_s: 10_000, link_capacity_packets_per_s: 100_000 };
        Control::Ack(FullAck {
            number: AckNumber::new(number),
            ack_seq: self.isn.add(packets),
            rtt_us: 20_000,
            rtt_var_us: 1_000,
            available_packets,
            rates: Some(rates),
            tail: &[],
        })
    }

    /// Writes to the stream, as much as fits, and returns what goes out.
    pub(crate) fn write(&mut self, data: &[u8]) -> Vec<Vec<u8>> {
        let mut written = 0;
        while let Poll::Ready(taken) = self.connection.write(self.now, &data[written..]) {
            written += taken.expect("the connection is open");
            if written == data.len() {
                break;
            }
        }
        self.drain()
    }

    /// Lets time pass, timer by timer, and returns what goes out meanwhile, and when.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<(Duration, Vec<u8>)> {
        let (start, end) = (self.now, self.now + time);
        let mut sent = Vec::new();
        while let Some(next) = self.connection.poll_timeout().filter(|&next| next <= end) {
            self.now = self.now.max(next);
            self.connection.handle_timeout(self.now);
            let at = self.now - start;
            sent.extend(self.drain().into_iter().map(|datagram| (at, datagram)));
            let next = self.connection.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "a timer in the past after a drain");
        }
        self.now = end;
        sent
    }

    /// Like [`pass`](Self::pass), without the times.
    pub(crate) fn pass_for(&mut self, time: Duration) -> Vec<Vec<u8>> {
        self.pass(time).into_iter().map(|(_, datagram)| datagram).collect()
    }

    pub(crate) fn drain(&mut self) -> Vec<Vec<u8>> {
        let (mut sent, mut scratch) = (Vec::new(), Vec::new());
        while let Some(transmit) = self.connection.poll_transmit(self.now, 44, &mut scratch) {
            let segment = transmit.segment_bytes.unwrap_or(usize::MAX);
            match transmit.contents {
                Contents::Scratch => sent.extend(scratch.chunks(segment.min(scratch.len())).map(<[u8]>::to_vec)),
                Contents::Slab(run) => {
                    let bytes = run.bytes();
                    sent.extend(bytes.chunks(segment.min(bytes.len())).map(<[u8]>::to_vec));
                    self.connection.restore(run);
                }
            }
            assert!(sent.len() < ANSWERS_MAX, "it never stops sending");
        }
        while let Some(event) = self.connection.poll_event() {
            self.events.push(event);
        }
        self.connection.check();
        sent
    }

    /// What the application gets.
    pub(crate) fn read(&mut self) -> Vec<u8> {
        let mut chunks = std::collections::VecDeque::new();
        let _ = self.connection.read(self.now, usize::MAX, &mut chunks);
        let mut read = Vec::new();
        chunks.into_iter().for_each(|payloads| read.put(payloads));
        read
    }
}

pub(crate) fn peer_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 99], 9000))
}

/// What the peer says of itself.
pub(crate) fn peer_handshake() -> Handshake {
    Handshake {
        version: Handshake::VERSION,
        socket_type: SocketType::STREAM,
        isn: Seq::new(1000),
        mss_bytes: 1500,
        window_packets: PEER_WINDOW_PACKETS,
        request: RequestType::Induction,
        socket_id: PEER_ID,
        cookie: 0,
        peer_ip: [0; 4],
    }
}

pub(crate) fn encoded(control: &Control<'_>, destination: u32) -> Vec<u8> {
    let mut datagram = Vec::new();
    control.encode(0, destination, &mut datagram);
    datagram
}

pub(crate) fn handshake_in(datagram: &[u8]) -> Handshake {
    match Packet::decode(datagram) {
        Ok(Packet::Control(packet)) => match packet.control {
            Control::Handshake(handshake) => handshake,
            other => panic!("no handshake: {other:?}"),
        },
        other => panic!("no handshake: {other:?}"),
    }
}

/// A NAK of the loss list in `words`, as it is on the wire.
pub(crate) fn nak_bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// Hands a loss list over.
pub(crate) fn receive_nak(puppet: &mut Puppet, words: &[u32]) -> Vec<Vec<u8>> {
    let bytes = nak_bytes(words);
    puppet.receive(&Control::Nak(LossReport::decode(&bytes).expect("at least a word")))
}

/// The control packets among `datagrams`.
pub(crate) fn controls<'a>(datagrams: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<Control<'a>> {
    let control = |datagram: &'a Vec<u8>| match Packet::decode(datagram) {
        Ok(Packet::Control(packet)) => Some(packet.control),
        _ => None,
    };
    datagrams.into_iter().filter_map(control).collect()
}

/// The full ACKs among `datagrams`.
pub(crate) fn acks(datagrams: &[Vec<u8>]) -> Vec<FullAck<'_>> {
    let ack = |control| match control {
        Control::Ack(ack) => Some(ack),
        _ => None,
    };
    controls(datagrams).into_iter().filter_map(ack).collect()
}

/// Sequence numbers of the data packets among `datagrams`, with the length of their payloads.
pub(crate) fn data_packets<'a>(datagrams: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<(Seq, usize)> {
    let data = |datagram: &'a Vec<u8>| match Packet::decode(datagram) {
        Ok(Packet::Data(data)) => Some((data.header.seq, data.payload.len())),
        _ => None,
    };
    datagrams.into_iter().filter_map(data).collect()
}

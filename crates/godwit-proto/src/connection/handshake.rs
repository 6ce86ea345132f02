//! The opening of a connection, in each of the three roles (specification section 2).

use crate::config::{MIN_MSS_BYTES, MIN_WINDOW_PACKETS};
use crate::error::ConnectionError;
use crate::packet::{Handshake, RequestType, SocketType};
use crate::seq::Seq;

/// Conclusions without an answer before a client starts anew with induction: a libudt listener does not accept a cookie of
/// the minute before (specification section 2.4, pitfall 8). Deviation 12.
const CONCLUSIONS_BEFORE_INDUCTION: u8 = 3;

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) peer_id: u32,
    pub(crate) mss_bytes: u32,
    pub(crate) peer_window_packets: u32,
    pub(crate) local_isn: Seq,
    pub(crate) remote_isn: Seq,
}

/// What a received handshake leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It means nothing here.
    Ignore,
    /// Something is to be sent at once.
    Send,
    /// The connection is open; for a rendezvous there may be something to be sent, too.
    Connected(Agreement),
    /// The connection can't be.
    Failed(ConnectionError),
}

/// The role in the handshake, and how far it got.
#[derive(Clone, Debug)]
pub(super) enum Opening {
    Client(ClientOpening),
    Server(ServerOpening),
    Rendezvous(RendezvousOpening),
}

impl Opening {
    /// A handshake that was addressed to this connection, or to id 0 by its peer.
    pub(super) fn on_handshake(&mut self, received: &Handshake) -> Step {
        match self {
            Self::Client(client) => client.on_handshake(received),
            Self::Server(server) => server.on_handshake(received),
            Self::Rendezvous(rendezvous) => rendezvous.on_handshake(received),
        }
    }

    /// What to send now, and to which socket id; `None` once nothing is left to say.
    pub(super) fn message(&self) -> Option<(Handshake, u32)> {
        match self {
            Self::Client(client) => client.message(),
            Self::Server(server) => Some((server.response, server.peer_id)),
            Self::Rendezvous(rendezvous) => Some(rendezvous.message()),
        }
    }

    /// The last message was not answered in time.
    pub(super) fn on_silence(&mut self) {
        if let Self::Client(client) = self {
            client.on_silence();
        }
    }

    /// Another packet than a handshake came while still connecting: it completes a rendezvous.
    pub(super) fn on_other_packet(&mut self) -> Option<Agreement> {
        match self {
            Self::Rendezvous(rendezvous) => rendezvous.conclude(),
            Self::Client(_) | Self::Server(_) => None,
        }
    }

    /// Whether the peer may still be waiting for our last handshake, so that anything else would confuse it.
    pub(super) fn is_server(&self) -> bool {
        matches!(self, Self::Server(_))
    }
}

/// The client of a listener: induction, conclusion, connected.
#[derive(Clone, Debug)]
pub(super) struct ClientOpening {
    request: Handshake,
    conclusions: u8,
    is_done: bool,
}

impl ClientOpening {
    /// `own` is what this side says of itself.
    pub(super) fn new(own: Handshake) -> Self {
        let request = Handshake { request: RequestType::Induction, cookie: 0, ..own };
        Self { request, conclusions: 0, is_done: false }
    }

    fn message(&self) -> Option<(Handshake, u32)> {
        (!self.is_done).then_some((self.request, 0))
    }

    fn on_silence(&mut self) {
        if self.request.request != RequestType::Conclusion {
            return;
        }
        self.conclusions += 1;
        if self.conclusions >= CONCLUSIONS_BEFORE_INDUCTION {
            self.conclusions = 0;
            self.request.request = RequestType::Induction;
            self.request.cookie = 0;
        }
    }

    fn on_handshake(&mut self, received: &Handshake) -> Step {
        if self.is_done {
            return Step::Ignore;
        }
        match received.request {
            RequestType::Induction if self.request.request == RequestType::Induction => {
                self.request.request = RequestType::Conclusion;
                self.request.cookie = received.cookie;
                Step::Send
            }
            RequestType::Rejected(code) => Step::Failed(ConnectionError::Rejected { code: code.unsigned_abs() }),
            RequestType::Conclusion | RequestType::Agreement => self.conclude(received),
            RequestType::Induction | RequestType::Rendezvous | RequestType::Other(_) => Step::Ignore,
        }
    }

    /// Version, type and cookie of a response may be 0 (pitfall 6); the sequence number is what proves that it is ours. Deviation 6.
    fn conclude(&mut self, received: &Handshake) -> Step {
        let Some(agreement) = agree(&self.request, received) else {
            return Step::Failed(ConnectionError::InvalidHandshake);
        };
        if received.isn != self.request.isn {
            return Step::Failed(ConnectionError::InvalidHandshake);
        }
        self.is_done = true;
        Step::Connected(agreement)
    }
}

/// A connection that a listener made: it is open from the start, but its response may have been lost.
#[derive(Clone, Debug)]
pub(super) struct ServerOpening {
    response: Handshake,
    peer_id: u32,
}

impl ServerOpening {
    /// `own` is what this side says of itself, `request` the client's conclusion. `None` if its values can't work.
    pub(super) fn new(own: Handshake, request: &Handshake) -> Option<(Self, Agreement)> {
        // In this role both directions use the client's sequence number (pitfall 12).
        let own = Handshake { isn: request.isn, ..own };
        let agreement = agree(&own, request)?;
        let response = Handshake {
            request: RequestType::Conclusion,
            mss_bytes: agreement.mss_bytes,
            cookie: request.cookie,
            ..own
        };
        Some((Self { response, peer_id: request.socket_id }, agreement))
    }

    fn on_handshake(&self, received: &Handshake) -> Step {
        // A repeated request: the response was lost. Anything else is for other roles.
        match received.request {
            RequestType::Conclusion | RequestType::Induction => Step::Send,
            _ => Step::Ignore,
        }
    }
}

/// One of two peers that connect to each other.
#[derive(Clone, Debug)]
pub(super) struct RendezvousOpening {
    own: Handshake,
    peer: Option<Handshake>,
    is_done: bool,
}

impl RendezvousOpening {
    /// `own` is what this side says of itself.
    pub(super) fn new(own: Handshake) -> Self {
        Self { own: Handshake { request: RequestType::Rendezvous, cookie: 0, ..own }, peer: None, is_done: false }
    }

    fn message(&self) -> (Handshake, u32) {
        let destination = self.peer.map_or(0, |peer| peer.socket_id);
        if self.is_done {
            // What libudt answers when it is connected: version and type 0.
            let answer = Handshake {
                version: 0,
                socket_type: SocketType(0),
                request: RequestType::Agreement,
                cookie: 0,
                peer_ip: [0; 4],
                ..self.own
            };
            return (answer, destination);
        }
        (self.own, destination)
    }

    fn on_handshake(&mut self, received: &Handshake) -> Step {
        if self.is_done {
            let is_answer = received.request == RequestType::Agreement;
            return if is_answer || !self.is_peer(received) { Step::Ignore } else { Step::Send };
        }
        if !matches!(received.request, RequestType::Rendezvous | RequestType::Conclusion | RequestType::Agreement) {
            return Step::Ignore;
        }
        let is_ours = self.own.socket_type == received.socket_type || received.socket_type == SocketType(0);
        // A request 0 of another socket: the peer was started anew.
        let is_meant = received.request == RequestType::Rendezvous || self.is_peer(received);
        let Some(agreement) = agree(&self.own, received).filter(|_| is_ours && is_meant) else {
            return Step::Ignore;
        };
        self.peer = Some(*received);
        let is_first = self.own.request == RequestType::Rendezvous;
        // libudt takes the peer's MSS without a minimum: announce the minimum before it concludes. Deviation 15.
        self.own.mss_bytes = agreement.mss_bytes;
        self.own.request = RequestType::Conclusion;
        if is_first || received.request == RequestType::Rendezvous {
            return Step::Send;
        }
        self.is_done = true;
        Step::Connected(agreement)
    }

    fn conclude(&mut self) -> Option<Agreement> {
        let agreement = agree(&self.own, &self.peer?)?;
        self.is_done = true;
        Some(agreement)
    }

    fn is_peer(&self, received: &Handshake) -> bool {
        self.peer.is_none_or(|peer| peer.socket_id == received.socket_id && peer.isn == received.isn)
    }
}

/// What two handshakes lead to, or `None` if the received one has values that can't work (specification section 10.1:
/// such values crash libudt). Deviation 5.
fn agree(own: &Handshake, received: &Handshake) -> Option<Agreement> {
    let is_sane = received.mss_bytes >= MIN_MSS_BYTES
        && received.window_packets >= 1
        && received.window_packets <= WINDOW_PACKETS_MAX
        && (1..1 << 31).contains(&received.socket_id);
    is_sane.then(|| Agreement {
        peer_id: received.socket_id,
        mss_bytes: own.mss_bytes.min(received.mss_bytes),
        peer_window_packets: received.window_packets.max(MIN_WINDOW_PACKETS),
        local_isn: own.isn,
        remote_isn: received.isn,
    })
}

/// No honest window is larger: half of the sequence numbers.
const WINDOW_PACKETS_MAX: u32 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(request: RequestType, id: u32, isn: u32) -> Handshake {
        Handshake {
            version: 4,
            socket_type: SocketType::STREAM,
            isn: Seq::new(isn),
            mss_bytes: 1500,
            window_packets: 8192,
            request,
            socket_id: id,
            cookie: 0,
            peer_ip: [0; 4],
        }
    }

    #[test]
    fn a_client_asks_for_a_cookie_and_shows_it() {
        let mut client = Opening::Client(ClientOpening::new(handshake(RequestType::Induction, 5, 77)));
        let (request, destination) = client.message().expect("a request");
        assert_eq!((request.request, destination), (RequestType::Induction, 0));
        let induction = Handshake { cookie: 9, ..request };
        assert_eq!(client.on_handshake(&induction), Step::Send);
        let (conclusion, _) = client.message().expect("a request");
        assert_eq!((conclusion.request, conclusion.cookie), (RequestType::Conclusion, 9));
        // Pitfall 6: version and type 0, another window.
        let mut response = handshake(RequestType::Conclusion, 6, 77);
        (response.version, response.socket_type, response.mss_bytes) = (0, SocketType(0), 1400);
        let Step::Connected(agreement) = client.on_handshake(&response) else { panic!("not connected") };
        assert_eq!((agreement.peer_id, agreement.mss_bytes), (6, 1400));
        assert_eq!(client.message(), None);
    }

    #[test]
    fn a_client_starts_anew_when_its_cookie_has_grown_stale() {
        let mut client = Opening::Client(ClientOpening::new(handshake(RequestType::Induction, 5, 77)));
        client.on_handshake(&Handshake { cookie: 9, ..handshake(RequestType::Induction, 5, 77) });
        (0..CONCLUSIONS_BEFORE_INDUCTION).for_each(|_| client.on_silence());
        let (request, _) = client.message().expect("a request");
        assert_eq!((request.request, request.cookie), (RequestType::Induction, 0));
    }

    /// Pitfall 7: a refusal ends the attempt, and so does an answer with another sequence number.
    #[test]
    fn refusals_and_foreign_answers_fail() {
        let client = Opening::Client(ClientOpening::new(handshake(RequestType::Induction, 5, 77)));
        let refusal = Step::Failed(ConnectionError::Rejected { code: 1002 });
        assert_eq!(client.clone().on_handshake(&handshake(RequestType::REFUSED, 5, 77)), refusal);
        let foreign = handshake(RequestType::Conclusion, 6, 78);
        assert_eq!(client.clone().on_handshake(&foreign), Step::Failed(ConnectionError::InvalidHandshake));
        let tiny = Handshake { mss_bytes: 44, ..handshake(RequestType::Conclusion, 6, 77) };
        assert_eq!(client.clone().on_handshake(&tiny), Step::Failed(ConnectionError::InvalidHandshake));
    }

    /// Specification section 2.9: with different MSS both ends take the smaller one.
    #[test]
    fn two_peers_meet() {
        let own = |id, isn, mss_bytes| {
            let own = Handshake { mss_bytes, ..handshake(RequestType::Rendezvous, id, isn) };
            Opening::Rendezvous(RendezvousOpening::new(own))
        };
        let (mut a, mut b) = (own(1, 10, 1500), own(2, 20, 1400));
        let request = b.message().expect("a request").0;
        assert_eq!(a.on_handshake(&request), Step::Send);
        let (answer, destination) = a.message().expect("an answer");
        assert_eq!((answer.request, answer.mss_bytes, destination), (RequestType::Conclusion, 1400, 2));
        assert_eq!(b.on_handshake(&answer), Step::Send);
        let Step::Connected(of_a) = a.on_handshake(&b.message().expect("an answer").0) else { panic!("a") };
        assert_eq!((of_a.mss_bytes, of_a.local_isn.value(), of_a.remote_isn.value()), (1400, 10, 20));
        // B hears of it from any other packet, or from the answer of a connected socket.
        assert!(b.clone().on_other_packet().is_some());
        assert_eq!(a.on_handshake(&b.message().expect("a repetition").0), Step::Send);
        let (agreement, _) = a.message().expect("an answer");
        assert_eq!((agreement.request, agreement.version), (RequestType::Agreement, 0));
        assert!(matches!(b.on_handshake(&agreement), Step::Connected(_)));
    }
}

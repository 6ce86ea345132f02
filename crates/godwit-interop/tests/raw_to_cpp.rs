//! A peer made of bare sockets and bytes against the C++ library: the handshake, data and close, datagram by datagram.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use godwit_interop::{
    CppPeer, Fingerprint, Library, against_each_library,
    raw::{self, Handshake, Packet},
};

type TestResult = Result<(), Box<dyn std::error::Error>>;

const HANG_LIMIT: Duration = Duration::from_secs(30);
const SOCKET_ID: u32 = 0x1234_5678;
const ISN: u32 = 0x7FFF_FFFF;

/// A bare UDP socket that talks to one C++ listener.
struct RawPeer {
    socket: UdpSocket,
}

impl RawPeer {
    fn new(listener: SocketAddr) -> std::io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(listener)?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        Ok(Self { socket })
    }

    /// Sends a datagram until one comes back that `wanted` picks; answers are as unreliable as all UDP.
    fn ask<T>(&self, datagram: &[u8], wanted: impl Fn(&[u8]) -> Option<T>) -> T {
        let deadline = Instant::now() + HANG_LIMIT;
        let mut buffer = [0; 2_048];
        while Instant::now() < deadline {
            self.socket.send(datagram).expect("the loopback takes datagrams");
            while let Ok(length) = self.socket.recv(&mut buffer) {
                if let Some(answer) = wanted(&buffer[..length]) {
                    return answer;
                }
            }
        }
        panic!("no answer within {HANG_LIMIT:?}");
    }

    /// The answer with `request` to a handshake; repeated requests leave late copies of earlier answers behind.
    fn handshake(&self, handshake: Handshake, request: u32) -> Handshake {
        self.ask(&handshake.encode(), |datagram| Handshake::decode(datagram).filter(|answer| answer.request == request))
    }
}

against_each_library! {
    fn a_connection_by_hand(library: Library) -> TestResult {
        // Held, because libudt lets the application read, and close, before it sends the ACK.
        let mut receiver = CppPeer::recv(library).expect_bytes(11).hold().spawn()?;
        let peer = RawPeer::new(receiver.address()?)?;

        let induction = Handshake::induction(SOCKET_ID, ISN);
        let challenge = peer.handshake(induction, raw::REQUEST_INDUCTION);
        assert_ne!(challenge.cookie, 0);
        assert_eq!(challenge, Handshake { destination_id: SOCKET_ID, cookie: challenge.cookie, ..induction });

        let conclusion =
            Handshake { request: raw::REQUEST_CONCLUSION, cookie: challenge.cookie, mss: 1_400, ..induction };
        let answer = peer.handshake(conclusion, raw::REQUEST_CONCLUSION);
        // A repeated request is answered with another window (specification section 2.7).
        let Handshake { socket_id, window, .. } = answer;
        assert_eq!(answer, Handshake { destination_id: SOCKET_ID, socket_id, window, ..conclusion });

        // Sequence number and message number 1; the ISN makes the next sequence number 0.
        let data = raw::data(ISN, 1, answer.socket_id, b"Hello, UDT!");
        let ack = peer.ask(&data, |datagram| {
            matches!(Packet::of(datagram), Packet::Ack(_)).then(|| raw::words(datagram)[4])
        });
        assert_eq!(ack, 0);
        assert_eq!(receiver.finish()?.received()?.fingerprint, Fingerprint::of(b"Hello, UDT!"));
        Ok(())
    }

    fn a_shutdown_ends_the_stream(library: Library) -> TestResult {
        let mut receiver = CppPeer::recv(library).spawn()?;
        let peer = RawPeer::new(receiver.address()?)?;
        let induction = Handshake::induction(SOCKET_ID, 5);
        let cookie = peer.handshake(induction, raw::REQUEST_INDUCTION).cookie;
        let conclusion = Handshake { request: raw::REQUEST_CONCLUSION, cookie, ..induction };
        let answer = peer.handshake(conclusion, raw::REQUEST_CONCLUSION);
        receiver.connected()?;
        peer.socket.send(&raw::control(5, 0, answer.socket_id, &[0]))?;
        let received = receiver.finish()?.received()?;
        assert!(received.saw_end);
        assert_eq!(received.fingerprint, Fingerprint::of(b""));
        Ok(())
    }

    fn a_wrong_cookie_is_ignored_and_a_wrong_type_refused(library: Library) -> TestResult {
        let mut receiver = CppPeer::recv(library).spawn()?;
        let peer = RawPeer::new(receiver.address()?)?;
        let induction = Handshake::induction(SOCKET_ID, 5);
        let cookie = peer.handshake(induction, raw::REQUEST_INDUCTION).cookie;
        let conclusion = Handshake { request: raw::REQUEST_CONCLUSION, cookie, ..induction };

        peer.socket.send(&Handshake { cookie: !cookie, ..conclusion }.encode())?;
        // Messages instead of a stream. Had the wrong cookie been accepted, there would be a connection by now.
        peer.handshake(Handshake { socket_type: 2, ..conclusion }, raw::REQUEST_REFUSED);
        assert!(receiver.kill().event("connected").is_err());
        Ok(())
    }
}

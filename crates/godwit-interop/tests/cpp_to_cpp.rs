//! The C++ library against itself: proves the peers and the relay, so that a failure against our stack is ours.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use godwit_interop::{Content, CppPeer, Library, PeerError, against_each_library, raw::Packet};
use godwit_relay::{Direction, LinkConfig, Relay, drop_first, drop_nth};

type TestResult = Result<(), Box<dyn std::error::Error>>;

const MIB: u64 = 1 << 20;
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

against_each_library! {
    fn a_stream_of_1_mib_from_connector_to_listener(library: Library) -> TestResult {
        let content = Content::new(1, MIB);
        let mut receiver = CppPeer::recv(library).perfmon().spawn()?;
        let sender = CppPeer::send(library, content).connect(receiver.address()?).perfmon().spawn()?;
        let sent = sender.finish()?;
        let received = receiver.finish()?;
        assert_eq!(sent.sent_bytes()?, MIB);
        assert_eq!(received.received()?.fingerprint, content.fingerprint());
        assert!(received.received()?.saw_end);
        // Sixteen calls of send, each of which starts a new packet.
        assert!(sent.perf()?.pkt_sent_total >= 16 * 46);
        assert!(received.perf()?.pkt_recv_total > 0);
        Ok(())
    }

    fn a_stream_of_1_mib_from_listener_to_connector(library: Library) -> TestResult {
        let content = Content::new(2, MIB);
        let mut sender = CppPeer::send(library, content).spawn()?;
        let receiver = CppPeer::recv(library).connect(sender.address()?).non_blocking().spawn()?;
        sender.finish()?;
        assert_eq!(receiver.finish()?.received()?.fingerprint, content.fingerprint());
        Ok(())
    }

    fn both_ways_at_once_over_ipv6(library: Library) -> TestResult {
        if UdpSocket::bind("[::1]:0").is_err() {
            eprintln!("skipped: this machine has no IPv6 loopback");
            return Ok(());
        }
        let (up, down) = (Content::new(3, MIB), Content::new(4, MIB / 2));
        let mut listener = CppPeer::both(library, down, up.bytes).listen("[::1]:0".parse()?).spawn()?;
        let connector = CppPeer::both(library, up, down.bytes).connect(listener.address()?).spawn()?;
        assert_eq!(connector.finish()?.received()?.fingerprint, down.fingerprint());
        assert_eq!(listener.finish()?.received()?.fingerprint, up.fingerprint());
        Ok(())
    }

    /// A libudt receiver forgets what its application has not read yet when the sender closes: on a machine that is busy elsewhere the
    /// last messages may be missing, which says nothing about ours. So there are several attempts.
    fn messages_in_order_and_not(library: Library) -> TestResult {
        let content = Content::new(5, MIB + 1);
        for (message_bytes, in_order) in [(100_000, true), (1_000, false)] {
            let expected = content.message_fingerprint(message_bytes);
            let mut attempts = 0;
            let received = loop {
                let mut receiver = CppPeer::recv(library).messages(message_bytes).spawn()?;
                let sender = CppPeer::send(library, content).messages(message_bytes).connect(receiver.address()?);
                let sender = if in_order { sender.in_order() } else { sender };
                sender.spawn()?.finish()?;
                let received = receiver.finish()?.received()?;
                attempts += 1;
                if received.messages == expected || attempts == 5 {
                    break received;
                }
            };
            assert_eq!(received.messages, expected);
            assert!(!in_order || received.fingerprint == content.fingerprint());
        }
        Ok(())
    }

    fn a_file_by_sendfile_to_a_slow_reader(library: Library) -> TestResult {
        let content = Content::new(6, MIB);
        let mut receiver = CppPeer::recv(library).slow_read(2 * MIB).flow_window(64).receive_buffer(64 * 1472).spawn()?;
        let sender = CppPeer::send(library, content).by_sendfile().mss(1400).connect(receiver.address()?).spawn()?;
        sender.finish()?;
        let received = receiver.finish()?.received()?;
        assert_eq!(received.fingerprint, content.fingerprint());
        assert!(received.elapsed >= Duration::from_millis(450), "{:?}", received.elapsed);
        Ok(())
    }

    fn a_rendezvous_through_a_relay(library: Library) -> TestResult {
        let content = Content::new(7, MIB);
        let relay = Relay::between(ANY_PORT, ANY_PORT).start()?;
        let receiver = CppPeer::recv(library).rendezvous(ANY_PORT, relay.addr()).spawn()?;
        let sender = CppPeer::send(library, content).rendezvous(ANY_PORT, relay.addr_for_b()).spawn()?;
        sender.finish()?;
        assert_eq!(receiver.finish()?.received()?.fingerprint, content.fingerprint());
        relay.stats().check()?;
        Ok(())
    }

    fn an_echo_through_one_percent_loss_each_way(library: Library) -> TestResult {
        let content = Content::new(8, MIB);
        let lossy = LinkConfig { delay: Duration::from_millis(5), loss: 0.01, ..LinkConfig::default() };
        let mut echo = CppPeer::echo(library).spawn()?;
        let relay = Relay::start(echo.address()?, lossy, lossy, 8)?;
        let peer = CppPeer::both(library, content, content.bytes).connect(relay.addr()).perfmon().spawn()?;
        let report = peer.finish()?;
        assert_eq!(report.received()?.fingerprint, content.fingerprint());
        assert!(report.perf()?.pkt_retrans_total > 0);
        assert!(relay.stats().forward.lost > 0 && relay.stats().backward.lost > 0);
        relay.stats().check()?;
        // A lost shutdown would take it 46 s to notice: nothing more is expected of it.
        echo.kill();
        Ok(())
    }

    fn each_handshake_datagram_lost_in_turn(library: Library) -> TestResult {
        let content = Content::new(9, 100_000);
        for (direction, nth) in
            [(Direction::Forward, 0), (Direction::Backward, 0), (Direction::Forward, 1), (Direction::Backward, 1)]
        {
            let mut receiver = CppPeer::recv(library).expect_bytes(content.bytes).spawn()?;
            let filter = drop_nth(direction, nth, Packet::is_handshake);
            let relay = Relay::builder(receiver.address()?).filter(filter).start()?;
            let sender = CppPeer::send(library, content).connect(relay.addr()).spawn()?;
            sender.finish()?;
            assert_eq!(receiver.finish()?.received()?.fingerprint, content.fingerprint());
            assert_eq!(relay.stats().filtered.iter().sum::<u64>(), 1);
        }
        Ok(())
    }

    fn a_lost_shutdown_leaves_the_peer_waiting(library: Library) -> TestResult {
        let content = Content::new(10, 10_000);
        let mut receiver = CppPeer::recv(library).expect_bytes(content.bytes).hold().spawn()?;
        let filter = drop_first(Direction::Forward, u64::MAX, Packet::is_shutdown);
        let relay = Relay::builder(receiver.address()?).filter(filter).start()?;
        CppPeer::send(library, content).connect(relay.addr()).spawn()?.finish()?;
        receiver.wait_for("received")?;
        // The shutdown may still be on its way into the relay.
        let deadline = Instant::now() + Duration::from_secs(30);
        while relay.stats().filtered != [1, 0] {
            assert!(Instant::now() < deadline, "no shutdown came: {:?}", relay.stats());
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(receiver.kill().event("broken").is_err());
        Ok(())
    }

    fn a_killed_peer_says_no_goodbye(library: Library) -> TestResult {
        let mut listener = CppPeer::idle(library).spawn()?;
        let relay = Relay::builder(listener.address()?)
            .filter(drop_first(Direction::Forward, u64::MAX, Packet::is_shutdown))
            .start()?;
        let mut connector = CppPeer::idle(library).connect(relay.addr()).spawn()?;
        connector.connected()?;
        listener.connected()?;
        connector.kill();
        assert_eq!(relay.stats().filtered, [0, 0]);
        let report = listener.finish()?;
        assert!(report.event("broken").is_err());
        Ok(())
    }

    fn a_stream_socket_is_refused_by_a_listener_for_messages(library: Library) -> TestResult {
        let mut listener = CppPeer::recv(library).messages(1_000).spawn()?;
        let mut connector = CppPeer::idle(library).connect(listener.address()?).spawn()?;
        let error = connector.connected().unwrap_err();
        assert!(matches!(&error, PeerError::Udt { call, code: 1002 } if call == "connect"), "{error}");
        Ok(())
    }

    fn nobody_answers(library: Library) -> TestResult {
        let silent = UdpSocket::bind(ANY_PORT)?;
        let mut connector = CppPeer::idle(library).connect(silent.local_addr()?).spawn()?;
        let error = connector.connected().unwrap_err();
        assert!(matches!(&error, PeerError::Udt { call, code: 1001 } if call == "connect"), "{error}");
        Ok(())
    }
}

#[test]
fn a_peer_that_never_gets_further_is_killed_at_the_hang_limit() {
    let mut waiting = CppPeer::recv(Library::Bundled).hang_limit(Duration::from_millis(50)).spawn().unwrap();
    assert!(matches!(waiting.connected(), Err(PeerError::Hangs { awaited: "connected", .. })));
    assert!(matches!(waiting.connected(), Err(PeerError::Ended { .. })));
}

//! How connections with the C++ library begin: initial sequence numbers, lost handshakes, early data, refusals.

use std::time::Duration;

use godwit_interop::{
    Content, CppPeer, CppPeerBuilder, Library, OurEnd, Outcome, PeerError, Role, Transfer, TransferError,
    against_each_library,
    raw::{self, Packet},
};
use godwit_relay::{Direction, Filter, Verdict, drop_first};
use godwit_udt::{Config, ConnectError, ConnectionError, SocketType};

type TestResult = Result<(), Box<dyn std::error::Error>>;

const SMALL: u64 = 100_000;
/// The numbers wrap within the first packets, or are at the end of their range.
const ISNS: [u32; 4] = [0, 1, 0x7FFF_FFF0, 0x7FFF_FFFF];

fn exchange(library: Library) -> Transfer {
    Transfer::both_ways(library, Content::new(1, SMALL), Content::new(2, 2 * SMALL))
}

/// Handshakes of this type that go this way are lost, as many as said.
fn lose(direction: Direction, count: u64, request: u32) -> impl Fn() -> Filter + Send + Sync {
    move || drop_first(direction, count, move |datagram| Packet::is_request(datagram, request))
}

/// Loses each of these requests in turn, each way: once, and until shortly before libudt gives up, which is after 3 s.
/// Returns how many were to be lost, too.
fn lose_each(transfer: Transfer, requests: &[u32]) -> Result<Vec<(Outcome, u64)>, TransferError> {
    let ways =
        [Direction::Forward, Direction::Backward].into_iter().flat_map(|direction| [(direction, 1), (direction, 3)]);
    let cases = ways.flat_map(|(direction, count)| requests.iter().map(move |&request| (direction, count, request)));
    let cases: Vec<_> = cases.collect();
    let losing =
        cases.iter().map(|&(direction, count, request)| transfer.clone().filtered(lose(direction, count, request)));
    let outcomes = Transfer::run_together(losing)?;
    Ok(outcomes.into_iter().zip(cases).map(|(outcome, (_, count, _))| (outcome, count)).collect())
}

against_each_library! {
    fn each_isn_where_we_connect_or_meet(library: Library) -> TestResult {
        for role in [Role::WeConnect, Role::Rendezvous] {
            let with = |isn| exchange(library).role(role).ours(|config| config.initial_seq(Some(isn)));
            Transfer::run_together(ISNS.map(with))?;
            Transfer::run_together(ISNS.map(|isn| with(isn).lossy(0.02).seed(isn.into())))?;
        }
        Ok(())
    }

    fn each_handshake_datagram_lost(library: Library) -> TestResult {
        for role in [Role::WeConnect, Role::WeListen] {
            let requests = [raw::REQUEST_INDUCTION, raw::REQUEST_CONCLUSION];
            for (outcome, lost) in lose_each(exchange(library).role(role), &requests)? {
                let filtered: u64 = outcome.path.map_or(0, |path| path.filtered.iter().sum());
                assert_eq!(filtered, lost, "{role:?}: {:?}", outcome.path);
            }
        }
        Ok(())
    }

    fn each_handshake_datagram_of_a_rendezvous_lost(library: Library) -> TestResult {
        // The first request, the conclusion, and what a connected socket answers.
        lose_each(exchange(library).rendezvous(), &[0, raw::REQUEST_CONCLUSION, -2_i32 as u32])?;
        Ok(())
    }

    fn a_client_that_does_not_block(library: Library) -> TestResult {
        exchange(library).we_listen().cpp(CppPeerBuilder::non_blocking).run()?;
        exchange(library).we_listen().cpp(CppPeerBuilder::non_blocking).lossy(0.05).seed(1).run()?;
        Ok(())
    }

    /// Specification section 2.8: a blocking C++ client whose response comes after anything else is lost.
    fn a_server_that_sends_at_once(library: Library) -> TestResult {
        let at_once = || Transfer::to_cpp(library, Content::new(3, SMALL)).we_listen();
        for _ in 0..5 {
            Transfer::run_together([at_once(), at_once(), at_once(), at_once()])?;
        }
        let response_late = || -> Filter {
            let mut responses = 0;
            Box::new(move |datagram, direction| {
                let is_response =
                    direction == Direction::Backward && Packet::is_request(datagram, raw::REQUEST_CONCLUSION);
                responses += u32::from(is_response);
                if is_response && responses == 1 { Verdict::Delay(Duration::from_millis(100)) } else { Verdict::Pass }
            })
        };
        Transfer::run_together([
            at_once().filtered(lose(Direction::Backward, 1, raw::REQUEST_CONCLUSION)),
            at_once().filtered(lose(Direction::Backward, 2, raw::REQUEST_CONCLUSION)),
            at_once().filtered(lose(Direction::Backward, 4, raw::REQUEST_CONCLUSION)),
            at_once().filtered(response_late),
        ])?;
        Ok(())
    }

    fn a_stream_and_messages_refuse_each_other(library: Library) -> TestResult {
        let ours = OurEnd::bind([127, 0, 0, 1].into())?;
        let mut cpp = CppPeer::recv(library).spawn()?;
        let messages = Config::builder().socket_type(SocketType::Datagram).build()?;
        let refused = ours.connect(cpp.address()?, messages).map(drop);
        let is_refusal = |source: &_| matches!(source, ConnectionError::Rejected { code: 1002 });
        assert!(
            matches!(&refused, Err(TransferError::Connect(ConnectError::Failed { source, .. })) if is_refusal(source)),
            "{refused:?}"
        );

        let _listener = ours.listen(Config::default())?;
        let mut cpp = CppPeer::recv(library).messages(1_000).connect(ours.addr()).spawn()?;
        let error = cpp.connected().map(drop);
        assert!(matches!(&error, Err(PeerError::Udt { call, code: 1002 }) if call == "connect"), "{error:?}");
        Ok(())
    }
}

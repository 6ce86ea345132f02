//! What takes about a minute, because libudt does: all of it at the same time.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use godwit_interop::{
    Content, CppPeer, Library, Meeting, Met, OurEnd, PeerError, Role, TransferError,
    raw::{self, Handshake, Packet},
};
use godwit_relay::{Direction, Filter, Relay, Verdict, drop_first};
use godwit_udt::Config;
use tokio::io::AsyncWriteExt as _;

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// More than any peer takes before something happens to it.
const ENDLESS: u64 = 1 << 40;
const ROLES: [Role; 3] = [Role::WeConnect, Role::WeListen, Role::Rendezvous];

type Case = fn(Library, Role) -> Result<(), TransferError>;

const CASES: [(&str, &[Role], Case); 5] = [
    ("a cookie of the last minute", &[Role::WeConnect], a_cookie_of_the_last_minute),
    ("no shutdown ever arrives", &[Role::WeConnect], no_shutdown_ever_arrives),
    ("our sender was killed", &ROLES, our_killed_sender),
    ("our receiver was killed", &ROLES, our_killed_receiver),
    ("we were killed while nothing happened", &ROLES, our_killed_idler),
];

#[test]
fn a_minute_of_libudt() -> TestResult {
    if !Library::Debian.is_installed() {
        eprintln!("skipped for Debian's library: libudt.so.0 is not installed (Debian: apt-get install libudt0)");
    }
    let libraries = [Library::Bundled, Library::Debian].into_iter().filter(|library| library.is_installed());
    let runs = libraries.flat_map(|library| CASES.map(|case| (library, case)));
    let runs =
        runs.flat_map(|(library, (name, roles, case))| roles.iter().map(move |&role| (library, name, role, case)));
    std::thread::scope(|scope| {
        let running: Vec<_> = runs
            .map(|(library, name, role, case)| (library, name, role, scope.spawn(move || case(library, role))))
            .collect();
        for (library, name, role, thread) in running {
            let result = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result.map_err(|error| format!("{name} ({role:?}, {library}): {error}"))?;
        }
        Ok(())
    })
}

/// libudt notices after 46 s at the earliest; what it has received by then is what we have sent.
fn our_killed_sender(library: Library, role: Role) -> Result<(), TransferError> {
    let Met { mut stream, ours, mut cpp, .. } = Meeting::new(role).start(CppPeer::recv(library))?;
    let content = Content::new(1, 3 << 20);
    let stream = ours.run(async move { stream.write_all(&content.to_vec()).await.map(|()| stream) });
    let _stream = stream.map_err(TransferError::Write)?;
    ours.kill();
    cpp.wait_for("received")?;
    let received = cpp.finish()?.received()?;
    assert!(received.saw_end);
    let arrived = Content::new(1, received.fingerprint.bytes);
    assert_eq!(received.fingerprint, arrived.fingerprint());
    Ok(())
}

fn our_killed_receiver(library: Library, role: Role) -> Result<(), TransferError> {
    let Met { mut stream, ours, mut cpp, .. } =
        Meeting::new(role).start(CppPeer::send(library, Content::new(2, ENDLESS)))?;
    let _stream = ours
        .run(async move { stream.read_chunk(1 << 20).await.map(|_| stream) })
        .map_err(|error| TransferError::Read(error.into()))?;
    ours.kill();
    let lost = cpp.wait_for("sent");
    assert!(matches!(&lost, Err(PeerError::Udt { call, code: 2001 }) if call == "send"), "{lost:?}");
    Ok(())
}

fn our_killed_idler(library: Library, role: Role) -> Result<(), TransferError> {
    let Met { stream, ours, mut cpp, .. } = Meeting::new(role).start(CppPeer::idle(library))?;
    let _stream = stream;
    ours.kill();
    cpp.wait_for("broken")?;
    cpp.finish()?;
    Ok(())
}

/// Neither those that we send on our own account nor those that answer the peer's keep-alives.
fn no_shutdown_ever_arrives(library: Library, role: Role) -> Result<(), TransferError> {
    let content = Content::new(3, 100_000);
    let meeting = Meeting::new(role);
    let meeting = meeting.filtered(|| drop_first(Direction::Forward, u64::MAX, Packet::is_shutdown));
    let Met { mut stream, ours, mut cpp, relay: _relay } = meeting.start(CppPeer::recv(library))?;
    ours.run(async move {
        stream.write_all(&content.to_vec()).await.map_err(TransferError::Write)?;
        stream.close().await.map_err(TransferError::Close)
    })?;
    cpp.wait_for("received")?;
    assert_eq!(cpp.finish()?.received()?.fingerprint, content.fingerprint());
    Ok(())
}

/// A C++ listener forgets its cookies at each full minute of its life and ignores who comes with an older one
/// (specification section 2.4).
fn a_cookie_of_the_last_minute(library: Library, _role: Role) -> Result<(), TransferError> {
    let mut cpp = CppPeer::recv(library).spawn()?;
    let listener = cpp.address()?;
    let start = Instant::now();
    // It has listened for a few milliseconds longer than we know, so nothing that leaves us after this is early.
    let minute = start + Duration::from_secs(60);
    let cookies = Arc::new(Mutex::new(BTreeSet::new()));
    let relay = Relay::builder(listener).filter(hold_conclusions_until(minute, Arc::clone(&cookies))).start()?;
    let ours = OurEnd::bind(listener.ip())?;

    std::thread::sleep(Duration::from_millis(59_900).saturating_sub(start.elapsed()));
    let mut stream = ours.connect(relay.addr(), Config::default())?;
    let content = Content::new(4, 100_000);
    ours.run(async move {
        stream.write_all(&content.to_vec()).await.map_err(TransferError::Write)?;
        stream.close().await.map_err(TransferError::Close)
    })?;
    assert_eq!(cpp.finish()?.received()?.fingerprint, content.fingerprint());
    let cookies = cookies.lock().unwrap_or_else(PoisonError::into_inner).len();
    assert!(cookies >= 2, "the minute was not over in between: {cookies} cookie");
    Ok(())
}

/// Loses our conclusions until then, and keeps the cookies that the listener gives out.
fn hold_conclusions_until(then: Instant, cookies: Arc<Mutex<BTreeSet<u32>>>) -> Filter {
    Box::new(move |datagram, direction| {
        if direction == Direction::Backward && Packet::is_request(datagram, raw::REQUEST_INDUCTION) {
            let cookie = Handshake::decode(datagram).map(|handshake| handshake.cookie);
            cookies.lock().unwrap_or_else(PoisonError::into_inner).extend(cookie);
        }
        let is_early = Packet::is_request(datagram, raw::REQUEST_CONCLUSION) && Instant::now() < then;
        if direction == Direction::Forward && is_early { Verdict::Drop } else { Verdict::Pass }
    })
}

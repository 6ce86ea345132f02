//! How connections with the C++ library end: lost shutdowns, killed peers, aborts. What takes libudt most of a minute to
//! notice is in `patience.rs`, in this binary so that the other tests run meanwhile.

mod patience;

use std::time::Duration;

use godwit_interop::{
    Content, CppPeer, CppPeerBuilder, Fingerprint, Library, Meeting, Met, OurEnd, Role, Transfer, against_each_library,
    raw::Packet,
};
use godwit_relay::{Direction, drop_first};
use godwit_udt::{ConfigBuilder, ConnectionError, ReadError, Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

type TestResult = Result<(), Box<dyn std::error::Error>>;

const MIB: u64 = 1 << 20;
/// More than any peer takes before something happens to it.
const ENDLESS: u64 = 1 << 40;
const ROLES: [Role; 3] = [Role::WeConnect, Role::WeListen, Role::Rendezvous];

/// Notices a silent peer as soon as our settings allow.
fn impatient(config: ConfigBuilder) -> ConfigBuilder {
    config.peer_timeout(Duration::from_secs(5))
}

/// Reads until the connection is over: all bytes, and how it ended.
async fn read_all(mut stream: Stream) -> (Vec<u8>, Result<(), ReadError>) {
    let mut bytes = Vec::new();
    loop {
        match stream.read_chunk(1 << 16).await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            end => return (bytes, end.map(drop)),
        }
    }
}

/// Writes until the connection is over, and tells how it ended.
async fn write_for_ever(mut stream: Stream) -> std::io::Error {
    let content = Content::new(1, ENDLESS);
    for piece in content.pieces(1 << 16) {
        if let Err(error) = stream.write_all(&piece).await {
            return error;
        }
    }
    unreachable!("it is endless")
}

against_each_library! {
    fn our_shutdown_is_lost(library: Library) -> TestResult {
        for (role, direction) in [(Role::WeConnect, Direction::Forward), (Role::WeListen, Direction::Backward)] {
            // The first one and then all that are sent on our own account: the next answers the peer's keep-alive.
            Transfer::run_together([1, 3].map(|count| {
                let lossy = Transfer::to_cpp(library, Content::new(1, 100_000)).role(role);
                lossy.filtered(move || drop_first(direction, count, Packet::is_shutdown))
            }))?;
        }
        Ok(())
    }

    fn the_shutdown_of_libudt_is_lost(library: Library) -> TestResult {
        let content = Content::new(2, 100_000);
        let starts = [(Role::WeConnect, Direction::Backward), (Role::WeListen, Direction::Forward)].map(|(role, direction)| {
            let meeting = Meeting::new(role).ours(impatient);
            let meeting = meeting.filtered(move || drop_first(direction, u64::MAX, Packet::is_shutdown));
            meeting.start(CppPeer::send(library, content))
        });
        let mut reading = Vec::new();
        for met in starts {
            let Met { stream, ours, cpp, relay } = met?;
            reading.push((ours.spawn(read_all(stream)), ours, relay));
            cpp.finish()?;
        }
        for (reading, ours, _relay) in reading {
            let (bytes, end) = ours.wait(reading);
            assert_eq!(Fingerprint::of(&bytes), content.fingerprint());
            assert_eq!(end, Err(ReadError::ConnectionLost(ConnectionError::PeerTimeout)));
        }
        Ok(())
    }

    fn a_killed_receiver_is_noticed(library: Library) -> TestResult {
        let met = ROLES.map(|role| Meeting::new(role).ours(impatient).start(CppPeer::recv(library)));
        let mut writing = Vec::new();
        for met in met {
            let Met { stream, ours, cpp, .. } = met?;
            writing.push((ours.spawn(write_for_ever(stream)), ours));
            cpp.kill();
        }
        for (writing, ours) in writing {
            assert_eq!(ours.wait(writing).kind(), std::io::ErrorKind::TimedOut);
        }
        Ok(())
    }

    fn a_killed_sender_is_noticed(library: Library) -> TestResult {
        let sender = CppPeer::send(library, Content::new(3, ENDLESS));
        let met = ROLES.map(|role| Meeting::new(role).ours(impatient).start(sender.clone()));
        let mut reading = Vec::new();
        for met in met {
            let Met { mut stream, ours, cpp, .. } = met?;
            let (stream, begin) = ours.run(async move {
                let mut begin = vec![0; 3 * MIB as usize];
                stream.read_exact(&mut begin).await.map(|_| (stream, begin))
            })?;
            reading.push((ours.spawn(read_all(stream)), ours, begin));
            cpp.kill();
        }
        for (reading, ours, mut bytes) in reading {
            let (rest, end) = ours.wait(reading);
            assert_eq!(end, Err(ReadError::ConnectionLost(ConnectionError::PeerTimeout)));
            bytes.extend(rest);
            assert_eq!(Fingerprint::of(&bytes), Content::new(3, bytes.len() as u64).fingerprint());
        }
        Ok(())
    }

    /// The same port, and the same address of ours, as a connection that is still there as far as we know.
    fn a_killed_listener_that_is_started_again(library: Library) -> TestResult {
        let ours = OurEnd::bind([127, 0, 0, 1].into())?;
        let mut first = CppPeer::recv(library).spawn()?;
        let address = first.address()?;
        let mut lost = ours.connect(address, Default::default())?;
        first.kill();
        let content = Content::new(4, MIB);
        let second = CppPeer::recv(library).listen(address).spawn()?;
        let mut stream = ours.connect(address, Default::default())?;
        ours.run(async move {
            lost.write_all(b"nobody hears this").await?;
            stream.write_all(&content.to_vec()).await?;
            stream.shutdown().await
        })?;
        assert_eq!(second.finish()?.received()?.fingerprint, content.fingerprint());
        Ok(())
    }

    fn we_abort(library: Library) -> TestResult {
        for role in ROLES {
            let Met { mut stream, ours, cpp, .. } = Meeting::new(role).start(CppPeer::recv(library))?;
            // Dropped with much of it unsent, so that the stream ends anywhere.
            ours.run(async move { stream.write_all(&Content::new(5, 16 * MIB).to_vec()).await })?;
            let received = cpp.finish()?.received()?;
            assert!(received.saw_end);
            let bytes = received.fingerprint.bytes;
            assert_eq!(received.fingerprint, Content::new(5, bytes).fingerprint());
        }
        Ok(())
    }

    /// Its close loses what is not acknowledged; we get the beginning and an end, in whatever way.
    fn libudt_does_not_linger(library: Library) -> TestResult {
        let sender = CppPeer::send(library, Content::new(6, 3 * MIB)).linger(Duration::ZERO);
        for role in ROLES {
            let Met { stream, ours, cpp, .. } = Meeting::new(role).start(sender.clone())?;
            let reading = ours.spawn(read_all(stream));
            cpp.finish()?;
            let (bytes, end) = ours.wait(reading);
            assert_eq!(Fingerprint::of(&bytes), Content::new(6, bytes.len() as u64).fingerprint());
            assert!(matches!(end, Ok(()) | Err(ReadError::ConnectionLost(ConnectionError::Reset))), "{end:?}");
        }
        Ok(())
    }

    fn a_receiver_of_libudt_that_does_not_linger(library: Library) -> TestResult {
        let hasty = |peer: CppPeerBuilder| peer.linger(Duration::ZERO);
        Transfer::to_cpp(library, Content::new(7, 3 * MIB)).cpp(hasty).run()?;
        Transfer::to_cpp(library, Content::new(8, 3 * MIB)).we_listen().cpp(hasty).lossy(0.01).seed(1).run()?;
        Ok(())
    }

    /// libudt closes with our data still on its way, which it throws away.
    fn a_receiver_of_libudt_that_closes_early(library: Library) -> TestResult {
        for role in ROLES {
            let early = CppPeer::recv(library).expect_bytes(MIB);
            let Met { stream, ours, cpp, .. } = Meeting::new(role).start(early)?;
            let writing = ours.spawn(write_for_ever(stream));
            let received = cpp.finish()?.received()?;
            assert_eq!(received.fingerprint, Content::new(1, received.fingerprint.bytes).fingerprint());
            assert_eq!(ours.wait(writing).kind(), std::io::ErrorKind::BrokenPipe);
        }
        Ok(())
    }
}

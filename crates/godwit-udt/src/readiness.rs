//! Being told when the socket can be read or written, and being left alone at all other times.
//!
//! A socket that the runtime watches wakes a thread of it for each datagram that arrives and, on the loopback and over veth, for
//! each that leaves (its room in the send buffer is free again), whether or not anybody waits for that: with one datagram per call
//! this was half of the sender's time. So on Linux the socket is watched only while the driver waits, by an epoll instance of its
//! own, which the runtime watches in turn.

use std::io;
use std::net::UdpSocket;

#[cfg(target_os = "linux")]
pub(crate) use gate::Readiness;
#[cfg(not(target_os = "linux"))]
pub(crate) use runtime::Readiness;

/// For what the driver waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Until there may be something to receive.
    pub(crate) readable: bool,
    /// Until there may be room to send.
    pub(crate) writable: bool,
}

impl Wanted {
    pub(crate) const NOTHING: Self = Self { readable: false, writable: false };
}

#[cfg(target_os = "linux")]
mod gate {
    use std::os::fd::OwnedFd;

    use rustix::event::Timespec;
    use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::{UdpSocket, Wanted, io};

    /// A socket and the gate between it and the runtime.
    #[derive(Debug)]
    pub(crate) struct Readiness {
        socket: UdpSocket,
        gate: AsyncFd<OwnedFd>,
        is_open: bool,
    }

    impl Readiness {
        /// Must be called inside a tokio runtime with I/O enabled.
        #[expect(deprecated, reason = "its successor is unsafe; this is sound for an OwnedFd that nobody replaces")]
        pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
            let gate = epoll::create(CreateFlags::CLOEXEC)?;
            epoll::add(&gate, &socket, EventData::new_u64(0), EventFlags::empty())?;
            Ok(Self { socket, gate: AsyncFd::with_interest(gate, Interest::READABLE)?, is_open: false })
        }

        pub(crate) const fn socket(&self) -> &UdpSocket {
            &self.socket
        }

        /// Does it, which needs no look at the runtime here.
        pub(crate) fn try_io<T>(&self, _: Interest, operation: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
            operation()
        }

        /// Waits until something wanted may be possible; it may also be nothing. [`rest`](Self::rest) has to follow.
        ///
        /// # Errors
        /// The runtime is shutting down.
        ///
        /// # Cancel safety
        /// Cancel safe.
        pub(crate) async fn ready(&mut self, wanted: Wanted) -> io::Result<()> {
            let mut events = EventFlags::empty();
            events.set(EventFlags::IN, wanted.readable);
            events.set(EventFlags::OUT, wanted.writable);
            epoll::modify(&self.gate, &self.socket, EventData::new_u64(0), events)?;
            self.is_open = true;
            self.gate.readable().await?.clear_ready();
            Ok(())
        }

        /// Waits until the runtime hears something.
        #[cfg(test)]
        pub(super) async fn told(&self) {
            self.gate.readable().await.expect("a gate").clear_ready();
        }

        /// Nobody is told anything until the next wait.
        ///
        /// # Errors
        /// None that a sound system has.
        pub(crate) fn rest(&mut self) -> io::Result<()> {
            if !std::mem::take(&mut self.is_open) {
                return Ok(());
            }
            epoll::modify(&self.gate, &self.socket, EventData::new_u64(0), EventFlags::empty())?;
            // What stays in the list of what is ready would keep the next change of the gate from waking the runtime.
            let mut event = [Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }];
            epoll::wait(&self.gate, &mut event[..], Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
            Ok(())
        }
    }
}

#[cfg_attr(target_os = "linux", expect(dead_code, reason = "Linux has a gate"))]
mod runtime {
    use tokio::io::Interest;

    use super::{UdpSocket, Wanted, io};

    /// A socket that the runtime watches.
    #[derive(Debug)]
    pub(crate) struct Readiness {
        socket: tokio::net::UdpSocket,
    }

    impl Readiness {
        /// Must be called inside a tokio runtime with I/O enabled.
        pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
            Ok(Self { socket: tokio::net::UdpSocket::from_std(socket)? })
        }

        pub(crate) const fn socket(&self) -> &tokio::net::UdpSocket {
            &self.socket
        }

        /// Does it if it may be possible, and notes if it was not.
        pub(crate) fn try_io<T>(&self, kind: Interest, operation: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
            self.socket.try_io(kind, operation)
        }

        /// Waits until something wanted may be possible.
        ///
        /// # Errors
        /// The runtime is shutting down.
        ///
        /// # Cancel safety
        /// Cancel safe.
        pub(crate) async fn ready(&mut self, wanted: Wanted) -> io::Result<()> {
            tokio::select! {
                readable = self.socket.readable(), if wanted.readable => readable,
                writable = self.socket.writable(), if wanted.writable => writable,
                else => std::future::pending().await,
            }
        }

        #[expect(clippy::unnecessary_wraps, reason = "Linux has more to do")]
        pub(crate) const fn rest(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const TO_RECEIVE: Wanted = Wanted { readable: true, writable: false };
    const HANG_MAX: Duration = Duration::from_secs(20);
    const WHILE: Duration = Duration::from_millis(5);

    fn pair() -> (Readiness, UdpSocket) {
        let [ours, theirs] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        theirs.connect(ours.local_addr().unwrap()).unwrap();
        ours.set_nonblocking(true).unwrap();
        (Readiness::new(ours).unwrap(), theirs)
    }

    #[tokio::test]
    async fn what_has_not_been_received_is_told_again_at_each_wait() {
        let (mut ours, theirs) = pair();
        theirs.send(b"1").unwrap();
        for _ in 0..3 {
            timeout(HANG_MAX, ours.ready(TO_RECEIVE)).await.expect("there is something").unwrap();
            ours.rest().unwrap();
        }
        ours.socket().recv(&mut [0; 9]).unwrap();
    }

    #[tokio::test]
    async fn a_wait_that_was_given_up_leaves_nothing_behind() {
        let (mut ours, theirs) = pair();
        for round in 0..3 {
            assert!(timeout(WHILE, ours.ready(TO_RECEIVE)).await.is_err(), "nothing has come in round {round}");
            // While the gate is open, and after it was closed.
            theirs.send(b"1").unwrap();
            ours.rest().unwrap();
            theirs.send(b"2").unwrap();
            timeout(HANG_MAX, ours.ready(TO_RECEIVE)).await.expect("there is something").unwrap();
            ours.rest().unwrap();
            for _ in 0..2 {
                ours.socket().recv(&mut [0; 9]).unwrap();
            }
            // What the runtime heard while nobody listened ends one wait at most.
            let _ = timeout(WHILE, ours.ready(TO_RECEIVE)).await;
            ours.rest().unwrap();
        }
    }

    #[tokio::test]
    async fn there_is_room_to_send_at_once() {
        let (mut ours, _theirs) = pair();
        let to_send = Wanted { readable: false, writable: true };
        timeout(HANG_MAX, ours.ready(to_send)).await.expect("the buffer is empty").unwrap();
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn nobody_is_woken_for_a_socket_at_rest() {
        let (mut ours, theirs) = pair();
        theirs.send(b"1").unwrap();
        assert!(timeout(WHILE, ours.told()).await.is_err(), "it was never waited for");
        timeout(HANG_MAX, ours.ready(TO_RECEIVE)).await.expect("there is something").unwrap();
        ours.rest().unwrap();
        theirs.send(b"2").unwrap();
        ours.socket().send_to(b"3", theirs.local_addr().unwrap()).unwrap();
        assert!(timeout(WHILE, ours.told()).await.is_err(), "it is at rest");
    }
}

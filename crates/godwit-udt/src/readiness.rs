//! Being told when the socket can be read or written, and being left alone at all other times.
//!
//! A socket that the runtime watches wakes a thread of it for each datagram that arrives and, on the loopback and over veth, for
//! each that leaves (its room in the send buffer is free again), whether or not anybody waits for that. So on Linux the socket is
//! watched only while the driver waits, by an epoll instance of its own, which the runtime watches in turn. What that is worth stands in
//! docs/performance.md, "What was tried". Elsewhere the runtime watches the socket all the time; Linux has that way for the tests.

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

#[cfg(any(test, not(target_os = "linux")))]
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

    use rustix::net::{RecvFlags, recv};
    use tokio::io::Interest;
    use tokio::time::timeout;

    use super::*;

    const TO_RECEIVE: Wanted = Wanted { readable: true, writable: false };
    const TO_SEND: Wanted = Wanted { readable: false, writable: true };
    const HANG_MAX: Duration = Duration::from_secs(20);
    const WHILE: Duration = Duration::from_millis(5);

    /// A socket to watch, and one that is connected to it.
    fn sockets() -> (UdpSocket, UdpSocket) {
        let [ours, theirs] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        theirs.connect(ours.local_addr().unwrap()).unwrap();
        ours.set_nonblocking(true).unwrap();
        (ours, theirs)
    }

    macro_rules! tests_of {
        ($way:ident) => {
            mod $way {
                use super::super::$way::Readiness;
                use super::*;

                /// Receives what there is, as the driver does, and says how much that was.
                fn receive(ours: &Readiness) -> usize {
                    let one = || Ok(recv(ours.socket(), &mut [0; 9], RecvFlags::empty()).map(drop)?);
                    std::iter::from_fn(|| ours.try_io(Interest::READABLE, one).ok()).count()
                }

                #[tokio::test]
                async fn what_has_not_been_received_is_told_again_at_each_wait() {
                    let (ours, theirs) = sockets();
                    let mut ours = Readiness::new(ours).unwrap();
                    theirs.send(b"1").unwrap();
                    for _ in 0..3 {
                        timeout(HANG_MAX, ours.ready(TO_RECEIVE)).await.expect("there is something").unwrap();
                        ours.rest().unwrap();
                    }
                    assert_eq!(receive(&ours), 1);
                }

                #[tokio::test]
                async fn a_wait_that_was_given_up_leaves_nothing_behind() {
                    let (ours, theirs) = sockets();
                    let mut ours = Readiness::new(ours).unwrap();
                    for round in 0..3 {
                        assert!(timeout(WHILE, ours.ready(TO_RECEIVE)).await.is_err(), "nothing has come in {round}");
                        // While the socket is watched, and when it is so no more.
                        theirs.send(b"1").unwrap();
                        ours.rest().unwrap();
                        theirs.send(b"2").unwrap();
                        timeout(HANG_MAX, ours.ready(TO_RECEIVE)).await.expect("there is something").unwrap();
                        ours.rest().unwrap();
                        assert_eq!(receive(&ours), 2);
                        // What the runtime heard while nobody listened ends one wait at most.
                        let _ = timeout(WHILE, ours.ready(TO_RECEIVE)).await;
                        ours.rest().unwrap();
                        assert_eq!(receive(&ours), 0);
                    }
                }

                #[tokio::test]
                async fn what_is_not_wanted_ends_no_wait() {
                    let (ours, theirs) = sockets();
                    let mut ours = Readiness::new(ours).unwrap();
                    theirs.send(b"1").unwrap();
                    assert!(timeout(WHILE, ours.ready(Wanted::NOTHING)).await.is_err());
                    ours.rest().unwrap();
                    assert_eq!(receive(&ours), 1);
                }

                #[tokio::test]
                async fn there_is_room_to_send_at_once_but_nothing_to_receive() {
                    let (ours, _theirs) = sockets();
                    let mut ours = Readiness::new(ours).unwrap();
                    timeout(HANG_MAX, ours.ready(TO_SEND)).await.expect("the buffer is empty").unwrap();
                    ours.rest().unwrap();
                    assert_eq!(receive(&ours), 0);
                    assert!(timeout(WHILE, ours.ready(TO_RECEIVE)).await.is_err(), "nothing has come");
                }
            }
        };
    }

    #[cfg(target_os = "linux")]
    tests_of!(gate);
    tests_of!(runtime);

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn nobody_is_woken_for_a_socket_at_rest() {
        let (ours, theirs) = sockets();
        let mut ours = Readiness::new(ours).unwrap();
        theirs.send(b"1").unwrap();
        assert!(timeout(WHILE, ours.told()).await.is_err(), "it was never waited for");
        timeout(HANG_MAX, ours.ready(TO_RECEIVE)).await.expect("there is something").unwrap();
        ours.rest().unwrap();
        theirs.send(b"2").unwrap();
        ours.socket().send_to(b"3", theirs.local_addr().unwrap()).unwrap();
        assert!(timeout(WHILE, ours.told()).await.is_err(), "it is at rest");
    }
}

//! One connection as the driver and its [`Stream`](crate::Stream) share it: the protocol's value behind a mutex.
//!
//! The driver holds the mutex while it works on the connection, the stream only to move bytes, and nobody across a
//! system call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use godwit_proto as proto;
use godwit_proto::{ConnectionError, Event, Path, Stats};

use crate::memory_budget::{Counted, MemoryBudgets};
use crate::schedule::Slot;
use crate::socket::Offload;

/// See the module.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) key: proto::ConnectionHandle,
    pub(crate) id: u32,
    /// The index of the driver that keeps its timers and sends its packets.
    pub(crate) driver: usize,
    pub(crate) path: Path,
    /// Whether the connection waits in the list of those that the application has touched, so that many small calls
    /// cost one wake-up of the driver.
    touched: AtomicBool,
    last_stats: Arc<OnceLock<Stats>>,
    budgets: Arc<MemoryBudgets>,
    state: Mutex<State>,
}

/// What the mutex protects.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) protocol: proto::Connection,
    /// Where the driver has it in its schedule.
    pub(crate) slot: Option<Slot>,
    /// Whether the driver is at it, in a system call: it will look again after that.
    pub(crate) in_service: bool,
    /// Whether its path takes segmented sends.
    pub(crate) offload: Offload,
    /// What the budgets count for it.
    counted: Counted,
    /// Whether it is in the [`WriterQueue`](crate::writer_queue::WriterQueue) of a driver.
    pub(crate) is_writer_queued: bool,
    connected: bool,
    flushed: bool,
    ended: Option<ConnectionError>,
    /// The driver serves this connection no more: whoever would wait, waits in vain.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Who waits for the handshake or for the end of a close.
    watcher: Option<Waker>,
}

/// Tasks to wake, collected under the lock and woken after it.
#[derive(Debug, Default)]
pub(crate) struct Wakeups {
    tasks: [Option<Waker>; 3],
    /// There is room again for a writer: it is to be called, at once or in its turn.
    pub(crate) has_room: bool,
}

/// For what a task waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Interest {
    /// Bytes, a message, or the end.
    Reading,
    /// Room in the send buffer.
    Writing,
    /// The handshake, or the end of a close.
    Progress,
}

impl Connection {
    pub(crate) fn new(
        key: proto::ConnectionHandle,
        path: Path,
        protocol: proto::Connection,
        budgets: Arc<MemoryBudgets>,
    ) -> Self {
        Self {
            key,
            id: protocol.id(),
            driver: proto::driver_index(key.id()).into(),
            path,
            touched: AtomicBool::new(false),
            last_stats: Arc::default(),
            budgets,
            state: Mutex::new(State {
                protocol,
                slot: None,
                in_service: false,
                offload: Offload::default(),
                counted: Counted::default(),
                is_writer_queued: false,
                connected: false,
                flushed: false,
                ended: None,
                abandoned: false,
                reader: None,
                writer: None,
                watcher: None,
            }),
        }
    }

    /// A panic under the lock is a defect of ours that ends that task; the others go on with the connection as it is.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the application changed something; true if the driver does not know yet.
    pub(crate) fn touch(&self) -> bool {
        !self.touched.swap(true, Ordering::AcqRel)
    }

    /// The driver is about to look: later changes have to be announced again.
    pub(crate) fn take_touch(&self) {
        self.touched.store(false, Ordering::Release);
    }

    /// Tells the budgets what the connection holds now: to be called after whatever may have changed that.
    pub(crate) fn account(&self, state: &mut State) {
        let State { protocol, counted, .. } = state;
        self.budgets.count(protocol, counted);
    }

    /// Before something is written: what the budgets allow.
    pub(crate) fn limit_sending(&self, state: &mut State) {
        self.budgets.limit_sending(&mut state.protocol);
    }

    pub(crate) fn stats(&self) -> Stats {
        self.lock().protocol.stats(Instant::now())
    }

    /// Where the counters are found when the connection is gone.
    pub(crate) fn last_stats(&self) -> Arc<OnceLock<Stats>> {
        Arc::clone(&self.last_stats)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let stats = self.stats();
        self.budgets.give_back(&mut self.lock().counted);
        // Nobody else sets it.
        let _ = self.last_stats.set(stats);
    }
}

impl State {
    /// Takes in what the protocol has to say, and hands out who waits for it.
    pub(crate) fn drain_events(&mut self) -> Wakeups {
        let mut wakeups = Wakeups::default();
        while let Some(event) = self.protocol.poll_event() {
            match event {
                Event::Connected => self.connected = true,
                Event::Readable | Event::Writable => {}
                Event::Flushed => self.flushed = true,
                Event::Closed(error) => self.ended = Some(error),
            }
            match event {
                Event::Readable => wakeups.take(Interest::Reading, &mut self.reader),
                Event::Writable => wakeups.has_room = true,
                Event::Connected | Event::Flushed => wakeups.take(Interest::Progress, &mut self.watcher),
                Event::Closed(_) => self.take_all(&mut wakeups),
            }
        }
        wakeups
    }

    /// The turn of the writer has come: hands it out, if it waits.
    pub(crate) fn call_writer(&mut self) -> Option<Waker> {
        self.is_writer_queued = false;
        self.writer.take()
    }

    /// Whether the driver has to look at the connection sooner than it means to: most writes and reads change nothing for
    /// it, and waking it costs more than they do.
    pub(crate) fn needs_driver(&self) -> bool {
        let is_sooner = |due| self.slot.is_none_or(|slot| due < slot.deadline());
        !self.in_service && self.protocol.poll_timeout().is_some_and(is_sooner)
    }

    /// Gives the connection up: nothing will be sent or received for it any more.
    pub(crate) fn abandon(&mut self) -> Wakeups {
        self.abandoned = true;
        let mut wakeups = Wakeups::default();
        self.take_all(&mut wakeups);
        wakeups
    }

    /// The result of an operation of the protocol that would have to wait: waits, unless nobody will ever answer.
    pub(crate) fn wait_for<T, E: From<ConnectionError>>(
        &mut self,
        interest: Interest,
        context: &Context<'_>,
    ) -> Poll<Result<T, E>> {
        if self.abandoned {
            return Poll::Ready(Err(self.ended.unwrap_or(ConnectionError::ClosedLocally).into()));
        }
        let waker = match interest {
            Interest::Reading => &mut self.reader,
            Interest::Writing => &mut self.writer,
            Interest::Progress => &mut self.watcher,
        };
        match waker {
            Some(waker) => waker.clone_from(context.waker()),
            None => *waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Whether the handshake is complete.
    pub(crate) fn poll_connected(&mut self, context: &Context<'_>) -> Poll<Result<(), ConnectionError>> {
        match (self.connected, self.ended) {
            (true, _) => Poll::Ready(Ok(())),
            (false, Some(error)) => Poll::Ready(Err(error)),
            (false, None) => self.wait_for(Interest::Progress, context),
        }
    }

    /// Whether a close has finished.
    pub(crate) fn poll_flushed(&mut self, context: &Context<'_>) -> Poll<Result<(), ConnectionError>> {
        match (self.flushed, self.ended) {
            (true, _) => Poll::Ready(Ok(())),
            (false, Some(error)) => Poll::Ready(Err(error)),
            (false, None) => self.wait_for(Interest::Progress, context),
        }
    }

    /// Whether the peer has acknowledged all that was written.
    pub(crate) fn has_nothing_unacknowledged(&self) -> bool {
        self.protocol.stats(Instant::now()).send_buffer_used_bytes == 0
    }

    fn take_all(&mut self, wakeups: &mut Wakeups) {
        wakeups.take(Interest::Reading, &mut self.reader);
        wakeups.take(Interest::Writing, &mut self.writer);
        wakeups.take(Interest::Progress, &mut self.watcher);
    }
}

impl Wakeups {
    /// Wakes them; not under the lock, since a woken task may run at once on another core and want it.
    pub(crate) fn wake(self) {
        self.tasks.into_iter().flatten().for_each(Waker::wake);
    }

    fn take(&mut self, interest: Interest, waiting: &mut Option<Waker>) {
        if let Some(waker) = waiting.take() {
            self.tasks[interest as usize] = Some(waker);
        }
    }
}

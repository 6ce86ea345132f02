//! THE loop: the task that owns a UDP socket, and the only place where packets move.
//!
//! ```text
//!   receive (bounded)  →  what applications changed  →  timers and sending, in order of time (bounded)  →  wait
//! ```
//!
//! Everything that happens to a connection is one mutation, then a drain: events wake whoever waits for them, and the
//! connection takes its place in the schedule, from which it is served when its time comes.
//!
//! Several drivers may serve one port, each with a socket of its own. A connection belongs to the driver that accepted it, whose index
//! its id carries: that one alone keeps its timers and sends. Which socket a packet arrives at is for the kernel to choose, and it
//! chooses anew when a socket joins; so whoever receives hands the packet over, and tells the driver that is to act on it.

use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::inbound::Inbound;
use crate::moderation::Moderation;
use crate::outbound::{Flow, Outbound};
use crate::pacer::Pacer;
use crate::readiness::Wanted;
use crate::schedule::Schedule;
use crate::shared::{Shared, Stage};
use crate::side_channel::SIDE_CHANNEL_DRIVER;
use crate::socket::{Socket, Waiting};
use crate::writer_queue::{DUE_MAX, WriterQueue};

/// Bytes received per turn. Beyond that the senders' turn has come; what waits stays in the kernel's buffer. It is no number of
/// datagrams: a thousand connections have hundreds of acknowledgements waiting, and with 64 of them per turn each waited 100 ms.
const RECEIVE_BYTES_MAX: u64 = 4 << 20;
/// Time per turn for receiving, and the same for sending: short against the 10 ms of an ACK, long against a system call.
const TURN_TIME_MAX: Duration = Duration::from_millis(1);
/// Receive errors in a row after which the socket counts as broken. Each costs a turn, so this is no wait in practice.
const RECEIVE_ERRORS_MAX: u32 = 1000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Driver {
    index: usize,
    shared: Arc<Shared>,
    socket: Socket,
    pacer: Pacer,
    schedule: Schedule<Arc<Connection>>,
    inbound: Inbound,
    outbound: Outbound,
    touched: Vec<Arc<Connection>>,
    writers: WriterQueue<Arc<Connection>>,
    receive_errors: u32,
    moderation: Moderation,
    stage: Stage,
    /// Dropped last: whoever waits for the end of the endpoint finds its sockets closed.
    _ending: Ending,
}

impl Driver {
    /// The driver with this index among those that share the port. Must be called inside a tokio runtime.
    pub(crate) fn new(index: usize, shared: Arc<Shared>, socket: Socket) -> Self {
        Self {
            index,
            inbound: Inbound::new(index),
            outbound: Outbound::new(socket.counters()),
            pacer: Pacer::new(),
            schedule: Schedule::default(),
            touched: Vec::new(),
            writers: WriterQueue::new(Arc::clone(&shared.budgets)),
            receive_errors: 0,
            moderation: Moderation::default(),
            stage: Stage::Open,
            _ending: Ending { shared: Arc::clone(&shared) },
            shared,
            socket,
        }
    }

    /// Runs until the endpoint is closed and its connections have ended, or the socket breaks.
    pub(crate) async fn run(mut self) {
        loop {
            let is_more_to_receive = self.receive();
            self.enter_stage();
            self.take_touched();
            let is_more_to_send = self.serve_due();
            let has_called = self.call_writers(is_more_to_send);
            if self.is_finished() {
                return;
            }
            if self.receive_errors >= RECEIVE_ERRORS_MAX {
                tracing::error!("the UDP socket is broken: all its connections end");
                return;
            }
            if is_more_to_receive || is_more_to_send || has_called {
                // Lets other tasks run, and the runtime look for new events.
                tokio::task::yield_now().await;
            } else if let Err(error) = self.wait().await {
                tracing::debug!(%error, "the driver of a UDP socket ends");
                return;
            }
        }
    }

    /// Receives and delivers; true if there may be more.
    fn receive(&mut self) -> bool {
        let now = Instant::now();
        if self.moderation.until(now).is_some() {
            return false;
        }
        let until = now + TURN_TIME_MAX;
        let mut received_bytes = 0;
        while received_bytes < RECEIVE_BYTES_MAX {
            let waiting = match self.socket.receive(self.inbound.buffers()) {
                Ok(waiting) => waiting,
                Err(error) => {
                    self.receive_errors += 1;
                    tracing::debug!(%error, "receiving from a UDP socket failed");
                    return true;
                }
            };
            self.receive_errors = 0;
            let bytes = self.inbound.received_bytes();
            if bytes > 0 {
                received_bytes += bytes;
                self.moderation.received(bytes);
                self.deliver();
            }
            if waiting == Waiting::Nothing {
                self.moderation.emptied(now);
                return false;
            }
            if Instant::now() >= until {
                break;
            }
        }
        true
    }

    /// Hands over what has been received, and answers those that ask for a connection.
    fn deliver(&mut self) {
        let now = Instant::now();
        self.inbound.route(now, &self.shared);
        for (connection, batch) in self.inbound.runs() {
            let mut state = connection.lock();
            self.shared.budgets.limit(&mut state.protocol);
            state.protocol.handle_datagrams(now, &batch);
            drop(batch);
            connection.account(&mut state);
            if connection.driver == self.index {
                self.schedule.hasten(&mut state.slot, now, || Arc::clone(&connection));
            }
            let wakeups = state.drain_events();
            if wakeups.has_room {
                self.writers.enqueue(&mut state.is_writer_queued, || Arc::clone(&connection));
            }
            drop(state);
            wakeups.wake();
            if connection.driver != self.index {
                self.shared.touch(&connection);
            }
        }
        for connection in self.inbound.accepted() {
            let mut state = connection.lock();
            self.schedule.hasten(&mut state.slot, now, || Arc::clone(&connection));
        }
        for (to, reply) in self.inbound.replies() {
            self.outbound.send_reply(&mut self.socket, to, &reply);
        }
    }

    /// Puts the connections that applications have changed into the schedule.
    fn take_touched(&mut self) {
        self.shared.driver(self.index).take_touched(&mut self.touched);
        let now = Instant::now();
        for connection in self.touched.drain(..) {
            connection.take_touch();
            let mut state = connection.lock();
            self.schedule.hasten(&mut state.slot, now, || Arc::clone(&connection));
        }
    }

    /// Serves the connections whose time has come, each once, in order of time; true if there is more to do now.
    fn serve_due(&mut self) -> bool {
        let until = Instant::now() + TURN_TIME_MAX;
        let turn = self.schedule.begin_turn();
        while let now = Instant::now()
            && now < until
            && self.outbound.resume(&mut self.socket) == Flow::Drained
            && self.shared.rate_limit.blocked_until(now).is_none()
            && let Some(connection) = self.schedule.pop_due(now, turn)
        {
            self.serve(&connection, now);
        }
        let aside = match self.outbound.is_blocked() {
            true => Flow::Blocked,
            false if self.index != SIDE_CHANNEL_DRIVER => Flow::Drained,
            false => self.outbound.send_side_channel(&mut self.socket, &self.shared),
        };
        aside == Flow::More || self.next_deadline().is_some_and(|next| next <= Instant::now())
    }

    /// Calls the writers whose turn has come; true if there were any, who will touch their connections. However much is due, there is
    /// a turn each time, unless it is the socket or the rate limit that keeps it from being sent.
    fn call_writers(&mut self, is_more_to_send: bool) -> bool {
        let due = self.schedule.count_due(Instant::now(), DUE_MAX);
        let due = if is_more_to_send { due.min(DUE_MAX - 1) } else { due };
        self.writers.call(due, |connection| {
            let writer = connection.lock().call_writer();
            writer.map(Waker::wake).is_some()
        })
    }

    /// Runs the timers of one connection and sends what it has, within bounds; then it takes its next place.
    fn serve(&mut self, connection: &Arc<Connection>, now: Instant) {
        debug_assert_eq!(connection.driver, self.index, "its place is in another schedule");
        let mut state = connection.lock();
        state.slot = None;
        state.in_service = true;
        if state.protocol.poll_timeout().is_some_and(|timeout| timeout <= now) {
            state.protocol.handle_timeout(now);
        }
        drop(state);
        let flow = self.outbound.send_from(&mut self.socket, connection, &self.shared.rate_limit, now);
        let mut state = connection.lock();
        state.in_service = false;
        connection.account(&mut state);
        let wakeups = state.drain_events();
        if wakeups.has_room {
            self.writers.enqueue(&mut state.is_writer_queued, || Arc::clone(connection));
        }
        let is_over = flow == Flow::Drained && state.protocol.is_drained();
        let next = match flow {
            _ if is_over => None,
            Flow::Drained => state.protocol.poll_timeout(),
            Flow::More | Flow::Blocked => Some(now),
        };
        self.schedule.arm(&mut state.slot, next, || Arc::clone(connection));
        drop(state);
        wakeups.wake();
        if is_over {
            self.remove(connection, now);
        }
    }

    fn remove(&self, connection: &Connection, now: Instant) {
        let (peer_id, path_memory) = {
            let state = connection.lock();
            (state.protocol.peer_id(), state.protocol.path_memory())
        };
        let mut table = self.shared.table();
        if table.connections.remove(&connection.key).is_some() {
            if let Some(memory) = path_memory {
                table.protocol.learn_path(now, connection.path.remote.ip(), memory);
            }
            table.protocol.remove(now, connection.key, peer_id);
        }
    }

    /// Ends this driver's connections when the endpoint has begun to close.
    fn enter_stage(&mut self) {
        let stage = self.shared.stage();
        if stage == self.stage {
            return;
        }
        self.stage = stage;
        self.shared.table().protocol.stop_listening();
        let now = Instant::now();
        self.shared.each_connection(|connection, state| {
            if connection.driver == self.index {
                match stage {
                    Stage::Closing => state.protocol.close(now),
                    _ => state.protocol.abort(now),
                }
                self.shared.touch(connection);
            }
        });
    }

    /// Whether the endpoint is closing and nothing is left to do. An aborted connection says so once: nobody waits for
    /// the repetitions of its shutdown.
    fn is_finished(&self) -> bool {
        match self.stage {
            Stage::Open => false,
            Stage::Closing => self.shared.table().connections.is_empty(),
            Stage::Aborting | Stage::Ended => {
                self.outbound.is_blocked() || self.schedule.next().is_none_or(|next| next > Instant::now())
            }
        }
    }

    /// Waits for the first of all causes of work.
    async fn wait(&mut self) -> io::Result<()> {
        let is_blocked = self.outbound.is_blocked();
        let moderated_until = self.moderation.until(Instant::now());
        let deadline = self.next_deadline().into_iter().chain(moderated_until).min();
        let wanted = Wanted { readable: moderated_until.is_none(), writable: is_blocked };
        let woken = tokio::select! {
            ready = self.socket.ready(wanted), if wanted != Wanted::NOTHING => ready,
            due = self.pacer.sleep_until(deadline) => due,
            () = self.shared.driver(self.index).work() => Ok(()),
        };
        self.socket.rest()?;
        woken
    }

    /// When a connection can be served next; none while the socket has to become writable first.
    fn next_deadline(&self) -> Option<Instant> {
        let next = self.schedule.next().filter(|_| !self.outbound.is_blocked())?;
        Some(self.shared.rate_limit.blocked_until(Instant::now()).map_or(next, |until| until.max(next)))
    }
}

/// The end of a driver: however its task ends (the runtime may be shutting down), nobody waits for it any more.
#[derive(Debug)]
struct Ending {
    shared: Arc<Shared>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.shared.driver_ends() {
            return;
        }
        let now = Instant::now();
        self.shared.each_connection(|_, state| {
            state.protocol.abort(now);
            state.abandon().wake();
        });
        let mut table = self.shared.table();
        table.connections.clear();
        table.side_channel = None;
    }
}

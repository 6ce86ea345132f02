//! One connection of a test, on the side that receives.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, timeout};

use super::connection::Connection;
use super::cpu_time;
use super::lines::{LineError, Lines};
use super::protocol::{
    Hello, Limit, NotOurs, REPORT_INTERVAL, Refusal, Report, ServerLine, TEST_TIME_MAX, first_line, later_line, micros,
    parse_first,
};
use super::serve::Shared;

/// How long a peer may take to say what it wants, and to take what it is told.
const HELLO_TIME_MAX: Duration = Duration::from_secs(10);
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);
/// A test in which nothing arrives for so long is over.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long a peer may take to leave after it was told the result. Closing earlier could destroy that on its way.
const LINGER_MAX: Duration = Duration::from_secs(5);

/// For whoever expects something else here, most likely a client of `godwit serve`.
const FOREIGN_ANSWER: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 91\r\nConnection: close\r\n\r\n\
    This is `godwit perf serve`, which serves no files: `godwit perf send` is what works here.\n";

/// How a connection ended, for the log.
#[derive(Debug)]
pub(super) enum Ending {
    /// As agreed.
    Complete(Report),
    /// The peer left, or was lost, or fell silent.
    Early(Report),
    Refused(Refusal),
    /// Something that is no client of a test.
    Foreign,
    /// It came and went, or never said anything.
    Nothing,
}

/// Answers one connection, to its end.
pub(super) async fn serve(mut connection: Connection, shared: &Shared, is_busy: bool) -> Ending {
    let ending = answer(&mut connection, shared, is_busy).await;
    if !matches!(ending, Ending::Early(_) | Ending::Nothing) {
        let _ =
            timeout(LINGER_MAX, async { while discard(&mut connection).await.is_ok_and(|bytes| bytes > 0) {} }).await;
    }
    ending
}

async fn answer(connection: &mut Connection, shared: &Shared, is_busy: bool) -> Ending {
    let hello = match is_busy {
        true => Err(Refusal::Busy),
        false => match timeout(HELLO_TIME_MAX, read_hello(connection)).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(LineError::Foreign { .. } | LineError::TooLong)) => {
                return write(connection, FOREIGN_ANSWER).await.map_or(Ending::Nothing, |()| Ending::Foreign);
            }
            Ok(Err(LineError::Closed | LineError::Lost(_))) | Err(_) => return Ending::Nothing,
        },
    };
    let answer = hello.map_or_else(ServerLine::Refused, |_| ServerLine::Ready);
    match (write(connection, &first_line(&answer)).await, hello) {
        (Err(_), _) => Ending::Nothing,
        (Ok(()), Err(refusal)) => Ending::Refused(refusal),
        (Ok(()), Ok(hello)) => Receiver::new(connection, shared, hello.limit).run().await,
    }
}

async fn read_hello(connection: &mut Connection) -> Result<Result<Hello, Refusal>, LineError> {
    let mut lines = Lines::new();
    poll_fn(|context| lines.poll_next(context, connection)).await?;
    // A client waits for the answer before it sends anything.
    let invalid = Err(Refusal::Invalid);
    Ok(match parse_first::<Hello>(lines.line()) {
        Ok(hello) if hello.is_valid() && !lines.has_more() => Ok(hello),
        Ok(_) | Err(NotOurs::Content) => invalid,
        Err(NotOurs::Version) => Err(Refusal::Version),
    })
}

struct Receiver<'a> {
    connection: &'a mut Connection,
    shared: &'a Shared,
    limit: Limit,
    report: Report,
    started: Instant,
    last_arrival: Instant,
    ticks: Interval,
    /// Set when the first byte arrives, if time is the limit.
    time_over: Option<Pin<Box<Sleep>>>,
}

enum Event {
    Arrived(u64),
    Tick,
    TimeOver,
}

impl<'a> Receiver<'a> {
    fn new(connection: &'a mut Connection, shared: &'a Shared, limit: Limit) -> Self {
        let started = Instant::now();
        let mut ticks = tokio::time::interval_at(started + REPORT_INTERVAL, REPORT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let report = Report { cpu_at_start_us: micros(cpu_time::of_this_process()), ..Report::default() };
        Self { connection, shared, limit, report, started, last_arrival: started, ticks, time_over: None }
    }

    async fn run(mut self) -> Ending {
        loop {
            let is_last = match poll_fn(|context| self.poll_event(context)).await {
                Ok(Event::Arrived(bytes @ 1..)) => {
                    self.arrived(bytes);
                    if self.missing() > 0 {
                        // A connection that always has something must not keep the others from their turn.
                        tokio::task::consume_budget().await;
                        continue;
                    }
                    true
                }
                Ok(Event::Arrived(0)) | Err(_) => break,
                Ok(Event::Tick) if self.is_given_up() => break,
                Ok(Event::Tick) => false,
                Ok(Event::TimeOver) => true,
            };
            self.count(is_last);
            let line = later_line(&ServerLine::Report(self.report));
            if write(self.connection, &line).await.is_err() {
                break;
            }
            if is_last {
                return Ending::Complete(self.report);
            }
        }
        self.count(false);
        Ending::Early(self.report)
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Event>> {
        if let Some(time_over) = &mut self.time_over
            && time_over.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Ok(Event::TimeOver));
        }
        if self.ticks.poll_tick(context).is_ready() {
            return Poll::Ready(Ok(Event::Tick));
        }
        let missing = self.missing();
        Poll::Ready(ready!(self.connection.poll_discard(context, missing)).map(Event::Arrived))
    }

    fn arrived(&mut self, bytes: u64) {
        self.last_arrival = Instant::now();
        self.report.bytes += bytes;
        if self.report.first_byte_us.is_none() {
            self.report.first_byte_us = Some(self.shared.now_us());
            if let Limit::Milliseconds(milliseconds) = self.limit {
                let time_over = self.last_arrival + Duration::from_millis(milliseconds);
                self.time_over = Some(Box::pin(tokio::time::sleep_until(time_over)));
            }
        }
    }

    /// Bytes that may still arrive.
    fn missing(&self) -> u64 {
        match self.limit {
            Limit::Bytes(bytes) => bytes - self.report.bytes,
            Limit::Milliseconds(_) => u64::MAX,
        }
    }

    fn is_given_up(&self) -> bool {
        self.last_arrival.elapsed() > SILENCE_MAX || self.started.elapsed() > TEST_TIME_MAX
    }

    /// Brings the report up to date.
    fn count(&mut self, is_last: bool) {
        self.report = Report {
            now_us: self.shared.now_us(),
            cpu_us: micros(cpu_time::of_this_process()),
            connections: self.shared.connections(),
            duplicate_packets: self.connection.counters().duplicate_packets,
            // Looking that up costs too much to do it each time.
            kernel_drops: if is_last { self.connection.kernel_drops() } else { None },
            is_last,
            ..self.report
        };
    }
}

async fn discard(connection: &mut Connection) -> io::Result<u64> {
    poll_fn(|context| connection.poll_discard(context, u64::MAX)).await
}

/// Writes all of it, or the peer does not take it and loses the connection.
async fn write(connection: &mut Connection, mut rest: &[u8]) -> io::Result<()> {
    let written = timeout(WRITE_TIME_MAX, async {
        while !rest.is_empty() {
            let written = poll_fn(|context| connection.poll_write(context, rest)).await?;
            rest = &rest[written..];
        }
        Ok(())
    });
    written.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_others_is_as_long_as_it_says() {
        let text = std::str::from_utf8(FOREIGN_ANSWER).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}

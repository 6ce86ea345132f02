//! What a C++ peer did, once it has ended.

use std::time::Duration;

use crate::{CpuTime, Event, Fingerprint, MessageFingerprint, PeerError, PerfMon, content::parse_digest};

/// What a peer received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Of all bytes in the order of arrival.
    pub fingerprint: Fingerprint,
    /// Of all messages in any order; of a stream, its pieces as `recv` returned them (do not compare them).
    pub messages: MessageFingerprint,
    /// From the connection to the last byte.
    pub elapsed: Duration,
    /// Whether it stopped because the connection was over, and not because it had the bytes it was told to expect.
    pub saw_end: bool,
}

/// Everything that a peer printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In order.
    pub events: Vec<Event>,
}

impl Report {
    /// What it received.
    ///
    /// # Errors
    /// It did not receive, or did not come to the end.
    pub fn received(&self) -> Result<Received, PeerError> {
        let event = self.event("received")?;
        let digest = |field| event.value_with(field, parse_digest);
        Ok(Received {
            fingerprint: Fingerprint { bytes: event.value("bytes")?, sha256: digest("sha256")? },
            messages: MessageFingerprint { messages: event.value("messages")?, xor_sha256: digest("xor_sha256")? },
            elapsed: Duration::from_micros(event.value("elapsed_us")?),
            saw_end: event.text("end") == Some("eof"),
        })
    }

    /// How many bytes libudt took for sending.
    ///
    /// # Errors
    /// It did not send, or did not come to the end.
    pub fn sent_bytes(&self) -> Result<u64, PeerError> {
        self.event("sent")?.value("bytes")
    }

    /// How long its `close` took, which waits until everything is acknowledged.
    ///
    /// # Errors
    /// It did not come to the end.
    pub fn close_took(&self) -> Result<Duration, PeerError> {
        self.event("closed")?.value("elapsed_us").map(Duration::from_micros)
    }

    /// The CPU time of the process up to the end of the transfer.
    ///
    /// # Errors
    /// It did not come to the end, or the system does not tell.
    pub fn cpu_time(&self) -> Result<CpuTime, PeerError> {
        CpuTime::parse(self.event("cpu")?)
    }

    /// The performance counters when all was acknowledged, or after its last read if the other end had closed by then; ask
    /// for them with `perfmon`.
    ///
    /// # Errors
    /// It was not asked for them, did not come so far, or read nothing before the other end had closed.
    pub fn perf(&self) -> Result<PerfMon, PeerError> {
        PerfMon::parse(self.event("stats")?)
    }

    /// The first event of a name.
    ///
    /// # Errors
    /// There is none.
    pub fn event(&self, name: &'static str) -> Result<&Event, PeerError> {
        let missing = || PeerError::Field { event: Event::new("the report".into()), field: name };
        self.events.iter().find(|event| event.name() == name).ok_or_else(missing)
    }
}

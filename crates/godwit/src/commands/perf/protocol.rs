//! What both ends say to each other: lines of JSON, the first of each end behind [`NAME`] and a version.
//!
//! ```text
//! client → server   godwit-perf/1 {"limit":{"milliseconds":10000}}
//! server → client   godwit-perf/1 "ready"            or, and then the end:  godwit-perf/1 {"refused":"busy"}
//! client → server   bytes without meaning, until the last report
//! server → client   {"report":{…}} each 100 ms, one more when the limit is reached, with "is_last":true
//! ```
//!
//! Fields that a reader does not know are skipped; a change that an older reader cannot skip takes another number.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// In front of each end's first line, with the version and a space.
pub(super) const NAME: &str = "godwit-perf/";
/// The version that this program speaks.
const VERSION: &str = "1 ";
/// Between two reports: several for each line of a second, so that the newest one is never old.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_millis(100);
/// The longest test: a connection that is forgotten must not stay for ever.
pub(super) const TEST_TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What the client is about to do on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) limit: Limit,
}

/// When the receiver has had enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    /// So long after the first byte.
    Milliseconds(u64),
    /// So many on this connection.
    Bytes(u64),
}

/// Whatever the server says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ServerLine {
    Ready,
    Refused(Refusal),
    Report(Report),
}

/// Why the server takes no test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refusal {
    /// It has as many connections as it may have.
    Busy,
    /// It speaks another version.
    Version,
    /// It cannot read the line, or not work with what that says.
    Invalid,
    /// Something that this program has not learnt yet.
    #[serde(other)]
    Unknown,
}

/// What has arrived on one connection. Times are microseconds of the server's own clocks, from an origin that its reports share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) bytes: u64,
    /// When the first byte arrived.
    pub(super) first_byte_us: Option<u64>,
    /// When this was counted.
    pub(super) now_us: u64,
    /// CPU time of the whole process when the connection began, and now.
    pub(super) cpu_at_start_us: u64,
    pub(super) cpu_us: u64,
    /// Connections that the server has now, of all clients.
    pub(super) connections: usize,
    /// Packets that arrived more than once; UDT tells.
    pub(super) duplicate_packets: Option<u64>,
    /// Datagrams that the receiver's kernel dropped since the server started, for want of room; in the last report.
    pub(super) kernel_drops: Option<u64>,
    pub(super) is_last: bool,
}

/// Why a first line is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotOurs {
    Version,
    Content,
}

impl Hello {
    /// Whether this is a test that can be done.
    pub(super) fn is_valid(&self) -> bool {
        let longest = TEST_TIME_MAX.as_millis() as u64;
        match self.limit {
            Limit::Milliseconds(milliseconds) => (1..=longest).contains(&milliseconds),
            Limit::Bytes(bytes) => bytes > 0,
        }
    }
}

impl Report {
    /// From the first byte to now.
    pub(super) fn time(&self) -> Duration {
        let first = self.first_byte_us.unwrap_or(self.now_us);
        Duration::from_micros(self.now_us.saturating_sub(first))
    }
}

/// A time as a report has it.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The first line of an end.
pub(super) fn first_line(content: &impl Serialize) -> Vec<u8> {
    let mut line = format!("{NAME}{VERSION}").into_bytes();
    line.append(&mut later_line(content));
    line
}

/// Any other line.
pub(super) fn later_line(content: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(content).expect("numbers, names and lists of them are JSON");
    line.push(b'\n');
    line
}

/// Reads the first line of the other end, which begins with [`NAME`].
pub(super) fn parse_first<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, NotOurs> {
    let rest = line.strip_prefix(NAME.as_bytes()).ok_or(NotOurs::Content)?;
    let content = rest.strip_prefix(VERSION.as_bytes()).ok_or(NotOurs::Version)?;
    parse_later(content)
}

/// Reads any other line.
pub(super) fn parse_later<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, NotOurs> {
    serde_json::from_slice(line).map_err(|_| NotOurs::Content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_they_are_documented_to_be() {
        let hello = Hello { limit: Limit::Milliseconds(10_000) };
        let line = first_line(&hello);
        assert_eq!(line, b"godwit-perf/1 {\"limit\":{\"milliseconds\":10000}}\n");
        assert_eq!(parse_first(&line), Ok(hello));
        assert_eq!(first_line(&ServerLine::Ready), b"godwit-perf/1 \"ready\"\n");
        assert_eq!(first_line(&ServerLine::Refused(Refusal::Busy)), b"godwit-perf/1 {\"refused\":\"busy\"}\n");
        let report = ServerLine::Report(Report { bytes: 7, first_byte_us: Some(1), ..Report::default() });
        assert_eq!(parse_later(&later_line(&report)), Ok(report));
    }

    #[test]
    fn what_is_newer_is_skipped_or_named() {
        let newer = b"godwit-perf/1 {\"limit\":{\"bytes\":1},\"colour\":\"red\"}\n";
        assert_eq!(parse_first(newer), Ok(Hello { limit: Limit::Bytes(1) }));
        assert_eq!(parse_later(b"{\"refused\":\"moon\"}\n"), Ok(ServerLine::Refused(Refusal::Unknown)));
        assert_eq!(parse_first::<Hello>(b"godwit-perf/2 {}\n"), Err(NotOurs::Version));
        for wrong in [&b"godwit-perf/1 {}\n"[..], b"godwit-perf/1 \n", b"", b"\xff", b"GET / HTTP/1.1\r\n"] {
            assert_eq!(parse_first::<Hello>(wrong), Err(NotOurs::Content), "{wrong:?}");
        }
    }

    #[test]
    fn a_test_has_an_end() {
        let is_valid = |limit| Hello { limit }.is_valid();
        assert!(is_valid(Limit::Milliseconds(1)) && is_valid(Limit::Bytes(u64::MAX)));
        for limit in [Limit::Milliseconds(0), Limit::Milliseconds(u64::MAX), Limit::Bytes(0)] {
            assert!(!is_valid(limit), "{limit:?}");
        }
    }
}

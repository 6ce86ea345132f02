//! Lines from a connection, of bounded length.

use std::io;
use std::task::{Context, Poll, ready};

use thiserror::Error;

use super::connection::Connection;
use super::protocol::NAME;

/// Longer than any line of ours; a peer that sends more without a newline is none of ours.
const LINE_BYTES_MAX: usize = 4096;
/// Of a foreign answer, what may be worth showing.
const EXCERPT_BYTES_MAX: usize = 60;

/// What has been read of the next line, and perhaps of those behind it.
#[derive(Debug)]
pub(super) struct Lines {
    buffer: Box<[u8; LINE_BYTES_MAX]>,
    filled: usize,
    taken: usize,
    is_first: bool,
}

/// Why there is no line.
#[derive(Debug, Error)]
pub(super) enum LineError {
    /// The first line does not begin as ours do.
    #[error("it says something else")]
    Foreign { excerpt: Vec<u8> },
    #[error("a line of more than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("the connection was closed")]
    Closed,
    #[error(transparent)]
    Lost(#[from] io::Error),
}

impl Lines {
    pub(super) fn new() -> Self {
        Self { buffer: Box::new([0; LINE_BYTES_MAX]), filled: 0, taken: 0, is_first: true }
    }

    /// Waits for a line: it stands in [`line`](Self::line) until the next call, with its newline.
    ///
    /// # Errors
    /// There will be none.
    pub(super) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Poll<Result<(), LineError>> {
        self.buffer.copy_within(self.taken..self.filled, 0);
        self.filled -= std::mem::take(&mut self.taken);
        loop {
            if self.is_foreign() {
                return Poll::Ready(Err(LineError::Foreign { excerpt: self.excerpt() }));
            }
            if let Some(newline) = self.buffer[..self.filled].iter().position(|&byte| byte == b'\n') {
                (self.taken, self.is_first) = (newline + 1, false);
                return Poll::Ready(Ok(()));
            }
            if self.filled == LINE_BYTES_MAX {
                return Poll::Ready(Err(LineError::TooLong));
            }
            match ready!(connection.poll_read(context, &mut self.buffer[self.filled..]))? {
                0 => return Poll::Ready(Err(LineError::Closed)),
                read => self.filled += read,
            }
        }
    }

    /// The line that was read last.
    pub(super) fn line(&self) -> &[u8] {
        &self.buffer[..self.taken]
    }

    /// Whether more than that line has been read.
    pub(super) fn has_more(&self) -> bool {
        self.filled > self.taken
    }

    fn is_foreign(&self) -> bool {
        let compared = self.filled.min(NAME.len());
        self.is_first && self.buffer[..compared] != NAME.as_bytes()[..compared]
    }

    fn excerpt(&self) -> Vec<u8> {
        let first_line = self.buffer[..self.filled].split(|byte| b"\r\n".contains(byte)).next().unwrap_or_default();
        first_line[..first_line.len().min(EXCERPT_BYTES_MAX)].to_vec()
    }
}

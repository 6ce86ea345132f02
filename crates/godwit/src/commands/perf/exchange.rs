//! A request for a file and its answer, by hand: a pool of connections would use one again where another is wanted.

use std::io;

use bytes::Bytes;
use godwit_files::client::RemoteUrl;
use godwit_udt::Stream;
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;

/// No head of an answer of `godwit serve` is as long; a server that sends more is none of ours.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// What is read of an answer at once.
const CHUNK_BYTES: usize = 64 << 10;

/// How much of a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Whole,
    /// Makes an answer as short as can be.
    FirstByte,
}

/// Why one of the connections did not do what it was for.
#[derive(Debug, Error)]
pub(crate) enum TransferError {
    #[error("it could not connect: {0}")]
    Connect(#[from] godwit_udt::ConnectError),
    #[error("the server answers with status {0}")]
    Status(u16),
    #[error("what the server answers is not the beginning of a file")]
    NotAFile,
    #[error("the connection was lost: {0}")]
    Lost(#[from] io::Error),
}

/// For a file, or its beginning, on a connection that stays open.
pub(super) fn request(url: &RemoteUrl, part: Part) -> String {
    let field = match part {
        Part::Whole => "",
        Part::FirstByte => "Range: bytes=0-0\r\n",
    };
    let host = url.uri().authority().map_or("", |authority| authority.as_str());
    format!("GET {} HTTP/1.1\r\nHost: {host}\r\n{field}\r\n", url.uri().path())
}

/// Asks, and reads the answer to its end; tells how long its body was.
pub(super) async fn exchange(stream: &mut Stream, request: &str) -> Result<u64, TransferError> {
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    let (length, head_bytes) = loop {
        head.extend_from_slice(&chunk(stream).await?);
        if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break (body_bytes(&head[..end])?, end + 4);
        }
        if head.len() > HEAD_BYTES_MAX {
            return Err(TransferError::NotAFile);
        }
    };
    let mut received = (head.len() - head_bytes) as u64;
    while received < length {
        received += chunk(stream).await?.len() as u64;
    }
    Ok(length)
}

async fn chunk(stream: &mut Stream) -> Result<Bytes, TransferError> {
    let chunk = stream.read_chunk(CHUNK_BYTES).await.map_err(io::Error::from)?;
    chunk.ok_or_else(|| TransferError::Lost(io::ErrorKind::UnexpectedEof.into()))
}

/// The length that an answer's head gives, if it brings a file.
fn body_bytes(head: &[u8]) -> Result<u64, TransferError> {
    let head = std::str::from_utf8(head).map_err(|_| TransferError::NotAFile)?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    match status {
        Some(200 | 206) => {}
        Some(status) => return Err(TransferError::Status(status)),
        None => return Err(TransferError::NotAFile),
    }
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length.and_then(|(_, value)| value.trim().parse().ok()).ok_or(TransferError::NotAFile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_file_is_found_and_anything_else_is_told() {
        assert_eq!(body_bytes(b"HTTP/1.1 206 Partial Content\r\nx: 1\r\nContent-Length: 17").ok(), Some(17));
        assert!(matches!(body_bytes(b"HTTP/1.1 404 Not Found\r\ncontent-length: 17"), Err(TransferError::Status(404))));
        assert!(matches!(body_bytes(b"HTTP/1.1 200 OK\r\nx: 1"), Err(TransferError::NotAFile)));
        assert!(matches!(body_bytes(b"\xff"), Err(TransferError::NotAFile)));
    }
}

//! The file that is transferred.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use crate::error::TransferError;

const BLOCK_BYTES: usize = 1 << 20;

/// Writes a file that no program can make smaller: no two blocks are the same, and none has a pattern.
pub(crate) fn write(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut state = bytes | 1;
    let mut block = vec![0; BLOCK_BYTES];
    let mut left = bytes;
    while left > 0 {
        for word in block.chunks_exact_mut(8) {
            word.copy_from_slice(&next(&mut state).to_le_bytes());
        }
        let length = usize::try_from(left).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
        file.write_all(&block[..length])?;
        left -= length as u64;
    }
    file.flush()
}

/// The length of what arrived, if it is what was sent: by all its bytes, or by its length alone.
pub(crate) fn check(sent: &Path, received: &Path, must_compare: bool) -> Result<u64, TransferError> {
    let (sent_bytes, received_bytes) = (length(sent), length(received));
    let is_as_sent = match must_compare {
        true => is_same(sent, received).unwrap_or(false),
        false => sent_bytes == received_bytes,
    };
    if is_as_sent { Ok(received_bytes) } else { Err(TransferError::Differs { received_bytes, sent_bytes }) }
}

/// 0 if there is no file.
pub(crate) fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |file| file.len())
}

/// Whether two files have the same bytes.
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut block, mut other_block) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    loop {
        let length = one.read(&mut block)?;
        if length == 0 {
            return Ok(true);
        }
        other.read_exact(&mut other_block[..length])?;
        if block[..length] != other_block[..length] {
            return Ok(false);
        }
    }
}

/// Source: G. Marsaglia, "Xorshift RNGs", 2003, with a multiplication at the end (xorshift64*).
fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_equals_its_copy_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        for (name, bytes) in [("a", 3_000_001), ("b", 3_000_001), ("c", 3_000_002)] {
            write(&path(name), bytes).expect("written");
            assert_eq!(path(name).metadata().expect("it exists").len(), bytes);
        }
        assert!(is_same(&path("a"), &path("b")).expect("read"));
        assert!(!is_same(&path("a"), &path("c")).expect("read"));
        let mut damaged = std::fs::read(path("b")).expect("read");
        damaged[2_999_999] ^= 1;
        std::fs::write(path("b"), damaged).expect("written");
        assert!(!is_same(&path("a"), &path("b")).expect("read"));
    }
}

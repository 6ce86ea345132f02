//! What the flows carry: bytes that follow from their position, so that a receiver can check them without a copy of them.

use std::sync::OnceLock;

/// The pattern repeats after this many bytes: a prime, so that no packet size fits into it a whole number of times and
/// bytes that end up a few packets away from their place are noticed.
const PERIOD: usize = 65_521;
/// The longest piece that is looked at in one go.
const PIECE_BYTES_MAX: usize = 128 << 10;

/// The bytes of the stream from `position` on: at most `wanted`, at least one.
pub fn at(position: u64, wanted: usize) -> &'static [u8] {
    let start = (position % PERIOD as u64) as usize;
    &pattern()[start..start + wanted.clamp(1, PIECE_BYTES_MAX)]
}

/// Whether `bytes` are those of the stream from `position` on.
pub fn is_at(mut position: u64, bytes: &[u8]) -> bool {
    bytes.chunks(PIECE_BYTES_MAX).all(|piece| {
        let is_right = piece == at(position, piece.len());
        position += piece.len() as u64;
        is_right
    })
}

fn pattern() -> &'static [u8] {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    PATTERN.get_or_init(|| {
        // SplitMix64, Steele, Lea and Flood 2014.
        let mixed = |number: u64| {
            let mut word = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            ((word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 56) as u8
        };
        (0..PERIOD + PIECE_BYTES_MAX).map(|index| mixed((index % PERIOD) as u64)).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_known_by_their_place() {
        for position in [0, 1, 65_520, 65_521, 10_000_000_019] {
            let piece = at(position, 3000);
            assert!(is_at(position, piece) && !is_at(position + 1456, piece) && !is_at(position + 1, piece));
        }
    }
}

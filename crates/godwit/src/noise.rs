//! Bytes to send when it does not matter which.

/// Bytes that do not compress and are the same in every run: xorshift64 (Marsaglia, "Xorshift RNGs", 2003).
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(length).collect()
}

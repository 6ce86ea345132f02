//! What is transferred: content that can be told apart, made anywhere, and not compressed.

use std::fmt;

use aws_lc_rs::digest::{self, Digest, SHA256, SHA256_OUTPUT_LEN};

/// `bytes` bytes decided by `seed`: the outputs of SplitMix64 started with `seed`, each as 8 bytes, little-endian.
///
/// Byte `n` can be made without those before it, so that ranges and messages are content too.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Decides the bytes.
    pub seed: u64,
    /// How many there are.
    pub bytes: u64,
}

impl Content {
    /// The first `bytes` bytes of the sequence of `seed`.
    pub const fn new(seed: u64, bytes: u64) -> Self {
        Self { seed, bytes }
    }

    /// Writes the bytes from `offset` into `buffer` and returns how many: fewer than it holds only at the end.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let left = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let (mut word, mut skip) = (offset / 8, (offset % 8) as usize);
        let mut rest = &mut buffer[..length];
        while !rest.is_empty() {
            let bytes = split_mix_64(self.seed, word).to_le_bytes();
            let taken = rest.len().min(8 - skip);
            rest[..taken].copy_from_slice(&bytes[skip..skip + taken]);
            rest = &mut rest[taken..];
            (word, skip) = (word + 1, 0);
        }
        length
    }

    /// All of it.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = vec![0; usize::try_from(self.bytes).expect("content that is held in memory fits into it")];
        self.read_at(0, &mut all);
        all
    }

    /// Consecutive pieces of `piece_bytes`, the last one perhaps shorter; as messages, or as calls to send.
    pub fn pieces(&self, piece_bytes: usize) -> impl Iterator<Item = Vec<u8>> {
        let content = *self;
        let mut offset = 0;
        std::iter::from_fn(move || {
            let mut piece = vec![0; piece_bytes];
            let length = content.read_at(offset, &mut piece);
            piece.truncate(length);
            offset += length as u64;
            (length > 0).then_some(piece)
        })
    }

    /// The fingerprint of all of it as a stream.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = FingerprintHash::default();
        self.pieces(1 << 16).for_each(|piece| hash.update(&piece));
        hash.finish()
    }

    /// The fingerprint of all of it as messages of `message_bytes`.
    pub fn message_fingerprint(&self, message_bytes: usize) -> MessageFingerprint {
        let mut fingerprint = MessageFingerprint::default();
        self.pieces(message_bytes).for_each(|message| fingerprint.add(&message));
        fingerprint
    }
}

/// Output number `index`, from 0, of the generator started with `seed`.
fn split_mix_64(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15u64.wrapping_mul(index.wrapping_add(1)));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What a stream carried: its length and SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// How many bytes.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: [u8; SHA256_OUTPUT_LEN],
}

impl Fingerprint {
    /// The fingerprint of bytes at hand.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = FingerprintHash::default();
        hash.update(bytes);
        hash.finish()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes={} sha256={}", self.bytes, hex(&self.sha256))
    }
}

/// A [`Fingerprint`] that is being taken.
#[derive(Clone)]
pub struct FingerprintHash {
    bytes: u64,
    context: digest::Context,
}

impl Default for FingerprintHash {
    fn default() -> Self {
        Self { bytes: 0, context: digest::Context::new(&SHA256) }
    }
}

impl FingerprintHash {
    /// These bytes come next.
    pub fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.context.update(bytes);
    }

    /// As many bytes come next, which are counted but not looked at.
    pub fn skip(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The fingerprint of all bytes so far.
    pub fn finish(self) -> Fingerprint {
        Fingerprint { bytes: self.bytes, sha256: array(&self.context.finish()) }
    }
}

/// Which messages arrived, in whatever order: their number and the XOR of the SHA-256 of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MessageFingerprint {
    /// How many messages.
    pub messages: u64,
    /// The XOR of their digests.
    pub xor_sha256: [u8; SHA256_OUTPUT_LEN],
}

impl MessageFingerprint {
    /// One more message.
    pub fn add(&mut self, message: &[u8]) {
        self.messages += 1;
        let digest = digest::digest(&SHA256, message);
        self.xor_sha256.iter_mut().zip(digest.as_ref()).for_each(|(sum, byte)| *sum ^= byte);
    }
}

impl fmt::Display for MessageFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "messages={} xor_sha256={}", self.messages, hex(&self.xor_sha256))
    }
}

fn array(digest: &Digest) -> [u8; SHA256_OUTPUT_LEN] {
    digest.as_ref().try_into().expect("a SHA-256 has 32 bytes")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a digest in hexadecimal, if it is one.
pub(crate) fn parse_digest(text: &str) -> Option<[u8; SHA256_OUTPUT_LEN]> {
    let mut digest = [0; SHA256_OUTPUT_LEN];
    if text.len() != 2 * digest.len() || !text.is_ascii() {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_split_mix_64() {
        // The first outputs for seed 1234567, as published with the reference implementation.
        let expected: Vec<u8> = [6_457_827_717_110_365_317u64, 3_203_168_211_198_807_973]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        assert_eq!(Content::new(1_234_567, 16).to_vec(), expected);
    }

    #[test]
    fn any_range_can_be_made_alone() {
        let content = Content::new(3, 1_000);
        let all = content.to_vec();
        for (offset, length) in [(0, 1), (1, 7), (3, 100), (8, 8), (995, 5), (1_000, 0)] {
            let mut range = vec![0; length];
            assert_eq!(content.read_at(offset as u64, &mut range), length);
            assert_eq!(range, all[offset..offset + length]);
        }
        assert_eq!(content.read_at(990, &mut [0; 100]), 10);
        assert_eq!(content.pieces(333).collect::<Vec<_>>().concat(), all);
        assert_eq!(content.fingerprint(), Fingerprint::of(&all));
    }

    #[test]
    fn a_message_fingerprint_does_not_depend_on_the_order() {
        let content = Content::new(4, 250);
        let mut messages: Vec<_> = content.pieces(100).collect();
        messages.reverse();
        let mut reversed = MessageFingerprint::default();
        messages.iter().for_each(|message| reversed.add(message));
        assert_eq!(reversed, content.message_fingerprint(100));
        assert_eq!(reversed.messages, 3);
    }

    #[test]
    fn a_digest_parses_as_it_prints() {
        let fingerprint = Fingerprint::of(b"abc");
        assert_eq!(parse_digest(&hex(&fingerprint.sha256)), Some(fingerprint.sha256));
        assert_eq!(parse_digest("00"), None);
    }
}

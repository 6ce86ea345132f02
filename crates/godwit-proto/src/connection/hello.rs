//! How godwits recognise each other: a packet of the type that libudt leaves to applications, and ignores.
//!
//! ```text
//! word 0  1 | 0x7FFF (15) | 0x6764 (16)
//!      1  version, 1
//!      2  0
//!      3  destination socket id
//!      4  0
//!      5  1 in an answer, else 0
//! ```
//!
//! docs/wire-extensions.md is its specification.

use std::time::Duration;

use crate::packet::Control;

/// Introductions that go unanswered before the peer counts as somebody else.
pub(super) const HELLOS_MAX: u8 = 4;
/// The second follows at once, to be there before data: to a receiver that does not know who sends, a sender looks like libudt, and
/// what its first ACKs lack made the start-up at 300 Mbit/s and 250 ms carry a sixteenth in the first 2 s.
const HELLO_AGAIN: Duration = Duration::from_micros(200);
/// After that the time between them grows by this each time.
const HELLO_REPEAT: Duration = Duration::from_millis(400);

/// From the introduction with this number (the first is 1) to the next.
pub(super) fn pause_after(number: u8) -> Duration {
    match number {
        0 | 1 => HELLO_AGAIN,
        _ => HELLO_REPEAT * u32::from(number - 1),
    }
}

const EXTENDED_TYPE: u16 = 0x6764;
const VERSION: u32 = 1;

/// An introduction, or the answer to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) is_answer: bool,
}

impl Hello {
    /// Appends the datagram to `out`.
    pub(super) fn encode(self, destination: u32, out: &mut Vec<u8>) {
        let mut body = [0; 8];
        body[4..].copy_from_slice(&u32::from(self.is_answer).to_be_bytes());
        Control::User { extended_type: EXTENDED_TYPE, info: VERSION, body: &body }.encode(0, destination, out);
    }

    /// What a control packet of the user type says; `None` if it is something else's. Later versions only add words.
    pub(super) fn decode(extended_type: u16, body: &[u8]) -> Option<Self> {
        let flags: [u8; 4] = body.get(4..8)?.try_into().ok()?;
        (extended_type == EXTENDED_TYPE).then_some(Self { is_answer: u32::from_be_bytes(flags) & 1 != 0 })
    }
}

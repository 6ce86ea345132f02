//! Decisions about single datagrams: to lose a chosen handshake, or a shutdown.

use std::time::Duration;

/// Which way a datagram travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server, or from A to B.
    Forward,
    /// From the server to the client, or from B to A.
    Backward,
}

/// What happens to one datagram before it reaches the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It enters the link like any other.
    Pass,
    /// It is lost, and counted as filtered.
    Drop,
    /// It enters the link, but arrives this much later than it would have; later datagrams may overtake it.
    Delay(Duration),
}

/// Judges each datagram (its UDP payload) in the order of arrival, before any random fault.
///
/// It runs on the relay's only thread: it must not block. Share state with a test through atomics.
pub type Filter = Box<dyn FnMut(&[u8], Direction) -> Verdict + Send>;

/// Loses exactly one datagram: number `nth`, counted from 0, of those that travel in `direction` and that `chosen` picks.
pub fn drop_nth(direction: Direction, nth: u64, chosen: impl FnMut(&[u8]) -> bool + Send + 'static) -> Filter {
    drop_range(direction, nth, 1, chosen)
}

/// Loses the first `count` datagrams that travel in `direction` and that `chosen` picks.
pub fn drop_first(direction: Direction, count: u64, chosen: impl FnMut(&[u8]) -> bool + Send + 'static) -> Filter {
    drop_range(direction, 0, count, chosen)
}

fn drop_range(
    direction: Direction,
    first: u64,
    count: u64,
    mut chosen: impl FnMut(&[u8]) -> bool + Send + 'static,
) -> Filter {
    let mut seen = 0u64;
    Box::new(move |datagram, travels| {
        if travels != direction || !chosen(datagram) {
            return Verdict::Pass;
        }
        let number = seen;
        seen += 1;
        if number >= first && number - first < count { Verdict::Drop } else { Verdict::Pass }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_nth_loses_one_chosen_datagram_of_one_direction() {
        let mut filter = drop_nth(Direction::Forward, 1, |datagram| datagram[0] == b'x');
        assert_eq!(filter(b"x0", Direction::Forward), Verdict::Pass);
        assert_eq!(filter(b"x", Direction::Backward), Verdict::Pass);
        assert_eq!(filter(b"y", Direction::Forward), Verdict::Pass);
        assert_eq!(filter(b"x1", Direction::Forward), Verdict::Drop);
        assert_eq!(filter(b"x2", Direction::Forward), Verdict::Pass);
    }

    #[test]
    fn drop_first_loses_a_prefix() {
        let mut filter = drop_first(Direction::Backward, 2, |_| true);
        let verdicts: Vec<_> = (0..3).map(|_| filter(b"z", Direction::Backward)).collect();
        assert_eq!(verdicts, [Verdict::Drop, Verdict::Drop, Verdict::Pass]);
    }
}

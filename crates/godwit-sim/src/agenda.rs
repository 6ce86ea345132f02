//! What happens next: the time at which each of a fixed set of parties wants to act, with the earliest on top.
//!
//! A binary heap in which each party has one entry that can be moved: no entry is ever stale, and nothing is allocated
//! while the simulation runs. Parties with the same time act in the order of their numbers, so every run is the same.

use std::time::Instant;

/// No place in the heap.
const ABSENT: u32 = u32::MAX;

/// See the module.
#[derive(Debug)]
pub struct Agenda {
    heap: Vec<(Instant, u32)>,
    /// Where each party is in the heap.
    places: Vec<u32>,
}

impl Agenda {
    /// An agenda for parties `0 .. parties`, none of which wants anything.
    pub fn new(parties: usize) -> Self {
        Self { heap: Vec::with_capacity(parties), places: vec![ABSENT; parties] }
    }

    /// The party wants to act at this time, or not at all.
    pub fn set(&mut self, party: usize, at: Option<Instant>) {
        let place = self.places[party];
        match (at, place) {
            (None, ABSENT) => {}
            (None, place) => self.remove(place as usize),
            (Some(at), ABSENT) => {
                self.heap.push((at, party as u32));
                self.places[party] = (self.heap.len() - 1) as u32;
                self.rise(self.heap.len() - 1);
            }
            (Some(at), place) => {
                let place = place as usize;
                let before = std::mem::replace(&mut self.heap[place].0, at);
                if at < before {
                    self.rise(place);
                } else if at > before {
                    self.sink(place);
                }
            }
        }
    }

    /// Who acts next, and when.
    pub fn first(&self) -> Option<(Instant, usize)> {
        self.heap.first().map(|&(at, party)| (at, party as usize))
    }

    fn remove(&mut self, place: usize) {
        let last = self.heap.len() - 1;
        self.swap(place, last);
        let (_, party) = self.heap.pop().expect("the party was there");
        self.places[party as usize] = ABSENT;
        if place < last {
            self.rise(place);
            self.sink(place);
        }
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let above = (place - 1) / 2;
            if self.heap[above] <= self.heap[place] {
                return;
            }
            self.swap(place, above);
            place = above;
        }
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let left = 2 * place + 1;
            if left >= self.heap.len() {
                return;
            }
            let right = left + 1;
            let least = if right < self.heap.len() && self.heap[right] < self.heap[left] { right } else { left };
            if self.heap[place] <= self.heap[least] {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        if a != b {
            self.heap.swap(a, b);
        }
        self.places[self.heap[a].1 as usize] = a as u32;
        self.places[self.heap[b].1 as usize] = b as u32;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_is_always_on_top() {
        let start = crate::clock::origin();
        let mut agenda = Agenda::new(50);
        let mut times = vec![None; 50];
        let mut state = 1_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let party = (state >> 33) as usize % 50;
            let at = (!state.is_multiple_of(3)).then(|| start + Duration::from_micros((state >> 40) % 1000));
            times[party] = at;
            agenda.set(party, at);
            let least = times.iter().enumerate().filter_map(|(party, at)| at.map(|at| (at, party))).min();
            assert_eq!(agenda.first(), least);
        }
    }
}

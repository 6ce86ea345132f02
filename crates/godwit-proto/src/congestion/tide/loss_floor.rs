//! The floor of random loss: the share of packets that the path loses whatever we send.
//!
//! Loss above it is congestion. The floor is learnt where no queue can have overflowed, and never rises beyond what a
//! down-test has validated: compensating for loss that we cause would confirm itself.

use std::collections::VecDeque;

/// Packets of a block whose loss counts as one observation.
const BLOCK_PACKETS: u64 = 300;
const BLOCKS: usize = 8;
/// No path that loses more is worth compensating for.
pub(super) const FLOOR_MAX: f64 = 0.25;
/// Packets whose losses count as one observation of how much they scatter: smaller cohorts are added up.
const SCATTER_PACKETS: u64 = 20;
/// What one of them counts for in the mean.
const MEAN_WEIGHT: f64 = 0.03;
/// Bounds of the index of dispersion: 1 is independent losses.
const DISPERSION_MAX: f64 = 60.0;

/// Packets of a cohort, and how many of them were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) lost: u64,
}

impl Tally {
    /// The share lost.
    pub(super) fn loss(self) -> f64 {
        self.lost as f64 / self.sent.max(1) as f64
    }

    /// The same but for so many that were lost.
    pub(super) fn without(self, lost: u64) -> Self {
        Self { sent: self.sent.saturating_sub(lost), lost: self.lost.saturating_sub(lost) }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.lost += other.lost;
    }

    pub(super) fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

/// See the module. Losses are shares, 0 ..= 1.
#[derive(Clone, Debug)]
pub(super) struct LossFloor {
    floor: f64,
    validated: f64,
    /// What the floor would be if all of it were validated.
    unproven: f64,
    /// The highest loss that stayed at a rate far below what arrives.
    proven: f64,
    block: Tally,
    blocks: VecDeque<f64>,
    bounding: Tally,
    /// Routine down-tests since the last verdict.
    tested: Tally,
    scatter: Tally,
    observations: f64,
    mean: f64,
    squares: f64,
    expected: f64,
}

impl LossFloor {
    pub(super) fn new() -> Self {
        Self {
            floor: 0.0,
            validated: FLOOR_MAX,
            unproven: 0.0,
            proven: 0.0,
            block: Tally::default(),
            blocks: VecDeque::new(),
            bounding: Tally::default(),
            tested: Tally::default(),
            scatter: Tally::default(),
            observations: 0.0,
            mean: 0.0,
            squares: 1.0,
            expected: 1.0,
        }
    }

    /// The floor.
    pub(super) fn value(&self) -> f64 {
        self.floor
    }

    /// What a routine down-test is to find out about, if anything.
    pub(super) fn questionable(&self) -> Option<f64> {
        let loss = self.floor.max(self.unproven);
        (loss > 0.005).then_some(loss)
    }

    /// The mean loss while the link could not overflow. The floor lies below it where losses come in bursts.
    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    /// How much more the loss counts scatter than those of independent losses: bursts make it large.
    pub(super) fn dispersion(&self) -> f64 {
        (self.squares / self.expected).clamp(1.0, DISPERSION_MAX)
    }

    /// Losses of `sent` packets that chance explains: the mean and `sigmas` deviations.
    pub(super) fn explained(&self, sent: u64, sigmas: f64) -> f64 {
        self.scattered(self.floor, sent, sigmas)
    }

    /// The same from the mean instead of the floor, for where hardly a queue stands: as the mean is learnt.
    pub(super) fn explained_without_queue(&self, sent: u64, sigmas: f64) -> f64 {
        self.scattered(self.floor.max(self.mean), sent, sigmas)
    }

    /// A cohort that met no queue: its loss is random. The mean of the lower three quarters of the last blocks.
    pub(super) fn learn(&mut self, tally: Tally) {
        self.block.add(tally);
        if self.block.sent < BLOCK_PACKETS {
            return;
        }
        self.blocks.push_back(self.block.take().loss());
        if self.blocks.len() > BLOCKS {
            self.blocks.pop_front();
        }
        let mut sorted: Vec<f64> = self.blocks.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let counted = (sorted.len() * 3 / 4).max(1);
        let mean = sorted[..counted].iter().sum::<f64>() / counted as f64;
        self.unproven = mean.min(FLOOR_MAX);
        self.floor = self.unproven.min(self.validated * 1.2 + 0.003);
    }

    /// Any other cohort: the loss of a long enough stretch bounds the random loss from above.
    pub(super) fn bound(&mut self, tally: Tally) {
        self.bounding.add(tally);
        let enough = (30.0 / self.floor.max(0.000_5)).clamp(300.0, 20_000.0);
        if (self.bounding.sent as f64) < enough {
            return;
        }
        let loss = self.bounding.take().loss();
        if loss < 0.75 * self.floor {
            self.floor = 0.5 * (self.floor + loss);
            let floor = self.floor;
            self.unproven = floor;
            self.blocks.iter_mut().for_each(|block| *block = block.min(floor));
        }
    }

    /// A cohort sent while the link could not overflow: how much losses scatter.
    pub(super) fn observe_scatter(&mut self, tally: Tally) {
        self.scatter.add(tally);
        if self.scatter.sent < SCATTER_PACKETS {
            return;
        }
        let tally = self.scatter.take();
        // The first ones count alike: a mean that begins at 0 would take any loss for a burst.
        self.observations += 1.0;
        self.mean += MEAN_WEIGHT.max(1.0 / self.observations) * (tally.loss() - self.mean);
        let expected = tally.sent as f64 * self.mean;
        if expected > 0.2 {
            self.squares = 0.97 * self.squares + (tally.lost as f64 - expected).powi(2);
            self.expected = 0.97 * self.expected + expected;
        }
    }

    fn scattered(&self, loss: f64, sent: u64, sigmas: f64) -> f64 {
        let mean = sent as f64 * loss;
        mean + sigmas * (self.dispersion() * mean).sqrt()
    }

    /// A routine down-test is over: all of them since the last verdict.
    pub(super) fn add_up_tests(&mut self, tally: Tally) -> Tally {
        self.tested.add(tally);
        self.tested
    }

    /// A down-test: the loss stayed though we sent less. It is random, and this much of it is proven.
    pub(super) fn validate(&mut self, loss: f64) {
        self.tested = Tally::default();
        self.validated = loss.max(self.floor).min(FLOOR_MAX);
        if self.floor < 0.7 * loss {
            self.floor = loss;
            self.blocks = VecDeque::from([loss; 3]);
        }
    }

    /// Whether this much loss is more than was ever proven to be random.
    pub(super) fn needs_proof(&self, loss: f64) -> bool {
        loss > 1.3 * self.proven + 0.01
    }

    /// A down-test far below the rate that arrives: the loss stayed.
    pub(super) fn prove(&mut self, loss: f64) {
        self.proven = self.proven.max(loss);
        self.validate(loss);
    }

    /// A down-test: the loss followed our rate. No more than what was left of it is random.
    pub(super) fn refute(&mut self, loss: f64) {
        self.tested = Tally::default();
        self.validated = loss;
        self.proven = self.proven.min(loss);
        self.floor = self.floor.min(loss);
        self.unproven = self.floor;
        self.blocks.clear();
        self.block = Tally::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_that_are_there_from_the_beginning_do_not_scatter() {
        let mut floor = LossFloor::new();
        [43, 33, 41, 36].into_iter().for_each(|lost| floor.observe_scatter(Tally { sent: 400, lost }));
        assert!(floor.dispersion() < 1.5, "{}", floor.dispersion());
        [0, 0, 0, 300].into_iter().for_each(|lost| floor.observe_scatter(Tally { sent: 400, lost }));
        assert!(floor.dispersion() > 20.0, "a burst does: {}", floor.dispersion());
    }
}

//! How the receiver's file grows.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// When a file has so many bytes is of interest.
const MILESTONES_BYTES: [u64; 4] = [1_000_000, 10_000_000, 100_000_000, 1_000_000_000];
/// Points that are kept for a plot.
const POINTS_MAX: usize = 240;
/// `st_blocks` counts these, whatever the file system's block is (stat(2)).
const BLOCK_BYTES: u64 = 512;
/// What programs write beside the file: what they know of its parts.
const BESIDE: [&str; 2] = [".aria2", ".meta"];

/// Seconds since the start, and bytes.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Growth {
    pub(crate) first_byte_s: Option<f64>,
    pub(crate) milestones: Vec<(u64, f64)>,
    points: Vec<(f64, u64)>,
    bytes: u64,
}

impl Growth {
    pub(crate) fn add(&mut self, seconds: f64, bytes: u64) {
        if bytes <= self.bytes {
            return;
        }
        self.bytes = bytes;
        self.first_byte_s.get_or_insert(seconds);
        let reached =
            MILESTONES_BYTES.into_iter().skip(self.milestones.len()).take_while(|&milestone| milestone <= bytes);
        self.milestones.extend(reached.map(|milestone| (milestone, seconds)));
        self.points.push((seconds, bytes));
    }

    /// Bytes at a time, between two readings in proportion.
    pub(crate) fn bytes_at(&self, seconds: f64) -> f64 {
        let after = self.points.partition_point(|point| point.0 <= seconds);
        let before = after.checked_sub(1).map_or((0.0, 0), |place| self.points[place]);
        let Some(next) = self.points.get(after) else { return before.1 as f64 };
        let part = (seconds - before.0) / (next.0 - before.0).max(1e-9);
        before.1 as f64 + part * (next.1 - before.1) as f64
    }

    /// Some of the points, evenly chosen, the last among them.
    pub(crate) fn thinned(&self) -> Vec<(f64, u64)> {
        let step = self.points.len().div_ceil(POINTS_MAX).max(1);
        let mut points: Vec<_> = self.points.iter().copied().step_by(step).collect();
        points.extend(self.points.last().copied().filter(|last| points.last() != Some(last)));
        points
    }
}

/// What the files in a directory hold: allocated blocks, since several connections write at several places of one file. Up to a page too
/// much.
pub(crate) fn received_bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let content = entries.filter(|entry| {
        let name = entry.file_name();
        !BESIDE.iter().any(|suffix| name.to_string_lossy().ends_with(suffix))
    });
    content.filter_map(|entry| entry.metadata().ok()).map(|file| (file.blocks() * BLOCK_BYTES).min(file.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown() -> Growth {
        let mut growth = Growth::default();
        for (seconds, bytes) in [(0.1, 0), (0.2, 100), (1.0, 2_000_000), (2.0, 20_000_000), (2.5, 20_000_000)] {
            growth.add(seconds, bytes);
        }
        growth
    }

    #[test]
    fn first_byte_and_milestones() {
        let growth = grown();
        assert_eq!(growth.first_byte_s, Some(0.2));
        assert_eq!(growth.milestones, [(1_000_000, 1.0), (10_000_000, 2.0)]);
    }

    #[test]
    fn between_readings_it_grew_evenly_and_after_the_last_not_at_all() {
        let growth = grown();
        assert_eq!(
            (growth.bytes_at(0.1), growth.bytes_at(1.5), growth.bytes_at(9.0)),
            (50.0, 11_000_000.0, 20_000_000.0)
        );
    }

    #[test]
    fn many_points_become_few_and_the_last_stays() {
        let mut growth = Growth::default();
        (1..=1001).for_each(|number| growth.add(number as f64, number));
        let points = growth.thinned();
        assert!(points.len() <= POINTS_MAX + 1 && points.last() == Some(&(1001.0, 1001)));
    }

    #[test]
    fn holes_and_what_lies_beside_do_not_count() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file.part"), vec![1; 10_000]).expect("written");
        fs::write(path("file.part.meta"), vec![1; 10_000]).expect("written");
        fs::File::create(path("hole")).and_then(|file| file.set_len(1 << 30)).expect("written");
        assert_eq!(received_bytes(directory.path()), 10_000);
    }
}

//! How the receiver's file grows.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// When a file has so many bytes is of interest.
const MILESTONES_BYTES: [u64; 4] = [1_000_000, 10_000_000, 100_000_000, 1_000_000_000];
/// Points that are kept for a plot.
const POINTS_MAX: u32 = 120;
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

    /// Bytes at evenly spaced times, from 0 to the last change, in whole milliseconds.
    pub(crate) fn thinned(&self) -> Vec<(f64, u64)> {
        let end = self.points.last().map_or(0.0, |last| last.0);
        let at = |number: u32| {
            let seconds = end * f64::from(number) / f64::from(POINTS_MAX);
            ((seconds * 1e3).round() / 1e3, self.bytes_at(seconds) as u64)
        };
        (0..=POINTS_MAX).map(at).collect()
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
    fn many_points_become_few_that_are_evenly_spaced() {
        let mut growth = Growth::default();
        (1..=1200u32).for_each(|number| growth.add(f64::from(number), number.into()));
        let points = growth.thinned();
        assert_eq!((points[0], points[1], points[POINTS_MAX as usize]), ((0.0, 0), (10.0, 10), (1200.0, 1200)));
        assert_eq!(points.len(), POINTS_MAX as usize + 1);
    }

    #[test]
    fn holes_and_what_lies_beside_do_not_count() {
        // Blocks are counted at once where files are in memory; that is where the lab has them.
        let in_memory = Path::new("/dev/shm");
        let parent = if in_memory.exists() { in_memory.to_owned() } else { std::env::temp_dir() };
        let directory = tempfile::tempdir_in(parent).expect("a directory");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file.part"), vec![1; 10_000]).expect("written");
        fs::write(path("file.part.meta"), vec![1; 10_000]).expect("written");
        fs::File::create(path("hole")).and_then(|file| file.set_len(1 << 30)).expect("written");
        assert_eq!(received_bytes(directory.path()), 10_000);
    }
}

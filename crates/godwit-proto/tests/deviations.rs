//! Holds `docs/deviations.md` to the code: each number stands where it is done, and each test that it names exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const DEVIATIONS: &str = include_str!("../../../docs/deviations.md");

#[test]
fn every_number_stands_in_the_code_and_no_other() {
    let listed: BTreeSet<u32> = DEVIATIONS.lines().filter_map(|line| line.split_once(". **")?.0.parse().ok()).collect();
    assert!(listed.iter().copied().eq(1..=listed.len() as u32), "the list is not numbered from 1: {listed:?}");
    let source = source(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))).to_lowercase();
    let after = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse::<u32>().ok();
    let marked: BTreeSet<u32> = source.split("deviation ").skip(1).filter_map(after).collect();
    assert_eq!(listed, marked, "left: in docs/deviations.md; right: in the code");
}

#[test]
fn every_test_that_is_named_exists() {
    let source = source(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")));
    let names = DEVIATIONS.split('`').skip(1).step_by(2).map(|name| name.rsplit("::").next().unwrap_or(name));
    let is_test =
        |name: &&str| name.len() > 15 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit());
    let missing: Vec<&str> = names.filter(is_test).filter(|name| !source.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_pitfall_and_its_test_are_in_the_table() {
    let rows: BTreeSet<u32> =
        DEVIATIONS.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |")?.0.parse().ok()).collect();
    assert!(rows.into_iter().eq(1..=30));
}

/// All Rust files below `directory`, one after the other.
fn source(directory: &Path) -> String {
    let entries = fs::read_dir(directory).expect("the crate's own source");
    entries
        .map(|entry| entry.expect("an entry of it").path())
        .map(|path| match path.is_dir() {
            true => source(&path),
            false => fs::read_to_string(&path).expect("UTF-8"),
        })
        .collect()
}

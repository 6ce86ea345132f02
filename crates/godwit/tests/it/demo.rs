//! The demo, as anyone runs it.

use crate::support::{godwit, names, scratch};

/// It ends by itself or, after a minute, fails by itself, so its exit code says that it was in time.
#[test]
fn shows_a_verified_download_over_a_lossy_path() {
    let directory = scratch();
    let run = godwit(directory.path(), &["demo"]).expect(0);
    let table: Vec<&str> = run.stdout.lines().filter(|line| line.contains(" %)")).collect();
    let [fair, native] = table[..] else { panic!("two rows are expected; {run:#?}") };
    assert!(fair.starts_with("fair ") && native.starts_with("native "), "{run:#?}");
    for row in [fair, native] {
        let retransmitted = row.split(" of ").next().and_then(|left| left.rsplit(' ').next()).expect("a column");
        assert!(retransmitted.parse::<u32>().is_ok_and(|packets| packets > 0), "a path that loses packets; {row}");
    }
    assert!(run.stdout.contains("SHA-256 of noise.bin is "), "{run:#?}");
    assert!(names(directory.path()).is_empty(), "nothing is left");
}

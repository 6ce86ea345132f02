//! Which bytes of a file a response carries: a function of its size and of the ranges asked for.

use std::ops::Range;

use crate::range::RangeSpec;

/// Ranges in one request; with more the `Range` field is ignored and the whole file is sent, which RFC 9110, section
/// 14.2, allows against requests for many small ranges. Real readers of several ranges (PDF viewers, zsync) ask for
/// fewer at once.
pub(crate) const RANGES_MAX: usize = 16;

/// Which bytes to send. Ranges are half-open, in bytes, and not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// 200: all of them.
    Whole,
    /// 206 with `Content-Range`.
    Single(Range<u64>),
    /// 206 as `multipart/byteranges`: in ascending order, with at least one byte between any two.
    Multiple(Vec<Range<u64>>),
    /// 416: none of the ranges has a byte in the file.
    Unsatisfiable,
}

/// Plans a response over a representation of `size_bytes`.
pub(crate) fn plan(specs: &[RangeSpec], size_bytes: u64) -> Plan {
    if specs.is_empty() || specs.len() > RANGES_MAX {
        return Plan::Whole;
    }
    // A suffix of an empty file can be satisfied, but no Content-Range can say so (RFC 9110, section 14.1.2).
    let is_suffix = |spec: &RangeSpec| matches!(spec, RangeSpec::Suffix { length: 1.. });
    if size_bytes == 0 && specs.iter().any(is_suffix) {
        return Plan::Whole;
    }
    let mut ranges: Vec<_> = specs.iter().filter_map(|spec| resolve(*spec, size_bytes)).collect();
    ranges.sort_unstable_by_key(|range| range.start);
    let mut ranges = merge(ranges);
    match ranges.len() {
        0 => Plan::Unsatisfiable,
        1 => Plan::Single(ranges.remove(0)),
        _ => Plan::Multiple(ranges),
    }
}

fn resolve(spec: RangeSpec, size_bytes: u64) -> Option<Range<u64>> {
    let range = match spec {
        RangeSpec::From { first, last } => {
            first..last.map_or(size_bytes, |last| last.saturating_add(1).min(size_bytes))
        }
        RangeSpec::Suffix { length } => size_bytes.saturating_sub(length)..size_bytes,
    };
    (!range.is_empty()).then_some(range)
}

/// Joins ranges that overlap or touch (RFC 9110, section 15.3.7.2). They come sorted by their start.
fn merge(sorted: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn from(first: u64, last: u64) -> RangeSpec {
        RangeSpec::From { first, last: Some(last) }
    }

    const fn after(first: u64) -> RangeSpec {
        RangeSpec::From { first, last: None }
    }

    const fn suffix(length: u64) -> RangeSpec {
        RangeSpec::Suffix { length }
    }

    #[test]
    fn plans_ranges_of_ten_bytes() {
        for (specs, expected) in [
            (vec![], Plan::Whole),
            (vec![from(0, 0)], Plan::Single(0..1)),
            (vec![from(0, 9)], Plan::Single(0..10)),
            (vec![from(0, 99)], Plan::Single(0..10)),
            (vec![after(9)], Plan::Single(9..10)),
            (vec![after(10)], Plan::Unsatisfiable),
            (vec![after(u64::MAX)], Plan::Unsatisfiable),
            (vec![from(0, u64::MAX)], Plan::Single(0..10)),
            (vec![suffix(3)], Plan::Single(7..10)),
            (vec![suffix(99)], Plan::Single(0..10)),
            (vec![suffix(0)], Plan::Unsatisfiable),
            (vec![suffix(0), from(1, 2)], Plan::Single(1..3)),
            (vec![from(5, 6), from(0, 1)], Plan::Multiple(vec![0..2, 5..7])),
            (vec![from(0, 1), from(2, 3)], Plan::Single(0..4)),
            (vec![from(0, 5), from(1, 2), from(9, 9)], Plan::Multiple(vec![0..6, 9..10])),
            (vec![from(0, 1), after(10)], Plan::Single(0..2)),
        ] {
            assert_eq!(plan(&specs, 10), expected, "{specs:?}");
        }
    }

    #[test]
    fn an_empty_file_has_no_first_byte_but_a_suffix() {
        assert_eq!(plan(&[after(0)], 0), Plan::Unsatisfiable);
        assert_eq!(plan(&[suffix(5)], 0), Plan::Whole);
        assert_eq!(plan(&[suffix(0)], 0), Plan::Unsatisfiable);
    }

    #[test]
    fn more_than_sixteen_ranges_are_ignored() {
        let specs: Vec<_> = (0..17).map(|i| from(i * 10, i * 10)).collect();
        assert_eq!(plan(&specs, 1000), Plan::Whole);
        assert!(matches!(plan(&specs[..16], 1000), Plan::Multiple(ranges) if ranges.len() == 16));
    }

    fn any_spec() -> impl Strategy<Value = RangeSpec> {
        let bound = prop_oneof![0..40_u64, any::<u64>()];
        prop_oneof![
            (bound.clone(), proptest::option::of(bound.clone()))
                .prop_map(|(first, length)| RangeSpec::From { first, last: length.map(|n| first.saturating_add(n)) }),
            bound.prop_map(suffix),
        ]
    }

    proptest! {
        /// The plan covers exactly the bytes that some range names.
        #[test]
        fn covers_what_was_asked(specs in proptest::collection::vec(any_spec(), 1..=RANGES_MAX), size in 1..40_u64) {
            let ranges = match plan(&specs, size) {
                Plan::Whole => panic!("ranges of a file with bytes were ignored"),
                Plan::Single(range) => vec![range],
                Plan::Multiple(ranges) => ranges,
                Plan::Unsatisfiable => vec![],
            };
            prop_assert!(ranges.iter().all(|range| !range.is_empty() && range.end <= size));
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            for byte in 0..size {
                let is_asked = specs.iter().any(|spec| match *spec {
                    RangeSpec::From { first, last } => first <= byte && last.is_none_or(|last| byte <= last),
                    RangeSpec::Suffix { length } => byte >= size.saturating_sub(length),
                });
                prop_assert_eq!(ranges.iter().any(|range| range.contains(&byte)), is_asked, "byte {}", byte);
            }
        }
    }
}

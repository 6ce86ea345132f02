//! The `Range` field (RFC 9110, section 14.2).

use http::HeaderMap;
use http::header::RANGE;

/// One member of a `Range` field, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RangeSpec {
    /// `first-` and `first-last`, both inclusive.
    From { first: u64, last: Option<u64> },
    /// `-length`: the last bytes.
    Suffix { length: u64 },
}

/// The members of the `Range` field; `None` if it is absent, not in bytes or malformed, which all mean that it is ignored.
/// A number beyond 2^64 - 1 counts as that.
pub(crate) fn parse(headers: &HeaderMap) -> Option<Vec<RangeSpec>> {
    let mut lines = headers.get_all(RANGE).iter();
    let value = lines.next().filter(|_| lines.next().is_none())?.to_str().ok()?;
    let (unit, set) = value.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    // Empty members are allowed (RFC 9110, section 5.6.1.2), but not only such.
    let specs = set.split(',').map(str::trim).filter(|spec| !spec.is_empty());
    let specs = specs.map(parse_spec).collect::<Option<Vec<_>>>()?;
    (!specs.is_empty()).then_some(specs)
}

fn parse_spec(spec: &str) -> Option<RangeSpec> {
    let (first, last) = spec.split_once('-')?;
    match (first.is_empty(), last.is_empty()) {
        (true, _) => Some(RangeSpec::Suffix { length: parse_number(last)? }),
        (false, true) => Some(RangeSpec::From { first: parse_number(first)?, last: None }),
        (false, false) => {
            let (first, last) = (parse_number(first)?, parse_number(last)?);
            (first <= last).then_some(RangeSpec::From { first, last: Some(last) })
        }
    }
}

fn parse_number(digits: &str) -> Option<u64> {
    let are_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn parse_value(value: &str) -> Option<Vec<RangeSpec>> {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_str(value).unwrap());
        parse(&headers)
    }

    #[test]
    fn reads_every_form() {
        let from = |first, last| RangeSpec::From { first, last };
        for (value, specs) in [
            ("bytes=0-0", vec![from(0, Some(0))]),
            ("Bytes=5-", vec![from(5, None)]),
            ("bytes=-5", vec![RangeSpec::Suffix { length: 5 }]),
            ("bytes= 0-1 , ,\t4-", vec![from(0, Some(1)), from(4, None)]),
            ("bytes=0-99999999999999999999", vec![from(0, Some(u64::MAX))]),
        ] {
            assert_eq!(parse_value(value), Some(specs), "{value}");
        }
    }

    #[test]
    fn ignores_what_is_malformed() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-",
            "bytes=1",
            "bytes=2-1",
            "bytes=+1-2",
            "bytes=1-2-3",
        ] {
            assert_eq!(parse_value(value), None, "{value}");
        }
        assert_eq!(parse_value("lines=0-1"), None);
        assert_eq!(parse_value("bytes=0-1, x"), None, "one malformed member spoils the field");
        let mut twice = HeaderMap::new();
        twice.append(RANGE, HeaderValue::from_static("bytes=0-1"));
        twice.append(RANGE, HeaderValue::from_static("bytes=3-4"));
        assert_eq!(parse(&twice), None);
    }

    proptest! {
        #[test]
        fn survives_anything(value in "(bytes=)?[-0-9, ax]{0,40}") {
            parse_value(&value);
        }

        #[test]
        fn reads_what_is_well_formed(first: u64, length in 0..1000_u64) {
            let last = first.saturating_add(length);
            let expected = vec![RangeSpec::From { first, last: Some(last) }, RangeSpec::Suffix { length }];
            prop_assert_eq!(parse_value(&format!("bytes={first}-{last},-{length}")), Some(expected));
        }
    }
}

//! Conditional requests (RFC 9110, section 13), as a function of the fields and of what is stored now.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName};

use crate::etag::{EntityTag, EntityTags};

/// What a representation is recognised by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validators {
    pub(crate) etag: EntityTag,
    pub(crate) last_modified: SystemTime,
}

/// What becomes of a request after its preconditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Do what the method says.
    Proceed,
    /// 304: the client has what it asked for.
    NotModified,
    /// 412: the resource is not in the state that the client requires.
    PreconditionFailed,
}

/// Evaluates the preconditions in the order of RFC 9110, section 13.2.2, its last step (`If-Range`) excepted, which only
/// decides on the range: see [`if_range_holds`]. `current` is `None` where nothing is stored; `is_read` says that the
/// method is GET or HEAD.
pub(crate) fn evaluate(headers: &HeaderMap, is_read: bool, current: Option<&Validators>) -> Outcome {
    if let Some(tags) = EntityTags::from_headers(headers, IF_MATCH) {
        if !matches(&tags, current, EntityTag::is_same_bytes_as) {
            return Outcome::PreconditionFailed;
        }
    } else if let (Some(date), Some(current)) = (date(headers, IF_UNMODIFIED_SINCE), current)
        && whole_seconds(current.last_modified) > date
    {
        return Outcome::PreconditionFailed;
    }
    if let Some(tags) = EntityTags::from_headers(headers, IF_NONE_MATCH) {
        if matches(&tags, current, EntityTag::is_equivalent_to) {
            return if is_read { Outcome::NotModified } else { Outcome::PreconditionFailed };
        }
    } else if is_read
        && let (Some(date), Some(current)) = (date(headers, IF_MODIFIED_SINCE), current)
        && whole_seconds(current.last_modified) <= date
    {
        return Outcome::NotModified;
    }
    Outcome::Proceed
}

/// Whether a `Range` field may be followed: there is no `If-Range`, or it names exactly the current bytes (RFC 9110,
/// section 13.1.5). A weak tag names none, and a date only where our tag is strong: then the file has been left alone for
/// longer than the granularity of dates.
pub(crate) fn if_range_holds(headers: &HeaderMap, current: &Validators) -> bool {
    let mut lines = headers.get_all(IF_RANGE).iter();
    match (lines.next(), lines.next()) {
        (None, _) => true,
        (Some(value), None) => value.to_str().is_ok_and(|text| match EntityTag::parse(text) {
            Some(tag) => tag.is_same_bytes_as(&current.etag),
            None => {
                let date = httpdate::parse_http_date(text).ok();
                !current.etag.is_weak() && date == Some(whole_seconds(current.last_modified))
            }
        }),
        (Some(_), Some(_)) => false,
    }
}

/// Dates in HTTP count whole seconds.
pub(crate) fn whole_seconds(time: SystemTime) -> SystemTime {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since_epoch.as_secs())
}

fn matches(
    tags: &EntityTags,
    current: Option<&Validators>,
    are_equal: impl Fn(&EntityTag, &EntityTag) -> bool,
) -> bool {
    match tags {
        EntityTags::Any => current.is_some(),
        EntityTags::These(tags) => current.is_some_and(|now| tags.iter().any(|tag| are_equal(tag, &now.etag))),
    }
}

/// A field that is no valid date, or is there more than once, is ignored (RFC 9110, sections 13.1.3 and 13.1.4).
fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    let mut lines = headers.get_all(name).iter();
    let value = lines.next().filter(|_| lines.next().is_none())?;
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    type Fields = &'static [(HeaderName, &'static str)];

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn current(etag: &str) -> Validators {
        let last_modified = httpdate::parse_http_date(MODIFIED).unwrap() + Duration::from_millis(250);
        Validators { etag: EntityTag::parse(etag).unwrap(), last_modified }
    }

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn evaluates_in_the_order_of_the_rfc() {
        use Outcome::{NotModified, PreconditionFailed, Proceed};
        let cases: [(Fields, Outcome, Outcome); 17] = [
            (&[], Proceed, Proceed),
            (&[(IF_MATCH, "\"a\"")], Proceed, Proceed),
            (&[(IF_MATCH, "*")], Proceed, Proceed),
            (&[(IF_MATCH, "\"b\"")], PreconditionFailed, PreconditionFailed),
            (&[(IF_MATCH, "W/\"a\"")], PreconditionFailed, PreconditionFailed),
            (&[(IF_MATCH, "rubbish")], PreconditionFailed, PreconditionFailed),
            // If-Match present: If-Unmodified-Since is not looked at.
            (&[(IF_MATCH, "\"a\""), (IF_UNMODIFIED_SINCE, BEFORE)], Proceed, Proceed),
            (&[(IF_UNMODIFIED_SINCE, BEFORE)], PreconditionFailed, PreconditionFailed),
            (&[(IF_UNMODIFIED_SINCE, MODIFIED)], Proceed, Proceed),
            (&[(IF_UNMODIFIED_SINCE, "yesterday")], Proceed, Proceed),
            (&[(IF_NONE_MATCH, "\"x\", W/\"a\"")], NotModified, PreconditionFailed),
            (&[(IF_NONE_MATCH, "*")], NotModified, PreconditionFailed),
            // If-None-Match present: If-Modified-Since is not looked at.
            (&[(IF_NONE_MATCH, "\"b\""), (IF_MODIFIED_SINCE, AFTER)], Proceed, Proceed),
            (&[(IF_MODIFIED_SINCE, MODIFIED)], NotModified, Proceed),
            (&[(IF_MODIFIED_SINCE, BEFORE)], Proceed, Proceed),
            // 412 comes before 304.
            (&[(IF_MATCH, "\"b\""), (IF_NONE_MATCH, "\"a\"")], PreconditionFailed, PreconditionFailed),
            (&[(IF_MATCH, "\"a\""), (IF_NONE_MATCH, "\"a\"")], NotModified, PreconditionFailed),
        ];
        for (fields, read, write) in cases {
            let headers = headers(fields);
            assert_eq!(evaluate(&headers, true, Some(&current("\"a\""))), read, "{fields:?}");
            assert_eq!(evaluate(&headers, false, Some(&current("\"a\""))), write, "{fields:?}");
        }
    }

    #[test]
    fn nothing_stored_fails_if_match_and_passes_the_rest() {
        for (field, outcome) in [
            ((IF_MATCH, "*"), Outcome::PreconditionFailed),
            ((IF_MATCH, "\"a\""), Outcome::PreconditionFailed),
            ((IF_NONE_MATCH, "*"), Outcome::Proceed),
            ((IF_UNMODIFIED_SINCE, BEFORE), Outcome::Proceed),
        ] {
            assert_eq!(evaluate(&headers(std::slice::from_ref(&field)), false, None), outcome, "{field:?}");
        }
    }

    #[test]
    fn if_range_holds_for_exactly_the_current_bytes() {
        for (if_range, strong, weak) in [
            ("\"a\"", true, false),
            ("W/\"a\"", false, false),
            ("\"b\"", false, false),
            (MODIFIED, true, false),
            (BEFORE, false, false),
            (AFTER, false, false),
            ("rubbish", false, false),
        ] {
            let headers = headers(&[(IF_RANGE, if_range)]);
            assert_eq!(if_range_holds(&headers, &current("\"a\"")), strong, "{if_range}");
            assert_eq!(if_range_holds(&headers, &current("W/\"a\"")), weak, "{if_range}");
        }
        assert!(if_range_holds(&HeaderMap::new(), &current("W/\"a\"")));
    }
}

//! Entity tags (RFC 9110, section 8.8.3).

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// An entity tag: an opaque name of one state of a representation. It is *strong* if two states with different bytes can
/// never share it, otherwise *weak* and written with `W/` in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntityTag {
    opaque: String,
    weak: bool,
}

impl EntityTag {
    pub(crate) fn new(opaque: String, weak: bool) -> Self {
        Self { opaque, weak }
    }

    pub(crate) fn is_weak(&self) -> bool {
        self.weak
    }

    /// Strong comparison (RFC 9110, section 8.8.3.2): both strong and equal.
    pub(crate) fn is_same_bytes_as(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison (RFC 9110, section 8.8.3.2): equal, whether strong or weak.
    pub(crate) fn is_equivalent_to(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }

    pub(crate) fn to_header_value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.to_string()).expect("an opaque tag is made of characters that a field may contain")
    }

    /// Parses one entity tag that is the whole text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (tag, rest) = Self::parse_first(text.trim())?;
        rest.is_empty().then_some(tag)
    }

    fn parse_first(text: &str) -> Option<(Self, &str)> {
        let (weak, quoted) = text.strip_prefix("W/").map_or((false, text), |rest| (true, rest));
        let (opaque, rest) = quoted.strip_prefix('"')?.split_once('"')?;
        let is_etagc = |c: char| c == '!' || ('#'..='~').contains(&c) || !c.is_ascii();
        opaque.chars().all(is_etagc).then(|| (Self::new(opaque.to_owned(), weak), rest))
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\"{}\"", if self.weak { "W/" } else { "" }, self.opaque)
    }
}

/// What `If-Match` or `If-None-Match` names (RFC 9110, sections 13.1.1 and 13.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EntityTags {
    /// `*`: any current representation.
    Any,
    /// These ones. Empty if the field is malformed, for then it names nothing that we ever sent.
    These(Vec<EntityTag>),
}

impl EntityTags {
    /// Reads a field, which may come on several lines; `None` if it is absent.
    pub(crate) fn from_headers(headers: &HeaderMap, name: HeaderName) -> Option<Self> {
        let mut lines = headers.get_all(name).iter().peekable();
        lines.peek()?;
        let mut tags = Vec::new();
        for line in lines {
            match line.to_str().ok().and_then(parse_list) {
                Some(Self::Any) => return Some(Self::Any),
                Some(Self::These(more)) => tags.extend(more),
                None => return Some(Self::These(Vec::new())),
            }
        }
        Some(Self::These(tags))
    }
}

fn parse_list(line: &str) -> Option<EntityTags> {
    if line.trim() == "*" {
        return Some(EntityTags::Any);
    }
    let mut tags = Vec::new();
    let mut rest = line;
    loop {
        // Empty members are allowed (RFC 9110, section 5.6.1.2).
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(EntityTags::These(tags));
        }
        let (tag, after) = EntityTag::parse_first(rest)?;
        tags.push(tag);
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::IF_MATCH;

    use super::*;

    fn tags(line: &'static str) -> Option<EntityTags> {
        let mut headers = HeaderMap::new();
        headers.insert(IF_MATCH, HeaderValue::from_static(line));
        EntityTags::from_headers(&headers, IF_MATCH)
    }

    #[test]
    fn reads_lists_of_tags() {
        let strong = EntityTag::new("a,b".into(), false);
        let weak = EntityTag::new("c".into(), true);
        assert_eq!(EntityTags::from_headers(&HeaderMap::new(), IF_MATCH), None);
        assert_eq!(tags(" * "), Some(EntityTags::Any));
        assert_eq!(tags(r#" "a,b" ,, W/"c","#), Some(EntityTags::These(vec![strong.clone(), weak])));
        for malformed in [r#"a"#, r#""a"#, r#"w/"a""#, r#""a" "b""#, r#"*, "a""#, r#""a b""#] {
            assert_eq!(tags(malformed), Some(EntityTags::These(vec![])), "{malformed}");
        }
        assert_eq!(EntityTag::parse(r#""a,b""#), Some(strong));
        assert_eq!(EntityTag::parse(r#""a","b""#), None);
    }

    /// The table of RFC 9110, section 8.8.3.2.
    #[test]
    fn compares_as_the_table_of_the_rfc() {
        let tag = |text| EntityTag::parse(text).unwrap();
        for (a, b, strong, weak) in [
            (r#"W/"1""#, r#"W/"1""#, false, true),
            (r#"W/"1""#, r#"W/"2""#, false, false),
            (r#"W/"1""#, r#""1""#, false, true),
            (r#""1""#, r#""1""#, true, true),
        ] {
            assert_eq!(tag(a).is_same_bytes_as(&tag(b)), strong, "{a} {b}");
            assert_eq!(tag(a).is_equivalent_to(&tag(b)), weak, "{a} {b}");
        }
    }
}

//! What programs print.

use serde_json::Value;

/// What stands behind `start` in the first line that begins with it.
pub(crate) fn after<'a>(log: &'a str, start: &str) -> Option<&'a str> {
    complete_lines(log).find_map(|line| line.strip_prefix(start))
}

/// The first line that is an object of JSON.
pub(crate) fn json_object(log: &str) -> Option<Value> {
    complete_lines(log).filter(|line| line.starts_with('{')).find_map(|line| serde_json::from_str(line).ok())
}

/// Of a line with words like `name=value`.
pub(crate) fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_ascii_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// A line that is still being written says nothing yet.
fn complete_lines(log: &str) -> impl Iterator<Item = &str> {
    log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_when_its_line_is_complete() {
        let log = "7 connections in 0.1 s\n{\"transfers\":7}\n";
        assert_eq!(json_object(log).expect("a result")["transfers"], 7);
        assert_eq!(json_object(log.trim_end()), None);
    }

    #[test]
    fn a_value_has_a_whole_name() {
        let line = "sent_bytes=1 bytes=7 bytes_max=9";
        assert_eq!((value(line, "bytes"), value(line, "max")), (Some("7"), None));
        assert_eq!(after("not yet\nlistening on a\nlistening on b\n", "listening on "), Some("a"));
    }
}

//! `godwit ls`

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use godwit_files::client::{Entry, EntryKind, list};
use godwit_files::escape::Escaped;
use godwit_http::Client;

use crate::cli::LsArgs;
use crate::config::parse_url;
use crate::error::CommandError;

/// Lists one directory on stdout.
pub(crate) async fn run(client: &Client, args: &LsArgs) -> Result<(), CommandError> {
    let url = parse_url(&args.url)?;
    let listed = list(client, &url).await;
    let entries = listed.map_err(|error| CommandError::List { what: args.url.clone(), error: Box::new(error) })?;
    let mut text = Vec::new();
    let written = if args.json { write_json(&mut text, &entries) } else { write_table(&mut text, &entries) };
    match written.and_then(|()| io::stdout().lock().write_all(&text)) {
        // `ls URL | head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(CommandError::Print),
    }
}

fn write_json(out: &mut Vec<u8>, entries: &[Entry]) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, entries)?;
    out.write_all(b"\n")
}

/// Size, modification time in UTC, name: what is unknown is a dash, a directory ends in `/`.
fn write_table(out: &mut Vec<u8>, entries: &[Entry]) -> io::Result<()> {
    let size = |entry: &Entry| entry.size.map_or_else(|| "-".to_owned(), |size| size.to_string());
    let width = entries.iter().map(|entry| size(entry).len()).max().unwrap_or(0);
    for entry in entries {
        let modified = entry.modified().and_then(utc).unwrap_or_else(|| "-".to_owned());
        let slash = if entry.kind == EntryKind::Directory { "/" } else { "" };
        writeln!(out, "{:>width$}  {modified:<19}  {}{slash}", size(entry), Escaped::new(&entry.name))?;
    }
    Ok(())
}

/// `YYYY-MM-DD hh:mm:ss`; `None` before 1970.
fn utc(time: SystemTime) -> Option<String> {
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    Some(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"))
}

/// The Gregorian date of a day counted from 1970-01-01, by eras of 400 years that begin in March, so that the leap day
/// comes last (Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days).
fn civil_date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_hit_leap_days_and_year_ends() {
        let date = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds)).expect("after 1970");
        assert_eq!(date(0), "1970-01-01 00:00:00");
        assert_eq!(date(784_111_777), "1994-11-06 08:49:37");
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(date(4_107_542_399), "2100-02-28 23:59:59");
        assert_eq!(date(4_107_542_400), "2100-03-01 00:00:00");
    }

    #[test]
    fn the_table_lines_up_and_escapes_names() {
        let entry = |name: &str, kind, size| Entry { name: name.into(), kind, mtime: None, size };
        let entries = [entry("a\u{1b}[2J", EntryKind::File, Some(12_345)), entry("sub", EntryKind::Directory, None)];
        let mut text = Vec::new();
        write_table(&mut text, &entries).expect("memory takes it");
        let text = String::from_utf8(text).expect("text");
        assert_eq!(text, "12345  -                    a\\u{1b}[2J\n    -  -                    sub/\n");
    }
}

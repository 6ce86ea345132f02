//! Progress on stderr: a bar on a terminal, a line every few seconds elsewhere, nothing with `-q`.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use godwit_files::escape::Escaped;
use godwit_files::plan::resume::Anew;
use godwit_files::progress::{Event, Observer, Silent};
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::stderr;

/// Seldom enough for a log file, often enough to see that it moves.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// How often the bar is drawn while nothing moves.
const TICK_INTERVAL: Duration = Duration::from_millis(500);
/// Longer names would push the bar out of a terminal of 80 columns.
const NAME_COLUMNS_MAX: usize = 30;

/// The observer of one transfer of the file `name`.
pub(crate) fn observer(name: &Path, quiet: bool) -> Arc<dyn Observer> {
    let name = Escaped::path(name).to_string();
    if quiet {
        Arc::new(Silent)
    } else if io::stderr().is_terminal() {
        Arc::new(Bar::new(name))
    } else {
        Arc::new(Lines { name, state: Mutex::default() })
    }
}

/// Bytes per second over some time.
pub(crate) struct Rate {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

impl Rate {
    fn bytes_per_s(&self) -> u64 {
        let per_s = u128::from(self.bytes) * 1_000_000 / self.time.as_micros().max(1);
        u64::try_from(per_s).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", HumanBytes(self.bytes_per_s()))
    }
}

struct Bar {
    name: String,
    bar: ProgressBar,
}

impl Bar {
    fn new(name: String) -> Self {
        // Shown when there is something to show.
        Self { name, bar: ProgressBar::hidden() }
    }
}

impl Observer for Bar {
    fn on(&self, event: Event<'_>) {
        match event {
            Event::Started { from, total } => {
                let template = match total {
                    Some(_) => "{prefix} [{bar:20}] {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left",
                    None => "{prefix} {spinner} {bytes}, {binary_bytes_per_sec}",
                };
                let style = ProgressStyle::with_template(template).expect("the template is constant");
                if let Some(total) = total {
                    self.bar.set_length(total);
                }
                self.bar.set_position(from);
                // What was there already is no speed of this run.
                self.bar.reset_eta();
                self.bar.set_style(style.progress_chars("=> "));
                self.bar.set_prefix(shortened(&self.name));
                // A rate that falls while nothing comes tells more than one that stands still.
                self.bar.enable_steady_tick(TICK_INTERVAL);
                self.bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            Event::Moved { position } => self.bar.set_position(position),
            event => {
                if let Some(text) = notice(event) {
                    self.bar.suspend(|| stderr::say(format_args!("{}: {text}", self.name)));
                }
            }
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

struct Lines {
    name: String,
    state: Mutex<LineState>,
}

#[derive(Default)]
struct LineState {
    total: Option<u64>,
    from: u64,
    started: Option<Instant>,
    printed: Option<Instant>,
}

impl Observer for Lines {
    fn on(&self, event: Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { from, total } => {
                let now = Some(Instant::now());
                *state = LineState { total, from, started: now, printed: now };
            }
            Event::Moved { position } => {
                if let Some(line) = state.line(position, Instant::now()) {
                    stderr::say(format_args!("{}: {line}", self.name));
                }
            }
            event => {
                if let Some(text) = notice(event) {
                    stderr::say(format_args!("{}: {text}", self.name));
                }
            }
        }
    }
}

impl LineState {
    /// The line to print now, if it is time for one.
    fn line(&mut self, position: u64, now: Instant) -> Option<String> {
        let (started, printed) = (self.started?, self.printed?);
        if now.duration_since(printed) < LINE_INTERVAL {
            return None;
        }
        self.printed = Some(now);
        let rate = Rate { bytes: position.saturating_sub(self.from), time: now.duration_since(started) };
        let Some(total) = self.total else {
            return Some(format!("{}, {rate}", HumanBytes(position)));
        };
        let left = total.saturating_sub(position).checked_div(rate.bytes_per_s()).unwrap_or(0);
        let left = HumanDuration(Duration::from_secs(left));
        Some(format!("{} of {}, {rate}, {left:#} left", HumanBytes(position), HumanBytes(total)))
    }
}

/// What is worth a line of its own.
fn notice(event: Event<'_>) -> Option<String> {
    match event {
        Event::Started { .. } | Event::Moved { .. } => None,
        Event::Rereading { bytes } => Some(format!("going on after {}, reading them again first", HumanBytes(bytes))),
        Event::Verifying => Some("asking the server for its SHA-256".to_owned()),
        Event::StartingAnew(why) => Some(format!("starting anew: {}", reason(why))),
        Event::Retrying { error, after, attempt, attempts_max } => {
            Some(format!("{error}; trying again in {:.0?} ({attempt} of {attempts_max})", after))
        }
    }
}

fn reason(why: Anew) -> &'static str {
    match why {
        Anew::Nothing => "nothing is here yet",
        Anew::OtherUrl => "what is here came from another URL",
        Anew::NoValidator => "the server gave nothing to tell versions of the file apart by",
        Anew::TooLong => "more is here than the file has",
        Anew::Changed => "the file has changed on the server, or the server does not continue it",
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= NAME_COLUMNS_MAX {
        return name.to_owned();
    }
    let end: String = name.chars().skip(name.chars().count() - (NAME_COLUMNS_MAX - 1)).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_every_few_seconds_with_rate_and_time_left() {
        let start = Instant::now();
        let mut state =
            LineState { total: Some(100 << 20), from: 20 << 20, started: Some(start), printed: Some(start) };
        assert_eq!(state.line(30 << 20, start + Duration::from_secs(4)), None);
        let line = state.line(40 << 20, start + Duration::from_secs(10));
        assert_eq!(line.as_deref(), Some("40.00 MiB of 100.00 MiB, 2.00 MiB/s, 30s left"));
        assert_eq!(state.line(50 << 20, start + Duration::from_secs(14)), None);
    }

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&format!("{}.iso", "x".repeat(40))).chars().count(), NAME_COLUMNS_MAX);
    }
}

//! The results of a scenario as a table: on a terminal aligned, in a document as Markdown.

use std::fmt::{self, Write as _};

use super::{ScenarioResults, Spread, Summary, Work};

/// A head and rows of as many cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// A column: its head, and what it shows of a summary. A column that is empty in every row is left out.
type Column = (&'static str, fn(&Summary) -> String);

const SPEED: [Column; 6] = [
    ("Mbit/s", |row| show(row.goodput_bits_per_s, 1e-6, 1)),
    ("ratio", |row| show(row.ratio, 1.0, 3)),
    ("share", |row| show(row.share, 1.0, 3)),
    ("whole file s", |row| show(row.seconds, 1.0, 3)),
    ("first byte s", |row| middle(row.first_byte_s, 1.0, 3)),
    ("1 / 10 / 100 MB / 1 GB s", |row| milestones(row)),
];

const COST: [Column; 8] = [
    ("sent again %", |row| middle(row.retransmitted, 100.0, 2)),
    ("wire/file bytes", |row| middle(row.wire_bytes_per_byte, 1.0, 3)),
    ("queue mean ms", |row| middle(row.queue_mean_ms, 1.0, 1)),
    ("p95", |row| middle(row.queue_p95_ms, 1.0, 1)),
    ("CPU s/GB out", |row| middle(row.sender_cpu_s_per_gb, 1.0, 2)),
    ("in", |row| middle(row.receiver_cpu_s_per_gb, 1.0, 2)),
    ("RSS MB out, in", |row| resident(row)),
    ("TCP read back", |row| row.tcp.clone().unwrap_or_default()),
];

impl Table {
    /// Everything, a row per peer or flow.
    pub fn of(results: &ScenarioResults) -> Self {
        let columns: Vec<Column> = SPEED.into_iter().chain(COST).collect();
        Self::with_columns(results, &columns)
    }

    /// Without what it cost.
    pub fn speed(results: &ScenarioResults) -> Self {
        Self::with_columns(results, &SPEED)
    }

    /// Without how fast it was.
    pub fn cost(results: &ScenarioResults) -> Self {
        Self::with_columns(results, &COST)
    }

    fn with_columns(results: &ScenarioResults, columns: &[Column]) -> Self {
        let summaries = results.summaries();
        let is_alone = !matches!(results.work, Work::Sharing { .. });
        let used: Vec<&Column> = columns
            .iter()
            .filter(|(head, cell)| (is_alone || *head != "ratio") && summaries.iter().any(|row| !cell(row).is_empty()))
            .collect();
        let head = std::iter::once("peer").chain(used.iter().map(|(head, _)| *head)).map(str::to_owned).collect();
        let row = |summary: &Summary| {
            std::iter::once(summary.peer.clone()).chain(used.iter().map(|(_, cell)| cell(summary))).collect()
        };
        Self { head, rows: summaries.iter().map(row).collect() }
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule = format!("|{}\n", "---|".repeat(self.head.len()));
        line(&self.head) + &rule + &self.rows.iter().map(|row| line(row)).collect::<String>()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<&Vec<String>> = std::iter::once(&self.head).chain(&self.rows).collect();
        let width = |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        for cells in lines {
            let mut line = format!("{:<width$}", cells[0], width = widths[0]);
            for (cell, width) in cells.iter().zip(&widths).skip(1) {
                write!(line, "  {cell:>width$}")?;
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Middle and range; nothing of no values.
pub(crate) fn show(spread: Option<Spread>, factor: f64, digits: usize) -> String {
    spread.map_or_else(String::new, |Spread { min, median, max }| {
        format!("{:.digits$}", Spread { min: min * factor, median: median * factor, max: max * factor })
    })
}

/// The middle alone.
fn middle(spread: Option<Spread>, factor: f64, digits: usize) -> String {
    spread.map_or_else(String::new, |spread| format!("{:.digits$}", spread.median * factor))
}

fn milestones(row: &Summary) -> String {
    let seconds: Vec<_> = row.milestones.iter().map(|(_, spread)| format!("{:.2}", spread.median)).collect();
    seconds.join(" / ")
}

fn resident(row: &Summary) -> String {
    match (row.sender_resident, row.receiver_resident) {
        (Some(sender), Some(receiver)) => format!("{:.0}, {:.0}", sender.median / 1e6, receiver.median / 1e6),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::fixture;

    #[test]
    fn columns_that_say_nothing_are_left_out() {
        let results = fixture::results();
        let [timed, sharing] = [0, 1].map(|scenario| Table::of(&results.scenarios[scenario]).to_string());
        let head = |table: &str| table.lines().next().expect("a head").to_owned();
        assert!(head(&timed).contains("ratio") && !head(&timed).contains("share"), "{timed}");
        assert!(head(&sharing).contains("share") && !head(&sharing).contains("ratio"), "{sharing}");
        assert!(!head(&timed).contains("whole file"), "{timed}");
    }

    #[test]
    fn markdown_has_a_row_per_peer() {
        let markdown = Table::speed(&fixture::results().scenarios[0]).markdown();
        let lines: Vec<_> = markdown.lines().collect();
        assert_eq!(lines[0], "| peer | Mbit/s | ratio | first byte s | 1 / 10 / 100 MB / 1 GB s |");
        assert_eq!(lines[2], "| godwit-fair | 280.0 (275.0–285.0) | 0.977 (0.959–0.994) | 0.250 | 0.50 / 1.00 |");
        assert_eq!(lines.len(), 4);
    }
}

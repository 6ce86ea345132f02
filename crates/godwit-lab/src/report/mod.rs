//! Documents from results: `docs/benchmarks.md` has a part between two marks that nobody writes by hand.

mod bars;
mod curves;
mod goal;
mod overview;
mod picture;

use std::fmt::Write as _;

pub use goal::{Goal, goals};

use crate::network::{Calibration, DirectionCalibration};
use crate::results::{Machine, PAYLOAD_SHARE, Results, ScenarioResults, Table, Work};

/// The generated part begins after this line.
pub const BEGIN: &str = "<!-- godwit-lab report: begin. What follows is generated: do not edit it -->\n";
/// And ends before this one.
pub const END: &str = "<!-- godwit-lab report: end -->\n";

/// Markdown, and the pictures that it shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The text.
    pub markdown: String,
    /// Name and SVG of each picture.
    pub pictures: Vec<(String, String)>,
}

/// The document has no place for the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the document lacks the lines between which the report goes: `{}` and `{}`", BEGIN.trim_end(), END.trim_end())]
pub struct NoMarks;

/// The report on results, each with a name for its pictures. Links to pictures begin with `directory`.
pub fn report(results: &[(String, Results)], directory: &str) -> Report {
    let mut report = Report::default();
    if results.is_empty() {
        report.markdown.push_str("\nNothing has been measured yet.\n\n");
    }
    for (name, results) in results {
        report.markdown.push_str(&head(&results.machine));
        report.markdown.push_str(&goal::table(&goals(results)));
        report.markdown.push_str(&overview::table(results));
        report.markdown.push_str(&peers(results));
        for scenario in &results.scenarios {
            let picture = picture_name(name, &scenario.name);
            report.markdown.push_str(&section(scenario, &format!("{directory}/{picture}")));
            report.pictures.push((picture, plot(scenario)));
        }
    }
    report
}

/// The document with the report between its marks.
///
/// # Errors
/// It has none.
pub fn insert(document: &str, report: &str) -> Result<String, NoMarks> {
    let (before, rest) = document.split_once(BEGIN).ok_or(NoMarks)?;
    let (_, after) = rest.split_once(END).ok_or(NoMarks)?;
    Ok(format!("{before}{BEGIN}{report}{END}{after}"))
}

fn head(machine: &Machine) -> String {
    format!(
        "\n### {}\n\n`{}`, commit {}, on {} × {}, {}, load {} before; files in {}; net.core.rmem_max {}, wmem_max {}.\n\n",
        machine.date,
        machine.command,
        machine.commit,
        machine.cores,
        machine.cpu,
        machine.kernel,
        machine.load_before,
        machine.file_system,
        machine.rmem_max,
        machine.wmem_max
    )
}

fn peers(results: &Results) -> String {
    let mut lines = Vec::new();
    for peer in results.scenarios.iter().flat_map(|scenario| &scenario.peers) {
        let versions = match (&peer.version, &peer.missing) {
            (Some(version), _) => version.clone(),
            (None, why) => format!("**missing**: {}", why.as_deref().unwrap_or("nobody knows why")),
        };
        let line = format!("| {} | {} | {versions} |\n", peer.name, peer.about);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    format!("| peer | what | versions |\n|---|---|---|\n{}", lines.concat())
}

fn section(scenario: &ScenarioResults, picture: &str) -> String {
    let mut text = format!("\n#### {}\n\n{}", scenario.name, sentence(scenario));
    if let Some(calibration) = &scenario.calibration {
        text.push_str(&calibrated(calibration));
    }
    let settings: Vec<_> = scenario.settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let _ =
        write!(text, " Settings in the namespaces: {}.\n\n![{}]({picture})\n\n", settings.join(", "), scenario.name);
    text.push_str(&Table::speed(scenario).markdown());
    text.push('\n');
    text.push_str(&Table::cost(scenario).markdown());
    let summaries = scenario.summaries();
    let notes: Vec<_> =
        summaries.iter().flat_map(|row| row.notes.iter().map(|note| format!("* {}: {note}\n", row.peer))).collect();
    if !notes.is_empty() {
        let _ = write!(text, "\n{}", notes.concat());
    }
    text
}

fn sentence(scenario: &ScenarioResults) -> String {
    let path = &scenario.path;
    let measured = match scenario.work {
        Work::File { .. } => "to the end of the client process",
        Work::Timed { .. } => "until the time was over",
        Work::Sharing { .. } => "while all flows ran",
    };
    let rounds = scenario.runs.iter().map(|run| run.round + 1).max().unwrap_or(0);
    format!(
        "{}; queue {} bytes; {rounds} rounds, everyone in turn, measured from the start of the client process {measured}. \
         Ratios are to {:.1} Mbit/s: (1 − loss) × rate × {PAYLOAD_SHARE:.4}.",
        capitalised(&scenario.about),
        path.queue_bytes,
        path.goodput_bits_per_s_max() / 1e6
    )
}

fn calibrated(calibration: &Calibration) -> String {
    let direction = |name: &str, direction: &DirectionCalibration| {
        let rate = direction.rate_measured.map_or_else(String::new, |rate| format!("{:.2} Mbit/s, ", rate / 1e6));
        format!("{name} {rate}{:.3} % loss", direction.loss_measured * 100.0)
    };
    let doubt =
        calibration.check().err().map(|deviation| format!(" **The path was not what was asked for: {deviation}.**"));
    format!(
        " Calibrated: {}, {}, RTT {:.2} ms; the emulator took {:.0} % of a core.{}",
        direction("forwards", &calibration.forward),
        direction("backwards", &calibration.reverse),
        calibration.rtt_measured.as_secs_f64() * 1e3,
        calibration.emulator_cpu_share * 100.0,
        doubt.unwrap_or_default()
    )
}

fn plot(scenario: &ScenarioResults) -> String {
    match scenario.work {
        Work::Sharing { .. } => curves::svg(scenario),
        Work::File { .. } | Work::Timed { .. } => bars::svg(scenario),
    }
}

/// Without characters that mean something in a link.
fn picture_name(results: &str, scenario: &str) -> String {
    format!("{results}-{}.svg", scenario.replace('%', "pct"))
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::fixture;

    #[test]
    fn a_report_has_every_scenario_and_its_picture() {
        let report = report(&[("lab".into(), fixture::results())], "benchmarks");
        for text in [
            "#### 300M-100ms-1%",
            "![300M-100ms-1%](benchmarks/lab-300M-100ms-1pct.svg)",
            "| curl-bbr |",
            "**missing**",
        ] {
            assert!(report.markdown.contains(text), "{text} in {}", report.markdown);
        }
        let names: Vec<_> = report.pictures.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["lab-300M-100ms-1pct.svg", "lab-share-cubic.svg"]);
        for (_, svg) in &report.pictures {
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
        }
    }

    #[test]
    fn a_document_keeps_what_is_around_the_marks() {
        let document = format!("before\n{BEGIN}old\n{END}after\n");
        assert_eq!(insert(&document, "new\n"), Ok(format!("before\n{BEGIN}new\n{END}after\n")));
        assert_eq!(insert("nothing", "new"), Err(NoMarks));
    }

    /// Figures in the document are those of the data beside it.
    #[test]
    fn the_document_is_what_its_data_say() {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let entries = std::fs::read_dir(docs.join("benchmarks")).into_iter().flatten().flatten();
        let mut paths: Vec<_> =
            entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "json")).collect();
        paths.sort();
        let results = paths.iter().map(|path| {
            let name = path.file_stem().expect("it has an extension").to_string_lossy().into_owned();
            let text = std::fs::read_to_string(path).expect("results can be read");
            (name, serde_json::from_str(&text).expect("results of this version"))
        });
        let report = report(&results.collect::<Vec<_>>(), "benchmarks");
        let document = std::fs::read_to_string(docs.join("benchmarks.md")).expect("the document can be read");
        assert_eq!(insert(&document, &report.markdown).as_deref(), Ok(document.as_str()), "run `godwit-lab report`");
    }
}

//! All scenarios at a glance.

use crate::results::{Results, ScenarioResults, Work};

/// A row per peer, a column per scenario in which peers ran alone: median Mbit/s.
pub(super) fn table(results: &Results) -> String {
    let alone: Vec<&ScenarioResults> =
        results.scenarios.iter().filter(|scenario| !matches!(scenario.work, Work::Sharing { .. })).collect();
    let mut peers: Vec<String> = Vec::new();
    let summaries: Vec<_> = alone.iter().map(|scenario| scenario.summaries()).collect();
    for summary in summaries.iter().flatten() {
        if !peers.contains(&summary.peer) {
            peers.push(summary.peer.clone());
        }
    }
    if alone.len() < 2 || peers.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = alone.iter().map(|scenario| scenario.name.as_str()).collect();
    let mut text = format!("Mbit/s, median:\n\n| | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for peer in &peers {
        let cell = |summaries: &Vec<crate::results::Summary>| {
            let rate =
                summaries.iter().find(|summary| summary.peer == *peer).and_then(|summary| summary.goodput_bits_per_s);
            rate.map_or_else(String::new, |rate| format!("{:.1}", rate.median / 1e6))
        };
        let cells: Vec<String> = summaries.iter().map(cell).collect();
        text.push_str(&format!("| {peer} | {} |\n", cells.join(" | ")));
    }
    text + "\n"
}

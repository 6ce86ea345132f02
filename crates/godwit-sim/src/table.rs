//! The table of a matrix: a line per scenario, and one more per pass line that is missed.

use crate::controller::Contender;
use crate::results::RunResult;
use crate::scenario::Scenario;

/// Prints it; true if nothing is missed and nothing is missing.
pub fn print(contender: Contender, scenarios: &[Scenario], rows: &[Vec<&RunResult>]) -> bool {
    println!(
        "{:5} {:36} {:>13} {:>6} {:>14} {:>6} {:>6} {:>13} {:>6} {:>7}  shares",
        "no.", "scenario", "util (min)", "proto", "queue ms (max)", "p95", "proto", "Jain (min)", "t90 s", "retrans"
    );
    let mut missed = 0;
    for (scenario, runs) in scenarios.iter().zip(rows) {
        missed += usize::from(!print_row(contender, scenario, runs));
    }
    let runs: usize = rows.iter().map(Vec::len).sum();
    let (steps, packets, seconds) = rows.iter().flatten().fold((0, 0, 0.0), |(steps, packets, seconds), run| {
        (steps + run.steps, packets + run.packets, seconds + run.wall_s)
    });
    println!(
        "\n{} scenarios, {runs} runs: {} pass, {missed} miss a line; {:.1} M packets, {:.1} M events in {seconds:.0} s of one core \
         ({:.2} M events/s)",
        scenarios.len(),
        scenarios.len() - missed,
        packets as f64 / 1e6,
        steps as f64 / 1e6,
        steps as f64 / 1e6 / f64::max(seconds, 1e-9)
    );
    missed == 0
}

fn print_row(contender: Contender, scenario: &Scenario, runs: &[&RunResult]) -> bool {
    let failed: Vec<_> = runs.iter().filter(|run| run.failure.is_some()).collect();
    let good: Vec<_> = runs.iter().filter(|run| run.failure.is_none()).collect();
    let mean =
        |value: &dyn Fn(&RunResult) -> f64| good.iter().map(|run| value(run)).sum::<f64>() / good.len().max(1) as f64;
    let least = |value: &dyn Fn(&RunResult) -> f64| good.iter().map(|run| value(run)).fold(f64::INFINITY, f64::min);
    let most = |value: &dyn Fn(&RunResult) -> f64| good.iter().map(|run| value(run)).fold(f64::NEG_INFINITY, f64::max);
    let optional =
        |value: Option<f64>, digits: usize| value.map_or_else(|| "-".into(), |value| format!("{value:.digits$}"));
    let has_reached_90 = good.iter().all(|run| run.seconds_to_90.is_some());
    let to_90 = has_reached_90.then(|| mean(&|run| run.seconds_to_90.unwrap_or(0.0)));
    let reference_queue = contender.reference_queue_ms(&scenario.reference);
    if !good.is_empty() {
        println!(
            "{:5} {:36} {:.3} ({:.3}) {:>6} {:6.1} ({:5.1}) {:6.1} {:>6} {:.3} ({:.3}) {:>6} {:7.4}  {}",
            scenario.number,
            scenario.name,
            mean(&RunResult::utilisation),
            least(&RunResult::utilisation),
            optional(contender.reference(&scenario.reference), 3),
            mean(&|run| run.queue_mean_ms),
            most(&|run| run.queue_mean_ms),
            most(&|run| run.queue_p95_ms),
            optional(reference_queue, 1),
            mean(&|run| run.jain),
            least(&|run| run.jain),
            optional(to_90, 2),
            mean(&|run| run.retransmitted),
            shares(&good)
        );
    }
    for run in &failed {
        println!(
            "{:5} {:36} seed {} FAILED: {}",
            scenario.number,
            scenario.name,
            run.seed,
            run.failure.as_deref().unwrap_or("")
        );
        println!("      replay: cargo run --release -p godwit-sim -- replay {} --seed {}", scenario.name, run.seed);
    }
    let mut is_met = failed.is_empty() && !runs.is_empty();
    for (number, line) in scenario.lines.iter().enumerate() {
        let missing: Vec<_> = good.iter().filter(|run| !run.lines[number].1).collect();
        if missing.is_empty() {
            continue;
        }
        is_met = false;
        let values: Vec<String> = good.iter().map(|run| format!("{:.3}", run.lines[number].0)).collect();
        let verdict = format!("missed by {} of {} seeds", missing.len(), good.len());
        println!("      {:36}   {line}: {verdict} [{}]", "", values.join(" "));
    }
    is_met
}

/// Mean utilisation of each flow, if there are several.
fn shares(runs: &[&&RunResult]) -> String {
    let flows = runs.first().map_or(0, |run| run.shares.len());
    if flows < 2 {
        return String::new();
    }
    let mean = |flow: usize| runs.iter().map(|run| run.shares[flow]).sum::<f64>() / runs.len() as f64;
    (0..flows).map(|flow| format!("{:.3}", mean(flow))).collect::<Vec<_>>().join(" ")
}

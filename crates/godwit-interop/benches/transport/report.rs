//! The table on standard output, and the JSON lines.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use godwit_interop::PeerError;
use serde_json::{Value, json};

use crate::spread::Spread;

/// What one transfer came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) received_bytes: u64,
    pub(crate) megabits_per_s: f64,
    pub(crate) sender_cpu_s_per_gigabyte: f64,
    pub(crate) receiver_cpu_s_per_gigabyte: f64,
    /// Word 5 of the receiver's ACKs, where they could be seen.
    pub(crate) capacity_packets_per_s: Option<u32>,
}

impl Run {
    /// From what both ends printed. The time runs from the receiver's connection to its last byte.
    pub(crate) fn of(
        sent: &godwit_interop::Report,
        received: &godwit_interop::Report,
        capacity_packets_per_s: Option<u32>,
    ) -> Result<Self, PeerError> {
        let transfer = received.received()?;
        let received_bytes = transfer.fingerprint.bytes;
        let gigabytes = received_bytes as f64 / 1e9;
        Ok(Self {
            received_bytes,
            megabits_per_s: gigabytes * 8e3 / transfer.elapsed.as_secs_f64(),
            sender_cpu_s_per_gigabyte: sent.cpu_time()?.total().as_secs_f64() / gigabytes,
            receiver_cpu_s_per_gigabyte: received.cpu_time()?.total().as_secs_f64() / gigabytes,
            capacity_packets_per_s,
        })
    }
}

/// Where the numbers go.
#[derive(Debug)]
pub(crate) struct Report {
    json: Option<File>,
}

impl Report {
    /// Prints where the numbers come from.
    pub(crate) fn begin(json: Option<&Path>, machine: &Value) -> io::Result<Self> {
        let mut report = Self { json: json.map(File::create).transpose()? };
        for (name, value) in machine.as_object().into_iter().flatten() {
            println!("{name:>12}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        report.line(&json!({ "type": "machine", "machine": machine }))?;
        Ok(report)
    }

    pub(crate) fn begin_comparison(&self, title: &str) {
        println!("\n{title}");
        println!(
            "  {:<24} {:>5} {:>9} {:>12} {:>14} {:>16}",
            "", "round", "Mbit/s", "sender s/GB", "receiver s/GB", "word 5, packets/s"
        );
    }

    pub(crate) fn run(&mut self, title: &str, variant: &str, round: u32, run: &Run) -> io::Result<()> {
        let capacity = run.capacity_packets_per_s.map_or_else(String::new, |capacity| capacity.to_string());
        println!(
            "  {variant:<24} {round:>5} {:>9.0} {:>12.2} {:>14.2} {capacity:>17}",
            run.megabits_per_s, run.sender_cpu_s_per_gigabyte, run.receiver_cpu_s_per_gigabyte
        );
        self.line(&json!({
            "type": "run", "comparison": title, "variant": variant, "round": round,
            "megabits_per_s": run.megabits_per_s, "received_bytes": run.received_bytes,
            "sender_cpu_s_per_gigabyte": run.sender_cpu_s_per_gigabyte,
            "receiver_cpu_s_per_gigabyte": run.receiver_cpu_s_per_gigabyte,
            "word5_packets_per_s": run.capacity_packets_per_s,
        }))
    }

    /// Prints the ratios of a variant to the baseline, round by round: rate, and CPU time of each end.
    pub(crate) fn ratio(
        &mut self,
        title: &str,
        variant: &str,
        baseline: &[Run],
        runs: &[Run],
        goal: Option<f64>,
    ) -> io::Result<()> {
        let rates = |runs: &[Run]| Spread::of(runs.iter().map(|run| run.megabits_per_s));
        let ratios =
            |of: fn(&Run) -> f64| Spread::of(runs.iter().zip(baseline).map(|(ours, base)| of(ours) / of(base)));
        let (Some(base), Some(ours), Some(rate), Some(sender_cpu), Some(receiver_cpu)) = (
            rates(baseline),
            rates(runs),
            ratios(|run| run.megabits_per_s),
            ratios(|run| run.sender_cpu_s_per_gigabyte),
            ratios(|run| run.receiver_cpu_s_per_gigabyte),
        ) else {
            return Ok(());
        };
        let goal_text = goal.map_or_else(String::new, |goal| format!(", goal {goal:.1}"));
        println!("  = {variant}: {rate:.2} times the rate{goal_text}; {ours:.0} over {base:.0} Mbit/s");
        println!("    CPU time per byte: sender {sender_cpu:.2}, receiver {receiver_cpu:.2} times");
        let spread = |spread: Spread| json!({ "min": spread.min, "median": spread.median, "max": spread.max });
        self.line(&json!({
            "type": "ratio", "comparison": title, "variant": variant, "goal": goal, "rate": spread(rate),
            "megabits_per_s": spread(ours), "baseline_megabits_per_s": spread(base),
            "sender_cpu": spread(sender_cpu), "receiver_cpu": spread(receiver_cpu),
        }))
    }

    fn line(&mut self, value: &Value) -> io::Result<()> {
        self.json.as_mut().map_or(Ok(()), |json| writeln!(json, "{value}"))
    }
}

//! What was measured, as it is kept in JSON, and as a table.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Contender, Place};
use crate::error::TransferError;
use crate::results::{Machine, Measured, Spread, show};

/// One start of `godwit-lab perf`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PerfResults {
    /// Where and how.
    pub machine: Machine,
    /// Which way the packets went.
    pub place: Place,
    /// How long each transfer was to take.
    pub seconds: f64,
    /// In the order in which they ran.
    pub runs: Vec<PerfRun>,
}

/// One transfer. Of a failed one all numbers are 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PerfRun {
    /// Whose.
    pub contender: Contender,
    /// From 0.
    pub round: u32,
    /// By the receiver's clock, from the first byte to the last; of the whole processes, from their start to their end.
    #[serde(flatten)]
    pub measured: Measured,
    /// Why it failed.
    pub failed: Option<String>,
}

/// Medians, and ratios of medians to libudt and quinn.
#[derive(Debug)]
pub struct PerfTable<'a>(pub &'a PerfResults);

impl PerfRun {
    pub(super) fn new(contender: Contender, round: u32, transfer: Result<Measured, TransferError>) -> Self {
        let (measured, failed) = match transfer {
            Ok(measured) => (measured, None),
            Err(error) => (Measured::default(), Some(error.to_string())),
        };
        Self { contender, round, measured, failed }
    }
}

impl PerfResults {
    /// Least, middle and greatest of what the runs of one came to.
    fn spread(&self, contender: Contender, value: fn(&Measured) -> f64) -> Option<Spread> {
        let runs = self.runs.iter().filter(|run| run.contender == contender && run.failed.is_none());
        Spread::of(runs.map(|run| value(&run.measured)))
    }
}

impl fmt::Display for PerfRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:14}", self.contender)?;
        match &self.failed {
            Some(why) => write!(f, " FAILED: {why}"),
            None => write!(
                f,
                " {:7.2} Gbit/s, CPU s/GB out {:.3}, in {:.3}",
                self.measured.goodput_bits_per_s() / 1e9,
                self.measured.sender_cpu_s_per_gb(),
                self.measured.receiver_cpu_s_per_gb()
            ),
        }
    }
}

impl fmt::Display for PerfTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(results) = *self;
        let goodput = |contender| results.spread(contender, Measured::goodput_bits_per_s);
        writeln!(f, "| {} | Gbit/s | to libudt | to quinn | CPU s/GB out | in |", results.place)?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for contender in Contender::ALL {
            let Some(own) = goodput(contender) else { continue };
            let ratio = |to| goodput(to).map_or_else(String::new, |other| format!("{:.2}", own.median / other.median));
            let (to_libudt, to_quinn) = (ratio(Contender::Libudt), ratio(Contender::Quinn));
            let cost = |value| show(results.spread(contender, value), 1.0, 3);
            let (sender, receiver) = (cost(Measured::sender_cpu_s_per_gb), cost(Measured::receiver_cpu_s_per_gb));
            let rate = show(Some(own), 1e-9, 2);
            writeln!(f, "| {contender} | {rate} | {to_libudt} | {to_quinn} | {sender} | {receiver} |")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(contender: Contender, round: u32, bytes: u64) -> PerfRun {
        let measured = Measured { bytes, seconds: 1.0, sender_cpu_s: 1.0, receiver_cpu_s: 0.5 };
        PerfRun::new(contender, round, Ok(measured))
    }

    #[test]
    fn the_table_compares_medians() {
        let runs = vec![
            run(Contender::Godwit, 0, 1_000_000_000),
            run(Contender::Libudt, 0, 250_000_000),
            run(Contender::Godwit, 1, 1_000_000_000),
            PerfRun { failed: Some("broken".into()), ..run(Contender::Libudt, 1, 1) },
        ];
        let results = PerfResults { machine: Machine::default(), place: Place::Loopback, seconds: 1.0, runs };
        let table = PerfTable(&results).to_string();
        assert!(table.contains("| godwit | 8.00 | 4.00 |  | 1.000 | 0.500 |"), "{table}");
        assert!(table.contains("| libudt | 2.00 | 1.00 |  | 4.000 | 2.000 |"), "{table}");
        let text = serde_json::to_string(&results).expect("results have string keys only");
        assert_eq!(serde_json::from_str::<PerfResults>(&text).expect("it was just written"), results);
    }
}

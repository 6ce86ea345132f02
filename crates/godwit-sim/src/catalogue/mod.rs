//! The scenarios of the matrix, with their pass lines and with what the prototype of the controller reached.
//!
//! Numbers are those of the list in the controller's design; "H" marks scenarios that were written after the design was
//! frozen and not used to tune it.

mod alone;
mod changing;
mod disturbed;
mod held_out;
mod policies;
mod sharing;

use crate::controller::Contender;
use crate::scenario::Scenario;

/// All scenarios for this controller. Those that need a policy which does not exist (yet) are left out.
pub fn scenarios(contender: Contender) -> Vec<Scenario> {
    let mut all = alone::scenarios(contender);
    all.extend(changing::scenarios(contender));
    all.extend(disturbed::scenarios(contender));
    all.extend(sharing::scenarios(contender));
    all.extend(policies::scenarios(contender));
    all.extend(held_out::scenarios(contender));
    all
}

/// The scenario of this name.
pub fn named(contender: Contender, name: &str) -> Option<Scenario> {
    scenarios(contender).into_iter().find(|scenario| scenario.name == name)
}

/// The prototype's target queue at this rate, milliseconds: 1 ms + 3 ms · sqrt(100 Mbit/s / rate).
fn target_queue_ms(rate_mbits: f64) -> f64 {
    1.0 + 3.0 * (100.0 / rate_mbits).sqrt()
}

const fn ms(millis: u64) -> std::time::Duration {
    std::time::Duration::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_fit_a_command_line() {
        let all = super::scenarios("native".parse().expect("it exists"));
        let names: BTreeSet<_> = all.iter().map(|scenario| scenario.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
        assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || "-.+%".contains(c))));
        assert!(all.iter().all(|scenario| !scenario.number.is_empty() && scenario.warm_up < scenario.duration));
    }
}

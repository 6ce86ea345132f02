//! The goodput of each peer as a bar: the median, and the range of the rounds.

use super::picture::{COLOURS, Picture, round_up};
use crate::results::{ScenarioResults, Spread};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 180.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 34.0;
const ROW: f64 = 22.0;
const BAR: f64 = 14.0;

pub(super) fn svg(scenario: &ScenarioResults) -> String {
    let summaries = scenario.summaries();
    let best = scenario.path.goodput_bits_per_s_max() / 1e6;
    let rates: Vec<(&str, Option<Spread>)> =
        summaries.iter().map(|summary| (summary.peer.as_str(), summary.goodput_bits_per_s)).collect();
    let highest = rates.iter().filter_map(|(_, rate)| rate.map(|rate| rate.max / 1e6)).fold(0.0, f64::max);
    // What the path could carry is shown where it is near: for short files it would only make the bars short.
    let is_best_near = best.is_finite() && best < 4.0 * highest;
    let ceiling = round_up(if is_best_near { highest.max(best) } else { highest });
    let bottom = TOP + ROW * rates.len() as f64;
    let x = |megabits: f64| LEFT + (WIDTH - LEFT - RIGHT) * megabits / ceiling;

    let mut picture = Picture::new(WIDTH, bottom + 40.0, &format!("{}: Mbit/s, median and range", scenario.name));
    for quarter in 0..=4 {
        let value = ceiling * f64::from(quarter) / 4.0;
        picture.line((x(value), TOP), (x(value), bottom), "stroke=\"#dddddd\"");
        picture.write(x(value), bottom + 15.0, "middle", &format!("{value}"));
    }
    for (row, (peer, rate)) in rates.iter().enumerate() {
        let middle = TOP + ROW * (row as f64 + 0.5);
        picture.write(LEFT - 8.0, middle + 4.0, "end", peer);
        let Some(rate) = rate else { continue };
        let [min, median, max] = [rate.min, rate.median, rate.max].map(|rate| x(rate / 1e6));
        let (top, length) = (middle - BAR / 2.0, median - LEFT);
        let colour = if peer.starts_with("godwit") { COLOURS[0] } else { COLOURS[7] };
        picture.add(format_args!(
            "<rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>"
        ));
        picture.line((min, middle), (max, middle), "stroke=\"black\"");
        picture.write(max + 6.0, middle + 4.0, "start", &format!("{:.1}", rate.median / 1e6));
    }
    if is_best_near {
        picture.line((x(best), TOP), (x(best), bottom), "stroke=\"#d62728\" stroke-dasharray=\"4 3\"");
        picture.write(x(best), bottom + 30.0, "middle", &format!("{best:.0} is all that can pass"));
    }
    picture.finish()
}

//! The rates of flows that share a path, over time, in the first round.

use super::picture::{COLOURS, Picture, round_up};
use crate::results::{Run, ScenarioResults};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 280.0;

pub(super) fn svg(scenario: &ScenarioResults) -> String {
    let flows: Vec<&Run> = scenario.runs.iter().filter(|run| run.round == 0).collect();
    let end = flows.iter().map(|run| run.starts_s + run.seconds).fold(1e-9, f64::max);
    let ceiling = round_up(scenario.path.rate_bits_per_s / 1e6);
    let x = |seconds: f64| LEFT + (WIDTH - LEFT - RIGHT) * seconds / end;
    let y = |megabits: f64| BOTTOM - (BOTTOM - TOP) * (megabits / ceiling).min(1.0);

    let title = format!("{}: Mbit/s over seconds, first round", scenario.name);
    let mut picture = Picture::new(WIDTH, HEIGHT, &title);
    for quarter in 0..=4 {
        let (value, seconds) = (ceiling * f64::from(quarter) / 4.0, end * f64::from(quarter) / 4.0);
        picture.line((LEFT, y(value)), (WIDTH - RIGHT, y(value)), "stroke=\"#dddddd\"");
        picture.write(LEFT - 6.0, y(value) + 4.0, "end", &format!("{value}"));
        picture.write(x(seconds), BOTTOM + 16.0, "middle", &format!("{seconds:.0} s"));
    }
    for (number, run) in flows.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let points: Vec<String> =
            rates(run).map(|(at, rate)| format!("{:.1},{:.1}", x(run.starts_s + at), y(rate))).collect();
        picture.add(format_args!("<polyline fill=\"none\" stroke=\"{colour}\" points=\"{}\"/>", points.join(" ")));
        let place = LEFT + 180.0 * number as f64;
        picture.line((place, 36.0), (place + 20.0, 36.0), &format!("stroke=\"{colour}\" stroke-width=\"3\""));
        picture.write(place + 26.0, 40.0, "start", &run.peer);
    }
    picture.finish()
}

/// Seconds since the flow's start and Mbit/s between its points.
fn rates(run: &Run) -> impl Iterator<Item = (f64, f64)> {
    run.growth.windows(2).map(|pair| {
        let ((from, before), (to, after)) = (pair[0], pair[1]);
        ((from + to) / 2.0, (after - before) as f64 * 8e-6 / (to - from).max(1e-3))
    })
}

//! One run as a picture: rate, round-trip time, queue and window over time, a colour per flow.

use std::fmt::Write as _;

use crate::measured::{FlowSample, Measured, SAMPLE_EVERY};
use crate::scenario::{PACKET_BYTES, Scenario};

const WIDTH: f64 = 1100.0;
const PANEL_HEIGHT: f64 = 190.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const GAP: f64 = 40.0;
/// More points than pixels only make the file large.
const POINTS_MAX: usize = 1000;
const COLOURS: [&str; 8] = ["#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf", "#7f7f7f"];

/// A curve: its points, evenly spaced over the run, and its colour.
struct Curve {
    values: Vec<f64>,
    colour: &'static str,
}

/// The picture as SVG.
pub fn svg(scenario: &Scenario, measured: &Measured) -> String {
    let duration_s = scenario.duration.as_secs_f64();
    let step = measured.queue_ms.len().div_ceil(POINTS_MAX).max(1);
    let per_flow = |value: &dyn Fn(&[FlowSample]) -> f64| -> Vec<Curve> {
        let curve = |(number, samples): (usize, &Vec<FlowSample>)| Curve {
            values: samples.chunks(step).map(value).collect(),
            colour: COLOURS[number % COLOURS.len()],
        };
        measured.flows.iter().enumerate().map(curve).collect()
    };
    let rate_mbits = |samples: &[FlowSample]| {
        let packets: u32 = samples.iter().map(|sample| sample.received_packets).sum();
        f64::from(packets) * PACKET_BYTES as f64 * 8e-6 / (samples.len() as f64 * SAMPLE_EVERY.as_secs_f64())
    };
    let last = |samples: &[FlowSample]| samples[samples.len() - 1].gauges;
    let queue = Curve {
        values: measured.queue_ms.chunks(step).map(|queue| queue.iter().copied().fold(0.0, f32::max).into()).collect(),
        colour: "#333333",
    };
    let panels = [
        ("rate, Mbit/s", per_flow(&rate_mbits)),
        ("round-trip time, ms", per_flow(&|samples| last(samples).rtt.as_secs_f64() * 1e3)),
        ("queue, ms (highest)", vec![queue]),
        ("window, packets", per_flow(&|samples| f64::from(last(samples).window_packets))),
    ];
    let height = TOP + panels.len() as f64 * (PANEL_HEIGHT + GAP);
    let mut out = String::new();
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"20\" \
         font-size=\"15\">{}: utilisation {:.3}, queue {:.1} ms</text>\n",
        scenario.name,
        measured.utilisation(),
        measured.queue_mean_ms()
    );
    for (number, (title, curves)) in panels.iter().enumerate() {
        panel(&mut out, TOP + number as f64 * (PANEL_HEIGHT + GAP), title, curves, duration_s);
    }
    out.push_str("</svg>\n");
    out
}

fn panel(out: &mut String, top: f64, title: &str, curves: &[Curve], duration_s: f64) {
    let (width, bottom) = (WIDTH - LEFT - RIGHT, top + PANEL_HEIGHT);
    let highest = curves.iter().flat_map(|curve| &curve.values).copied().fold(1e-9, f64::max);
    let ceiling = round_up(highest);
    let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"{}\">{title}</text>", top - 4.0);
    for fourth in 0..=4 {
        let y = bottom - PANEL_HEIGHT * f64::from(fourth) / 4.0;
        let value = ceiling * f64::from(fourth) / 4.0;
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {y:.1}h{width}\" stroke=\"#dddddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
            LEFT - 6.0,
            y + 4.0
        );
    }
    for tenth in 0..=10 {
        let x = LEFT + width * f64::from(tenth) / 10.0;
        let seconds = duration_s * f64::from(tenth) / 10.0;
        let _ =
            writeln!(out, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{seconds:.1} s</text>", bottom + 14.0);
    }
    for curve in curves {
        let scale_x = width / curve.values.len().max(1) as f64;
        let points = curve.values.iter().enumerate().map(|(place, value)| {
            format!("{:.1},{:.1}", LEFT + place as f64 * scale_x, bottom - (value / ceiling).min(1.0) * PANEL_HEIGHT)
        });
        let points = points.collect::<Vec<_>>().join(" ");
        let _ = writeln!(out, "<polyline fill=\"none\" stroke=\"{}\" points=\"{points}\"/>", curve.colour);
    }
}

/// The next number above of the form 1, 2, 4, 5 or 8 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&step| step >= value)
        .unwrap_or(value)
}

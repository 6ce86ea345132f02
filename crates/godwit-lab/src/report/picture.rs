//! The parts of pictures: a sheet, an axis, text.

use std::fmt::{self, Write as _};

/// One per peer or flow.
pub(super) const COLOURS: [&str; 8] =
    ["#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf", "#7f7f7f"];

/// An SVG that grows.
pub(super) struct Picture {
    text: String,
}

impl Picture {
    pub(super) fn new(width: f64, height: f64, title: &str) -> Self {
        let mut picture = Self { text: String::new() };
        picture.add(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
        ));
        picture.write(10.0, 18.0, "start", title);
        picture
    }

    pub(super) fn add(&mut self, element: fmt::Arguments) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{element}");
    }

    pub(super) fn write(&mut self, x: f64, y: f64, anchor: &str, text: &str) {
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
        self.add(format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{escaped}</text>"));
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), style: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(format_args!("<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" fill=\"none\" {style}/>"));
    }

    pub(super) fn finish(mut self) -> String {
        self.add(format_args!("</svg>"));
        self.text
    }
}

/// The next number above of the form 1, 2, 4, 5 or 8 times a power of ten.
pub(super) fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0].map(|factor| factor * power);
    steps.into_iter().find(|&step| step >= value).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!((round_up(287.0), round_up(0.3), round_up(100.0), round_up(0.0)), (400.0, 0.4, 100.0, 1.0));
    }

    #[test]
    fn text_is_escaped() {
        let mut picture = Picture::new(10.0, 10.0, "a < b & c");
        picture.line((0.0, 0.0), (1.0, 1.0), "stroke=\"black\"");
        assert!(picture.finish().contains("a &lt; b &amp; c"));
    }
}

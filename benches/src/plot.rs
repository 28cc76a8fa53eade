//! Plots as SVG: axes with ticks, linear or logarithmic, lines with markers, a legend.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 78.0;
const BOTTOM: f64 = 62.0;
/// Colours that people with any colour vision can tell apart (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// How the numbers of an axis are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// With k, M, G.
    Plain,
    /// With KiB, MiB, GiB.
    Bytes,
}

/// An axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it shows, and the unit.
    pub label: String,
    /// Logarithmic; values of zero and below are left out then.
    pub log: bool,
    /// How its numbers are written.
    pub style: Style,
    /// Where to put ticks; empty: round numbers.
    pub ticks: Vec<f64>,
}

impl Axis {
    /// One with round numbers.
    #[must_use]
    pub fn new(label: &str, log: bool) -> Self {
        Self { label: label.to_owned(), log, style: Style::Plain, ticks: Vec::new() }
    }
}

/// A line.
#[derive(Clone, Debug)]
pub struct Series {
    /// For the legend.
    pub name: String,
    /// Its points.
    pub points: Vec<(f64, f64)>,
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Above it.
    pub title: String,
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// Its lines.
    pub series: Vec<Series>,
}

/// An axis with its range, and the place of both ends in the picture.
struct Scale {
    log: bool,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn new(axis: &Axis, values: impl Iterator<Item = f64>, from: f64, to: f64, from_zero: bool) -> Self {
        let values: Vec<f64> = values.filter(|v| v.is_finite() && (!axis.log || *v > 0.0)).collect();
        let mut low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let mut high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if values.is_empty() {
            (low, high) = (1.0, 10.0);
        }
        if axis.log {
            if from_zero {
                (low, high) = (10_f64.powf(low.log10().floor()), 10_f64.powf(high.log10().ceil()));
            }
            if low >= high {
                (low, high) = (low / 2.0, high * 2.0);
            }
        } else {
            low = if from_zero { low.min(0.0) } else { low };
            let step = step(high - low);
            high = (high * 1.02 / step).ceil() * step;
            if low >= high {
                high = low + 1.0;
            }
        }
        Self { log: axis.log, low, high, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let share = if self.log {
            (value / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share * (self.to - self.from)
    }

    /// Round numbers within the range: decades, and 2 and 5 in between if there are few.
    fn ticks(&self) -> Vec<f64> {
        if !self.log {
            let step = step(self.high - self.low);
            let first = (self.low / step).ceil() as i64;
            return (first..=(self.high / step + 1e-9) as i64).map(|i| i as f64 * step).collect();
        }
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let all: &[f64] = if last - first <= 3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let within = |v: &f64| *v >= self.low * 0.999 && *v <= self.high * 1.001;
        let of = |decade: i32| all.iter().map(move |m| m * 10_f64.powi(decade));
        (first..=last).flat_map(of).filter(within).collect()
    }
}

/// A round step that cuts a range into four to eight parts.
fn step(range: f64) -> f64 {
    if range <= 0.0 || !range.is_finite() {
        return 1.0;
    }
    let raw = range / 6.0;
    let decade = 10_f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|m| m * decade).into_iter().find(|s| *s >= raw).unwrap_or(decade * 10.0)
}

/// A number as an axis has it.
fn number(value: f64, style: Style) -> String {
    let (base, units): (f64, &[&str]) = match style {
        Style::Plain => (1000.0, &["", "k", "M", "G", "T"]),
        Style::Bytes => (1024.0, &["B", "KiB", "MiB", "GiB", "TiB"]),
    };
    let (mut value, mut unit) = (value, 0);
    while value.abs() >= base * 0.9999 && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let space = if style == Style::Bytes || unit > 0 { " " } else { "" };
    format!("{text}{space}{}", units[unit])
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Plot {
    /// The picture.
    #[must_use]
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|s| s.points.iter());
        let x = Scale::new(&self.x, points().map(|p| p.0), LEFT + 16.0, WIDTH - RIGHT - 16.0, false);
        let y = Scale::new(&self.y, points().map(|p| p.1), HEIGHT - BOTTOM, TOP, true);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\" fill=\"#222\">\n\
             <title>{0}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"26\" font-size=\"17\" font-weight=\"bold\">{0}</text>\n",
            escape(&self.title)
        );
        self.legend(&mut out);
        self.grid(&mut out, &x, &y);
        for (i, series) in self.series.iter().enumerate() {
            line(&mut out, series, i, &x, &y);
        }
        out.push_str("</svg>\n");
        out
    }

    fn legend(&self, out: &mut String) {
        let mut at = LEFT;
        for (i, series) in self.series.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let _ = writeln!(
                out,
                "<line x1=\"{at}\" y1=\"50\" x2=\"{}\" y2=\"50\" stroke=\"{colour}\" stroke-width=\"2\"/>{}",
                at + 26.0,
                marker(i, at + 13.0, 50.0)
            );
            let name = escape(&series.name);
            let _ = writeln!(out, "<text x=\"{}\" y=\"54\">{name}</text>", at + 32.0);
            at += 32.0 + series.name.chars().count() as f64 * 6.8 + 22.0;
        }
    }

    fn grid(&self, out: &mut String, x: &Scale, y: &Scale) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let ticks = |axis: &Axis, scale: &Scale| {
            if axis.ticks.is_empty() { scale.ticks() } else { axis.ticks.clone() }
        };
        for tick in ticks(&self.y, y) {
            let (at, text) = (y.at(tick), number(tick, self.y.style));
            let _ = writeln!(
                out,
                "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#e3e3e3\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                LEFT - 9.0,
                at + 4.5
            );
        }
        for tick in ticks(&self.x, x) {
            let (at, text) = (x.at(tick), number(tick, self.x.style));
            let _ = writeln!(
                out,
                "<line x1=\"{at:.1}\" y1=\"{bottom}\" x2=\"{at:.1}\" y2=\"{}\" stroke=\"#222\"/>\
                 <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>",
                bottom + 5.0,
                bottom + 20.0
            );
        }
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"#222\"/>\n\
             <text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
             <text transform=\"translate(22 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(LEFT, right),
            HEIGHT - 16.0,
            escape(&self.x.label),
            f64::midpoint(TOP, bottom),
            escape(&self.y.label)
        );
    }
}

fn line(out: &mut String, series: &Series, index: usize, x: &Scale, y: &Scale) {
    let visible = |p: &&(f64, f64)| p.1.is_finite() && (!x.log || p.0 > 0.0) && (!y.log || p.1 > 0.0);
    let places: Vec<_> = series.points.iter().filter(visible).map(|p| (x.at(p.0), y.at(p.1))).collect();
    let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let colour = COLOURS[index % COLOURS.len()];
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        path.join(" ")
    );
    places.iter().for_each(|(x, y)| out.push_str(&marker(index, *x, *y)));
    out.push('\n');
}

/// A circle, a square, a triangle or a diamond.
fn marker(index: usize, x: f64, y: f64) -> String {
    let colour = COLOURS[index % COLOURS.len()];
    match index % 4 {
        0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>"),
        1 => format!("<path d=\"M{:.1} {:.1}h8v8h-8z\" fill=\"{colour}\"/>", x - 4.0, y - 4.0),
        2 => format!("<path d=\"M{x:.1} {:.1}l5 9h-10z\" fill=\"{colour}\"/>", y - 5.5),
        _ => format!("<path d=\"M{x:.1} {:.1}l5.5 5.5l-5.5 5.5l-5.5 -5.5z\" fill=\"{colour}\"/>", y - 5.5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(65_536.0, Style::Bytes), "64 KiB");
        assert_eq!(number(1e7, Style::Plain), "10 M");
        assert_eq!(number(0.05, Style::Plain), "0.05");
        assert_eq!(number(0.0, Style::Plain), "0");
    }

    #[test]
    fn a_plot_has_no_number_that_is_none() {
        let series = |points: &[(f64, f64)]| Series { name: "a < b".into(), points: points.to_vec() };
        for log in [false, true] {
            for points in [&[][..], &[(1.0, 0.0)], &[(10.0, 5.0), (1e6, f64::NAN), (1e7, 0.25)]] {
                let (x, y) = (Axis::new("x", log), Axis::new("y", log));
                let svg = Plot { title: "t".into(), x, y, series: vec![series(points)] }.svg();
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                assert!(svg.contains("a &lt; b"));
            }
        }
    }
}

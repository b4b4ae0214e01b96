//! Plots of how the cost grows with the size, as SVG with logarithmic axes.
//!
//! The file has a white background and plain shapes only, so that it looks the same
//! in every viewer. A point is the median of its runs; a vertical line reaches from
//! the smallest to the largest one.

use std::fmt::Write;

use crate::row::{Samples, Unit};

/// A plot with a curve for each program.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plot {
    /// The name of the file without its extension.
    pub(crate) name: String,
    pub(crate) title: String,
    /// The meaning of the sizes.
    pub(crate) x: &'static str,
    /// The meaning of the values.
    pub(crate) y: &'static str,
    pub(crate) unit: Unit,
    pub(crate) series: Vec<Series>,
}

/// The values of one program by size.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(u64, Samples)>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
/// The margins around the area of the curves.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 48.0;

/// Colours that remain distinct with colour blindness (Okabe and Ito).
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// A logarithmic axis that covers whole decades.
struct Axis {
    /// The decimal exponents of its ends.
    first: i32,
    last: i32,
    /// The positions of its ends.
    from: f64,
    to: f64,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut first, mut last) = (i32::MAX, i32::MIN);
        for value in values.filter(|value| *value > 0.0) {
            // Rounding errors must not add a decade.
            first = first.min((value.log10() + 1e-9).floor() as i32);
            last = last.max((value.log10() - 1e-9).ceil() as i32);
        }
        if first > last {
            (first, last) = (0, 1);
        }
        let last = last.max(first + 1);
        Self {
            first,
            last,
            from,
            to,
        }
    }

    fn at(&self, value: f64) -> f64 {
        let span = f64::from(self.last - self.first);
        let part = (value.max(f64::MIN_POSITIVE).log10() - f64::from(self.first)) / span;
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }

    fn decades(&self) -> impl Iterator<Item = f64> {
        (self.first..=self.last).map(|exponent| 10f64.powi(exponent))
    }
}

impl Plot {
    /// Renders the plot as an SVG document.
    pub(crate) fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let ranges = points().flat_map(|(_, y)| {
            let (min, max) = y.range();
            [min, max]
        });
        let x = Axis::new(points().map(|(x, _)| *x as f64), LEFT, WIDTH - RIGHT);
        let y = Axis::new(ranges, HEIGHT - BOTTOM, TOP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <title>{title}</title>\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n",
            title = escape(&self.title)
        );
        text(&mut svg, (WIDTH / 2.0, 20.0), "middle", &self.title);
        for value in x.decades() {
            let at = x.at(value);
            line(&mut svg, (at, TOP), (at, HEIGHT - BOTTOM), GRID);
            let label = short_number(value);
            text(&mut svg, (at, HEIGHT - BOTTOM + 16.0), "middle", &label);
        }
        for value in y.decades() {
            let at = y.at(value);
            line(&mut svg, (LEFT, at), (WIDTH - RIGHT, at), GRID);
            let label = self.unit.show(value * 1.000_001);
            let label = label.replace(".00", "").replace(".0", "");
            text(&mut svg, (LEFT - 6.0, at + 4.0), "end", &label);
        }
        let middle = ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 10.0);
        text(&mut svg, middle, "middle", self.x);
        text(&mut svg, (8.0, TOP - 28.0), "start", self.y);
        for (index, series) in self.series.iter().enumerate() {
            curve(&mut svg, index, series, &x, &y);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// Draws a curve with its name in the legend.
fn curve(svg: &mut String, index: usize, series: &Series, x: &Axis, y: &Axis) {
    let colour = COLOURS[index % COLOURS.len()];
    let thin = format!("stroke=\"{colour}\"");
    let legend = LEFT + 140.0 * index as f64;
    mark(svg, index, (legend + 6.0, TOP - 14.0));
    text(svg, (legend + 16.0, TOP - 10.0), "start", &series.name);
    let mut path = String::new();
    for (size, samples) in &series.points {
        let at = x.at(*size as f64);
        let (min, max) = samples.range();
        line(svg, (at, y.at(min)), (at, y.at(max)), &thin);
        let command = if path.is_empty() { "M" } else { " L" };
        let _ = write!(path, "{command}{at:.1} {:.1}", y.at(samples.median()));
    }
    if !path.is_empty() {
        let _ = writeln!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
    }
    for (size, samples) in &series.points {
        mark(svg, index, (x.at(*size as f64), y.at(samples.median())));
    }
}

/// Draws the mark of a point: circles for the first curve, squares for the others.
fn mark(svg: &mut String, index: usize, (x, y): (f64, f64)) {
    let colour = COLOURS[index % COLOURS.len()];
    // Writing to a String cannot fail, here and below.
    let _ = if index == 0 {
        writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>"
        )
    } else {
        let (x, y) = (x - 4.0, y - 4.0);
        writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"8\" height=\"8\" fill=\"{colour}\"/>"
        )
    };
}

const GRID: &str = "stroke=\"#dddddd\"";

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), style: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" {style}/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
        at.0,
        at.1,
        escape(text)
    );
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

/// Formats a size such as 10k or 1M.
fn short_number(value: f64) -> String {
    for (size, suffix) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if value >= size {
            return format!("{:.0}{suffix}", value / size);
        }
    }
    format!("{value:.0}")
}

#[cfg(test)]
mod tests {
    use super::{Plot, Series, short_number};
    use crate::row::{Samples, Unit};

    fn plot() -> Plot {
        let series = |name: &str, factor: f64| Series {
            name: name.to_owned(),
            points: [10_u64, 1000, 100_000]
                .map(|size| {
                    let median = size as f64 * factor;
                    (
                        size,
                        Samples::from_iter([0.9, 1.0, 1.5].map(|part| part * median)),
                    )
                })
                .to_vec(),
        };
        Plot {
            name: "tool-sizes".to_owned(),
            title: "tool: a < b & \"c\"".to_owned(),
            x: "sizes",
            y: "time of a run",
            unit: Unit::Seconds,
            series: vec![series("tool", 1e-6), series("peer", 1e-5)],
        }
    }

    /// Checks that every element is closed in order and every attribute is quoted.
    fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        let mut rest = svg;
        while let Some(start) = rest.find('<') {
            assert!(!rest[..start].contains('>'), "{rest}");
            let end = start + rest[start..].find('>').expect("a tag ends");
            let tag = &rest[start + 1..end];
            assert!(!tag.contains('<'), "{tag}");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            let name = |tag: &str| tag.split_whitespace().next().unwrap_or_default().to_owned();
            if let Some(closed) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(closed.to_owned()));
            } else if !tag.ends_with('/') {
                open.push(name(tag));
            }
            rest = &rest[end + 1..];
        }
        assert_eq!(open, Vec::<String>::new());
        for (at, _) in svg.match_indices('&') {
            let is_entity = ["&amp;", "&lt;", "&gt;", "&quot;"]
                .iter()
                .any(|entity| svg[at..].starts_with(entity));
            assert!(is_entity, "{}", &svg[at..]);
        }
    }

    #[test]
    fn a_plot_is_well_formed() {
        let svg = plot().svg();
        assert_well_formed(&svg);
        assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
        assert_eq!(svg.matches("<path ").count(), 2);
        assert_eq!(svg.matches("<circle ").count(), 3 + 1);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn a_plot_without_points_is_well_formed() {
        let mut plot = plot();
        plot.series[0].points.clear();
        plot.series.truncate(1);
        let svg = plot.svg();
        assert_well_formed(&svg);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn the_axes_cover_whole_decades() {
        let svg = plot().svg();
        for label in [
            ">10<",
            ">100k<",
            ">1 us<",
            ">10 ms<",
            ">10 s<",
            ">time of a run<",
        ] {
            assert!(svg.contains(label), "{label} in {svg}");
        }
        // The median of the last point of the first curve: 100,000 * 1e-6 s.
        assert!(svg.contains("<circle cx=\"620.0\" cy=\""), "{svg}");
    }

    #[test]
    fn large_numbers_are_short() {
        let numbers = [1.0, 100.0, 1e3, 1e5, 1e6, 1e9].map(short_number);
        assert_eq!(numbers, ["1", "100", "1k", "100k", "1M", "1G"]);
    }
}

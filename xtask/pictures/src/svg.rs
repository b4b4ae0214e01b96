//! Drawing of a terminal screen as SVG, with its text as text.
//!
//! Every run of cells with the same style is one `<text>` element at the position of
//! its first cell, with the width that its cells have, so that columns stay aligned
//! in every monospaced font.

use std::fmt::Write;

use vt100::{Cell, Color, Screen};

/// The width and height of a cell and the size of the font, in pixels.
const CELL: (f32, f32) = (8.4, 18.0);
const FONT_SIZE: u32 = 14;

/// The margin around the screen, and the height of the bar with the title.
const MARGIN: f32 = 14.0;
const TITLE_HEIGHT: f32 = 32.0;

const BACKGROUND: &str = "#1b1f27";
const TITLE_BACKGROUND: &str = "#2b313d";
const FOREGROUND: &str = "#d7dae0";
const TITLE_COLOR: &str = "#9aa3b2";

/// The sixteen colours of a terminal, dark and bright.
const PALETTE: [&str; 16] = [
    "#4b5263", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d7dae0",
    "#7f848e", "#ff7b86", "#b5e08f", "#f7d794", "#7cc4ff", "#d990f0", "#6fd3df", "#ffffff",
];

/// The visible style of a cell.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Style {
    color: &'static str,
    bold: bool,
}

/// Returns the picture of a screen, up to its last line that is not blank.
pub(crate) fn draw(title: &str, screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let is_blank = |row: u16| {
        (0..columns).all(|column| {
            screen
                .cell(row, column)
                .is_none_or(|cell| cell.contents().trim().is_empty())
        })
    };
    let lines = (0..rows)
        .rev()
        .find(|row| !is_blank(*row))
        .map_or(0, |row| row + 1);
    let width = f32::from(columns) * CELL.0 + 2.0 * MARGIN;
    let height = f32::from(lines) * CELL.1 + 2.0 * MARGIN + TITLE_HEIGHT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n\
         <path d=\"M0 8a8 8 0 0 1 8-8h{:.0}a8 8 0 0 1 8 8v24H0z\" fill=\"{TITLE_BACKGROUND}\"/>\n\
         <g font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" \
         font-size=\"{FONT_SIZE}\" xml:space=\"preserve\">\n\
         <title>{}</title>\n\
         <text x=\"{MARGIN}\" y=\"21\" fill=\"{TITLE_COLOR}\">{}</text>\n",
        escape(title),
        width - 16.0,
        escape(title),
        escape(title),
    );
    for row in 0..lines {
        draw_line(&mut svg, screen, row, columns);
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

fn draw_line(svg: &mut String, screen: &Screen, row: u16, columns: u16) {
    let y = TITLE_HEIGHT + MARGIN + f32::from(row) * CELL.1 + f32::from(CELL_BASELINE);
    let mut column = 0;
    while column < columns {
        let start = column;
        let Some(style) = screen.cell(row, start).map(style) else {
            break;
        };
        let mut text = String::new();
        while let Some(cell) = screen.cell(row, column)
            && column < columns
            && (style_matches(cell, style) || cell.contents().trim().is_empty())
        {
            text.push_str(if cell.has_contents() {
                cell.contents()
            } else {
                " "
            });
            column += 1;
        }
        let kept = text.trim_end();
        if kept.trim_start().is_empty() {
            continue;
        }
        let x = MARGIN + f32::from(start) * CELL.0;
        let cells = u16::try_from(kept.chars().count()).unwrap_or(columns);
        let bold = if style.bold {
            " font-weight=\"bold\""
        } else {
            ""
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{:.1}\" fill=\"{}\"{bold}>{}</text>",
            f32::from(cells) * CELL.0,
            style.color,
            escape(kept),
        );
    }
}

/// The distance from the top of a line to the baseline of its text, in pixels.
const CELL_BASELINE: u8 = 13;

fn style_matches(cell: &Cell, expected: Style) -> bool {
    style(cell) == expected
}

fn style(cell: &Cell) -> Style {
    let color = match cell.fgcolor() {
        Color::Idx(index @ 0..16) => {
            let bright = if cell.bold() && index < 8 { 8 } else { 0 };
            PALETTE[usize::from(index) + bright]
        }
        Color::Idx(_) | Color::Rgb(..) | Color::Default if cell.dim() => TITLE_COLOR,
        Color::Idx(_) | Color::Rgb(..) | Color::Default => FOREGROUND,
    };
    Style {
        color,
        bold: cell.bold(),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Returns the text on a picture, one line per element.
pub(crate) fn text(svg: &str) -> String {
    let mut lines = Vec::new();
    for element in svg.split("<text ").skip(1) {
        let content = element
            .split_once('>')
            .and_then(|(_, rest)| rest.split_once("</text>"));
        lines.extend(content.map(|(content, _)| unescape(content)));
    }
    lines.join("\n")
}

fn unescape(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&gt;", ">")
        .replace("&lt;", "<")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::{draw, text};

    fn picture(bytes: &[u8]) -> String {
        let mut parser = vt100::Parser::new(5, 20, 0);
        parser.process(bytes);
        draw("a & b", parser.screen())
    }

    #[test]
    fn runs_of_one_style_are_elements() {
        let svg = picture(b"plain \x1b[31mred\x1b[0m <x>\r\n  next");
        let lines: Vec<&str> = svg
            .lines()
            .filter(|line| line.starts_with("<text"))
            .collect();
        assert_eq!(
            lines,
            [
                r##"<text x="14" y="21" fill="#9aa3b2">a &amp; b</text>"##,
                r##"<text x="14.0" y="59.0" textLength="42.0" fill="#d7dae0">plain</text>"##,
                r##"<text x="64.4" y="59.0" textLength="25.2" fill="#e06c75">red</text>"##,
                r##"<text x="98.0" y="59.0" textLength="25.2" fill="#d7dae0">&lt;x&gt;</text>"##,
                r##"<text x="14.0" y="77.0" textLength="50.4" fill="#d7dae0">  next</text>"##,
            ]
        );
        assert_eq!(text(&svg), "a & b\nplain\nred\n<x>\n  next");
    }

    #[test]
    fn blank_lines_at_the_end_are_left_out() {
        let height = |svg: &str| {
            svg.split("height=\"")
                .nth(1)
                .map(|rest| rest[..3].to_owned())
        };
        assert_eq!(height(&picture(b"one\r\n\r\n")), Some("78\"".to_owned()));
        assert_eq!(height(&picture(b"one\r\ntwo")), Some("96\"".to_owned()));
    }
}

//! The text of sections, and their replacement.

use super::{INTRODUCTION, Section, merge, render};
use crate::machine::Facts;
use crate::plot::Plot;
use crate::row::{Goal, Other, Row, Samples, Unit};

fn facts() -> Facts {
    Facts {
        date: "2026-01-31".to_owned(),
        commit: "abc1234".to_owned(),
        machine: "Some CPU, 2 cores, 4 GB of memory, Linux 6.1".to_owned(),
    }
}

fn peer(name: &str, samples: [f64; 3]) -> Other {
    Other::Peer {
        name: name.to_owned(),
        samples: Samples::from_iter(samples),
    }
}

fn ping() -> Section {
    let ours = || Samples::from_iter([0.3, 0.2, 0.4]);
    let mut section = Section::new("ping");
    section.rows = vec![
        Row::new("ping: sweep", Unit::Seconds, ours())
            .base(Some(Samples::from_iter([0.15, 0.1, 0.2])))
            .against(peer("fping", [0.6, 0.8, 0.8]), Goal::Faster(2.0))
            .command("ping --alive 127.0.0.0/16")
            .command("fping -g 127.0.0.0/16"),
        Row::new("ping: sweep | wc -l", Unit::Seconds, ours())
            .against(peer("fping", [0.1, 0.1, 0.1]), Goal::AtMost(1.0)),
        Row::new(
            "ping: sweep, memory",
            Unit::Bytes,
            Samples::from_iter([4e6]),
        )
        .against(Other::Limit(1e7), Goal::AtMost(1.0))
        .command("ping --alive 127.0.0.0/16")
        .command("fping -g 127.0.0.0/16"),
        Row::new("ping: answers", Unit::Count, Samples::from_iter([1e6])),
        Row::new("ping: info", Unit::Seconds, ours()).against(
            Other::Missing("x is not installed".to_owned()),
            Goal::Faster(3.0),
        ),
        Row::not_measured("ping: system calls", "strace is not installed"),
    ];
    section.plots = vec![Plot {
        name: "ping-targets".to_owned(),
        title: "ping: time by targets".to_owned(),
        x: "targets",
        y: "time",
        unit: Unit::Seconds,
        series: Vec::new(),
    }];
    section
}

const SECTION: &str = "\
## ping

Measured on 2026-01-31, commit abc1234, Some CPU, 2 cores, 4 GB of memory, Linux 6.1.
Other programs: fping 5.1.

| measurement | ours | compared with | ratio | goal | result |
|---|---|---|---:|---|---|
| sweep | 300 ms (200 ms to 400 ms) | fping 800 ms (600 ms to 800 ms) | 0.50 | 2 times faster | met |
| sweep \\| wc -l | 300 ms (200 ms to 400 ms) | fping 100 ms (100 ms to 100 ms) | 3.00 | at most 1 | **missed**, **fping wins** |
| sweep, memory | 4.00 MB | limit 10.0 MB | 0.40 | at most 1 | met |
| answers | 1000000 |  |  |  |  |
| info | 300 ms (200 ms to 400 ms) | x is not installed |  | 3 times faster | not measured |

![ping: time by targets](plots/ping-targets.svg)

Not measured:

- system calls: strace is not installed

Command lines, in the directory of the input files:

```text
# sweep
ping --alive 127.0.0.0/16
fping -g 127.0.0.0/16
```
";

#[test]
fn a_section_has_a_table_plots_and_command_lines() {
    let text = render(&ping(), &facts(), &["fping 5.1".to_owned()], false);
    assert_eq!(text, SECTION);
}

#[test]
fn the_ratio_to_another_build_has_a_column() {
    let text = render(&ping(), &facts(), &[], true);
    let table: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    let expected = [
        "| measurement | ours | compared with | ratio | new/base | goal | result |",
        "|---|---|---|---:|---:|---|---|",
        "| sweep | 300 ms (200 ms to 400 ms) | fping 800 ms (600 ms to 800 ms) | 0.50 | 2.00 \
         | 2 times faster | met |",
    ];
    assert_eq!(table[..3], expected);
    assert!(table[3].contains("| 3.00 |  | at most 1 |"), "{}", table[3]);
}

#[test]
fn only_the_sections_of_measured_tools_are_replaced() {
    let new = |tool: &'static str, text: &str| (tool, format!("## {tool}\n\n{text}\n"));
    let first = merge("", &[new("resolve", "old"), new("ping", "old")]);
    assert_eq!(
        first,
        format!("{INTRODUCTION}\n## ping\n\nold\n\n## resolve\n\nold\n")
    );
    let second = merge(&first, &[new("ping", "new")]);
    assert_eq!(
        second,
        format!("{INTRODUCTION}\n## ping\n\nnew\n\n## resolve\n\nold\n")
    );
    assert_eq!(merge(&second, &[]), second);
}

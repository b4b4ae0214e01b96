//! The lines of the table on the terminal.

use crate::row::Row;

/// Returns the line with the names of the columns.
pub(crate) fn header(with_base: bool) -> String {
    columns(
        ["measurement", "ours", "theirs", "ratio"],
        with_base.then_some("new/base"),
        "goal",
    )
}

/// Returns the line of a row.
pub(crate) fn line(row: &Row, with_base: bool) -> String {
    let ours = if row.ours.is_empty() {
        "-".to_owned()
    } else {
        row.unit.show(row.ours.median())
    };
    let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |r| format!("{r:.2}"));
    let goal = row.goal.to_string();
    let missed = (row.is_met() == Some(false)).then_some("MISSED");
    let winner = row.winning_peer().map(|peer| format!("{peer} wins"));
    let notes = [Some(goal.as_str()), missed, winner.as_deref()];
    let notes: Vec<&str> = notes.into_iter().flatten().collect();
    columns(
        [
            &row.label,
            &ours,
            &row.other_text(|samples, unit| unit.show(samples.median())),
            &ratio(row.ratio()),
        ],
        with_base.then_some(&ratio(row.base_ratio())),
        &notes.join("  "),
    )
}

fn columns([label, ours, theirs, ratio]: [&str; 4], base: Option<&str>, notes: &str) -> String {
    let base = base.map_or_else(String::new, |base| format!(" {base:>8}"));
    let line = format!("{label:<52} {ours:>10} {theirs:>30} {ratio:>6}{base}  {notes}");
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{header, line};
    use crate::row::{Goal, Other, Row, Samples, Unit};

    #[test]
    fn the_columns_are_aligned() {
        let row = Row::new("ping: sweep", Unit::Seconds, Samples::from_iter([0.3]))
            .base(Some(Samples::from_iter([0.2])))
            .against(
                Other::Peer {
                    name: "fping".to_owned(),
                    samples: Samples::from_iter([0.25]),
                },
                Goal::Faster(2.0),
            );
        let header = header(true);
        let line = line(&row, true);
        assert!(line.starts_with("ping: sweep  "), "{line}");
        assert!(
            line.ends_with("300 ms                   fping 250 ms   1.20     1.50  2 times faster  MISSED  fping wins"),
            "{line}"
        );
        assert_eq!(header.find(" goal"), line.find(" 2 times"));
        let missing = super::line(&Row::not_measured("resolve: names", "no nsd"), false);
        assert!(missing.ends_with(" no nsd      -"), "{missing}");
    }
}

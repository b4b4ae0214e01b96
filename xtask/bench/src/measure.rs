//! Measurements of complete processes: the wall clock time ([`compare`]), the
//! processor time ([`compare_cpu`]) and the peak memory ([`memory`]). The runs of our
//! program, of the same program of another build and of a peer alternate
//! ([`in_turn`]).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use support::TaskResult;
use support::workspace::Bins;

use super::Context;
use super::command::{CommandLine, Cost, Peer};
use super::row::{Goal, Other, Row, Samples, Unit};

/// The results of alternating runs.
pub(super) struct Turns<T> {
    ours: Vec<T>,
    base: Option<Vec<T>>,
    peer: Option<Vec<T>>,
}

impl<T> Turns<T> {
    /// Creates a row from one value of each result.
    pub(super) fn row(
        &self,
        label: impl Into<String>,
        unit: Unit,
        value: impl Fn(&T) -> f64,
    ) -> Row {
        let base = self.base.as_ref();
        let base = base.map(|all| all.iter().map(&value).collect());
        Row::new(label, unit, self.ours.iter().map(&value).collect()).base(base)
    }

    /// Returns one value of each result of the peer, if it was measured.
    pub(super) fn peer(&self, value: impl Fn(&T) -> f64) -> Option<Samples> {
        let peer = self.peer.as_ref();
        peer.map(|all| all.iter().map(value).collect())
    }
}

/// Runs our tool, that of the other build and the peer in turn, so that other load
/// on the machine affects all of them. The first run of each fills the caches and
/// does not count. If it fails for the other build, which may lack an option, that
/// is not measured. Other failed runs are repeated ([`repeated`]).
pub(super) fn in_turn<T>(
    context: &Context,
    runs: usize,
    ours: impl Fn(&Bins) -> TaskResult<T>,
    peer: Option<&dyn Fn() -> TaskResult<T>>,
) -> TaskResult<Turns<T>> {
    repeated(|| ours(&context.bins))?;
    let base = context.base.as_ref().filter(|base| {
        let outcome = ours(base);
        if let Err(error) = &outcome {
            eprintln!("the other build is not measured: {error}");
        }
        outcome.is_ok()
    });
    if let Some(peer) = peer {
        repeated(peer)?;
    }
    let mut turns = Turns {
        ours: Vec::new(),
        base: base.map(|_| Vec::new()),
        peer: peer.map(|_| Vec::new()),
    };
    for _ in 0..runs {
        turns.ours.push(repeated(|| ours(&context.bins))?);
        if let (Some(base), Some(all)) = (base, &mut turns.base) {
            all.push(repeated(|| ours(base))?);
        }
        if let (Some(peer), Some(all)) = (peer, &mut turns.peer) {
            all.push(repeated(peer)?);
        }
    }
    Ok(turns)
}

/// Measures up to three times until it succeeds, since on a busy machine a probe or
/// a query may get no answer in time. A failed assertion of the testkit is an error.
pub(super) fn repeated<T>(run: impl Fn() -> TaskResult<T>) -> TaskResult<T> {
    let guarded = || {
        let outcome = catch_unwind(AssertUnwindSafe(&run));
        outcome.unwrap_or_else(|_| Err("an assertion failed, as printed above".to_owned()))
    };
    let mut outcome = guarded();
    for _ in 0..2 {
        if let Err(error) = &outcome {
            eprintln!("repeated: {error}");
            outcome = guarded();
        }
    }
    outcome
}

/// Compares the wall clock time of alternating runs.
pub(super) fn compare(
    context: &Context,
    label: &str,
    runs: usize,
    (ours, peer): (&CommandLine, &Peer),
    goal: Goal,
) -> TaskResult<Row> {
    let turns = run_lines(context, runs, ours, peer)?;
    Ok(row(context, label, &turns, (ours, peer), goal, |cost| {
        cost.time
    }))
}

/// Compares the wall clock time and, in a second row, the user and system time.
pub(super) fn compare_cpu(
    context: &Context,
    label: &str,
    runs: usize,
    (ours, peer): (&CommandLine, &Peer),
    [time, cpu]: [Goal; 2],
) -> TaskResult<[Row; 2]> {
    let turns = run_lines(context, runs, ours, peer)?;
    let cpu_label = format!("{label}, processor time");
    Ok([
        row(context, label, &turns, (ours, peer), time, |cost| cost.time),
        row(context, &cpu_label, &turns, (ours, peer), cpu, |cost| {
            cost.cpu
        }),
    ])
}

fn run_lines(
    context: &Context,
    runs: usize,
    ours: &CommandLine,
    peer: &Peer,
) -> TaskResult<Turns<Cost>> {
    let of_build = |bins: &Bins| ours.with_tools_of(&context.bins, bins).run_once();
    match peer.line() {
        Some(line) => in_turn(context, runs, of_build, Some(&|| line.run_once())),
        None => in_turn(context, runs, of_build, None),
    }
}

fn row(
    context: &Context,
    label: &str,
    turns: &Turns<Cost>,
    (ours, peer): (&CommandLine, &Peer),
    goal: Goal,
    measure: impl Fn(&Cost) -> Duration,
) -> Row {
    let seconds = |cost: &Cost| measure(cost).as_secs_f64();
    let row = turns
        .row(label, Unit::Seconds, seconds)
        .against(peer.other(turns.peer(seconds)), goal)
        .command(ours.text(context));
    match peer.line() {
        Some(line) => row.command(line.text(context)),
        None => row,
    }
}

/// Compares the peak memory of a run with a limit in bytes.
pub(super) fn memory(
    context: &Context,
    label: &str,
    ours: &CommandLine,
    limit: u64,
) -> TaskResult<Row> {
    let peak = |bins: &Bins| ours.with_tools_of(&context.bins, bins).peak();
    let base = context.base.as_ref().and_then(|base| peak(base).ok());
    let ours_peak = Samples::from_iter([peak(&context.bins)? as f64]);
    Ok(Row::new(format!("{label}: memory"), Unit::Bytes, ours_peak)
        .base(base.map(|bytes| Samples::from_iter([bytes as f64])))
        .against(Other::Limit(limit as f64), Goal::AtMost(1.0))
        .command(ours.text(context)))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::repeated;

    #[test]
    fn a_failed_measurement_is_repeated_twice() {
        let calls = Cell::new(0);
        let succeeds_at = |number: u32| {
            calls.set(0);
            repeated(|| {
                calls.set(calls.get() + 1);
                assert_ne!(calls.get(), 1, "the first run panics");
                (calls.get() == number)
                    .then_some(number)
                    .ok_or_else(|| "lost".to_owned())
            })
        };
        assert_eq!(succeeds_at(3), Ok(3));
        assert_eq!(succeeds_at(4), Err("lost".to_owned()));
        assert_eq!(calls.get(), 3);
    }
}

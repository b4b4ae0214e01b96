//! `cargo xtask pictures [--check]`: pictures of the tools in a terminal.
//!
//! The tools run in a pseudo-terminal against servers of the testkit ([`scenes`]). A
//! terminal emulator interprets their output, and [`svg`] draws its screen as
//! `docs/pictures/NAME.svg`.
//!
//! With `--check` nothing is written. A picture is out of date if the text on it
//! differs from the new one in more than its figures ([`stale::comparable`]), since
//! every run measures other times.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the program reports its results"
)]

mod scenes;
mod stale;
mod svg;

use std::fs;
use std::process::ExitCode;

use scenes::{SCENES, Terminal};
use support::TaskResult;
use support::workspace::{Bins, Profile, root};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.as_slice() {
        [] => run(false),
        [arg] if arg == "--check" => run(true),
        _ => Err("usage: cargo xtask pictures [--check]".to_owned()),
    };
    support::exit_code("pictures", outcome)
}

/// Draws all scenes, and writes or compares the pictures.
fn run(check: bool) -> TaskResult {
    if !testkit::privilege::can_ping() {
        let why = "ping is not permitted here; try again as root";
        let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        if check && !is_ci {
            println!("SKIPPED: {why}");
            return Ok(());
        }
        return Err(why.to_owned());
    }
    let bins = Bins::build(Profile::Dev)?;
    let dir = root().join("docs/pictures");
    let mut stale = Vec::new();
    for (name, title, play) in SCENES {
        let mut terminal = Terminal::new(bins.dir())?;
        play(&mut terminal).map_err(|error| format!("{name}: {error}"))?;
        let picture = svg::draw(title, terminal.screen());
        let path = dir.join(format!("{name}.svg"));
        let old = fs::read_to_string(&path).unwrap_or_default();
        if stale::comparable(&svg::text(&old)) == stale::comparable(&svg::text(&picture)) {
            continue;
        }
        stale.push(*name);
        if !check {
            fs::create_dir_all(&dir)
                .and_then(|()| fs::write(&path, picture))
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    if check && !stale.is_empty() {
        return Err(format!(
            "out of date, run `cargo xtask pictures`: {}",
            stale.join(", ")
        ));
    }
    println!("pictures: {} drawn, {} changed", SCENES.len(), stale.len());
    Ok(())
}

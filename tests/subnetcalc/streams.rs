//! What scripts rely on: results as they come, statuses, the end of a pipe.

use std::fs::File;
use std::time::Duration;

use super::{run, subnetcalc};

const SOON: Duration = Duration::from_secs(15);

#[test]
fn results_come_while_input_is_still_open() {
    for (args, line, answer) in [
        (&["hosts", "-"][..], "10.0.0.4/32\n", "10.0.0.4"),
        (&["--get", "total", "-"], "10.0.0.0/8\n", "16777216"),
        (
            &["match", "--in", "10.0.0.0/8", "-"],
            "10.0.0.1\n",
            "10.0.0.1\t10.0.0.0/8",
        ),
        (&["match", "--in", "10.0.0.0/8"], "::1\n", "::1\t-"),
        (
            &["grep", "--in", "10.0.0.0/8"],
            "a 10.0.0.1\n",
            "a 10.0.0.1",
        ),
        (&["grep", "--json", "-c", "--in", "10.0.0.0/8"], "", ""),
        (&["reverse", "-"], "10.0.0.0/8\n", "10.in-addr.arpa"),
        (
            &["split", "--parts", "1", "-"],
            "10.0.0.0/8\n",
            "10.0.0.0/8",
        ),
        (
            &["mask", "-"],
            "8\n",
            "8\t255.0.0.0\t0.255.255.255\tff000000",
        ),
    ] {
        if line.is_empty() {
            continue;
        }
        let mut running = subnetcalc().args(args).piped_stdin().spawn();
        for _ in 0..2 {
            running.write_stdin(line.as_bytes());
            assert_eq!(running.read_line(SOON), answer);
        }
        running.close_stdin();
        let _ = running.wait().stderr("");
    }
}

#[test]
fn a_full_disk_is_status_2() {
    for words in [
        "10.0.0.0/8",
        "hosts 10.0.0.0/8",
        "aggregate 10.0.0.0/8",
        "match --in ::/0 ::1",
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        subnetcalc()
            .args(words.split(' '))
            .stdout_to(full)
            .run()
            .code(2)
            .stderr("subnetcalc: standard output: no space left on device\n");
    }
}

#[test]
fn a_bad_line_is_named_and_the_rest_goes_on() {
    subnetcalc()
        .args(["hosts", "-"])
        .stdin("10.0.0.0/31\n\n# c\n10.0.0.0/99\n10.0.0.9\n")
        .run()
        .code(2)
        .stdout("10.0.0.0\n10.0.0.1\n10.0.0.9\n")
        .stderr("subnetcalc: -:4: 10.0.0.0/99: prefix length out of range; use 0 to 32\n");
    let records = subnetcalc()
        .args(["--json", "--get", "total", "-"])
        .stdin("x\n10.0.0.0/8\n")
        .run()
        .code(2)
        .json();
    assert_eq!(records[0]["type"], "error");
    assert_eq!(records[1]["total"], "16777216");
}

#[test]
fn usage_errors_are_one_line() {
    for words in [
        "--get total hosts 10.0.0.0/8",
        "hosts --step 0 10.0.0.0/8",
        "hosts --step -1 10.0.0.0/8",
        "hosts --limit x 10.0.0.0/8",
        "subtract 10.0.0.0/8",
        "match 10.0.0.1",
        "grep x",
        "free 10.0.0.0/8",
        "plan 10.0.0.0/8",
        "nth 10.0.0.0/8",
        "aggregate --max-prefix 129 10.0.0.0/8",
        "aggregate --max-count 0 10.0.0.0/8",
        "grep -v --no-address --in ::/0",
        "grep -vo --in ::/0",
        "ula x",
        "--nonsense",
    ] {
        let out = run(words);
        out.code(2).stdout("").stderr_contains("--help");
        assert_eq!(out.stderr_str().lines().count(), 1, "{}", out.story());
    }
}

#[test]
fn every_command_has_help() {
    let out = run("--help");
    out.code(0).stderr("").stdout_contains("EXIT STATUS");
    for command in [
        "info",
        "hosts",
        "split",
        "plan",
        "aggregate",
        "supernet",
        "subtract",
        "intersect",
        "symdiff",
        "complement",
        "free",
        "match",
        "overlap",
        "grep",
        "sort",
        "count",
        "nth",
        "sample",
        "next",
        "prev",
        "reverse",
        "mask",
        "eui64",
        "ula",
    ] {
        out.stdout_contains(&format!("  {command} "));
        run(&format!("{command} --help"))
            .code(0)
            .stderr("")
            .stdout_contains("Usage: ");
    }
}

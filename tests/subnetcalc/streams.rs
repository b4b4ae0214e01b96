//! Streaming, exit statuses and closed pipes, on which scripts rely.

use std::fs::File;
use std::time::Duration;

use super::{run, subnetcalc};

const SOON: Duration = Duration::from_secs(15);

#[test]
fn results_are_printed_while_input_is_open() {
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

/// A list with byte order marks, all kinds of white space, two kinds of line ends and
/// comments.
const LIST: &[u8] = b"\xef\xbb\xbf10.0.0.0/31\r\n\x0b\n\xc2\xa010.0.0.4/32\xc2\xa0\n\
    \xe3\x80\x80\n\xe2\x80\xa8\n# a comment\n  # another\n; Spamhaus\n10.0.0.6 ; SBL1\n\
    \t10.0.0.8\t# M\xfcnchen\n\xef\xbb\xbf\n10.0.0.10\xc2\xa0#x\n10.0.0.12\x0b\x0c\x85\n10.0.0.14";

#[test]
fn white_space_and_comments_of_a_list_are_ignored() {
    // This byte is not white space in UTF-8.
    let list: Vec<u8> = LIST.iter().copied().filter(|b| *b != 0x85).collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list");
    std::fs::write(&path, &list).unwrap();
    let file = format!("@{}", path.display());
    for list_word in ["-", &file] {
        let with = |args: &[&str]| {
            let args: Vec<&str> = args
                .iter()
                .map(|arg| if *arg == "LIST" { list_word } else { arg })
                .collect();
            subnetcalc().args(args).stdin(&*list).run()
        };
        let addresses = [0, 1, 4, 6, 8, 10, 12, 14].map(|n| format!("10.0.0.{n}\n"));
        let networks = "10.0.0.0/31\n10.0.0.4/32\n10.0.0.6/32\n10.0.0.8/32\n10.0.0.10/32\n\
            10.0.0.12/32\n10.0.0.14/32\n";
        for (args, expected) in [
            (&["hosts", "LIST"][..], addresses.concat()),
            (&["aggregate", "LIST"], networks.to_owned()),
            (
                &["intersect", "::/0", "10.0.0.0/8", "--with", "LIST"],
                networks.to_owned(),
            ),
            (&["count", "LIST"], "8\n".to_owned()),
            (&["--get", "network", "LIST"], networks.to_owned()),
            (
                &["match", "--in", "LIST", "10.0.0.10"],
                "10.0.0.10\t10.0.0.10/32\n".to_owned(),
            ),
        ] {
            with(args).code(0).stdout(&expected).stderr("");
        }
    }
    // `match` accepts the same list without prefix lengths.
    let plain = String::from_utf8_lossy(&list)
        .replace("/31", "")
        .replace("/32", "");
    let out = subnetcalc()
        .args(["match", "--in", "10.0.0.0/8"])
        .stdin(plain)
        .run();
    out.code(0).stderr("");
    assert_eq!(out.lines().len(), 7);
}

#[test]
fn an_empty_list_is_status_1() {
    for words in [
        "info -",
        "info",
        "hosts -",
        "split --parts 1 -",
        "reverse -",
        "mask -",
    ] {
        subnetcalc()
            .args(words.split(' '))
            .stdin("# nothing\n\n")
            .run()
            .code(1)
            .stdout("")
            .stderr("subnetcalc: the list is empty\n");
    }
    // An empty set is valid.
    for words in ["aggregate", "sort", "complement", "supernet"] {
        run(words).code(0).stdout("").stderr("");
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
fn an_invalid_line_is_reported_and_the_others_used() {
    subnetcalc()
        .args(["hosts", "-"])
        .stdin("10.0.0.0/31\n\n# c\n10.0.0.0/99\n10.0.0.9\n")
        .run()
        .code(2)
        .stdout("10.0.0.0\n10.0.0.1\n10.0.0.9\n")
        .stderr("subnetcalc: -:4: 10.0.0.0/99: the prefix length is out of range; use 0 to 32\n");
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
        assert_eq!(out.stderr_str().lines().count(), 1, "{}", out.report());
    }
}

#[test]
fn every_command_has_a_man_page() {
    let out = run("--generate man");
    out.code(0)
        .stdout_contains("Refuse networks with host bits set")
        .stdout_contains("\\fBsubnetcalc\\-reverse\\fR(1)");
    for (command, text) in [
        ("info", "special.globally_reachable"),
        ("grep", "that ends a sentence"),
        ("reverse", "RFC 2317"),
        ("split", "PREFIX"),
    ] {
        let out = run(&format!("{command} --generate man"));
        out.code(0).stderr("");
        let page = out.stdout_str();
        assert!(page.to_lowercase().contains(&text.to_lowercase()), "{page}");
        // Shared options are on the page of the tool.
        assert!(
            !page.contains("Refuse networks with host bits set"),
            "{page}"
        );
    }
}

#[test]
fn every_command_has_help() {
    let out = run("--help");
    out.code(0).stderr("").stdout_contains("Exit status:");
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

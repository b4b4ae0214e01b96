//! Invalid input: status 2, nothing on stdout, and one clear line on stderr.

use super::{run, subnetcalc};

/// Invalid networks, each with a part of the error.
const NETWORKS: &[(&str, &str)] = &[
    // IPv4 addresses.
    ("", "'': missing address"),
    ("010.0.0.1", "leading zero"),
    ("10.0.0.01", "leading zero"),
    ("10.00.0.1", "leading zero"),
    ("00.0.0.0", "leading zero"),
    ("10", "as in ADDR/10"),
    ("0", "as in ADDR/0"),
    ("129", "four numbers"),
    ("10.1", "four numbers"),
    ("127.1", "four numbers"),
    ("10.1.2", "four numbers"),
    ("1.2.3.4.5", "four numbers"),
    ("167772161", "four numbers"),
    ("0x7f.1", "hexadecimal"),
    ("0x7f000001", "hexadecimal"),
    ("0x0a.0.0.1", "hexadecimal"),
    ("10.0.0.0x1", "hexadecimal"),
    ("256.0.0.1", "above 255"),
    ("10.0.0.256", "above 255"),
    ("10.0.0.999", "above 255"),
    ("10.0.0.99999999999", "not an"),
    ("10.0.0.", "not an"),
    (".10.0.0.1", "not an"),
    ("10..0.1", "not an"),
    ("10.0.0.1.", "not an"),
    ("10.0.0.-1", "not"),
    ("+10.0.0.1", "not an"),
    ("10.0.0.+1", "not an"),
    ("10,0,0,1", "a comma"),
    ("10.0.0.a", "not an"),
    ("10.0.0.1:80", "unexpected port"),
    ("[10.0.0.1]", "not an"),
    ("\u{661}0.0.0.1", "not an"),
    ("10.0.0.1\u{200b}", "not an"),
    // Prefix lengths and masks.
    ("10.0.0.0/", "not a number"),
    ("10.0.0.0/33", "0 to 32"),
    ("10.0.0.0/64", "0 to 32"),
    ("10.0.0.0/128", "0 to 32"),
    ("10.0.0.0/99999999999999999999", "0 to 32"),
    ("10.0.0.0/-1", "not a number"),
    ("10.0.0.0/+24", "not a number"),
    ("10.0.0.0/08", "leading zero"),
    ("10.0.0.0/024", "leading zero"),
    ("10.0.0.0/0x18", "not a number"),
    ("10.0.0.0/2 4", "white space"),
    ("10.0.0.0/ 24", "white space"),
    ("10.0.0.0 /24", "white space"),
    ("10.0.0.0/24/24", "not a number"),
    ("10.0.0.0//24", "not a number"),
    ("10.0.0.0\\24", "not an"),
    ("/24", "missing"),
    ("/", "missing"),
    ("10.0.0/24", "four numbers"),
    ("10/8", "four numbers"),
    ("10.0.0.0/24.5", "mask"),
    ("10.0.0.0/255.255.255", "mask"),
    ("10.0.0.0/255.0.255.0", "contiguous"),
    ("10.0.0.0/255.255.255.1", "contiguous"),
    ("10.0.0.0/0.0.0.255", "--wildcard"),
    ("10.0.0.0/0255.0.0.0", "leading zero"),
    ("10.0.0.0/ffff::", "families"),
    ("2001:db8::/255.255.0.0", "families"),
    // IPv6.
    (":", "not an IPv6"),
    (":::", "not an IPv6"),
    ("1:2:3:4:5:6:7", "not an IPv6"),
    ("1:2:3:4:5:6:7:8:9", "not an IPv6"),
    ("1:2:3:4:5:6:7:8:", "not an IPv6"),
    (":1:2:3:4:5:6:7:8", "not an IPv6"),
    ("1:2:3:4:5:6:7:8::", "not an IPv6"),
    ("::1:2:3:4:5:6:7:8", "not an IPv6"),
    ("1::2:3:4:5:6:7:8", "not an IPv6"),
    ("1::2::3", "not an IPv6"),
    ("2001:db8:::1", "not an IPv6"),
    ("12345::", "not an IPv6"),
    ("g::", "not an IPv6"),
    ("0x1::", "not an IPv6"),
    ("::10.0.0", "not an IPv6"),
    ("::010.0.0.1", "not an IPv6"),
    ("::10.0.0.1:1", "not an IPv6"),
    ("1:2:3:4:5:6:7:10.0.0.1", "not an IPv6"),
    ("::ffff:256.0.0.1", "not an IPv6"),
    ("fe80::1%", "zone"),
    ("fe80::1%/64", "zone"),
    ("fe80::1%eth0:80", "zone"),
    ("fe80::1%eth0%1", "zone"),
    ("10.0.0.1%eth0", "zone"),
    ("fe80::1%eth0\u{1b}[31m", "zone"),
    ("::/129", "0 to 128"),
    ("::/064", "leading zero"),
    ("::/+64", "not a number"),
    ("::/-1", "not a number"),
    ("::/ffff:0:ffff::", "contiguous"),
    ("[::1]", "unexpected brackets; use ::1"),
    ("[2001:db8::]/32", "unexpected brackets"),
    ("2001:db8::/32%x", "not a number"),
    // Something else.
    ("http://1.2.3.4/", "a URL"),
    ("[2001:db8::1]:80", "unexpected port"),
    ("192.0.2.0/25,US,US-AL,,", "a comma"),
    ("localhost", "not an IPv4 or IPv6"),
    ("example.com/24", "not an IPv4 or IPv6"),
    ("10.0.0.1 10.0.0.2", "white space"),
    ("fe80::1%eth 0", "white space"),
    ("10.0.0.0\t/8", "white space"),
    ("*", "not an"),
    ("10.0.0.*", "not an"),
    ("10.0.0.1-10.0.0.2", "range"),
    ("\u{1b}[31m", "not an"),
];

/// Invalid members of sets, each with a part of the error.
const MEMBERS: &[(&str, &str)] = &[
    ("10.0.0.2-10.0.0.1", "below its start"),
    ("::2-::1", "below its start"),
    ("10.0.0.1-::1", "families"),
    ("::1-10.0.0.1", "families"),
    ("10.0.0.1-", "missing"),
    ("10.0.0.1-5", "four numbers"),
    ("10.0.0.1-10.0.0.2-10.0.0.3", "one hyphen"),
    ("10.0.1.0/24-10.0.0.0/24", "below its start"),
    ("10.0.0.0-10.0.1.0/24", "both or neither"),
    ("10.0.0.2 - 10.0.0.1", "below its start"),
    ("10.0.0.1 -", "missing"),
    ("10.0.0.1+0", "count"),
    ("10.0.0.1+x", "count"),
    ("255.255.255.255+2", "exceeds the address space"),
    ("10.0.0.1\u{2013}10.0.0.9", "U+2013"),
    ("10.0.0.01-10.0.0.2", "leading zero"),
    ("10.0.0.1,10.0.0.2", "a comma"),
    ("10.0.0.1--10.0.0.2", "one hyphen"),
    ("10.0.0.0/33", "0 to 32"),
    ("010.0.0.0/8", "leading zero"),
    ("fe80::1%", "zone"),
    ("fe80::1%lo-fe80::2%", "zone"),
    ("fe80::2%lo-fe80::1%lo", "below its start"),
];

/// Asserts that the input is refused with one line on stderr and no other output.
#[track_caller]
fn refused(args: &[&str], input: &str, why: &str) {
    let out = subnetcalc().args(args).args(["--", input]).run();
    out.code(2).stdout("");
    let text = out.stderr_str();
    assert_eq!(text.lines().count(), 1, "{}", out.report());
    assert!(
        text.starts_with("subnetcalc: ") && text.contains(why),
        "{why}\n{}",
        out.report()
    );
    assert!(!text.contains('\u{1b}'), "{}", out.report());
}

#[test]
fn invalid_networks_are_explained() {
    assert!(NETWORKS.len() + MEMBERS.len() >= 80);
    for (input, why) in NETWORKS {
        refused(&["info"], input, why);
    }
}

#[test]
fn every_command_refuses_invalid_networks() {
    for (input, _) in NETWORKS {
        if *input == "10.0.0.1-10.0.0.2" {
            continue;
        }
        refused(&["aggregate"], input, "");
        refused(&["hosts"], input, "");
        refused(&["match", "--in", "::/0"], input, "");
    }
}

#[test]
fn invalid_members_of_sets_are_explained() {
    for (input, why) in MEMBERS {
        refused(&["aggregate"], input, why);
    }
}

#[test]
fn invalid_lines_are_reported_with_their_numbers() {
    let mut text = String::new();
    let mut bad = 0;
    for (input, _) in NETWORKS.iter().chain(MEMBERS) {
        if input.trim().is_empty() || *input == "10.0.0.1-10.0.0.2" {
            continue;
        }
        text += &format!("{input}\n");
        bad += 1;
    }
    text += "10.0.0.0/8\n";
    let out = subnetcalc().args(["aggregate", "-"]).stdin(text).run();
    out.code(2).stdout("10.0.0.0/8\n");
    assert_eq!(out.stderr_str().lines().count(), bad, "{}", out.report());
    for (line, number) in out.stderr_str().lines().zip(1..) {
        assert!(
            line.starts_with(&format!("subnetcalc: -:{number}: ")),
            "{line}"
        );
    }
}

#[test]
fn a_set_that_cannot_be_read_has_no_count() {
    subnetcalc()
        .args(["count", "@/nowhere/nets"])
        .run()
        .code(2)
        .stdout("")
        .stderr("subnetcalc: /nowhere/nets: no such file or directory\n");
}

#[test]
fn a_maximum_prefix_length_must_fit_the_family() {
    subnetcalc()
        .args(["aggregate", "--max-prefix", "33", "10.0.0.0/24"])
        .run()
        .code(2)
        .stdout("")
        .stderr(
            "subnetcalc: invalid value '33' for '--max-prefix': must be from 0 to 32 for IPv4; \
             use LEN,LEN6 to give both lengths; see 'subnetcalc aggregate --help'\n",
        );
    subnetcalc()
        .args(["aggregate", "-q", "--max-prefix", "33", "2001:db8::/34"])
        .run()
        .code(0)
        .stdout("2001:db8::/33\n");
}

#[test]
fn a_free_prefix_larger_than_the_network_is_explained() {
    subnetcalc()
        .args([
            "free",
            "--prefix",
            "22",
            "10.0.0.0/24",
            "--used",
            "10.0.0.1",
        ])
        .run()
        .code(1)
        .stdout("")
        .stderr("subnetcalc: 10.0.0.0/24: smaller than a /22, so it cannot contain one\n");
}

#[test]
fn stdin_is_read_only_once() {
    for args in [
        &["match", "--in", "@-", "-"][..],
        &["match", "--in", "-", "@-"],
        &["match", "--in", "::1,-", "::1", "-"],
        &["match", "--in", "::1", "--in", "-"],
        &["subtract", "::1", "-", "--minus", "::1", "--minus", "-"],
        &["grep", "--in", "::1,-", "/dev/null", "-"],
        &["grep", "--in", "::1", "/dev/null", "-", "-"],
        &["subtract", "@-", "--minus", "-"],
        &["intersect", "-", "--with", "@-"],
        &["grep", "--in", "@-"],
    ] {
        let out = subnetcalc()
            .args(args)
            .stdin("10.0.0.0/8\n10.0.0.1\n")
            .run();
        out.code(2).stdout("").stderr_contains("stdin");
    }
}

#[test]
fn every_command_reports_an_overlong_line() {
    for command in [
        &["aggregate", "-"][..],
        &["match", "--in", "::/0", "-"],
        &["-"],
    ] {
        for long in [" ", "#", "x"].map(|text| text.repeat(400_000)) {
            subnetcalc()
                .args(command)
                .stdin(format!("{long}\n"))
                .run()
                .code(2)
                .stdout("")
                .stderr("subnetcalc: -:1: the line is longer than 65535 bytes\n");
        }
    }
}

#[test]
fn host_bits_of_an_ignored_family_are_accepted() {
    for command in ["info", "hosts", "aggregate"] {
        for more in [&[][..], &["--wildcard"]] {
            let args = [command, "-4", "--strict", "2001:db8::1/64"];
            subnetcalc()
                .args(args)
                .args(more)
                .run()
                .code(0)
                .stdout("")
                .stderr("");
        }
    }
}

#[test]
fn operands_on_both_sides_of_a_set_option_are_refused() {
    for (words, option) in [
        ("subtract 10.0.0.0/30 --minus 10.0.0.1 10.0.0.2", "minus"),
        ("intersect 10.0.0.0/8 --with 10.0.0.1 10.0.0.2", "with"),
        ("symdiff 10.0.0.0/8 --with=10.0.0.1 10.0.0.2", "with"),
        ("equal 10.0.0.0/8 --with 10.0.0.1 10.0.0.2", "with"),
        ("diff 10.0.0.0/8 --with 10.0.0.1 10.0.0.2", "with"),
        ("match 10.0.0.1 --in 10.0.0.0/8 10.0.0.2", "in"),
        ("grep file --in 10.0.0.0/8 file", "in"),
        ("free 10.0.0.0/30 --used 10.0.0.1 10.0.0.2", "used"),
        ("subtract 10.0.0.0/30 --minus 10.0.0.1 -4 10.0.0.2", "minus"),
        (
            "subtract 10.0.0.0/30 --minus 10.0.0.1 10.0.0.2 --minus 10.0.0.3",
            "minus",
        ),
    ] {
        let out = run(words);
        out.code(2).stdout("").stderr_contains(&format!(
            "operands both before and after '--{option}', which takes one value; \
             use --{option} A,B or --{option} @FILE for several"
        ));
    }
    run("free --used 10.0.0.1 10.0.0.0/30 10.0.0.2")
        .code(2)
        .stdout("")
        .stderr(
            "subnetcalc: unexpected operand '10.0.0.2': 'free' searches only one network; see \
             'subnetcalc free --help'\n",
        );
    // Operands on one side are accepted.
    for words in [
        "subtract 10.0.0.0/31 10.0.0.2 --minus 10.0.0.1 --minus 10.0.0.2",
        "subtract --minus 10.0.0.1 --minus 10.0.0.2 10.0.0.0/31 10.0.0.2",
        "subtract 10.0.0.0/31 10.0.0.2 --minus 10.0.0.1,10.0.0.2",
        "subtract 10.0.0.0/31 10.0.0.2 --minus 10.0.0.1,,10.0.0.2,",
    ] {
        run(words).code(0).stdout("10.0.0.0/32\n").stderr("");
    }
}

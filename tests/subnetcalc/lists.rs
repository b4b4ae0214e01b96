//! The commands `hosts`, `split` and `sample`.

use std::collections::HashSet;

use testkit::Tool;

use super::{prints, records_are, run, says_no, subnetcalc};

#[test]
fn usable_hosts_are_listed() {
    prints("hosts 192.168.1.0/30", &["192.168.1.1", "192.168.1.2"]);
    prints("hosts 192.168.1.0/31", &["192.168.1.0", "192.168.1.1"]);
    prints("hosts 192.168.1.7", &["192.168.1.7"]);
    prints(
        "hosts 2001:db8::/127 10.0.0.0/30",
        &["2001:db8::", "2001:db8::1", "10.0.0.1", "10.0.0.2"],
    );
    prints(
        "hosts --all 10.0.0.0/30",
        &["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3"],
    );
    let out = run("hosts 192.168.1.77/24");
    let expected: String = (1..255).map(|n| format!("192.168.1.{n}\n")).collect();
    out.code(0).stdout(&expected).stderr("");
}

#[test]
fn a_long_list_has_every_address() {
    let out = run("hosts --all 10.255.0.0/15");
    let mut expected = String::new();
    for n in 0x0afe_0000..0x0b00_0000_u32 {
        expected += &format!("{}\n", std::net::Ipv4Addr::from_bits(n));
    }
    assert!(out.code(0).stdout == expected.as_bytes());
    let out = run("hosts 2001:db8::/112");
    let mut expected = String::new();
    for n in 0..0x1_0000_u128 {
        expected += &format!("{}\n", std::net::Ipv6Addr::from_bits(0x2001_0db8 << 96 | n));
    }
    assert!(out.code(0).stdout == expected.as_bytes());
}

#[test]
fn lists_have_a_step_a_limit_and_a_direction() {
    prints(
        "hosts --step 100 192.168.1.0/24",
        &["192.168.1.1", "192.168.1.101", "192.168.1.201"],
    );
    prints(
        "hosts --all --step 256 --limit 2 10.0.0.0/8 11.0.0.0/8",
        &["10.0.0.0", "10.0.1.0", "11.0.0.0", "11.0.1.0"],
    );
    prints(
        "hosts --reverse --limit 2 10.0.0.0/8",
        &["10.255.255.254", "10.255.255.253"],
    );
    prints(
        "hosts --reverse --step 100 192.168.1.0/24",
        &["192.168.1.254", "192.168.1.154", "192.168.1.54"],
    );
    prints("hosts --limit 0 10.0.0.0/8", &[]);
    prints(
        "hosts --limit 2 --reverse ::/0",
        &[
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
        ],
    );
    prints(
        "hosts --all --limit 3 --step 1000000000 0.0.0.0/0",
        &["0.0.0.0", "59.154.202.0", "119.53.148.0"],
    );
    prints(
        "hosts --all 255.255.255.254/31",
        &["255.255.255.254", "255.255.255.255"],
    );
    prints(
        "hosts --step 340282366920938463463374607431768211455 ::/0",
        &["::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    );
}

#[test]
fn hosts_are_listed_as_json() {
    records_are(
        run("hosts -j 10.0.0.0/30").code(0).stderr(""),
        "{\"type\":\"hosts\",\"address\":\"10.0.0.1\"}\n{\"type\":\"hosts\",\"address\":\"10.0.0.2\"}\n",
    );
}

#[test]
fn a_list_ends_if_its_reader_does() {
    for line in [
        "hosts ::/0",
        "hosts --all 0.0.0.0/0",
        "split ::/0 --prefix 128",
        "hosts --json ::/0",
    ] {
        let out = subnetcalc()
            .args(line.split(' '))
            .run_closing_stdout_after(100);
        out.code(0).stderr("");
    }
    Tool::new("/bin/sh")
        .args(["-c", "$TOOL sample ::/0 100000000 | head -n 1 | wc -l"])
        .env("TOOL", env!("CARGO_BIN_EXE_subnetcalc"))
        .run()
        .code(0)
        .stdout("1\n");
}

#[test]
fn a_network_is_split_into_equal_parts() {
    prints(
        "split 10.0.0.0/8 --prefix 10",
        &[
            "10.0.0.0/10",
            "10.64.0.0/10",
            "10.128.0.0/10",
            "10.192.0.0/10",
        ],
    );
    prints("split 10.0.0.9/24 --prefix 24", &["10.0.0.0/24"]);
    prints(
        "split 10.0.0.0/31 --prefix 32",
        &["10.0.0.0/32", "10.0.0.1/32"],
    );
    prints(
        "split 2001:db8::/32 --parts 2",
        &["2001:db8::/33", "2001:db8:8000::/33"],
    );
    prints("split ::/0 --parts 1", &["::/0"]);
    prints("split 0.0.0.0/0 --prefix 0", &["0.0.0.0/0"]);
    prints(
        "split 0.0.0.0/0 --parts 2 --ranges",
        &["0.0.0.0-127.255.255.255", "128.0.0.0-255.255.255.255"],
    );
    prints(
        "split 255.255.255.252/30 --prefix 31",
        &["255.255.255.252/31", "255.255.255.254/31"],
    );
    records_are(
        run("split -j 10.0.0.0/31 --parts 2").code(0).stderr(""),
        "{\"type\":\"split\",\"network\":\"10.0.0.0/32\",\"first\":\"10.0.0.0\",\"last\":\"10.0.0.0\"}\n{\"type\":\"split\",\"network\":\"10.0.0.1/32\",\"first\":\"10.0.0.1\",\"last\":\"10.0.0.1\"}\n",
    );
    let out = run("split 10.0.0.0/16 --prefix 32");
    assert_eq!(out.code(0).lines().len(), 65536);
    assert_eq!(out.lines()[65535], "10.0.255.255/32");
}

#[test]
fn an_impossible_split_is_explained() {
    for (words, why) in [
        (
            "split 10.0.0.0/24 --prefix 16",
            "10.0.0.0/24: cannot be split into /16; use --prefix 24 to 32",
        ),
        (
            "split 10.0.0.0/24 --prefix 64",
            "10.0.0.0/24: cannot be split into /64; use --prefix 24 to 32",
        ),
        (
            "split 10.0.0.0/24 --parts 3",
            "10.0.0.0/24: cannot be split into 3 equal parts: the number must be a power of two; use 2 or 4",
        ),
        (
            "split 10.0.0.0/30 --parts 8",
            "10.0.0.0/30: too small to be split into 8 parts: it has 4 addresses",
        ),
    ] {
        run(words)
            .code(2)
            .stdout("")
            .stderr(&format!("subnetcalc: {why}\n"));
    }
    let _ = run("split 10.0.0.0/8").code(2).stdout("");
    let _ = run("split 10.0.0.0/8 --prefix 9 --parts 2")
        .code(2)
        .stdout("");
    // Other networks are split.
    run("split --prefix 25 10.0.0.0/26 10.0.1.0/24")
        .code(2)
        .stdout("10.0.1.0/25\n10.0.1.128/25\n");
}

#[test]
fn a_sample_has_distinct_addresses() {
    let out = run("sample 10.0.0.0/24 256 --seed 7");
    let lines = out.code(0).stderr("").lines();
    let distinct: HashSet<&String> = lines.iter().collect();
    assert_eq!(distinct.len(), 256);
    assert!(lines.iter().all(|line| line.starts_with("10.0.0.")));
    assert_eq!(run("sample 10.0.0.0/24 256 --seed 7").stdout, out.stdout);
    assert_ne!(run("sample 10.0.0.0/24 256 --seed 8").stdout, out.stdout);
    let out = run("sample ::/0 1000");
    let distinct: HashSet<String> = out.code(0).lines().into_iter().collect();
    assert_eq!(distinct.len(), 1000);
    prints("sample 10.0.0.1/32 1", &["10.0.0.1"]);
    prints("sample 10.0.0.0/24 0", &[]);
    says_no(
        "sample 10.0.0.0/30 5",
        "10.0.0.0/30: cannot sample 5 addresses: the network has 4",
    );
}

/// As in prips, a range has no network and broadcast addresses.
#[test]
fn hosts_of_a_range_are_all_its_addresses() {
    subnetcalc()
        .args([
            "hosts",
            "10.0.0.254-10.0.1.1",
            "::fffe-::1:0",
            "10.0.0.0/30",
        ])
        .run()
        .code(0)
        .stdout(
            "10.0.0.254\n10.0.0.255\n10.0.1.0\n10.0.1.1\n::fffe\n::ffff\n::1:0\n\
             10.0.0.1\n10.0.0.2\n",
        );
    subnetcalc()
        .args(["hosts", "-4", "--reverse", "--limit", "2", "::1-::9", "-"])
        .stdin("255.255.255.250-255.255.255.255\n10.0.0.9-10.0.0.1\n")
        .run()
        .code(2)
        .stdout("255.255.255.255\n255.255.255.254\n")
        .stderr("subnetcalc: -:2: 10.0.0.9-10.0.0.1: the end of the range is below its start\n");
}

#[test]
fn help_starts_with_the_purpose_of_the_command() {
    let all = subnetcalc().arg("--help").run();
    let commands: Vec<(String, String)> = all
        .stdout_str()
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.trim().split_once(' '))
        .map(|(name, about)| (name.to_owned(), about.trim().to_owned()))
        .collect();
    assert_eq!(commands.len(), 27);
    for (name, about) in commands.into_iter().filter(|(name, _)| name != "help") {
        let help = subnetcalc().args([&name, "--help"]).run();
        assert_eq!(
            help.stdout_str().lines().next(),
            Some(about.as_str()),
            "{name}"
        );
    }
}

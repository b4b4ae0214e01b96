//! Tests of the configurations that command lines resolve to.

use super::*;
use crate::schedule::periodic::Mode;
use clap::Parser;
use common::Kind;

fn config(line: &str) -> Result<Config> {
    config_for(line, true)
}

fn config_for(line: &str, is_root: bool) -> Result<Config> {
    let words = std::iter::once("ping").chain(line.split_whitespace());
    Config::new(&Cli::try_parse_from(words).unwrap(), is_root)
}

#[test]
fn the_operands_decide_between_one_target_and_a_list() {
    for line in ["127.0.0.1", "localhost", "::1 -c 3"] {
        assert!(
            matches!(config(line).unwrap().mode, RunMode::Single { .. }),
            "{line}"
        );
    }
    for line in [
        "127.0.0.1 ::1",
        "10.0.0.0/24",
        "10.0.0.1-10.0.0.2",
        "-",
        "",
        "::1 --alive",
    ] {
        assert!(
            matches!(config(line).unwrap().mode, RunMode::List { .. }),
            "{line}"
        );
    }
}

#[test]
fn the_examples_of_the_help_are_valid() {
    let examples: Vec<&str> = crate::cli::AFTER_HELP
        .lines()
        .filter_map(|line| line.strip_prefix("  ping "))
        .map(|line| line.split("  ").next().unwrap_or(line))
        .map(|line| line.split(" | ").next().unwrap_or(line))
        .collect();
    assert!(examples.len() >= 9, "{examples:?}");
    for line in examples {
        let words = std::iter::once("ping").chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).unwrap_or_else(|e| panic!("{line}: {e}"));
        Config::new(&cli, false).unwrap_or_else(|e| panic!("{line}: {e}"));
    }
}

#[test]
fn reachable_must_not_exceed_the_targets() {
    for line in [
        "--reachable 2 ::1",
        "--reachable 3 ::1 ::2",
        "--reachable 9 a 10.0.0.1-10.0.0.7",
    ] {
        let error = config(line).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{line}");
    }
    for line in [
        "--reachable 2 ::1 ::2",
        "--reachable 9 ::1 -",
        "--reachable 9",
        "--reachable 255 ::1 10.0.0.0/24",
    ] {
        assert!(config(line).is_ok(), "{line}");
    }
}

#[test]
fn some_options_are_for_root_only() {
    for line in ["-f ::1", "-i 0.001 ::1", "-l 4 ::1", "-i 0 ::1"] {
        let error = config_for(line, false).unwrap_err();
        assert_eq!(error.kind(), Kind::Permission, "{line}");
        assert!(config(line).is_ok(), "{line}");
    }
    let RunMode::Single { options, .. } = config_for("-A ::1", false).unwrap().mode else {
        panic!("one target");
    };
    assert_eq!(
        (options.mode, options.interval),
        (Mode::Adaptive, MIN_USER_INTERVAL)
    );
    assert!(config_for("-f -i 0.002 -l 3 ::1", false).is_ok());
}

#[test]
fn timeout_limits_a_probe_or_a_wait() {
    let RunMode::Single { options, .. } = config("--until-up --timeout 5m -W 2 ::1").unwrap().mode
    else {
        panic!("one target");
    };
    assert_eq!(options.timeout, Some(2_000_000_000));
    assert_eq!(options.deadline, Some(300_000_000_000));
    let RunMode::List { timeout, gap, .. } = config("--timeout 2 --rate 1000 - ").unwrap().mode
    else {
        panic!("a list");
    };
    assert_eq!((timeout, gap), (2_000_000_000, 1_000_000));
    assert!(config("-W 1 --timeout 2 ::1").is_err());
}

#[test]
fn contradictions_are_errors() {
    for line in [
        "-f ::1 ::2",
        "--rate 5 ::1",
        "--period 1 ::1 ::2",
        "-I lo -I eth0 ::1",
        "-4 ::1",
    ] {
        assert!(config(line).is_err(), "{line}");
    }
}

#[test]
fn the_data_repeats_the_pattern() {
    assert_eq!(
        config("-p ff00 -s 5 ::1").unwrap().data,
        [0xff, 0, 0xff, 0, 0xff]
    );
    assert_eq!(config("-s 3 ::1").unwrap().data, [0, 1, 2]);
}

#[test]
fn a_group_may_be_probed_once_per_second() {
    let RunMode::Single { options, .. } = config_for("-i 0.5 224.0.0.1", false).unwrap().mode
    else {
        panic!("one target");
    };
    assert_eq!(
        check_group_interval(&options, false).unwrap_err().kind(),
        Kind::Permission
    );
    assert!(check_group_interval(&options, true).is_ok());
    let RunMode::Single { options, .. } = config_for("-i 1 224.0.0.1", false).unwrap().mode else {
        panic!("one target");
    };
    assert!(check_group_interval(&options, false).is_ok());
}

#[test]
fn the_timeout_of_a_counted_list_is_its_period() {
    for (line, wait) in [
        ("-c 3 --period 0.1 ::1 ::2", 500_000_000),
        ("-c 3 ::1 ::2", 1_000_000_000),
        ("-c 3 --period 60 ::1 ::2", 2_000_000_000),
        ("-c 3 -W 0.2 ::1 ::2", 200_000_000),
        ("--watch=5 ::1", 1_000_000_000),
        ("::1 ::2", 500_000_000),
        ("--until-up ::1 ::2", 500_000_000),
    ] {
        let RunMode::List { timeout, .. } = config(line).unwrap().mode else {
            panic!("a list: {line}");
        };
        assert_eq!(timeout, wait, "{line}");
    }
}

#[test]
fn any_reply_counts_only_if_one_is_enough() {
    for (line, any) in [
        ("::1 ::2", true),
        ("--alive ::1", true),
        ("-c 3 ::1 ::2", false),
        ("--watch=5 ::1 ::2", false),
        ("::1", false),
        ("--mtu ::1 ::2", false),
    ] {
        assert_eq!(config(line).unwrap().rules.accept_any_reply, any, "{line}");
    }
    assert!(config("--strict-source ::1").unwrap().rules.strict_source);
    assert_eq!(
        config("-W 2 ::1").unwrap().rules.timeout,
        Some(2_000_000_000)
    );
    assert_eq!(config("::1").unwrap().rules.timeout, None);
}

#[test]
fn a_source_address_may_have_its_zone() {
    let source = |line: &str| {
        let socket = config(line).unwrap().socket;
        let source = socket.source.map(|address| address.to_string());
        (source, socket.interface)
    };
    let text = |text: &str| Some(text.to_owned());
    for (line, address, interface) in [
        ("-I fe80::1%eth0 fe80::2", text("fe80::1"), text("eth0")),
        ("-I eth0 -I fe80::1 fe80::2", text("fe80::1"), text("eth0")),
        ("-I 10.0.0.1 10.0.0.2", text("10.0.0.1"), None),
        ("-I a%b 10.0.0.2", None, text("a%b")),
    ] {
        assert_eq!(source(line), (address, interface), "{line}");
    }
    for line in ["-I fe80::1%eth0 -I eth1 ::1", "-I ::1 -I fe80::1%eth0 ::1"] {
        assert!(config(line).is_err(), "{line}");
    }
}

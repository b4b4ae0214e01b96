//! Tests of the settings that follow from the command line.

use clap::Parser;

use super::*;
use crate::message::MAX_DATAGRAM;

fn config(args: &[&str]) -> Result<Config> {
    let args = ["tcpecho-client"].iter().chain(args);
    Config::new(&Cli::try_parse_from(args).expect("valid options"))
}

fn mode(args: &[&str]) -> Mode {
    config(args).expect("a valid configuration").mode
}

#[test]
fn standard_input_has_an_idle_timeout_over_udp_or_if_given() {
    let idle_timeout = |args: &[&str]| match mode(args) {
        Mode::PassThrough { idle_timeout, .. } => idle_timeout,
        other => panic!("{other:?}"),
    };
    let given = Some(Duration::from_secs(9));
    assert_eq!(idle_timeout(&["a:1"]), None);
    assert_eq!(idle_timeout(&["a:1", "--timeout", "9"]), given);
    assert_eq!(idle_timeout(&["a:1", "-u"]), Some(TIMEOUT));
    assert_eq!(idle_timeout(&["a:1", "-u", "--timeout", "9"]), given);
}

#[test]
fn an_interval_without_a_count_repeats_without_end() {
    let repeat = |args: &[&str]| match mode(args) {
        Mode::Probe(options) => options.repeat,
        Mode::ConnectOnly(repeat) => repeat,
        other => panic!("{other:?}"),
    };
    assert_eq!(repeat(&["a:1", "-i", "2"]).count, None);
    assert_eq!(repeat(&["a:1", "-c", "3"]).count, Some(3));
    assert_eq!(repeat(&["a:1", "-c", "3"]).interval, Duration::from_secs(1));
    let once = repeat(&["a:1", "--connect-only"]);
    assert_eq!((once.count, once.is_repeated), (Some(1), false));
}

#[test]
fn a_load_test_has_its_defaults() {
    let load = |args: &[&str]| match mode(&[&["a:1", "--bench"], args].concat()) {
        Mode::Bench(options) => options,
        other => panic!("{other:?}"),
    };
    let defaults = load(&[]);
    assert_eq!((defaults.connections, defaults.pipeline), (1, 1));
    assert_eq!((defaults.seed, defaults.rate), (0, None));
    assert_eq!(defaults.duration, Duration::from_secs(10));
    let given = load(&["--seed", "7", "--connections", "8", "--pipeline", "9"]);
    assert_eq!((given.seed, given.connections, given.pipeline), (7, 8, 9));
}

#[test]
fn a_file_that_does_not_fit_into_a_datagram_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let config_of = |size| {
        std::fs::write(&file, vec![7; size]).unwrap();
        config(&["-u", "127.0.0.1:1", "--file", &file.display().to_string()])
    };
    assert!(config_of(MAX_DATAGRAM).is_ok());
    let error = config_of(MAX_DATAGRAM + 1).unwrap_err().to_string();
    assert_eq!(
        error,
        "the message is longer than a datagram: at most 65507 bytes fit"
    );
}

#[cfg(feature = "tls")]
#[test]
fn the_certificate_is_verified_against_the_host() {
    let server_name = |args: &[&str]| {
        let config = config(&[&["--tls"], args].concat()).expect("a valid configuration");
        config.dial.tls.expect("TLS options").server_name
    };
    assert_eq!(server_name(&[":1"]), "localhost");
    assert_eq!(server_name(&["[::1]:1"]), "::1");
    assert_eq!(server_name(&["b\u{fc}cher.test:1"]), "xn--bcher-kva.test");
    assert_eq!(
        server_name(&["a.test:1", "--server-name", "b.test"]),
        "b.test"
    );
}

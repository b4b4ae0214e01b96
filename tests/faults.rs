//! The same error has the same kind and the same message in every tool. Each test
//! runs one error through all tools that can have it. Only the hint after the
//! message may differ, since it names the options of the tool.

use serde_json::Value;
use testkit::http::{HttpServer, Reply};
use testkit::peer::TcpPeer;
use testkit::tls::{Authority, Leaf};
use testkit::{Output, Tool, bins, privilege};

/// Returns a name that is never sent to a DNS server: its label is too long.
fn impossible_name() -> String {
    format!("{}.test", "a".repeat(70))
}

/// Returns a tool with `--json` and these arguments.
fn json(name: &str, args: &[&str]) -> Tool {
    bins::tool(name).arg("--json").args(args)
}

/// Whether a tool can use its operands here. Without permission to send ICMP that
/// is the first error of `ping`.
fn can_run(tool: &str) -> bool {
    tool != "ping" || privilege::can_ping()
}

/// Returns the kind and the message of the first error in the output, which is a
/// record of type `error` or the key `error` of another record.
fn error(out: &Output) -> (String, String) {
    let records = out.json();
    let error = records
        .iter()
        .find_map(|record| match record["type"].as_str() {
            Some("error") => Some(record),
            _ => Some(&record["error"]).filter(|error| error.is_object()),
        })
        .unwrap_or_else(|| panic!("no error in the output\n{}", out.report()));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&error["kind"]), text(&error["message"]))
}

/// Runs each tool and compares status, kind and message (without the hint).
#[track_caller]
fn same(runs: Vec<Tool>, code: i32, kind: &str, expected: &str) {
    for tool in runs {
        let out = tool.run();
        out.code(code);
        let (found_kind, message) = error(&out);
        assert_eq!(found_kind, kind, "{}", out.report());
        let found = message.split("; ").next().unwrap_or_default();
        // A tool that asks several servers names the one that failed.
        let found = found.rsplit(": ").next().unwrap_or_default();
        assert_eq!(found, expected, "{}", out.report());
        // The line on stderr has the same message.
        out.stderr_contains(&message);
    }
}

/// Returns a directory and the path of a file in it without a certificate.
fn not_a_certificate() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("create a directory");
    let path = dir.path().join("text.pem");
    std::fs::write(&path, "not a certificate\n").expect("write a file");
    let path = path.display().to_string();
    (dir, path)
}

/// Returns the tools that read certificates, with the arguments to read `file`.
fn readers_of_certificates(file: &str) -> Vec<Tool> {
    vec![
        json("httpget", &["--cacert", file, "https://127.0.0.1:1/"]),
        json(
            "resolve",
            &["--cacert", file, "@tls://127.0.0.1:1", "-t", "A", "a.test"],
        ),
        json(
            "tcpecho-client",
            &["--tls", "--cacert", file, "127.0.0.1:1", "x"],
        ),
        json(
            "tcpecho-server",
            &["--cert", file, "--key", file, "127.0.0.1:0"],
        ),
    ]
}

#[test]
fn a_file_without_a_certificate() {
    let (_dir, path) = not_a_certificate();
    let message = "the file contains no PEM certificate";
    same(readers_of_certificates(&path), 2, "input", message);
}

#[test]
fn a_certificate_file_that_does_not_exist() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing.pem").display().to_string();
    let message = "no such file or directory";
    same(readers_of_certificates(&path), 2, "system", message);
}

#[test]
fn an_unknown_issuer() {
    let authority = Authority::new();
    let tls = authority.server().leaf(Leaf::SelfSigned);
    let server = HttpServer::start_tls_with(tls, |_| Reply::text("x"));
    let addr = server.addr().to_string();
    let runs = vec![
        json("httpget", &[&format!("https://{addr}/")]),
        json("resolve", &[&format!("@tls://{addr}"), "-t", "A", "a.test"]),
        json("tcpecho-client", &["--tls", &addr, "x"]),
    ];
    // The certificate is not signed by this authority.
    let trusted = authority.ca_file().display().to_string();
    let runs = runs
        .into_iter()
        .map(|tool| tool.args(["--cacert", &trusted]))
        .collect();
    let message = "the certificate's issuer is unknown";
    same(runs, 3, "tls", message);
}

#[test]
fn a_peer_that_does_not_speak_tls() {
    let peer = TcpPeer::fixed_reply("HTTP/1.1 400 Bad Request\r\n\r\n");
    let addr = peer.addr().to_string();
    let ca = Authority::new();
    let ca = ca.ca_file().display().to_string();
    let runs = vec![
        json("httpget", &["--cacert", &ca, &format!("https://{addr}/")]),
        json(
            "resolve",
            &[
                "--cacert",
                &ca,
                &format!("@tls://{addr}"),
                "-t",
                "A",
                "a.test",
            ],
        ),
        json("tcpecho-client", &["--tls", "--cacert", &ca, &addr, "x"]),
    ];
    same(runs, 3, "tls", "the peer does not speak TLS");
}

#[test]
fn a_name_that_does_not_resolve() {
    let name = impossible_name();
    let mut runs = vec![
        json("httpget", &[&format!("http://{name}/")]),
        json("tcpecho-client", &[&format!("{name}:1"), "x"]),
    ];
    if can_run("ping") {
        runs.push(json("ping", &["-c1", &name]));
    }
    same(runs, 3, "name", "name or service not known");
}

#[test]
fn a_number_below_the_minimum() {
    for number in ["-1", "0"] {
        let runs = vec![
            json("ping", &["-c", number, "127.0.0.1"]),
            json("httpget", &["--segments", number, "http://127.0.0.1:1/"]),
            json("tcpecho-server", &["--udp-rate", "0", "--count", number]),
            json("tcpecho-client", &["-c", number, "127.0.0.1:1"]),
        ];
        for tool in runs {
            let out = tool.run();
            let (kind, message) = error(out.code(2));
            assert_eq!(kind, "usage", "{}", out.report());
            let value = format!("invalid value '{number}' for '-");
            assert!(message.starts_with(&value), "{message}");
            let reason = message.split("': ").nth(1).unwrap_or_default();
            assert!(reason.starts_with("must be "), "{message}");
            assert!(message.contains(" --help'"), "{message}");
        }
    }
}

#[test]
fn a_url_in_place_of_an_address() {
    for url in ["http://127.0.0.1/x", "https://user@host.test:8443"] {
        let runs = vec![
            json("ping", &[url]),
            json("resolve", &[url]),
            json("subnetcalc", &[url]),
            json("subnetcalc", &["aggregate", url]),
            json("tcpecho-client", &[url, "x"]),
            json("tcpecho-server", &[url]),
        ];
        same(runs, 2, "input", "this is a URL");
    }
}

/// The hint names the operand that reads the file.
#[test]
fn a_file_in_place_of_a_list() {
    let dir = tempfile::tempdir().unwrap();
    let name = impossible_name();
    std::fs::write(dir.path().join(&name), "127.0.0.1\n").unwrap();
    std::fs::write(dir.path().join("nets"), "127.0.0.1\n").unwrap();
    for (tool, args) in [
        ("ping", &[name.as_str()][..]),
        ("httpget", &[name.as_str()][..]),
        ("subnetcalc", &["aggregate", "nets"][..]),
    ] {
        if !can_run(tool) {
            continue;
        }
        let name = args[args.len() - 1];
        let out = json(tool, args).cwd(dir.path()).run();
        let (_, message) = error(&out);
        let (_, hint) = message.split_once("; ").unwrap_or_default();
        let expected = format!("use @{name} to read the file with that name");
        assert_eq!(hint, expected, "{}", out.report());
    }
}

#[test]
fn a_list_that_does_not_exist() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing").display().to_string();
    let list = format!("@{path}");
    let mut runs = vec![
        json("httpget", &[&list]),
        json("resolve", &["-f", &path]),
        json("subnetcalc", &["aggregate", &list]),
        json("tcpecho-server", &[&list]),
    ];
    if can_run("ping") {
        runs.push(json("ping", &[&list]));
    }
    same(runs, 2, "system", "no such file or directory");
}

#[test]
fn a_list_without_an_operand() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("empty"),
        "# only comments\n\n ; and blanks\n",
    )
    .unwrap();
    for (tool, list) in [
        ("ping", &["@empty"][..]),
        ("httpget", &["@empty"][..]),
        ("resolve", &["-f", "empty"][..]),
        ("tcpecho-server", &["@empty"][..]),
        ("ping", &["-"][..]),
        ("httpget", &["-"][..]),
        ("resolve", &["-"][..]),
        ("tcpecho-server", &["-"][..]),
    ] {
        if !can_run(tool) {
            continue;
        }
        let out = bins::tool(tool).args(list).cwd(dir.path()).run();
        out.code(1).stdout("");
        assert_eq!(out.stderr_str().lines().count(), 1, "{}", out.report());
        out.stderr_contains("the list is empty");
    }
}

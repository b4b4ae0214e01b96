//! Operands: names, record types, servers, and lists of names.

use testkit::Output;
use testkit::dns::{DnsServer, Zone};

use super::{at, resolve, zone};

fn ask(server: &DnsServer, args: &[&str]) -> Output {
    resolve().arg(at(server)).args(args).run()
}

/// Record types follow the names in upper case, as in dig, kdig, drill and host.
#[test]
fn types_may_follow_the_names() {
    let server = DnsServer::start(zone());
    ask(&server, &["host.test", "MX"])
        .code(0)
        .stdout("10 mail.test.\n")
        .stderr("");
    ask(&server, &["host.test", "IN", "MX", "TYPE65534"])
        .code(0)
        .stdout("10 mail.test.\n\\# 2 0A00\n");
    ask(&server, &["host.test", "only4.test", "A"])
        .code(0)
        .stdout("host.test\tA\t192.0.2.1\nonly4.test\tA\t192.0.2.4\n");
    let tool = resolve().args(["host.test", &at(&server), "MX"]);
    tool.run().code(0).stdout("10 mail.test.\n");
    ask(&server, &["-t", "65534", "host.test"])
        .code(0)
        .stdout("\\# 2 0A00\n");
    let names: Vec<String> = server.queries().into_iter().map(|q| q.query.name).collect();
    assert!(
        names.iter().all(|name| name.ends_with(".test.")),
        "{names:?}"
    );
    ask(&server, &["host.test", "CH", "TXT"])
        .code(2)
        .stderr("resolve: CH: unsupported class; only IN can be queried; see 'resolve --help'\n");
    ask(&server, &["host.test", "IXFR"]).code(2).stderr(
        "resolve: IXFR: incremental transfers are not supported; use AXFR; see 'resolve --help'\n",
    );
}

#[test]
fn shells_complete_the_record_types() {
    let script = resolve().args(["--generate", "bash"]).run().lines();
    let types = script.iter().find(|line| line.contains(" CNAME ")).unwrap();
    let types: Vec<&str> = types.split_whitespace().collect();
    for rtype in ["MX", "AXFR", "NSAP-PTR"] {
        assert!(types.contains(&rtype), "{rtype}: {types:?}");
    }
    assert!(!types.contains(&"IXFR"), "it cannot be queried");
    for option in ["-h", "--help"] {
        let help = resolve().arg(option).run();
        assert!(!help.stdout_str().contains(" CNAME"), "{option}");
    }
}

#[test]
fn a_value_that_is_not_a_type_is_named_with_its_option() {
    let unknown = "unknown record type; use a name such as MX, or TYPE0 to TYPE65535";
    for (value, why) in [
        ("FOO", unknown),
        ("TYPE70000", unknown),
        ("", unknown),
        ("OPT", "cannot be queried, since OPT is a pseudo-record"),
    ] {
        resolve()
            .args(["-t", value, "host.test"])
            .run()
            .code(2)
            .stderr(&format!(
                "resolve: invalid value '{value}' for '-t': {why}; see 'resolve --help'\n"
            ));
    }
}

/// A word is a name if it is alone, in lower case, before a name, after `--`, in a list,
/// or with `-t`. If the name does not exist, the message has a hint about types.
#[test]
fn a_name_may_look_like_a_type() {
    let server = DnsServer::start(Zone::new().a("mx", "192.0.2.7").a("x.test", "192.0.2.8"));
    ask(&server, &["-4", "mx"]).code(0).stdout("192.0.2.7\n");
    ask(&server, &["-4", "MX"]).code(0).stdout("192.0.2.7\n");
    for args in [
        &["-4", "MX", "x.test"][..],
        &["-4", "--", "MX", "x.test"],
        &["-4", "MX", "--", "x.test"],
    ] {
        ask(&server, args)
            .code(0)
            .stdout("MX\tA\t192.0.2.7\nx.test\tA\t192.0.2.8\n");
    }
    ask(&server, &["-4", "--", "x.test", "MX"])
        .code(0)
        .stdout("x.test\tA\t192.0.2.8\nMX\tA\t192.0.2.7\n");
    ask(&server, &["-t", "A", "x.test", "MX"])
        .code(0)
        .stdout("x.test\tA\t192.0.2.8\nMX\tA\t192.0.2.7\n");
    let tool = resolve().arg(at(&server)).args(["-4", "-"]);
    tool.stdin("x.test\nMX\n").run().code(0);
    ask(&server, &["-4", "--short", "x.test", "txt"])
        .code(1)
        .stderr("resolve: txt: no such name (NXDOMAIN); to query type TXT, use -t TXT\n");
}

#[test]
fn urls_ports_and_brackets_are_explained() {
    let server = DnsServer::start(zone());
    for (text, message) in [
        (
            "https://www.corp.test/",
            "this is a URL; use its host, www.corp.test",
        ),
        (
            "http://joe:x@www.corp.test:8080/a?b#c",
            "this is a URL; use its host, www.corp.test",
        ),
        (
            "https://[2001:db8::1]:443/",
            "this is a URL; use its host, 2001:db8::1",
        ),
        ("www.corp.test:443", "unexpected port; use www.corp.test"),
        ("192.0.2.1:53", "unexpected port; use 192.0.2.1"),
        ("[2001:db8::1]:53", "unexpected port; use 2001:db8::1"),
        ("[2001:db8::1]", "unexpected brackets; use 2001:db8::1"),
        ("fe80::1%none", "no network interface named none"),
    ] {
        for servers in [&[at(&server)][..], &[]] {
            let out = resolve().args(servers).arg(text).run();
            out.code(2).stderr(&format!("resolve: {text}: {message}\n"));
        }
    }
    assert!(server.queries().is_empty());
    ask(&server, &["--json", "fe80::1%1"]).code(1);
    let name = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f.ip6.arpa.";
    assert_eq!(server.queries()[0].query.name, name);
}

#[test]
fn names_are_read_from_files() {
    let server = DnsServer::start(zone());
    let dir = testkit::tls::Authority::new();
    let file = dir.dir().join("names");
    std::fs::write(
        &file,
        "\u{feff}host.test\r\n# x\nonly4.test ; core\n;\n\u{a0}\n",
    )
    .unwrap();
    let path = file.display().to_string();
    let expected = "host.test\tA\t192.0.2.1\nonly4.test\tA\t192.0.2.4\n";
    for option in ["-f", "--file"] {
        let out = ask(&server, &["--ordered", "-t", "A", option, &path]);
        out.code(0).stdout(expected).stderr("");
    }
    ask(&server, &["--ordered", "-f", &path, "A"])
        .code(0)
        .stdout(expected);
    // Files follow the operands, in their order.
    let out = ask(
        &server,
        &["--ordered", "-4", "-f", &path, "no.test", "-f", &path],
    );
    out.code(1)
        .stdout(&format!("no.test\tA\t-\tNXDOMAIN\n{expected}{expected}"));
    // Servers, options and types are plain names in a list.
    std::fs::write(&file, "@server\n-t\nMX\n-\n").unwrap();
    let out = ask(&server, &["--ordered", "-4", "-f", &path]);
    assert_eq!(out.code(1).lines().len(), 4);
    for (content, args) in [("", vec!["-f", &path]), (" # x\n", vec!["-"])] {
        std::fs::write(&file, content).unwrap();
        let tool = resolve().arg(at(&server)).args(args);
        let out = tool.stdin(content).run();
        out.code(1)
            .stdout("")
            .stderr("resolve: the list is empty\n");
    }
    let tool = resolve().arg(at(&server)).args(["-4", "-f", "-"]);
    tool.stdin("host.test\n")
        .run()
        .code(0)
        .stdout("host.test\tA\t192.0.2.1\n");
    ask(&server, &["-f", "/nonexistent/list"])
        .code(2)
        .stderr("resolve: /nonexistent/list: no such file or directory\n");
}

/// `@` selects a server, not a file as in other tools.
#[test]
fn a_file_as_operand_has_a_hint() {
    let dir = testkit::tls::Authority::new();
    std::fs::write(dir.dir().join("names"), "host.test\n").unwrap();
    let server = DnsServer::start(zone());
    let out = resolve().cwd(dir.dir()).arg("@names").run();
    out.code(2).stdout("").stderr(
        "resolve: names: this is a file, not a server; use -f to read names from it; see 'resolve --help'\n",
    );
    let out = resolve()
        .cwd(dir.dir())
        .args([&at(&server), "-4", "names"])
        .run();
    out.code(1).stderr(
        "resolve: names: no such name (NXDOMAIN); use -f names to read the file with that name\n",
    );
}

#[test]
fn a_port_after_a_hash_has_a_hint() {
    for (server, message) in [
        (
            "192.0.2.1#5353",
            "use a colon before the port: 192.0.2.1:5353",
        ),
        (
            "tls://192.0.2.1#853",
            "use a colon before the port: tls://192.0.2.1:853",
        ),
    ] {
        let out = resolve().args([&format!("@{server}"), "x.test"]).run();
        out.code(2).stdout("").stderr(&format!(
            "resolve: {server}: {message}; see 'resolve --help'\n"
        ));
    }
}

/// Standard input is read only if `-` is given.
#[test]
fn an_operand_is_required() {
    let server = DnsServer::start(zone());
    let tool = resolve().arg(at(&server)).stdin("host.test\n");
    tool.run()
        .code(2)
        .stdout("")
        .stderr_contains("a name or address is missing");
    assert!(server.queries().is_empty());
}

#[test]
fn names_that_are_not_ascii_are_converted() {
    let server = DnsServer::start(Zone::new().a("xn--bcher-kva.test", "192.0.2.1"));
    for name in [
        "b\u{fc}cher.test",
        "B\u{dc}CHER\u{3002}test",
        "bu\u{308}cher.test.",
    ] {
        let out = ask(&server, &["--json", "-t", "A", name]);
        let record = &out.code(0).json()[0];
        assert_eq!(record["name"], name);
        assert_eq!(record["query_name"], "xn--bcher-kva.test.");
    }
    let out = ask(&server, &["--json", "-t", "A", "\u{e9}.test"]);
    assert_eq!(out.code(1).json()[0]["query_name"], "xn--9ca.test.");
    let tool = resolve().arg(at(&server)).args(["-t", "A", "-"]);
    let out = tool.stdin("b\u{fc}cher.test\n").run();
    out.code(0).stdout("b\u{fc}cher.test\tA\t192.0.2.1\n");
}

/// Every error of a server names the port, the zone or the empty word.
#[test]
fn an_invalid_server_is_explained() {
    let range = "the port is out of range; use 1 to 65535";
    let number = "the port is not a number; use 1 to 65535";
    let zone = "a link-local server needs a zone, such as fe80::1%eth0";
    for (server, why) in [
        ("127.0.0.1:0", range),
        ("127.0.0.1:99999", range),
        ("127.0.0.1:a", number),
        ("127.0.0.1:", number),
        ("[::1]:65536", range),
        ("tls://127.0.0.1:0", range),
        ("tls://localhost:70000", range),
        ("tls://localhost:0", range),
        ("https://127.0.0.1:0/", range),
        ("https://[::1]:70000/", range),
        ("https://127.0.0.1:ab/", number),
        ("fe80::1", zone),
        ("[fe80::1]:53", zone),
        ("tls://fe80::1", zone),
    ] {
        let stderr = format!("resolve: {server}: {why}; see 'resolve --help'\n");
        let tool = resolve().args([&format!("@{server}"), "x.test"]);
        tool.run().code(2).stdout("").stderr(&stderr);
    }
    let empty = "resolve: the server is empty; use @IP or -s IP; see 'resolve --help'\n";
    for args in [["@", "x.test"].as_slice(), &["-s", "", "x.test"]] {
        resolve().args(args).run().code(2).stdout("").stderr(empty);
    }
    let tool = resolve().args(["@127.0.0.1:1", ""]);
    let stderr = "resolve: '': the name is empty; use . for the root\n";
    tool.run().code(2).stdout("").stderr(stderr);
}

/// The hint for an option of dig names the equivalent option.
#[test]
fn options_of_dig_have_equivalents() {
    for (option, hint) in [
        ("+tcp", "use --tcp"),
        ("+trace", "use --trace"),
        ("+dnssec", "use --dnssec"),
        ("+noall", "use --long for records only"),
        ("+norecurse", "use --no-recurse"),
        ("+bufsize=512", "use --bufsize BYTES"),
        ("+tls", "use @tls://IP#NAME"),
        ("+unknown", "options start with --"),
    ] {
        let stderr = format!("resolve: unknown option '{option}'; {hint}; see 'resolve --help'\n");
        let tool = resolve().args(["@127.0.0.1:1", option, "x.test"]);
        tool.run().code(2).stdout("").stderr(&stderr);
    }
}

/// Certificate authorities without a TLS server would have no effect.
#[test]
fn cacert_requires_a_tls_server() {
    let why = "--cacert applies only to tls:// and https:// servers";
    for args in [
        ["@127.0.0.1:1", "-t", "A"].as_slice(),
        &["@tcp://127.0.0.1:1"],
        &["--trace", "--root", "127.0.0.1:1"],
    ] {
        let tool = resolve().args(["--cacert", "ca.pem", "x.test"]).args(args);
        let stderr = format!("resolve: {why}; see 'resolve --help'\n");
        tool.run().code(2).stdout("").stderr(&stderr);
    }
}

/// Only plain lookups search for wildcards.
#[test]
fn wildcards_are_filtered_in_lookups_only() {
    for (mode, shown) in [
        (["--trace"].as_slice(), "--trace"),
        (&["--diff"], "--diff"),
        (&["--watch", "1s"], "--watch <INTERVAL>"),
    ] {
        let tool = resolve().args(["@127.0.0.1:1", "--no-wildcards", "x.test"]);
        let stderr = format!(
            "resolve: the argument '--no-wildcards' cannot be used with '{shown}'; see 'resolve --help'\n"
        );
        tool.args(mode).run().code(2).stdout("").stderr(&stderr);
    }
}

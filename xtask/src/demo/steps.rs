//! The steps of the demo, in order, with their expected output.

use support::TaskResult;
use support::exec::Background;
use testkit::dns::{DnsServer, Zone};
use testkit::http::{HttpServer, Reply, Request};
use testkit::privilege;

use super::Demo;

type Step = fn(&Demo) -> TaskResult;

/// The title and the function of every step.
pub(super) const STEPS: [(&str, Step); 6] = [
    ("subnetcalc: a network and its hosts", subnets),
    ("tcpecho-server and tcpecho-client", echo),
    ("httpget: JSON over HTTP and HTTPS", fetch),
    ("ping: loopback, both families", pings),
    ("resolve: the system and a DNS server", names),
    ("pipelines", pipelines),
];

fn subnets(demo: &Demo) -> TaskResult {
    demo.shell("subnetcalc 192.168.1.0/24")?
        .status(0)?
        .has_line("`Total IPs: 256`", |line| line.trim() == "Total IPs: 256")?
        .has_line("`Usable hosts: 254`", |line| {
            line.trim() == "Usable hosts: 254"
        })?;
    let hosts: String = (1..255).map(|n| format!("192.168.1.{n}\n")).collect();
    // All 254 hosts are compared; three are printed.
    demo.shell("subnetcalc hosts 192.168.1.0/24 > hosts; head -n 2 hosts; tail -n 1 hosts")?
        .status(0)?
        .stdout("192.168.1.1\n192.168.1.2\n192.168.1.254\n")?;
    let listed = std::fs::read_to_string(demo.dir().join("hosts"));
    if listed.as_ref().is_ok_and(|listed| *listed == hosts) {
        return Ok(());
    }
    Err(format!(
        "`subnetcalc hosts 192.168.1.0/24`: expected .1 to .254, got {listed:?}"
    ))
}

fn echo(demo: &Demo) -> TaskResult {
    let reply = "--reply 'Hello, Client!'";
    echo_pair(demo, reply, |port| {
        let line =
            format!("tcpecho-client 127.0.0.1:{port} 'Hello, Server!' --expect 'Hello, Client!'");
        demo.shell(&line)?.status(0)?.stdout("Hello, Client!")?;
        Ok(())
    })?;
    echo_pair(demo, "", |port| {
        demo.shell(&format!("tcpecho-client 127.0.0.1:{port} 'the same bytes'"))?
            .status(0)?
            .stdout("the same bytes")?;
        demo.shell(&format!("tcpecho-client 127.0.0.1:{port} one --expect two"))?
            .status(1)?;
        Ok(())
    })
}

/// Starts a server with these options, runs `exchange` with its port, and ends it
/// by SIGTERM.
fn echo_pair(demo: &Demo, options: &str, exchange: impl Fn(u16) -> TaskResult) -> TaskResult {
    let line = format!("exec tcpecho-server {options} 127.0.0.1:0").replace("  ", " ");
    println!("$ {} &", line.trim_start_matches("exec "));
    let line = format!("PATH='{}' {line}", demo.bins.dir().display());
    let log = demo.dir().join("server.log");
    let mut server = Background::start("/bin/sh", ["-c", &line], &log)?;
    let first = server.line()?;
    println!("{first}");
    let port = first
        .strip_prefix("listening\t127.0.0.1:")
        .or_else(|| first.strip_prefix("listening 127.0.0.1:"))
        .and_then(|port| port.parse().ok())
        .ok_or_else(|| {
            format!("tcpecho-server: expected `listening 127.0.0.1:PORT` first, got {first:?}")
        })?;
    exchange(port)?;
    println!("$ kill %1    # SIGTERM");
    let code = server.terminate()?;
    while let Ok(line) = server.line() {
        println!("{line}");
    }
    print!("{}", std::fs::read_to_string(&log).unwrap_or_default());
    if code == 0 {
        Ok(())
    } else {
        Err(format!(
            "tcpecho-server: expected status 0 after SIGTERM, got {code}"
        ))
    }
}

fn fetch(demo: &Demo) -> TaskResult {
    const BODY: &str = "{\"service\":\"demo\",\"healthy\":true}\n";
    let answer = |request: &Request| match request.path() {
        "/status.json" => Reply::json(BODY),
        _ => Reply::new(404),
    };
    let plain = HttpServer::start(answer);
    let secure = HttpServer::start_tls(answer);
    let (http, https) = (plain.url("/status.json"), secure.url("/status.json"));
    let ca = secure.ca_file();
    let ca = ca.display();

    demo.shell(&format!("httpget {http}"))?
        .status(0)?
        .stdout(BODY)?;
    for line in [
        format!("httpget -i {http}"),
        format!("httpget -i --cacert {ca} {https}"),
    ] {
        demo.shell(&line)?
            .status(0)?
            .has_line("`HTTP/1.1 200 OK`", |line| {
                line.trim_end() == "HTTP/1.1 200 OK"
            })?
            .has_line("with the JSON document", |line| line == BODY.trim_end())?;
    }
    let shown = demo.shell(&format!("httpget --json --cacert {ca} {https}"))?;
    shown.status(0)?;
    let records = shown.json()?;
    let ok = records.len() == 1
        && records[0]["type"] == "response"
        && records[0]["status"] == 200
        && records[0]["body"]["healthy"] == true;
    if !ok {
        return Err(shown.unexpected("one `response` record with status 200 and the body as JSON"));
    }
    println!("# the certificate of an unknown authority is an error (status 3):");
    demo.shell(&format!("httpget {https}"))?.status(3)?;
    println!("# a missing page is a negative answer (status 1):");
    demo.shell(&format!("httpget -sS {}", plain.url("/missing")))?
        .status(1)?;
    Ok(())
}

fn pings(demo: &Demo) -> TaskResult {
    ping_one(demo, "127.0.0.1", privilege::can_ping())?;
    if !privilege::has_ipv6() {
        demo.note("this machine has no ::1, so `ping ::1` is skipped");
        return Ok(());
    }
    ping_one(demo, "::1", privilege::can_ping6())
}

fn ping_one(demo: &Demo, address: &str, permitted: bool) -> TaskResult {
    let shown = demo.shell(&format!("ping -c 3 -i 0.2 {address}"))?;
    if permitted {
        let reply = format!("64 bytes from {address}: icmp_seq=3 ttl=64 time=");
        shown
            .status(0)?
            .has_line("`64 bytes from ... time=`", |line| {
                line.starts_with(&reply) && line.ends_with(" ms")
            })?
            .has_line(
                "`3 packets transmitted, 3 received, 0% packet loss`",
                |line| line.starts_with("3 packets transmitted, 3 received, 0% packet loss"),
            )?
            .has_line("`rtt min/avg/max/mdev = ...`", |line| {
                line.starts_with("rtt min/avg/max/mdev = ")
            })?;
        return Ok(());
    }
    shown
        .status(2)?
        .stderr_contains(&["ping_group_range", "cap_net_raw", "CAP_NET_RAW"])?;
    demo.note("this user has no permission to send ICMP; the error of ping says how to grant it");
    Ok(())
}

fn names(demo: &Demo) -> TaskResult {
    demo.shell("resolve localhost")?
        .status(0)?
        .has_line("`127.0.0.1` or `::1`", |line| {
            line == "127.0.0.1" || line == "::1"
        })?;
    let zone = Zone::new()
        .soa("test")
        .a("example.test", "192.0.2.10")
        .aaaa("example.test", "2001:db8::10")
        .mx("example.test", 10, "mail.example.test");
    let server = DnsServer::start(zone);
    let addr = server.addr();
    demo.shell(&format!("resolve @{addr} -t A example.test"))?
        .status(0)?
        .stdout("192.0.2.10\n")?;
    demo.shell(&format!("resolve @{addr} -t AAAA,MX --long example.test"))?
        .status(0)?
        .stdout("example.test\tAAAA\t2001:db8::10\nexample.test\tMX\t10 mail.example.test.\n")?;
    demo.shell(&format!("resolve @{addr} -t A nowhere.test"))?
        .status(1)?
        .stdout("")?
        .stderr_contains(&["NXDOMAIN"])?;
    Ok(())
}

fn pipelines(demo: &Demo) -> TaskResult {
    let loopback = "subnetcalc hosts 127.0.0.0/29";
    let shown = demo.shell(&format!("{loopback} | ping --alive - | resolve --long -"))?;
    if privilege::can_ping() {
        // The names depend on the machine, but every address that answered must
        // have a line.
        for n in 1..=6 {
            let start = format!("127.0.0.{n}\tPTR\t");
            shown.has_line(&format!("with {start:?}"), |line| line.starts_with(&start))?;
        }
    } else {
        shown.stderr_contains(&["ping_group_range", "cap_net_raw", "CAP_NET_RAW"])?;
        demo.note("the pipeline with ping is empty without permission to send ICMP");
    }
    let shown = demo.shell("subnetcalc hosts 127.0.0.0/30 | resolve --json --ordered -")?;
    let records = shown.json()?;
    let names: Vec<_> = records.iter().map(|record| &record["name"]).collect();
    let ok = names == ["127.0.0.1", "127.0.0.2"]
        && records
            .iter()
            .all(|record| record["type"] == "lookup" && record["query_type"] == "PTR");
    if !ok {
        return Err(shown.unexpected("one `lookup` record for each of the two hosts"));
    }
    let document = r#"{"networks":["10.0.0.0/25","10.0.0.128/25"]}"#;
    let server = HttpServer::start(move |_| Reply::json(document));
    let url = server.url("/networks.json");
    let shown = demo.shell(&format!(
        "for n in 0 1; do httpget --pointer /networks/$n {url}; done | tr -d '\"' \
         | subnetcalc aggregate --json -"
    ))?;
    let records = shown.status(0)?.json()?;
    match records.as_slice() {
        [set] if set["type"] == "set" && set["network"] == "10.0.0.0/24" => Ok(()),
        _ => Err(shown.unexpected("one record of the network 10.0.0.0/24")),
    }
}

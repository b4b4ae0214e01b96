//! The stops of the tour, in order, each with what must come out.

use testkit::dns::{DnsServer, Zone};
use testkit::http::{HttpServer, Reply, Request};
use testkit::privilege;

use super::Tour;
use crate::Outcome;
use crate::exec::Background;

type Stop = fn(&Tour) -> Outcome;

/// Title and deed of every stop.
pub(super) const STOPS: [(&str, Stop); 6] = [
    ("subnetcalc: a network and its hosts", subnets),
    ("tcpecho-server and tcpecho-client", echo),
    ("httpget: JSON over http and https", fetch),
    ("ping: loopback, both families", pings),
    ("resolve: the system and a DNS server", names),
    ("pipelines", pipelines),
];

fn subnets(tour: &Tour) -> Outcome {
    tour.shell("subnetcalc 192.168.1.0/24")?
        .status(0)?
        .has_line("`Total IPs: 256`", |line| line.trim() == "Total IPs: 256")?
        .has_line("`Usable hosts: 254`", |line| {
            line.trim() == "Usable hosts: 254"
        })?;
    let hosts: String = (1..255).map(|n| format!("192.168.1.{n}\n")).collect();
    // All 254 are compared; a screenful is shown.
    tour.shell("subnetcalc hosts 192.168.1.0/24 > hosts; head -n 2 hosts; tail -n 1 hosts")?
        .status(0)?
        .prints("192.168.1.1\n192.168.1.2\n192.168.1.254\n")?;
    let listed = std::fs::read_to_string(tour.dir().join("hosts"));
    if listed.as_ref().is_ok_and(|listed| *listed == hosts) {
        return Ok(());
    }
    Err(format!(
        "`subnetcalc hosts 192.168.1.0/24`: expected .1 to .254, got {listed:?}"
    ))
}

fn echo(tour: &Tour) -> Outcome {
    let greeting = "--reply 'Hello, Client!'";
    echo_pair(tour, greeting, |port| {
        let line =
            format!("tcpecho-client 127.0.0.1:{port} 'Hello, Server!' --expect 'Hello, Client!'");
        tour.shell(&line)?.status(0)?.prints("Hello, Client!")?;
        Ok(())
    })?;
    echo_pair(tour, "", |port| {
        tour.shell(&format!("tcpecho-client 127.0.0.1:{port} 'the same back'"))?
            .status(0)?
            .prints("the same back")?;
        tour.shell(&format!("tcpecho-client 127.0.0.1:{port} one --expect two"))?
            .status(1)?;
        Ok(())
    })
}

/// A server with these options, `talk` to it, and its end by SIGTERM.
fn echo_pair(tour: &Tour, options: &str, talk: impl Fn(u16) -> Outcome) -> Outcome {
    let line = format!("exec tcpecho-server {options} 127.0.0.1:0").replace("  ", " ");
    println!("$ {} &", line.trim_start_matches("exec "));
    let line = format!("PATH='{}' {line}", tour.bins.dir().display());
    let log = tour.dir().join("server.log");
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
    talk(port)?;
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
            "tcpecho-server: expected status 0 at SIGTERM, got {code}"
        ))
    }
}

fn fetch(tour: &Tour) -> Outcome {
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

    tour.shell(&format!("httpget {http}"))?
        .status(0)?
        .prints(BODY)?;
    for line in [
        format!("httpget -i {http}"),
        format!("httpget -i --cacert {ca} {https}"),
    ] {
        tour.shell(&line)?
            .status(0)?
            .has_line("`HTTP/1.1 200 OK`", |line| {
                line.trim_end() == "HTTP/1.1 200 OK"
            })?
            .has_line("with the JSON document", |line| line == BODY.trim_end())?;
    }
    let shown = tour.shell(&format!("httpget --json --cacert {ca} {https}"))?;
    shown.status(0)?;
    let records = shown.json()?;
    let ok = records.len() == 1
        && records[0]["type"] == "response"
        && records[0]["status"] == 200
        && records[0]["body"]["healthy"] == true;
    if !ok {
        return Err(shown.wrong("one `response` record with status 200 and the body as JSON"));
    }
    println!("# a certificate of an unknown authority is no answer (status 3):");
    tour.shell(&format!("httpget {https}"))?.status(3)?;
    println!("# a missing page is the answer no (status 1):");
    tour.shell(&format!("httpget -sS {}", plain.url("/missing")))?
        .status(1)?;
    Ok(())
}

fn pings(tour: &Tour) -> Outcome {
    ping_one(tour, "127.0.0.1", privilege::can_ping())?;
    if !privilege::has_ipv6() {
        tour.note("no ::1 on this machine, so no `ping ::1`");
        return Ok(());
    }
    ping_one(tour, "::1", privilege::can_ping6())
}

fn ping_one(tour: &Tour, address: &str, permitted: bool) -> Outcome {
    let shown = tour.shell(&format!("ping -c 3 -i 0.2 {address}"))?;
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
        .complains(&["ping_group_range", "cap_net_raw", "CAP_NET_RAW"])?;
    tour.note("ICMP is not permitted to this user here; ping says what would allow it");
    Ok(())
}

fn names(tour: &Tour) -> Outcome {
    tour.shell("resolve localhost")?
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
    let at = server.addr();
    tour.shell(&format!("resolve @{at} -t A example.test"))?
        .status(0)?
        .prints("192.0.2.10\n")?;
    tour.shell(&format!("resolve @{at} -t AAAA,MX --long example.test"))?
        .status(0)?
        .prints("example.test\tAAAA\t2001:db8::10\nexample.test\tMX\t10 mail.example.test.\n")?;
    tour.shell(&format!("resolve @{at} -t A nowhere.test"))?
        .status(1)?
        .prints("")?
        .complains(&["NXDOMAIN"])?;
    Ok(())
}

fn pipelines(tour: &Tour) -> Outcome {
    let loopback = "subnetcalc hosts 127.0.0.0/29";
    let shown = tour.shell(&format!("{loopback} | ping --alive - | resolve --long -"))?;
    if privilege::can_ping() {
        // What the other loopback addresses are called is the machine's
        // affair, but every one that answered must have its line.
        for n in 1..=6 {
            let start = format!("127.0.0.{n}\tPTR\t");
            shown.has_line(&format!("with {start:?}"), |line| line.starts_with(&start))?;
        }
    } else {
        shown.complains(&["ping_group_range", "cap_net_raw", "CAP_NET_RAW"])?;
        tour.note("the pipeline through ping is empty for want of ICMP");
    }
    let shown = tour.shell("subnetcalc hosts 127.0.0.0/30 | resolve --json --ordered -")?;
    let records = shown.json()?;
    let names: Vec<_> = records.iter().map(|record| &record["name"]).collect();
    let ok = names == ["127.0.0.1", "127.0.0.2"]
        && records
            .iter()
            .all(|record| record["type"] == "lookup" && record["query_type"] == "PTR");
    if !ok {
        return Err(shown.wrong("one `lookup` record for each of the two hosts"));
    }
    let document = r#"{"networks":["10.0.0.0/25","10.0.0.128/25"]}"#;
    let server = HttpServer::start(move |_| Reply::json(document));
    let url = server.url("/networks.json");
    let shown = tour.shell(&format!(
        "for n in 0 1; do httpget --pointer /networks/$n {url}; done | tr -d '\"' \
         | subnetcalc aggregate --json -"
    ))?;
    let records = shown.status(0)?.json()?;
    match records.as_slice() {
        [set] if set["type"] == "set" && set["network"] == "10.0.0.0/24" => Ok(()),
        _ => Err(shown.wrong("one record of the network 10.0.0.0/24")),
    }
}

//! `--trace`, in a tree of zones. Each server has a loopback address of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};

use testkit::Output;
use testkit::dns::{Behaviour, DnsServer, Query, Record, Response, Zone, labels, rtype};

use super::resolve;

fn ns(zone: &str, host: &str) -> Record {
    Record::new(zone, rtype::NS, 60, labels(host))
}

fn a(host: &str, address: Ipv4Addr) -> Record {
    Record::new(host, rtype::A, 60, address.octets())
}

fn alias(query: &Query, to: &str) -> Response {
    let link = Record::new(&query.name, rtype::CNAME, 60, labels(to));
    authoritative(query).answer(link)
}

/// An authoritative answer of a server that does not recurse.
fn authoritative(query: &Query) -> Response {
    let mut response = query.response().authoritative();
    response.flags &= !0x0080;
    response
}

fn referral(query: &Query, zone: &str, hosts: &[(&str, Option<Ipv4Addr>)]) -> Response {
    let mut response = authoritative(query);
    response.flags &= !0x0400;
    for (host, address) in hosts {
        response = response.authority(ns(zone, host));
        if let Some(address) = address {
            response = response.additional(a(host, *address));
        }
    }
    response
}

/// The servers of the root (1) and of `test` (2), and three of `half.test`: the first
/// refuses (3), the second refers upwards (4), and the third answers (5). All of them
/// use the same port.
struct Tree {
    servers: Vec<DnsServer>,
}

/// The port of all trees, which is outside the range of ephemeral ports. Each tree has
/// addresses of its own.
const PORT: u16 = 5391;

/// Returns the bytes of a tree's addresses after 127, from the process ID and the
/// number of the tree.
fn network() -> [u8; 3] {
    static TREES: AtomicU8 = AtomicU8::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    let tree = TREES.fetch_add(1, Ordering::Relaxed);
    [64 | high & 63, low, tree]
}

/// Returns the address of a server. The last byte distinguishes the servers of up to
/// 25 trees.
fn server_address([high, low, tree]: [u8; 3], last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, high, low, tree * 10 + last)
}

thread_local! {
    static NETWORK: [u8; 3] = network();
}

impl Tree {
    fn new() -> Self {
        let network = NETWORK.with(|network| *network);
        let at = |last: u8, answer: fn(&Query, [u8; 3]) -> Response| {
            let addr = SocketAddr::from((server_address(network, last), PORT));
            DnsServer::at(addr, Zone::new(), move |query, _| {
                Behaviour::Respond(answer(query, network))
            })
        };
        Self {
            servers: vec![
                at(1, root),
                at(2, test),
                at(3, refuses),
                at(4, upwards),
                at(5, half),
            ],
        }
    }

    fn run(&self, args: &[&str]) -> Output {
        let root = self.server(1);
        let start = ["--trace", "--root", &root, "-t", "A"];
        resolve().args(start).args(args).run()
    }

    fn queries(&self) -> usize {
        self.servers.iter().map(|s| s.queries().len()).sum()
    }

    /// Returns the label of a server in the output.
    fn server(&self, last: usize) -> String {
        self.servers[last - 1].addr().to_string()
    }
}

fn root(query: &Query, tree: [u8; 3]) -> Response {
    referral(query, "test", &[("ns.test", Some(server_address(tree, 2)))])
}

fn test(query: &Query, tree: [u8; 3]) -> Response {
    let name = query.name.as_str();
    let half = [
        ("ns1.half.test", Some(server_address(tree, 3))),
        ("ns2.half.test", Some(server_address(tree, 4))),
        ("ns3.half.test", Some(server_address(tree, 5))),
    ];
    match name {
        "www.half.test." => referral(query, "half.test", &half),
        "www.lame.test." => referral(
            query,
            "lame.test",
            &[("ns.lame.test", Some(server_address(tree, 4)))],
        ),
        "www.noglue.test." => referral(query, "noglue.test", &[("ns.noglue.test", None)]),
        "www.a.test." | "ns.a.test." => referral(query, "a.test", &[("ns.b.test", None)]),
        "www.b.test." | "ns.b.test." => referral(query, "b.test", &[("ns.a.test", None)]),
        "www.apart.test." => referral(query, "apart.test", &[("ns3.elsewhere.test", None)]),
        "ns3.elsewhere.test." if query.qtype == rtype::A => {
            authoritative(query).answer(a("ns3.elsewhere.test", server_address(tree, 5)))
        }
        "www.refused.test." => referral(
            query,
            "refused.test",
            &[("ns.refused.test", Some(server_address(tree, 3)))],
        ),
        "www.far.test." => referral(query, "far.test", &[("ns.near.test", None)]),
        "ns.near.test." => referral(query, "near.test", &[("ns3.elsewhere.test", None)]),
        "alias.test." => alias(query, "www.half.test"),
        "one.test." | "three.test." => alias(query, "two.test"),
        "two.test." => alias(query, "three.test"),
        _ => authoritative(query).rcode(3),
    }
}

fn refuses(query: &Query, _: [u8; 3]) -> Response {
    let mut response = referral(query, "test", &[]);
    response.authority.clear();
    response.rcode(5)
}

fn upwards(query: &Query, _: [u8; 3]) -> Response {
    referral(query, "", &[("a.root-servers.test", None)])
}

/// Answers with its own address for the names of servers.
fn half(query: &Query, tree: [u8; 3]) -> Response {
    let address = if query.name.starts_with("ns") {
        server_address(tree, 5)
    } else {
        Ipv4Addr::new(192, 0, 2, 1)
    };
    authoritative(query).answer(a(&query.name, address))
}

/// Returns the lines of the steps without their times.
fn steps(out: &Output) -> Vec<String> {
    let lines = out.lines();
    let steps = lines.iter().filter(|line| line.contains('\t'));
    let cut = steps.map(|line| line.rsplit_once('\t').expect("a time").0.to_owned());
    cut.collect()
}

#[test]
fn failed_and_lame_servers_are_shown() {
    let tree = Tree::new();
    let out = tree.run(&["www.half.test"]);
    out.code(0).stderr("");
    let server = |last: usize| tree.server(last);
    assert_eq!(
        steps(&out),
        [
            format!(".\t{}\t.\tREFERRAL\ttest.", server(1)),
            format!("test.\t{}\tns.test.\tREFERRAL\thalf.test.", server(2)),
            format!(
                "half.test.\t{}\tns1.half.test.\tREFUSED\twww.half.test.",
                server(3)
            ),
            format!(
                "half.test.\t{}\tns2.half.test.\tLAME\twww.half.test.",
                server(4)
            ),
            format!(
                "half.test.\t{}\tns1.half.test.\tREFUSED\twww.half.test.",
                server(3)
            ),
            format!(
                "half.test.\t{}\tns3.half.test.\tNOERROR\twww.half.test.",
                server(5)
            ),
        ]
    );
    assert_eq!(out.lines().last().map(String::as_str), Some("192.0.2.1"));
    let out = tree.run(&["www.lame.test"]);
    out.code(3).stderr(&format!(
        "resolve: www.lame.test: {} is not authoritative for www.lame.test. and refers upwards \
         (lame)\n",
        server(4)
    ));
    let last = steps(&out).pop().unwrap_or_default();
    assert!(last.contains("\tLAME\t"), "{last}");
    // A failure is shown once, even if it ends the trace.
    let out = tree.run(&["www.refused.test"]);
    out.code(3).stderr(&format!(
        "resolve: www.refused.test: {} answered REFUSED\n",
        server(3)
    ));
    let steps = steps(&out);
    assert_eq!(steps.len(), 3, "{steps:?}");
    assert!(steps[2].contains("\tREFUSED\t"), "{steps:?}");
}

#[test]
fn aliases_are_followed_from_the_root() {
    let tree = Tree::new();
    let out = tree.run(&["alias.test"]);
    let steps = steps(&out);
    let server = tree.server(2);
    assert_eq!(
        steps[1],
        format!("test.\t{server}\tns.test.\tALIAS\twww.half.test.")
    );
    assert!(steps[2].starts_with(".\t"), "{steps:?}");
    let records = tree.run(&["--json", "alias.test"]).code(0).json();
    assert_eq!(records[1]["status"], "ALIAS");
    assert_eq!(records[1]["alias"], "www.half.test.");
    assert!(records[1]["referral"].is_null());
    let last = &records[records.len() - 1];
    assert_eq!(
        (&last["type"], &last["source"]),
        (&"lookup".into(), &"dns".into())
    );
    assert_eq!(last["records"][0]["type"], "CNAME");
    assert_eq!(last["records"][1]["data"], "192.0.2.1");
}

/// The trace ends at the first name that occurs twice.
#[test]
fn an_alias_loop_ends_the_trace() {
    let tree = Tree::new();
    let out = tree.run(&["one.test"]);
    out.code(3)
        .stderr("resolve: one.test: alias loop: two.test. -> three.test. -> two.test.\n");
    assert_eq!(steps(&out).len(), 6);
    // A busy machine may repeat queries.
    assert!(tree.queries() < 20, "{}", tree.queries());
}

/// Servers without an address are named. They are not resolved if that cannot
/// succeed.
#[test]
fn servers_without_addresses_are_resolved_or_named() {
    let tree = Tree::new();
    let out = tree.run(&["--json", "www.noglue.test"]);
    let records = out.code(3).json();
    let message = "no address for the name servers of noglue.test.: ns.noglue.test.; the referral \
                lacks glue";
    out.stderr(&format!("resolve: www.noglue.test: {message}\n"));
    let last = &records[records.len() - 1];
    assert_eq!(last["status"], "INCOMPLETE");
    assert_eq!(last["source"], "dns");
    assert!(tree.queries() < 10, "{}", tree.queries());
    // The server of each of these zones is in the other one.
    let before = tree.queries();
    tree.run(&["www.a.test"])
        .code(3)
        .stderr("resolve: www.a.test: no address for the name servers of a.test.: ns.b.test.\n");
    let count = tree.queries() - before;
    assert!(count < 20, "{count}");
    // A server in another zone is resolved, even if that needs another one.
    for name in ["www.apart.test", "www.far.test"] {
        let out = tree.run(&[name]);
        let last = out.code(0).lines().pop();
        assert_eq!(last.as_deref(), Some("192.0.2.1"), "{name}");
    }
}

/// One server refers to itself for the zone `test`, which it does not serve.
#[test]
fn a_referral_to_the_same_zone_ends_the_trace() {
    let server = DnsServer::with_behaviour(Zone::new(), |query, _| {
        Behaviour::Respond(referral(
            query,
            "test",
            &[("ns.test", Some(Ipv4Addr::LOCALHOST))],
        ))
    });
    let root = server.addr();
    let out = resolve()
        .args(["--trace", "--root", &root.to_string()])
        .args(["-t", "A", "www.test"])
        .run();
    let lines = out.code(3).lines();
    assert!(lines[0].starts_with(&format!(".\t{root}\t.\tREFERRAL\ttest.\t")));
    assert!(lines[1].starts_with(&format!("test.\t{root}\tns.test.\tLAME\twww.test.\t")));
    assert_eq!(lines.len(), 2, "{lines:?}");
    let queries = server.queries();
    assert!(queries.iter().all(|q| !q.query.recursion_desired()));
}

#[test]
fn every_step_has_a_json_record() {
    let tree = Tree::new();
    let records = tree.run(&["--json", "www.half.test"]).code(0).json();
    let first = &records[0];
    for (key, value) in [
        ("type", "step"),
        ("name", "www.half.test."),
        ("query_type", "A"),
        ("zone", "."),
        ("server_name", "."),
        ("status", "REFERRAL"),
        ("referral", "test."),
    ] {
        assert_eq!(first[key], value, "{key}");
    }
    assert_eq!(first.as_object().map(serde_json::Map::len), Some(11));
    assert_eq!(first["server"], tree.server(1));
    assert!(first["alias"].is_null() && first["duration_ms"].is_number());
    let refused = &records[2];
    assert_eq!(refused["status"], "REFUSED");
    assert!(refused["duration_ms"].is_null() && refused["time"].is_string());
    let last = &records[records.len() - 1];
    assert_eq!(last["records"][0]["data"], "192.0.2.1");
    assert_eq!(last["tries"].as_u64(), Some(tree.queries() as u64));
}

//! The rows of resolve, beside getent, dig and kdig.

use testkit::dns::{DnsServer, Zone};

use super::measure::{Line, compare};
use super::{Row, Shop, Target};
use crate::Outcome;

/// All of them.
pub(super) fn rows(shop: &Shop) -> Outcome<Vec<Row>> {
    let tool = shop.bins.tool("resolve");
    let getent = Line::peer("getent", ["ahosts", "localhost"]);
    let system = Line::new(&tool, ["localhost"]);
    let server = DnsServer::start(Zone::new().a("example.test", "192.0.2.1"));
    let at = server.addr();
    let direct = Line::new(&tool, [&format!("@{at}"), "-t", "A", "example.test"]);
    let port = at.port().to_string();
    let kdig = Line::peer("kdig", ["@127.0.0.1", "-p", &port, "example.test", "A"]);
    let dig = Line::peer(
        "dig",
        ["-r", "@127.0.0.1", "-p", &port, "example.test", "A"],
    );
    Ok(vec![
        compare(
            "resolve: localhost, system",
            101,
            &system,
            &getent,
            Target::Open,
        )?,
        compare(
            "resolve: one direct lookup",
            101,
            &direct,
            &getent,
            Target::AtMost(1.3),
        )?,
        compare(
            "resolve: one direct lookup",
            51,
            &direct,
            &kdig,
            Target::Faster(1.8),
        )?,
        compare(
            "resolve: one direct lookup",
            51,
            &direct,
            &dig,
            Target::Open,
        )?,
    ])
}

//! Every console block of the cookbook, run beside a web server and two DNS
//! servers, which the recipes call `$WEB`, `$DNS1` and `$DNS2`.

use std::path::Path;

use testkit::dns::{DnsServer, Zone};
use testkit::http::{HttpServer, Reply};
use testkit::{console, netns, privilege};

#[test]
fn the_recipes_print_what_they_show() {
    if !privilege::can_ping() {
        netns::skip("no ICMP socket allowed here: the recipes of the cookbook");
        return;
    }
    let web = HttpServer::start(|request| match request.path() {
        "/hello" => Reply::text("hello\n"),
        "/items" => Reply::json(r#"{"items":[{"name":"one"},{"name":"two"}]}"#),
        _ => Reply::new(404),
    });
    let zone = || {
        Zone::new()
            .a("www.example.test", "192.0.2.80")
            .a("mail.example.test", "192.0.2.25")
    };
    let servers = [DnsServer::start(zone()), DnsServer::start(zone())];
    let variables = [
        ("WEB", web.url("").trim_end_matches('/').to_owned()),
        ("DNS1", servers[0].addr().to_string()),
        ("DNS2", servers[1].addr().to_string()),
    ];
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cookbook.md");
    let commands = console::check_with(&file, &variables);
    assert!(commands > 0, "the cookbook has no console block");
}

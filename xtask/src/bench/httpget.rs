//! The rows of httpget, beside curl.

use testkit::http::{HttpServer, Reply};

use super::measure::{Line, compare};
use super::{Row, Shop, Target};
use crate::Outcome;

/// All of them.
pub(super) fn rows(shop: &Shop) -> Outcome<Vec<Row>> {
    let tool = shop.bins.tool("httpget");
    let plain = HttpServer::start(|_| Reply::text("a small text\n"));
    let secure = HttpServer::start_tls(|_| Reply::text("a small text\n"));
    let ca = secure.ca_file().display().to_string();
    let (http, https) = (plain.url("/"), secure.url("/"));
    let curl = |args: &[&str]| Line::peer("curl", ["-q", "-sS"].iter().chain(args).copied());
    let ours = |args: &[&str]| Line::new(&tool, args.iter().copied());
    Ok(vec![
        compare(
            "httpget: small GET over http",
            101,
            &ours(&[&http]),
            &curl(&[&http]),
            Target::Faster(1.0),
        )?,
        compare(
            "httpget: small GET over https, private CA",
            51,
            &ours(&["--cacert", &ca, &https]),
            &curl(&["--cacert", &ca, &https]),
            Target::Faster(2.0),
        )?,
    ])
}

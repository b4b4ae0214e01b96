//! The rows of the echo pair, beside socat.

use testkit::peer::TcpPeer;

use super::measure::{Line, compare};
use super::rows::write;
use super::{Row, Shop, Target};
use crate::Outcome;

/// All of them.
pub(super) fn rows(shop: &Shop) -> Outcome<Vec<Row>> {
    let server = TcpPeer::echo();
    let at = server.addr().to_string();
    let input = shop.dir.path().join("message");
    write(&input, "hello")?;
    let ours = Line::new(shop.bins.tool("tcpecho-client"), [at.as_str(), "hello"]);
    let tcp = format!("TCP:{at}");
    let socat = Line::peer("socat", ["-t", "5", "-", &tcp]).stdin(&input);
    let what = "tcpecho-client: one message";
    Ok(vec![compare(
        what,
        101,
        &ours,
        &socat,
        Target::Faster(1.0),
    )?])
}

//! The rows of ping, beside iputils' ping.

use testkit::privilege;

use super::measure::{Line, compare};
use super::rows::absent;
use super::{Row, Shop, Target};
use crate::Outcome;

/// All of them.
pub(super) fn rows(shop: &Shop) -> Outcome<Vec<Row>> {
    let what = "ping: -f -q -c 100000 127.0.0.1";
    if !privilege::can_ping() {
        return Ok(vec![absent(what, "ICMP not permitted")]);
    }
    let args = ["-f", "-q", "-c", "100000", "127.0.0.1"];
    let ours = Line::new(shop.bins.tool("ping"), args);
    let theirs = Line::peer("ping", args);
    Ok(vec![compare(what, 3, &ours, &theirs, Target::Faster(1.0))?])
}

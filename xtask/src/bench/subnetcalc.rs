//! The rows of subnetcalc: listings, set work and start-up beside its peers.

use super::measure::{Line, compare};
use super::rows::write;
use super::{Row, Shop, Target};
use crate::Outcome;
use crate::interop::networks;

/// All of them.
pub(super) fn rows(shop: &Shop) -> Outcome<Vec<Row>> {
    let tool = shop.bins.tool("subnetcalc");
    let all = Line::new(&tool, ["hosts", "--all", "10.0.0.0/8"]);
    let what = "subnetcalc: hosts --all 10.0.0.0/8";
    let ten = shop.dir.path().join("ten");
    let set = shop.dir.path().join("set");
    write(&ten, "10.0.0.0/8\n")?;
    write(&set, &networks(7, 1_000_000, 12..=32))?;
    let iprange = Line::peer("iprange", ["-1"]).stdin(&ten);
    let prips = Line::peer("prips", ["10.0.0.0/8"]);
    let aggregate = Line::new(&tool, ["aggregate", "-"]).stdin(&set);
    let optimize = Line::peer("iprange", ["--optimize"]).stdin(&set);
    let info = Line::new(&tool, ["192.168.1.0/24"]);
    let ipcalc = Line::peer("ipcalc-ng", ["192.168.1.0/24"]);
    Ok(vec![
        compare(what, 3, &all, &iprange, Target::Faster(20.0))?,
        compare(what, 3, &all, &prips, Target::Faster(40.0))?,
        compare(
            "subnetcalc: aggregate of 1,000,000 networks",
            3,
            &aggregate,
            &optimize,
            Target::Faster(3.5),
        )?,
        compare(
            "subnetcalc: one info",
            101,
            &info,
            &ipcalc,
            Target::AtMost(1.25),
        )?,
    ])
}

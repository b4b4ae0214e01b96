//! The benchmarks of subnetcalc: lists, sets, lookups, logs and start-up, compared with
//! other programs, and the peak memory of each.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use super::measure::{Line, compare, memory};
use super::rows::write;
use super::{Row, Shop, Target};
use crate::Outcome;
use crate::interop::Random;

/// Runs all benchmarks of subnetcalc.
pub(super) fn rows(shop: &Shop) -> Outcome<Vec<Row>> {
    let mut rows = lists(shop)?;
    rows.extend(sets(shop)?);
    rows.extend(lookups(shop)?);
    rows.extend(logs(shop)?);
    let info = Line::new(shop.bins.tool("subnetcalc"), ["192.168.1.0/24"]);
    let ipcalc = Line::peer("ipcalc-ng", ["192.168.1.0/24"]);
    let what = "subnetcalc: one info";
    rows.push(compare(what, 301, &info, &ipcalc, Target::AtMost(1.25))?);
    Ok(rows)
}

/// Lists 16.7 million addresses, to the null device and into a pipe.
fn lists(shop: &Shop) -> Outcome<Vec<Row>> {
    let tool = shop.bins.tool("subnetcalc");
    let ten = shop.dir.path().join("ten");
    let text = shop.dir.path().join("ten.txt");
    write(&ten, "10.0.0.0/8\n")?;
    let all = Line::new(&tool, ["hosts", "--all", "10.0.0.0/8"]);
    let six = Line::new(&tool, ["hosts", "2001:db8::/104"]);
    let shell = |script: String| ["-c".to_owned(), script];
    let into = |name: &Path| format!("{} hosts --all 10.0.0.0/8", name.display());
    // Copying the same text from a file shows the speed of the pipe.
    Line::new("sh", shell(format!("{} > {}", into(&tool), text.display()))).once()?;
    let piped = Line::new("sh", shell(format!("{} | wc -l", into(&tool))));
    let cat = Line::peer("sh", shell(format!("cat {} | wc -l", text.display())));
    let iprange = Line::peer("iprange", ["-1"]).stdin(&ten);
    let prips = Line::peer("prips", ["10.0.0.0/8"]);
    let v4 = Line::peer("sh", shell(into(&tool)));
    let what = "subnetcalc: hosts --all 10.0.0.0/8";
    let rows = vec![
        compare(what, 5, &all, &iprange, Target::Faster(20.0))?,
        compare(what, 5, &all, &prips, Target::Faster(40.0))?,
        compare(
            format!("{what} | wc -l (cat)"),
            9,
            &piped,
            &cat,
            Target::AtMost(1.2),
        )?,
        compare(
            "subnetcalc: hosts of a v6 /104 (v4 /8)",
            5,
            &six,
            &v4,
            Target::AtMost(2.0),
        )?,
        memory(what, &all, 8_000_000)?,
    ];
    std::fs::remove_file(&text).map_err(|error| format!("{}: {error}", text.display()))?;
    Ok(rows)
}

/// Aggregates a million networks.
fn sets(shop: &Shop) -> Outcome<Vec<Row>> {
    let tool = shop.bins.tool("subnetcalc");
    let (v4, v6) = (shop.dir.path().join("set4"), shop.dir.path().join("set6"));
    write(&v4, &scattered(7, 1_000_000, 18))?;
    write(&v6, &scattered6(7, 1_000_000))?;
    let aggregate = |file: &Path| Line::new(&tool, ["aggregate", "-"]).stdin(file);
    let optimize = Line::peer("iprange", ["--optimize"]).stdin(&v4);
    let same_v4 = Line::peer("sh", ["-c", &format!("{} aggregate -", tool.display())]).stdin(&v4);
    let what = "subnetcalc: aggregate of 1,000,000 networks";
    Ok(vec![
        compare(what, 7, &aggregate(&v4), &optimize, Target::Faster(3.5))?,
        compare(
            "subnetcalc: the same of IPv6 (IPv4)",
            7,
            &aggregate(&v6),
            &same_v4,
            Target::AtMost(2.5),
        )?,
        memory(what, &aggregate(&v4), 48_000_000)?,
        memory("subnetcalc: the same of IPv6", &aggregate(&v6), 48_000_000)?,
    ])
}

/// Looks up addresses. The peer is a sleep for the time that 15 million lookups per
/// second would take.
fn lookups(shop: &Shop) -> Outcome<Vec<Row>> {
    let (nets, addresses) = (
        shop.dir.path().join("nets"),
        shop.dir.path().join("addresses"),
    );
    // 0.0.0.0/0 contains every address, so the exit status is 0.
    write(&nets, &(scattered(3, 100_000, 16) + "0.0.0.0/0\n"))?;
    let mut random = Random::new(5);
    let mut text = String::new();
    for _ in 0..5_000_000 {
        push_address(&mut text, random.bits());
        text.push('\n');
    }
    write(&addresses, &text)?;
    drop(text);
    let set = format!("@{}", nets.display());
    let args = [
        "-c",
        "0",
        &shop.bins.tool("subnetcalc").display().to_string(),
        "match",
        "--in",
        &set,
        "-",
    ];
    let one_core = Line::new("taskset", args).stdin(&addresses);
    let pace = Line::peer("sleep", ["0.333"]);
    let what = "subnetcalc: match of 5,000,000, one core (15 M/s)";
    Ok(vec![
        compare(what, 5, &one_core, &pace, Target::AtMost(1.0))?,
        memory("subnetcalc: match of 5,000,000", &one_core, 64_000_000)?,
    ])
}

/// Searches five million lines of an access log for addresses of 100,000 networks.
fn logs(shop: &Shop) -> Outcome<Vec<Row>> {
    let tool = shop.bins.tool("subnetcalc");
    let (nets, log) = (shop.dir.path().join("blocked"), shop.dir.path().join("log"));
    write(&nets, &scattered(11, 100_000, 20))?;
    write_log(&log, 5_000_000)?;
    let set = format!("@{}", nets.display());
    let file = log.display().to_string();
    let grep = |option: &str| {
        let words = ["grep", option, "--in", &set, &file];
        Line::new(&tool, words.into_iter().filter(|word| !word.is_empty()))
    };
    let nets = nets.display().to_string();
    let anywhere = Line::peer("grepcidr", ["-f", &nets, &file]);
    let anchored = Line::peer("grepcidr", ["-x", "-f", &nets, &file]);
    let what = "subnetcalc: grep of 5,000,000 lines";
    let rows = vec![
        compare(what, 3, &grep(""), &anywhere, Target::Faster(6.0))?,
        compare(
            format!("{what} -x"),
            3,
            &grep("-x"),
            &anchored,
            Target::Faster(10.0),
        )?,
        memory(what, &grep(""), 64_000_000)?,
    ];
    std::fs::remove_file(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    Ok(rows)
}

/// Returns random IPv4 networks with prefix lengths from `shortest` to 32.
fn scattered(seed: u64, count: usize, shortest: u32) -> String {
    let mut random = Random::new(seed);
    let mut text = String::new();
    for _ in 0..count {
        let length = shortest + random.below(33 - shortest);
        push_address(&mut text, random.bits() & (u32::MAX << (32 - length)));
        let _ = writeln!(text, "/{length}");
    }
    text
}

/// Returns random networks of 2001::/16 with prefix lengths from 40 to 128.
fn scattered6(seed: u64, count: usize) -> String {
    let mut random = Random::new(seed);
    let mut text = String::new();
    for _ in 0..count {
        let length = 40 + random.below(89);
        let words = std::array::from_fn::<u32, 4, _>(|_| random.bits());
        let low = words
            .iter()
            .fold(0, |bits, &word| bits << 32 | u128::from(word));
        let address = 0x2001 << 112 | low >> 16;
        let address = std::net::Ipv6Addr::from(address & (u128::MAX << (128 - length)));
        let _ = writeln!(text, "{address}/{length}");
    }
    text
}

fn push_address(text: &mut String, address: u32) {
    // Writing to a String does not fail.
    let _ = write!(text, "{}", std::net::Ipv4Addr::from(address));
}

/// Writes an access log in the combined format.
fn write_log(path: &Path, lines: usize) -> Outcome {
    const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                         Chrome/124.0.0.0 Safari/537.36";
    let fail = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut random = Random::new(13);
    let mut file = BufWriter::new(File::create(path).map_err(fail)?);
    for _ in 0..lines {
        let address = std::net::Ipv4Addr::from(random.bits());
        let (day, second) = (random.below(28) + 1, random.below(60));
        let (page, size) = (random.below(100_000), random.below(90_000) + 100);
        writeln!(
            file,
            "{address} - - [{day:02}/Oct/2026:13:55:{second:02} +0000] \
             \"GET /page/{page}.html HTTP/1.1\" 200 {size} \"-\" \"{AGENT}\""
        )
        .map_err(fail)?;
    }
    file.flush().map_err(fail)
}

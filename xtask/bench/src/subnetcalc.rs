//! The benchmarks of subnetcalc: lists, sets, lookups, logs and start-up, compared with
//! other programs, and the peak memory of each.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use support::TaskResult;
use support::random::Random;

use super::Context;
use super::command::{CommandLine, Peer};
use super::measure::{compare, memory};
use super::row::{Goal, Row};
use super::rows::write;

/// Runs all benchmarks of subnetcalc.
pub(super) fn rows(context: &Context) -> TaskResult<Vec<Row>> {
    let mut rows = lists(context)?;
    rows.extend(sets(context)?);
    rows.extend(lookups(context)?);
    rows.extend(logs(context)?);
    let info = CommandLine::new(context.bins.tool("subnetcalc"), ["192.168.1.0/24"]);
    let ipcalc = Peer::system("ipcalc-ng", ["192.168.1.0/24"]);
    let label = "subnetcalc: one info";
    rows.push(compare(
        context,
        label,
        301,
        (&info, &ipcalc),
        Goal::AtMost(1.25),
    )?);
    Ok(rows)
}

/// Lists 16.7 million addresses, to the null device and into a pipe.
fn lists(context: &Context) -> TaskResult<Vec<Row>> {
    let tool = context.bins.tool("subnetcalc");
    let ten = context.dir.path().join("ten");
    let text = context.dir.path().join("ten.txt");
    write(&ten, "10.0.0.0/8\n")?;
    let all = CommandLine::new(&tool, ["hosts", "--all", "10.0.0.0/8"]);
    let six = CommandLine::new(&tool, ["hosts", "2001:db8::/104"]);
    let shell = |script: String| ["-c".to_owned(), script];
    let into = |name: &Path| format!("{} hosts --all 10.0.0.0/8", name.display());
    // Copying the same text from a file shows the speed of the pipe.
    CommandLine::new("sh", shell(format!("{} > {}", into(&tool), text.display()))).run_once()?;
    let piped = CommandLine::new("sh", shell(format!("{} | wc -l", into(&tool))));
    let cat = CommandLine::new("sh", shell(format!("cat {} | wc -l", text.display())));
    let cat = Peer::reference("cat of the same text", cat);
    let iprange = Peer::system("iprange", ["-1"]).stdin(&ten);
    let prips = Peer::system("prips", ["10.0.0.0/8"]);
    let v4 = Peer::reference("IPv4 /8", all.clone());
    let label = "subnetcalc: hosts --all 10.0.0.0/8";
    let rows = vec![
        compare(context, label, 5, (&all, &iprange), Goal::Faster(20.0))?,
        compare(context, label, 5, (&all, &prips), Goal::Faster(40.0))?,
        compare(
            context,
            &format!("{label} | wc -l"),
            9,
            (&piped, &cat),
            Goal::AtMost(1.2),
        )?,
        compare(
            context,
            "subnetcalc: hosts of an IPv6 /104",
            5,
            (&six, &v4),
            Goal::AtMost(2.0),
        )?,
        memory(context, label, &all, 8_000_000)?,
    ];
    std::fs::remove_file(&text).map_err(|error| format!("{}: {error}", text.display()))?;
    Ok(rows)
}

/// Aggregates a million networks.
fn sets(context: &Context) -> TaskResult<Vec<Row>> {
    let tool = context.bins.tool("subnetcalc");
    let (v4, v6) = (
        context.dir.path().join("set4"),
        context.dir.path().join("set6"),
    );
    write(&v4, &scattered(7, 1_000_000, 18))?;
    write(&v6, &scattered6(7, 1_000_000))?;
    let aggregate = |file: &Path| CommandLine::new(&tool, ["aggregate", "-"]).stdin(file);
    let optimize = Peer::system("iprange", ["--optimize"]).stdin(&v4);
    let same_v4 = Peer::reference("IPv4", aggregate(&v4));
    let label = "subnetcalc: aggregate of 1,000,000 networks";
    let of_ipv6 = "subnetcalc: aggregate of 1,000,000 IPv6 networks";
    Ok(vec![
        compare(
            context,
            label,
            7,
            (&aggregate(&v4), &optimize),
            Goal::Faster(3.5),
        )?,
        compare(
            context,
            of_ipv6,
            7,
            (&aggregate(&v6), &same_v4),
            Goal::AtMost(2.5),
        )?,
        memory(context, label, &aggregate(&v4), 48_000_000)?,
        memory(context, of_ipv6, &aggregate(&v6), 48_000_000)?,
    ])
}

/// Looks up addresses. The peer is a sleep for the time that 15 million lookups per
/// second would take.
fn lookups(context: &Context) -> TaskResult<Vec<Row>> {
    let (nets, addresses) = (
        context.dir.path().join("nets"),
        context.dir.path().join("addresses"),
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
        &context.bins.tool("subnetcalc").display().to_string(),
        "match",
        "--in",
        &set,
        "-",
    ];
    let one_core = CommandLine::new("taskset", args).stdin(&addresses);
    let pace = Peer::reference("sleep", CommandLine::new("sleep", ["0.333"]));
    let label = "subnetcalc: match of 5,000,000, one core (15 M/s)";
    Ok(vec![
        compare(context, label, 5, (&one_core, &pace), Goal::AtMost(1.0))?,
        memory(
            context,
            "subnetcalc: match of 5,000,000",
            &one_core,
            64_000_000,
        )?,
    ])
}

/// Searches five million lines of an access log for addresses of 100,000 networks.
fn logs(context: &Context) -> TaskResult<Vec<Row>> {
    let tool = context.bins.tool("subnetcalc");
    let (nets, log) = (
        context.dir.path().join("blocked"),
        context.dir.path().join("log"),
    );
    write(&nets, &scattered(11, 100_000, 20))?;
    write_log(&log, 5_000_000)?;
    let set = format!("@{}", nets.display());
    let file = log.display().to_string();
    let grep = |option: &str| {
        let words = ["grep", option, "--in", &set, &file];
        CommandLine::new(&tool, words.into_iter().filter(|word| !word.is_empty()))
    };
    let nets = nets.display().to_string();
    let anywhere = Peer::system("grepcidr", ["-f", &nets, &file]);
    let anchored = Peer::system("grepcidr", ["-x", "-f", &nets, &file]);
    let label = "subnetcalc: grep of 5,000,000 lines";
    let rows = vec![
        compare(context, label, 3, (&grep(""), &anywhere), Goal::Faster(6.0))?,
        compare(
            context,
            &format!("{label} -x"),
            3,
            (&grep("-x"), &anchored),
            Goal::Faster(10.0),
        )?,
        memory(context, label, &grep(""), 64_000_000)?,
    ];
    std::fs::remove_file(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    Ok(rows)
}

/// Returns random IPv4 networks with prefix lengths from `shortest` to 32.
pub(super) fn scattered(seed: u64, count: usize, shortest: u32) -> String {
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
fn write_log(path: &Path, lines: usize) -> TaskResult {
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

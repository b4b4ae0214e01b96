//! The benchmarks of httpget: compared with curl, against nginx on loopback.

use std::fs;
use std::io::Write;
use std::path::Path;

use support::TaskResult;
use support::exec::{Exec, which};
use support::nginx;
use testkit::tls::Authority;

use super::Context;
use super::command::{CommandLine, Peer};
use super::measure::{compare, compare_cpu, memory};
use super::row::{Goal, Row};

/// The number of small files.
const FILES: usize = 2000;

/// The number of parallel transfers of small files.
const PARALLEL: &str = "8";

/// Runs the benchmarks of httpget.
pub(super) fn rows(context: &Context) -> TaskResult<Vec<Row>> {
    if which("nginx").is_none() {
        return Ok(vec![Row::not_measured("httpget", "nginx is not installed")]);
    }
    let dir = context.dir.path();
    let authority = Authority::new();
    create_documents(dir)?;
    let (server, plain, secure) = nginx::serve(dir, &authority)?;
    let ca = authority.ca_file().display().to_string();
    let bases = [
        ("http", format!("http://127.0.0.1:{plain}"), vec![]),
        (
            "https",
            format!("https://localhost:{secure}"),
            vec!["--cacert".to_owned(), ca],
        ),
    ];
    let tool = context.bins.tool("httpget");
    let pair = |args: &[String]| -> (CommandLine, Peer) {
        let curl_args = ["-q", "-sS"].map(str::to_owned).into_iter();
        (
            CommandLine::new(&tool, ["-s".to_owned()].iter().chain(args)),
            Peer::system("curl", curl_args.chain(args.iter().cloned())),
        )
    };
    let mut rows = Vec::new();
    for (scheme, base, trust) in &bases {
        let with = |args: &[&str]| -> Vec<String> {
            let args = args.iter().map(ToString::to_string);
            trust.iter().cloned().chain(args).collect()
        };
        let (ours, curl) = pair(&with(&[&format!("{base}/small.txt")]));
        let goal = if *scheme == "http" { 1.5 } else { 2.0 };
        let name = format!("httpget: small GET over {scheme}");
        rows.push(compare(
            context,
            &name,
            101,
            (&ours, &curl),
            Goal::Faster(goal),
        )?);
        let file = dir.join("saved").display().to_string();
        for (destination, path) in [("/dev/null", "/dev/null"), ("a file", file.as_str())] {
            let (ours, curl) = pair(&with(&["-o", path, &format!("{base}/1g")]));
            let name = format!("httpget: 1 GiB over {scheme} to {destination}");
            let goals = [Goal::AtMost(1.0), Goal::AtMost(1.0)];
            rows.extend(compare_cpu(context, &name, 3, (&ours, &curl), goals)?);
            rows.push(memory(context, &name, &ours, 6_000_000)?);
        }
    }
    let base = &bases[0].1;
    let (ours, curl) = pair(&[
        "--compressed".to_owned(),
        "-o".to_owned(),
        "/dev/null".to_owned(),
        format!("{base}/json.gz"),
    ]);
    let name = "httpget: 115 MB of gzip-compressed JSON";
    rows.push(compare(
        context,
        name,
        5,
        (&ours, &curl),
        Goal::Faster(1.3),
    )?);
    let name = "httpget: 2,000 small URLs to files, -Z";
    let (ours, curl) = small_files(dir, base, &tool, FILES)?;
    rows.push(compare(
        context,
        name,
        5,
        (&ours, &curl),
        Goal::Faster(1.5),
    )?);
    drop(server);
    Ok(rows)
}

/// Returns the command lines that save small URLs to files. Each run starts with an
/// empty directory, and both programs use the same number of parallel transfers.
pub(super) fn small_files(
    dir: &Path,
    base: &str,
    tool: &Path,
    count: usize,
) -> TaskResult<(CommandLine, Peer)> {
    let out = dir.join("out");
    fs::create_dir_all(&out).map_err(|e| e.to_string())?;
    let (list, config) = (
        dir.join(format!("urls-{count}")),
        dir.join(format!("curl-{count}.config")),
    );
    let mut urls = String::new();
    let mut lines = String::new();
    for n in 0..count {
        let url = format!("{base}/many/{n}");
        urls.extend([&url, "\n"]);
        lines += &format!("url = \"{url}\"\noutput = \"{n}\"\n");
    }
    fs::write(&list, urls).map_err(|e| e.to_string())?;
    fs::write(&config, lines).map_err(|e| e.to_string())?;
    let parallel = ["--parallel-max", PARALLEL];
    let ours = ["-s", "-Z", "-O", "-"].into_iter().chain(parallel);
    let ours = CommandLine::new(tool, ours).stdin(&list).in_new_dir(&out);
    let config = config.display().to_string();
    let curl = ["-q", "-sS", "-Z", "-K", &config]
        .into_iter()
        .chain(parallel);
    let curl = Peer::system("curl", curl).in_new_dir(&out);
    Ok((ours, curl))
}

/// Creates the documents: one of 1 GiB, one of JSON, and many small ones.
fn create_documents(dir: &Path) -> TaskResult {
    let www = dir.join("www");
    let fail = |e: std::io::Error| format!("{}: {e}", www.display());
    fs::create_dir_all(&www).map_err(fail)?;
    let file = fs::File::create(www.join("1g")).map_err(fail)?;
    file.set_len(1 << 30).map_err(fail)?;
    let mut json = std::io::BufWriter::new(fs::File::create(www.join("json")).map_err(fail)?);
    json.write_all(b"[").map_err(fail)?;
    for n in 0..1_250_000_u64 {
        let comma = if n == 0 { "" } else { "," };
        writeln!(
            json,
            "{comma}{{\"id\":{n},\"name\":\"item {}\",\"price\":{}.5,\"tags\":[\"a\",\"b{}\"],\"ok\":true}}",
            n * 7919 % 10_007,
            n % 997,
            n % 13
        )
        .map_err(fail)?;
    }
    json.write_all(b"]\n")
        .and_then(|()| json.flush())
        .map_err(fail)?;
    drop(json);
    let gzip = Exec::new("gzip", ["-k", &www.join("json").display().to_string()]).run()?;
    gzip.expect_code(0)?;
    create_small_files(&www)
}

/// Creates the small documents.
pub(super) fn create_small_files(www: &Path) -> TaskResult {
    let fail = |e: std::io::Error| format!("{}: {e}", www.display());
    fs::create_dir_all(www.join("many")).map_err(fail)?;
    for n in 0..FILES {
        fs::write(www.join(format!("many/{n}")), [b'x'; 550]).map_err(fail)?;
    }
    Ok(())
}

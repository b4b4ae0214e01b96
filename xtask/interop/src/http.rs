//! httpget beside curl, both asking nginx over http and https: the same bytes,
//! the same head, the same idea of what failed.

use std::fs;

use support::TaskResult;
use support::exec::Exec;
use support::nginx;
use testkit::tls::{Authority, Leaf};

use super::{Context, same_lines};

/// Documents by path, and whether both must call it a success.
const PATHS: [(&str, bool); 9] = [
    ("/empty", true),
    ("/small.txt", true),
    ("/large.bin", true),
    ("/data.json", true),
    ("/chunked", true),
    ("/moved", true),
    ("/twice", true),
    ("/missing", false),
    ("/error", false),
];

/// Bodies, heads and statuses.
#[allow(
    clippy::too_many_lines,
    reason = "one comparison after another, read from the top down"
)]
pub(super) fn nginx(context: &Context) -> TaskResult<String> {
    let dir = context.dir();
    let authority = Authority::new();
    let (_server, plain, secure) = nginx::serve(dir, &authority)?;
    let ca = authority.ca_file().display().to_string();
    let mut compared = 0;
    for base in [
        format!("http://127.0.0.1:{plain}"),
        format!("https://127.0.0.1:{secure}"),
        format!("https://localhost:{secure}"),
    ] {
        for (path, success) in PATHS {
            let url = format!("{base}{path}");
            let theirs = curl(["-L", "--cacert", &ca, &url]).run()?;
            theirs.expect_code(0)?;
            let ours = context
                .tool("httpget", ["-s", "--cacert", &ca, &url])
                .run()?;
            ours.expect_code(i32::from(!success))?;
            if ours.stdout != theirs.stdout {
                return Err(format!(
                    "{url}: {} bytes, curl has {}, or others",
                    ours.stdout.len(),
                    theirs.stdout.len()
                ));
            }
            let file = dir.join("saved");
            let to = file.display().to_string();
            if success {
                context
                    .tool("httpget", ["-s", "--cacert", &ca, "-o", &to, &url])
                    .text()?;
                if fs::read(&file).ok() != Some(theirs.stdout) {
                    return Err(format!("{url}: -o saved other bytes than curl prints"));
                }
            }
            compared += 1;
        }
        for path in ["/small.txt", "/missing"] {
            let url = format!("{base}{path}");
            let theirs = head(&curl(["-I", "--cacert", &ca, &url]).run()?.out());
            let ours = context.tool("httpget", ["-s", "-I", "--cacert", &ca, &url]);
            same_lines(&format!("-I {url}"), &head(&ours.run()?.out()), &theirs)?;
        }
    }
    finer(context, &authority, plain, secure)?;
    // Without the authority neither believes the server.
    let url = format!("https://127.0.0.1:{secure}/small.txt");
    curl([&url]).run()?.expect_code(60)?;
    context.tool("httpget", [&url]).run()?.expect_code(3)?;
    Ok(format!(
        "{compared} documents, heads, ranges, gzip, TLS 1.2 and 1.3, a client certificate, \
         a unix socket, a resumed file, an unknown authority"
    ))
}

/// Ranges, gzip, TLS versions, a client certificate, a Unix socket, a file
/// gone on with.
fn finer(context: &Context, authority: &Authority, plain: u16, secure: u16) -> TaskResult {
    let dir = context.dir();
    let ca = authority.ca_file().display().to_string();
    let base = format!("http://127.0.0.1:{plain}");
    let same = |args: &[&str], theirs: &[&str]| -> TaskResult {
        let theirs = curl(theirs.iter()).run()?;
        let ours = context.tool("httpget", args).run()?;
        ours.expect_code(0)?;
        if ours.stdout != theirs.stdout || ours.stdout.is_empty() {
            return Err(format!(
                "httpget {}: other bytes than curl's",
                args.join(" ")
            ));
        }
        Ok(())
    };
    let large = format!("{base}/large.bin");
    for range in ["0-99", "100-", "-100"] {
        same(&["-r", range, &large], &["-r", range, &large])?;
    }
    let gzip = format!("{base}/gzip/data.json");
    same(&["--compressed", &gzip], &["--compressed", &gzip])?;
    let sockets = dir.join("socket").display().to_string();
    let local = "http://local/small.txt";
    same(
        &["--unix-socket", &sockets, local],
        &["--unix-socket", &sockets, local],
    )?;
    let safe = format!("https://localhost:{secure}/small.txt");
    for version in ["1.2", "1.3"] {
        let max = ["--tls-max", version, "--cacert", &ca, &safe];
        same(&max, &max)?;
    }
    let (cert, key) = authority.files(Leaf::Client);
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let mine = format!("https://localhost:{secure}/mine");
    let args = ["--cert", &cert, "--key", &key, "--cacert", &ca, &mine];
    same(&args, &args)?;
    context
        .tool("httpget", ["-s", "--cacert", &ca, &mine])
        .run()?
        .expect_code(1)?;
    // A part of the file is gone on with under nginx's own validator.
    let whole = fs::read(dir.join("www/large.bin")).map_err(|e| e.to_string())?;
    let to = dir.join("resumed");
    fs::write(&to, &whole[..1_000_000]).map_err(|e| e.to_string())?;
    let name = to.display().to_string();
    for _ in 0..2 {
        // The second time it is complete, and nginx answers 416.
        context
            .tool("httpget", ["-C", "-", "-o", &name, &large])
            .text()?;
        if fs::read(&to).ok().as_ref() != Some(&whole) {
            return Err("-C - did not make the file whole".to_owned());
        }
    }
    Ok(())
}

fn curl<'a>(args: impl IntoIterator<Item = &'a (impl AsRef<str> + 'a + ?Sized)>) -> Exec {
    let args = args.into_iter().map(AsRef::as_ref);
    // `-q` ignores the ~/.curlrc of the user.
    Exec::new("curl", ["-q", "-sS"].into_iter().chain(args))
}

/// A head without what changes from second to second.
fn head(text: &str) -> String {
    text.split_inclusive('\n')
        .filter(|line| !line.starts_with("Date:"))
        .collect()
}

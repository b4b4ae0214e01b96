//! httpget beside curl, both asking nginx over http and https: the same bytes,
//! the same head, the same idea of what failed.

use std::fs;
use std::path::Path;

use testkit::tls::{Authority, Leaf};

use super::{Context, accepts, free_port, same_lines};
use crate::TaskResult;
use crate::exec::{Background, Exec, which};

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
    let (plain, secure) = (free_port()?, free_port()?);
    let _server = start(dir, &authority, plain, secure)?;
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

/// nginx on two free ports, http and https, that serve the files of `www` below `dir`
/// and the documents of these checks.
pub(crate) fn serve(dir: &Path, authority: &Authority) -> TaskResult<(Background, u16, u16)> {
    let (plain, secure) = (free_port()?, free_port()?);
    let server = start(dir, authority, plain, secure)?;
    Ok((server, plain, secure))
}

/// nginx in the foreground, everything it touches below `dir`.
fn start(dir: &Path, authority: &Authority, plain: u16, secure: u16) -> TaskResult<Background> {
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", parent.display()))?;
        }
        fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))
    };
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n ^ (n >> 9)) as u8).collect();
    write("www/empty", b"")?;
    write("www/small.txt", b"a small text\n")?;
    write(
        "www/data.json",
        b"{\"big\":12345678901234567890,\"list\":[1,2.50]}",
    )?;
    write("www/large.bin", &large)?;
    // Included by SSI, so nginx cannot know the length and has to chunk it.
    write(
        "www/chunked",
        &b"<!--# echo var=\"uri\" -->some text\n".repeat(2000),
    )?;
    let (certificate, key) = authority.files(Leaf::Good);
    let (cert, key) = (certificate.display(), key.display());
    let ca = authority.ca_file();
    let ca = ca.display();
    let at = dir.display();
    // Workers that root starts run as `nobody` and cannot read the files.
    let user = if testkit::privilege::is_root() {
        "user root;"
    } else {
        ""
    };
    let config = format!(
        "{user} daemon off; worker_processes 1; pid {at}/nginx.pid;\n\
         error_log {at}/nginx-error.log;\n\
         events {{ worker_connections 256; }}\n\
         http {{\n\
           access_log off; default_type application/octet-stream; keepalive_requests 100000;\n\
           types {{ text/plain txt; application/json json; }}\n\
           client_body_temp_path {at}/t1; proxy_temp_path {at}/t2;\n\
           fastcgi_temp_path {at}/t3; uwsgi_temp_path {at}/t4; scgi_temp_path {at}/t5;\n\
           server {{\n\
             listen 127.0.0.1:{plain}; listen 127.0.0.1:{secure} ssl; listen unix:{at}/socket;\n\
             ssl_certificate {cert}; ssl_certificate_key {key};\n\
             ssl_client_certificate {ca}; ssl_verify_client optional; ssl_protocols TLSv1.2 TLSv1.3;\n\
             root {at}/www;\n\
             location = /chunked {{ ssi on; ssi_types *; }}\n\
             location = /moved {{ return 301 /small.txt; }}\n\
             location = /twice {{ return 302 /moved; }}\n\
             location /gzip/ {{ alias {at}/www/; gzip on; gzip_min_length 1; gzip_types *; }}\n\
             location = /json.gz {{ add_header Content-Encoding gzip; default_type application/json; }}\n\
             location = /mine {{ if ($ssl_client_verify != SUCCESS) {{ return 403; }} return 200 'mine'; }}\n\
             location = /error {{ return 503 'not now'; }}\n\
           }}\n\
         }}\n"
    );
    write("nginx.conf", config.as_bytes())?;
    let program = which("nginx").ok_or("no nginx")?;
    let log = dir.join("nginx.log");
    let args = [
        "-p",
        &at.to_string(),
        "-c",
        "nginx.conf",
        "-e",
        "nginx-error.log",
    ]
    .map(str::to_owned);
    let mut server = Background::start(program, args, &log)?;
    server
        .until(|| accepts(plain) && accepts(secure))
        .map_err(|error| format!("{error}\n{}", fs::read_to_string(&log).unwrap_or_default()))?;
    Ok(server)
}

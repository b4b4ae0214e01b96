//! Starts nginx on loopback with the documents of the comparisons.

use std::fs;
use std::path::Path;

use testkit::tls::{Authority, Leaf};

use crate::TaskResult;
use crate::exec::{Background, which};
use crate::ports::{accepts, free_port};

/// nginx on two free ports, http and https, that serve the files of `www` below `dir`
/// and the documents of these checks.
pub fn serve(dir: &Path, authority: &Authority) -> TaskResult<(Background, u16, u16)> {
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

//! Starts real name servers on loopback that write all their files to one directory.

use std::fs;
use std::path::{Path, PathBuf};

use crate::TaskResult;
use crate::exec::{Background, which};
use crate::ports::accepts;

/// Writes a file in `dir` and returns its path.
pub fn write(dir: &Path, name: &str, text: &str) -> TaskResult<PathBuf> {
    let path = dir.join(name);
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// Starts nsd on 127.0.0.1 with zones, each given by its name and its file in `dir`.
/// Loopback may transfer them.
pub fn nsd(dir: &Path, port: u16, zones: &[(&str, &str)]) -> TaskResult<Background> {
    let at = dir.display();
    let mut config = format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  port: {port}\n  server-count: 1\n  \
         username: \"\"\n  chroot: \"\"\n  zonesdir: \"{at}\"\n  database: \"\"\n  \
         pidfile: \"{at}/nsd.pid\"\n  xfrdfile: \"{at}/xfrd.state\"\n  xfrdir: \"{at}\"\n  \
         zonelistfile: \"{at}/zone.list\"\nremote-control:\n  control-enable: no\n"
    );
    for (name, file) in zones {
        config.push_str(&format!(
            "zone:\n  name: {name}\n  zonefile: \"{at}/{file}\"\n  provide-xfr: 127.0.0.1 NOKEY\n"
        ));
    }
    let config = write(dir, "nsd.conf", &config)?;
    start("nsd", ["-d", "-c"], &config, dir, port)
}

/// Starts unbound on 127.0.0.1, which forwards all queries to a server there. `more`
/// is added to its `server:` clause.
pub fn unbound(dir: &Path, port: u16, forward: u16, more: &str) -> TaskResult<Background> {
    let at = dir.display();
    let config = format!(
        "server:\n  interface: 127.0.0.1@{port}\n  port: {port}\n  username: \"\"\n  \
         chroot: \"\"\n  directory: \"{at}\"\n  pidfile: \"{at}/unbound.pid\"\n  \
         use-syslog: no\n  do-daemonize: no\n  do-not-query-localhost: no\n  num-threads: 1\n  \
         num-queries-per-thread: 4096\n  outgoing-range: 8192\n  \
         access-control: 127.0.0.0/8 allow\n  \
         local-zone: \"test.\" nodefault\n{more}\
         remote-control:\n  control-enable: no\n\
         stub-zone:\n  name: \"test\"\n  stub-addr: 127.0.0.1@{forward}\n"
    );
    let config = write(dir, "unbound.conf", &config)?;
    start("unbound", ["-d", "-c"], &config, dir, port)
}

/// Starts dnsdist in front of a server on loopback. `config` opens its DoH and DoT
/// ports; `port` is for plain DNS.
pub fn dnsdist(dir: &Path, port: u16, config: &str) -> TaskResult<Background> {
    let config = format!("setLocal('127.0.0.1:{port}')\nsetACL({{'127.0.0.0/8'}})\n{config}");
    let config = write(dir, "dnsdist.conf", &config)?;
    start(
        "dnsdist",
        ["--supervised", "--disable-syslog", "-C"],
        &config,
        dir,
        port,
    )
}

fn start<const N: usize>(
    name: &str,
    args: [&str; N],
    config: &Path,
    dir: &Path,
    port: u16,
) -> TaskResult<Background> {
    let log = dir.join(format!("{name}.log"));
    let program = which(name).ok_or_else(|| format!("no {name}"))?;
    let args = args.iter().map(Into::into);
    let args = args.chain([config.as_os_str().to_owned()]);
    let mut server = Background::start(program, args, &log)?;
    server
        .until(|| accepts(port))
        .map_err(|error| format!("{error}\n{}", fs::read_to_string(&log).unwrap_or_default()))?;
    Ok(server)
}

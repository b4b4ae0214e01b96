//! Tests of listening: families, ports, paths, and errors.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use testkit::{Running, Tool, netns, privilege};

use crate::harness::{BIN, Client, SIGKILL, SIGTERM, Server, TIMEOUT, tool};

fn read_addresses(running: &Running, count: usize) -> Vec<SocketAddr> {
    (0..count)
        .map(|_| {
            let line = running.read_line(TIMEOUT);
            line.strip_prefix("listening\t").unwrap().parse().unwrap()
        })
        .collect()
}

#[test]
fn a_wildcard_serves_both_families() {
    if !privilege::has_ipv6() {
        return netns::skip("no ::1 here");
    }
    for operand in [":0", "[::]:0"] {
        let running = tool().arg(operand).spawn();
        let addr = read_addresses(&running, 1)[0];
        assert!(addr.is_ipv6() && addr.ip().is_unspecified(), "{addr}");
        for host in ["127.0.0.1", "::1"] {
            let mut client = Client::connect(SocketAddr::new(host.parse().unwrap(), addr.port()));
            client.echo(b"hello");
            // A mapped address is shown as an IPv4 address.
            let connected = running.read_line(TIMEOUT);
            assert_eq!(connected, format!("connected\t{}", client.address()));
            drop(client);
            let _ = running.read_line(TIMEOUT);
        }
    }
}

#[test]
fn the_family_can_be_chosen() {
    let running = tool().args(["-4", ":0"]).spawn();
    assert_eq!(read_addresses(&running, 1)[0].ip().to_string(), "0.0.0.0");
    tool()
        .args(["-6", "127.0.0.1:0"])
        .run()
        .code(2)
        .stderr_contains("127.0.0.1:0: ");
    if privilege::has_ipv6() {
        let running = tool().args(["-6", ":0"]).spawn();
        let port = read_addresses(&running, 1)[0].port();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        Client::connect(SocketAddr::new("::1".parse().unwrap(), port)).echo(b"six");
    }
}

#[test]
fn operands_with_port_zero_share_a_port() {
    let mut operands = vec!["127.0.0.1:0", "127.0.0.2:0"];
    if privilege::has_ipv6() {
        operands.extend(["[::1]:0"]);
    }
    let running = tool().args(&operands).args(["--port-file", "port"]).spawn();
    let addresses = read_addresses(&running, operands.len());
    let port = addresses[0].port();
    assert!(addresses.iter().all(|a| a.port() == port), "{addresses:?}");
    for address in addresses {
        Client::connect(address).echo(b"hello");
    }
    // The file is written after these lines and before the first accept.
    let file = std::fs::read_to_string(running.home().join("port")).unwrap();
    assert_eq!(file, format!("{port}\n"));
}

#[test]
fn the_wildcards_of_both_families_can_be_given_separately() {
    if !privilege::has_ipv6() {
        return netns::skip("no ::1 here");
    }
    let running = tool().args(["0.0.0.0:0", "[::]:0"]).spawn();
    let found = read_addresses(&running, 2);
    assert_eq!(found[0].port(), found[1].port());
    for host in ["127.0.0.1", "::1"] {
        Client::connect(SocketAddr::new(host.parse().unwrap(), found[0].port())).echo(b"hello");
    }
}

#[test]
fn host_names_are_resolved() {
    let running = tool().args(["-4", "localhost:0"]).spawn();
    let addr = read_addresses(&running, 1)[0];
    Client::connect(addr).echo(b"by name");
}

/// The network namespace has no DNS server.
#[test]
fn a_name_that_does_not_resolve_is_a_network_error() {
    if let Err(reason) = netns::available() {
        return netns::skip(&reason);
    }
    netns::Lab::new()
        .script(&format!("exec {BIN} no-such-name.invalid:0"))
        .code(3)
        .stderr_contains("no-such-name.invalid");
}

#[test]
fn a_port_in_use_is_an_error() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = other.local_addr().unwrap();
    let port = addr.port();
    let out = tool().arg(addr.to_string()).run();
    out.code(2).stdout("").stderr(&format!(
        "tcpecho-server: {addr}: address already in use; \
         use another port, or 0 for a free port\n"
    ));
    let out = tool().args(["--json", &addr.to_string()]).run();
    assert_eq!(out.code(2).json()[0]["kind"], "system");
    // The wildcard address conflicts with it, too.
    let out = tool().args(["-4", &format!(":{port}")]).run();
    out.code(2).stderr_contains(&format!(
        ":{port}: address already in use; use another port"
    ));
}

#[test]
fn an_address_given_twice_is_an_error() {
    let twice = |operand: &str| {
        let out = tool().args([operand, operand]).run();
        let line = format!("tcpecho-server: {operand}: the address was given twice; remove one\n");
        out.code(2).stdout("").stderr(&line);
    };
    twice("127.0.0.1:0");
    twice("unix:echo");
    // With --reuse-port, the server may share a port with itself.
    let shared = ["--reuse-port", "127.0.0.1:0", "127.0.0.1:0"];
    let running = tool().args(shared).spawn();
    let both = read_addresses(&running, 2);
    assert_eq!(both[0], both[1]);
    running.signal(SIGTERM);
    let _ = running.wait().code(0);
    let out = tool().args(["-4", ":0", "127.0.0.1:0"]).run();
    out.code(2)
        .stdout("")
        .stderr_contains("address already in use; another operand already uses this port");
}

#[test]
fn a_port_file_that_cannot_be_written_is_an_error_before_listening() {
    let dir = tempfile::tempdir().unwrap();
    for (file, why) in [
        ("no/port", "no such file or directory"),
        ("", "is a directory"),
    ] {
        let file = dir.path().join(file).display().to_string();
        let out = tool().args(["--port-file", &file, "127.0.0.1:0"]).run();
        let line = format!("tcpecho-server: {file}: {why}\n");
        out.code(2).stdout("").stderr(&line);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_port_is_shared_only_with_reuse_port() {
    let first = Server::start(&["--reuse-port"]);
    let addr = first.addr.to_string();
    tool().arg(&addr).run().code(2).stdout("");
    let second = tool().args(["--reuse-port", &addr]).spawn();
    assert_eq!(read_addresses(&second, 1)[0], first.addr);
}

#[test]
fn an_address_of_another_host_is_an_error() {
    tool()
        .arg("192.0.2.1:0")
        .run()
        .code(2)
        .stderr_contains("192.0.2.1:0: ")
        .stderr_contains("no network interface of this host has this address");
}

#[test]
fn a_privileged_port_is_an_error_for_ordinary_users() {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first = first.map_or(Ok(1024), |first| first.trim().parse::<u16>());
    let port = first.unwrap().saturating_sub(1);
    if port == 0 {
        return netns::skip("this system has no privileged ports");
    }
    // The permission is checked before the port, so it may be in use.
    let addr = format!("127.0.0.1:{port}");
    let out = tool().unprivileged().arg(&addr).run();
    out.code(2).stdout("").stderr(&format!(
        "tcpecho-server: {addr}: permission denied; \
         port {port} needs root or the capability CAP_NET_BIND_SERVICE\n"
    ));
}

#[test]
fn a_restarted_server_can_use_the_same_port() {
    let server = Server::start(&["--drain", "0"]);
    let addr = server.addr;
    let mut client = server.connect();
    client.echo(b"hello");
    // The server closes first, so its end enters TIME_WAIT.
    server.running.signal(SIGTERM);
    let _ = client.read_to_eof();
    drop(client);
    let _ = server.running.wait();
    let again = Server::spawn(tool().arg(addr.to_string()));
    again.connect().echo(b"again");
}

#[test]
fn unix_sockets_are_served_and_their_paths_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let operand = format!("unix:{}", path.display());
    let start = || {
        let running = tool().arg(&operand).spawn();
        assert_eq!(running.read_line(TIMEOUT), format!("listening\t{operand}"));
        running
    };
    let running = start();
    let mut client = UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(TIMEOUT)).unwrap();
    client.write_all(b"hello").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"hello");
    assert_eq!(running.read_line(TIMEOUT), "connected\tunix:#0");
    assert!(
        running
            .read_line(TIMEOUT)
            .starts_with("closed\tunix:#0\t5\t5\t")
    );
    // Another server listens on the path.
    let out = tool().arg(&operand).run();
    out.code(2).stderr(&format!(
        "tcpecho-server: {operand}: address already in use; another process uses this socket\n"
    ));
    running.signal(SIGTERM);
    let _ = running.wait().code(0);
    assert!(!path.exists(), "the path was not removed");

    // A killed server leaves the path behind.
    let killed = start();
    killed.signal(SIGKILL);
    let _ = killed.wait();
    assert!(path.exists());
    let running = start();
    running.signal(SIGTERM);
    let _ = running.wait().code(0);

    // A file that is not a socket is not replaced.
    std::fs::write(&path, "precious").unwrap();
    let out = tool().arg(&operand).run();
    out.code(2)
        .stderr_contains("the path exists but is not a socket");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

/// The umask matters only without --mode.
#[test]
fn the_mode_of_a_unix_socket_can_be_set() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let operand = format!("unix:{}", path.display());
    for (mode, expected) in [("600", 0o600), ("0666", 0o666), ("777", 0o777), ("0", 0)] {
        let running = tool().args(["--mode", mode, &operand]).spawn();
        assert_eq!(running.read_line(TIMEOUT), format!("listening\t{operand}"));
        let found = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(found & 0o7777, expected, "{mode}");
        running.signal(SIGTERM);
        let _ = running.wait().code(0);
    }
    let script = format!("umask 027; exec {BIN} {operand}");
    let running = Tool::new("sh").args(["-c", &script]).spawn();
    running.read_line(TIMEOUT);
    let found = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(found & 0o7777, 0o750, "according to the umask");
    tool()
        .args(["--mode", "600", "127.0.0.1:0"])
        .run()
        .code(2)
        .stderr_contains("--mode requires a unix:PATH operand");
}

/// Each server finds the path that a killed server left behind.
#[test]
fn only_one_of_many_servers_replaces_a_stale_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let operand = format!("unix:{}", path.display());
    let killed = tool().arg(&operand).spawn();
    killed.read_line(TIMEOUT);
    killed.signal(SIGKILL);
    let _ = killed.wait();
    let all: Vec<_> = (0..6).map(|_| tool().arg(&operand).spawn()).collect();
    let (listening, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|running| {
        // Only the server that got the path logs a line.
        loop {
            if !running.stdout_so_far().is_empty() {
                return true;
            }
            if !running.is_running() {
                return false;
            }
            std::thread::yield_now();
        }
    });
    assert_eq!(listening.len(), 1);
    for other in others {
        other
            .wait()
            .code(2)
            .stderr_contains("another process uses this socket");
    }
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    drop(client);
    for running in listening {
        running.signal(SIGTERM);
        let out = running.wait();
        // The other servers have made no connection to find that out.
        out.code(0).stderr_contains("1 connection, ");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_sockets_are_served() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("tcpecho-test-{}", std::process::id());
    let operand = format!("unix:@{name}");
    let running = tool().arg(&operand).spawn();
    assert_eq!(running.read_line(TIMEOUT), format!("listening\t{operand}"));
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let mut client = UnixStream::connect_addr(&address).unwrap();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    tool().arg(&operand).run().code(2).stderr(&format!(
        "tcpecho-server: {operand}: address already in use; another process uses this socket\n"
    ));
    assert_eq!(std::fs::read_dir(running.home()).unwrap().count(), 0);
    drop(client);
    running.signal(SIGTERM);
    let _ = running.wait().code(0);
}

#[test]
fn readiness_is_announced_on_a_descriptor() {
    let script = format!(
        "mkfifo ready; {BIN} -q --ready-fd 7 127.0.0.1:0 7>ready & read -r line <ready
         echo \"got <$line>\"; kill $!; wait $!"
    );
    Tool::new("bash")
        .args(["-c", &script])
        .run()
        .code(0)
        .stdout("got <>\n")
        .stderr("");
}

/// Descriptors 3 to 9 are closed, so the server's own descriptors get these
/// numbers.
#[test]
fn a_ready_fd_that_was_not_inherited_is_an_error() {
    for number in 3..10 {
        let script = format!(
            "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
             exec {BIN} --ready-fd {number} 127.0.0.1:0"
        );
        let out = Tool::new("bash").args(["-c", &script]).run();
        out.code(2).stdout("").stderr(&format!(
            "tcpecho-server: --ready-fd {number}: bad file descriptor; \
             open it when starting the server, for example with {number}>FILE\n"
        ));
    }
    let script = format!("exec {BIN} --ready-fd 5 127.0.0.1:0 5</dev/null");
    let out = Tool::new("bash").args(["-c", &script]).run();
    out.code(2)
        .stdout("")
        .stderr_contains("--ready-fd 5: bad file descriptor");
}

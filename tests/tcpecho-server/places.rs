//! Where it listens: families, ports, paths, and what it says when it cannot.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use testkit::{Running, Tool, netns, privilege};

use crate::kit::{Client, SOON, Server, tool};

fn addresses(running: &Running, count: usize) -> Vec<SocketAddr> {
    (0..count)
        .map(|_| {
            let line = running.read_line(SOON);
            line.strip_prefix("listening\t").unwrap().parse().unwrap()
        })
        .collect()
}

#[test]
fn one_port_for_both_families() {
    if !privilege::has_ipv6() {
        return netns::skip("no ::1 here");
    }
    for operand in [":0", "[::]:0"] {
        let running = tool().arg(operand).spawn();
        let addr = addresses(&running, 1)[0];
        assert!(addr.is_ipv6() && addr.ip().is_unspecified(), "{addr}");
        for host in ["127.0.0.1", "::1"] {
            let mut client = Client::to(SocketAddr::new(host.parse().unwrap(), addr.port()));
            client.ask(b"hello");
            // A mapped address is shown as what it is.
            let connected = running.read_line(SOON);
            assert_eq!(connected, format!("connected\t{}", client.name()));
            drop(client);
            let _ = running.read_line(SOON);
        }
    }
}

#[test]
fn families_on_request() {
    let running = tool().args(["-4", ":0"]).spawn();
    assert_eq!(addresses(&running, 1)[0].ip().to_string(), "0.0.0.0");
    tool()
        .args(["-6", "127.0.0.1:0"])
        .run()
        .code(2)
        .stderr_contains("127.0.0.1:0: ");
    if privilege::has_ipv6() {
        let running = tool().args(["-6", ":0"]).spawn();
        let port = addresses(&running, 1)[0].port();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        Client::to(SocketAddr::new("::1".parse().unwrap(), port)).ask(b"six");
    }
}

#[test]
fn free_ports_are_the_same_one() {
    let mut places = vec!["127.0.0.1:0", "127.0.0.2:0"];
    if privilege::has_ipv6() {
        places.extend(["[::1]:0"]);
    }
    let running = tool().args(&places).args(["--port-file", "port"]).spawn();
    let addresses = addresses(&running, places.len());
    let port = addresses[0].port();
    assert!(addresses.iter().all(|a| a.port() == port), "{addresses:?}");
    for address in addresses {
        Client::to(address).ask(b"hello");
    }
    // Written after the lines, before the first accept.
    let file = std::fs::read_to_string(running.home().join("port")).unwrap();
    assert_eq!(file, format!("{port}\n"));
}

#[test]
fn both_wildcards_apart() {
    if !privilege::has_ipv6() {
        return netns::skip("no ::1 here");
    }
    let running = tool().args(["0.0.0.0:0", "[::]:0"]).spawn();
    let found = addresses(&running, 2);
    assert_eq!(found[0].port(), found[1].port());
    for host in ["127.0.0.1", "::1"] {
        Client::to(SocketAddr::new(host.parse().unwrap(), found[0].port())).ask(b"hello");
    }
}

#[test]
fn names() {
    let running = tool().args(["-4", "localhost:0"]).spawn();
    let addr = addresses(&running, 1)[0];
    Client::to(addr).ask(b"by name");
}

/// In a network of its own, where nobody can be asked.
#[test]
fn a_name_that_does_not_resolve() {
    if let Err(reason) = netns::available() {
        return netns::skip(&reason);
    }
    let bin = env!("CARGO_BIN_EXE_tcpecho-server");
    netns::Lab::new()
        .script(&format!("exec {bin} no-such-name.invalid:0"))
        .code(3)
        .stderr_contains("no-such-name.invalid");
}

#[test]
fn a_port_in_use() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = other.local_addr().unwrap();
    let port = addr.port();
    let out = tool().arg(addr.to_string()).run();
    out.code(2).stdout("").stderr(&format!(
        "tcpecho-server: {addr}: address already in use; \
         port {port} is taken; choose another, or 0 for a free one\n"
    ));
    let out = tool().args(["--json", &addr.to_string()]).run();
    assert_eq!(out.code(2).json()[0]["kind"], "system");
    // The wildcard does not slip past it either.
    let out = tool().args(["-4", &format!(":{port}")]).run();
    out.code(2)
        .stderr_contains(&format!("port {port} is taken"));
}

#[test]
fn an_address_given_twice() {
    let twice = |operand: &str| {
        let out = tool().args([operand, operand]).run();
        let line = format!("tcpecho-server: {operand}: given twice\n");
        out.code(2).stdout("").stderr(&line);
    };
    twice("127.0.0.1:0");
    twice("unix:echo");
    // Where ports are shared, also by one with itself.
    let shared = ["--reuse-port", "127.0.0.1:0", "127.0.0.1:0"];
    let running = tool().args(shared).spawn();
    let both = addresses(&running, 2);
    assert_eq!(both[0], both[1]);
    running.signal(15);
    let _ = running.wait().code(0);
    let out = tool().args(["-4", ":0", "127.0.0.1:0"]).run();
    out.code(2)
        .stdout("")
        .stderr_contains("address already in use; another operand has it already");
}

#[test]
fn a_port_file_that_cannot_be_written_is_found_first() {
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
fn a_port_is_shared_only_on_request() {
    let first = Server::start(&["--reuse-port"]);
    let addr = first.addr.to_string();
    tool().arg(&addr).run().code(2).stdout("");
    let second = tool().args(["--reuse-port", &addr]).spawn();
    assert_eq!(addresses(&second, 1)[0], first.addr);
}

#[test]
fn an_address_of_somebody_else() {
    tool()
        .arg("192.0.2.1:0")
        .run()
        .code(2)
        .stderr_contains("192.0.2.1:0: ")
        .stderr_contains("no interface here has this address");
}

#[test]
fn a_privileged_port_as_a_plain_user() {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first = first.map_or(Ok(1024), |first| first.trim().parse::<u16>());
    let port = first.unwrap().saturating_sub(1);
    if port == 0 {
        return netns::skip("every port is open to everybody here");
    }
    // Refused before it could matter whether the port is in use.
    let addr = format!("127.0.0.1:{port}");
    let out = tool().unprivileged().arg(&addr).run();
    out.code(2).stdout("").stderr(&format!(
        "tcpecho-server: {addr}: permission denied; \
         port {port} needs root or the capability CAP_NET_BIND_SERVICE\n"
    ));
}

#[test]
fn a_restart_does_not_wait_for_the_last_run() {
    let server = Server::start(&["--drain", "0"]);
    let addr = server.addr;
    let mut client = server.connect();
    client.ask(b"hello");
    // The server closes first, so its end goes to TIME_WAIT.
    server.running.signal(15);
    let _ = client.rest();
    drop(client);
    let _ = server.running.wait();
    let again = Server::of(tool().arg(addr.to_string()));
    again.connect().ask(b"again");
}

#[test]
fn unix_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let operand = format!("unix:{}", path.display());
    let start = || {
        let running = tool().arg(&operand).spawn();
        assert_eq!(running.read_line(SOON), format!("listening\t{operand}"));
        running
    };
    let running = start();
    let mut client = UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client.write_all(b"hello").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"hello");
    assert_eq!(running.read_line(SOON), "connected\tunix:#0");
    assert!(
        running
            .read_line(SOON)
            .starts_with("closed\tunix:#0\t5\t5\t")
    );
    // Somebody listens there.
    let out = tool().arg(&operand).run();
    out.code(2).stderr(&format!(
        "tcpecho-server: {operand}: address already in use; another program listens there\n"
    ));
    running.signal(15);
    let _ = running.wait().code(0);
    assert!(!path.exists(), "removed at the end");

    // Nobody listens there any more.
    let killed = start();
    killed.signal(9);
    let _ = killed.wait();
    assert!(path.exists());
    let running = start();
    running.signal(15);
    let _ = running.wait().code(0);

    // What is no socket is not touched.
    std::fs::write(&path, "precious").unwrap();
    let out = tool().arg(&operand).run();
    out.code(2).stderr_contains("exists and is not a socket");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

/// From the moment the path exists, whatever the umask.
#[test]
fn permissions_of_a_unix_socket() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let operand = format!("unix:{}", path.display());
    for (mode, expected) in [("600", 0o600), ("0666", 0o666), ("777", 0o777), ("0", 0)] {
        let running = tool().args(["--mode", mode, &operand]).spawn();
        assert_eq!(running.read_line(SOON), format!("listening\t{operand}"));
        let found = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(found & 0o7777, expected, "{mode}");
        running.signal(15);
        let _ = running.wait().code(0);
    }
    let script = format!(
        "umask 027; exec {} {operand}",
        env!("CARGO_BIN_EXE_tcpecho-server")
    );
    let running = Tool::new("sh").args(["-c", &script]).spawn();
    running.read_line(SOON);
    let found = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(found & 0o7777, 0o750, "by the umask");
    tool()
        .args(["--mode", "600", "127.0.0.1:0"])
        .run()
        .code(2)
        .stderr_contains("--mode needs a unix:PATH");
}

/// Each finds the path that another run left behind.
#[test]
fn servers_started_at_once_at_a_stale_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let operand = format!("unix:{}", path.display());
    let killed = tool().arg(&operand).spawn();
    killed.read_line(SOON);
    killed.signal(9);
    let _ = killed.wait();
    let all: Vec<_> = (0..6).map(|_| tool().arg(&operand).spawn()).collect();
    let (listening, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|running| {
        // A line on either stream tells which one it is.
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
            .stderr_contains("another program listens there");
    }
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    drop(client);
    for running in listening {
        running.signal(15);
        let out = running.wait();
        // Looking whether it is there has made no connection.
        out.code(0).stderr_contains("1 connection, ");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_sockets() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("tcpecho-test-{}", std::process::id());
    let operand = format!("unix:@{name}");
    let running = tool().arg(&operand).spawn();
    assert_eq!(running.read_line(SOON), format!("listening\t{operand}"));
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let mut client = UnixStream::connect_addr(&address).unwrap();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    tool().arg(&operand).run().code(2).stderr(&format!(
        "tcpecho-server: {operand}: address already in use; another program listens there\n"
    ));
    assert_eq!(std::fs::read_dir(running.home()).unwrap().count(), 0);
    drop(client);
    running.signal(15);
    let _ = running.wait().code(0);
}

#[test]
fn ready_on_a_descriptor() {
    let bin = env!("CARGO_BIN_EXE_tcpecho-server");
    let script = format!(
        "mkfifo ready; {bin} -q --ready-fd 7 127.0.0.1:0 7>ready & read -r line <ready
         echo \"got <$line>\"; kill $!; wait $!"
    );
    Tool::new("bash")
        .args(["-c", &script])
        .run()
        .code(0)
        .stdout("got <>\n")
        .stderr("");
}

/// With 3 to 9 closed the program's own descriptors take these numbers.
#[test]
fn ready_on_a_descriptor_that_was_not_handed_down() {
    let bin = env!("CARGO_BIN_EXE_tcpecho-server");
    for number in 3..10 {
        let script = format!(
            "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
             exec {bin} --ready-fd {number} 127.0.0.1:0"
        );
        let out = Tool::new("bash").args(["-c", &script]).run();
        out.code(2).stdout("").stderr(&format!(
            "tcpecho-server: --ready-fd {number}: bad file descriptor; \
             open it for the server, as {number}>FILE does\n"
        ));
    }
    let script = format!("exec {bin} --ready-fd 5 127.0.0.1:0 5</dev/null");
    let out = Tool::new("bash").args(["-c", &script]).run();
    out.code(2)
        .stdout("")
        .stderr_contains("--ready-fd 5: bad file descriptor");
}

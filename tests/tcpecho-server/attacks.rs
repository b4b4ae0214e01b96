//! Tests with hostile clients: the memory they can occupy and the datagrams they
//! can provoke are bounded.

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use testkit::netns::{self, Lab};

use crate::harness::{BIN, Client, SIGTERM, Server, tool};

/// The largest acceptable memory of a server with a few clients and a full log.
const MAX_MEMORY: u64 = 40 << 20;

/// Starts a server and measures its memory.
fn measured_server(args: &[&str]) -> Server {
    Server::spawn(tool().args(args).arg("127.0.0.1:0").measure_memory())
}

/// A datagram with a forged source makes two servers answer each other, until
/// one of them reaches its rate.
#[test]
fn the_traffic_between_two_servers_is_bounded() {
    if let Err(reason) = netns::available() {
        return netns::skip(&reason);
    }
    let script = format!(
        "net a b c; link a b 10.9.0.1/24 10.9.0.2/24; link a c 10.8.0.1/24 10.8.0.2/24
         at c ip address add 10.9.0.2/32 dev lo
         at c ip route add 10.9.0.1 via 10.8.0.1
         at a sh -c 'for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$file; done'
         serve() {{
             ip netns exec $1 {BIN} --udp -v --udp-rate 100 $2 >$1.log 2>$1.err &
         }}
         serve a 10.9.0.1:7991; one=$!
         serve b 10.9.0.2:7992; two=$!
         until grep -q listening a.log && grep -q listening b.log; do :; done
         for n in 1 2 3 4 5; do
             echo ping | at c socat -u - \\
                 UDP4-SENDTO:10.9.0.1:7991,bind=10.9.0.2:7992,reuseport || exit 9
         done
         # The first datagram above the rate ends the loop.
         until [ $(grep -c received a.log) -ge 101 ]; do :; done
         kill -TERM $one $two; wait $one $two
         cat a.err b.err"
    );
    let out = Lab::new().script(&script);
    let lines = out.code(0).lines();
    assert_eq!(lines.len(), 2, "{}", out.report());
    for line in lines {
        // Each datagram has 5 bytes. The loop may span more than one second.
        let (_, rest) = line.split_once(" bytes in, ").unwrap();
        let sent: u64 = rest.split(' ').next().unwrap().parse().unwrap();
        assert!((5 * 50..=5 * 100 * 4).contains(&sent), "{}", out.report());
    }
}

/// Datagrams to groups get a reply only on request, from an address of the host,
/// and only if their source is directly attached.
#[test]
fn broadcasts_and_multicasts_get_replies_on_request() {
    if let Err(reason) = netns::available() {
        return netns::skip(&reason);
    }
    let script = format!(
        "net a b
         link a b 10.9.0.1/24 10.9.0.2/24 fd00:9::1/64 fd00:9::2/64
         at a ip route add default dev to-b
         at b ip route add default via 10.9.0.1
         at a ip address add 10.77.0.1/32 dev lo
         serve() {{
             name=$1; shift
             ip netns exec b {BIN} --udp -v $* >$name.log 2>$name.err &
             until grep -q listening $name.log; do :; done
         }}
         serve all --broadcast :7001
         serve four --broadcast 0.0.0.0:7002
         serve six --broadcast -6 [::]:7003
         serve none :7004
         serve far --broadcast :7005
         # A sender waits until the server has logged the datagram, which it does
         # after it has sent the reply, and then one more second.
         ask() {{
             {{ printf $1; until grep -q \"$1\" $2.log; do sleep 0.02; done }} |
                 ip netns exec a socat -t 1 - $3 >$1.back &
             waiting=\"$waiting $!\"
         }}
         waiting=
         for server in all:7001 four:7002 none:7004; do
             name=${{server%:*}} port=${{server#*:}}
             ask subnet-$port $name UDP4-DATAGRAM:10.9.0.255:$port,broadcast
             ask limited-$port $name UDP4-DATAGRAM:255.255.255.255:$port,broadcast
             ask group-$port $name UDP4-DATAGRAM:224.0.0.1:$port
         done
         for server in all:7001 six:7003 none:7004; do
             name=${{server%:*}} port=${{server#*:}}
             ask link-$port $name UDP6-DATAGRAM:[ff02::1%to-b]:$port
             ask global-$port $name UDP6-DATAGRAM:[ff02::1%to-b]:$port,bind=[fd00:9::1]
         done
         ask unicast-7004 none UDP4-DATAGRAM:10.9.0.2:7004
         ask routed-7005 far UDP4-DATAGRAM:10.9.0.255:7005,broadcast,bind=10.77.0.1
         ask routed-unicast-7005 far UDP4-DATAGRAM:10.9.0.2:7005,bind=10.77.0.1
         wait $waiting
         for back in *.back; do echo $back $(cat $back); done
         # Datagrams without a reply have been received, too.
         for log in *.log; do echo $log $(grep -c received $log); done"
    );
    let out = Lab::new().script(&script);
    out.code(0).stdout(
        "global-7001.back global-7001\n\
         global-7003.back global-7003\n\
         global-7004.back\n\
         group-7001.back group-7001\n\
         group-7002.back group-7002\n\
         group-7004.back\n\
         limited-7001.back limited-7001\n\
         limited-7002.back limited-7002\n\
         limited-7004.back\n\
         link-7001.back link-7001\n\
         link-7003.back link-7003\n\
         link-7004.back\n\
         routed-7005.back\n\
         routed-unicast-7005.back routed-unicast-7005\n\
         subnet-7001.back subnet-7001\n\
         subnet-7002.back subnet-7002\n\
         subnet-7004.back\n\
         unicast-7004.back unicast-7004\n\
         all.log 5\n\
         far.log 2\n\
         four.log 3\n\
         none.log 6\n\
         six.log 2\n",
    );
}

#[test]
fn system_ports_and_own_ports_get_no_reply() {
    if let Err(reason) = netns::available() {
        return netns::skip(&reason);
    }
    let script = format!(
        "ip address add 10.0.0.1/32 dev lo
         {BIN} --udp -v 127.0.0.1:7001 127.0.0.1:7002 >log 2>err & server=$!
         until [ $(grep -c listening log) = 2 ]; do :; done
         for port in 7 53 514 1023 7001 7002; do
             printf x | socat -u - UDP4-SENDTO:127.0.0.1:7001,bind=10.0.0.1:$port || exit 9
         done
         printf yes | socat -u - UDP4-SENDTO:127.0.0.1:7001,bind=10.0.0.1:1024
         until [ $(grep -c received log) = 7 ]; do :; done
         kill -TERM $server; wait $server; cat err"
    );
    let out = Lab::new().script(&script);
    out.code(0).stdout_contains(" 9 bytes in, 3 bytes out");
}

/// Floods `addr` with datagrams while `work` runs.
fn during_flood<T>(addr: SocketAddr, datagram: &[u8], work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                while !stop.load(Ordering::Relaxed) {
                    // Sending fails once the server has ended.
                    let _ = socket.send_to(datagram, addr);
                }
            });
        }
        let result = work();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

#[test]
fn a_flood_of_datagrams_does_not_prevent_shutdown() {
    let server = Server::start(&["--udp"]);
    let pid = server.running.pid();
    during_flood(server.addr, b"x", || {
        let mut client = server.connect();
        client.echo(b"served during the flood");
        drop(client);
        server.running.signal(SIGTERM);
        assert!(server.running.ends(), "process {pid} does not end");
    });
    let _ = server.running.wait().code(0);
}

/// The datagrams are empty, so only their number matters.
#[test]
fn delayed_datagrams_are_bounded() {
    let server = measured_server(&["--udp", "--delay", "1h:1h", "--drain", "0"]);
    during_flood(server.addr, b"", || {
        // Long enough for more datagrams than the server keeps.
        for _ in 0..600 {
            let mut client = server.connect();
            client.send(b"x");
        }
    });
    server.terminate().peak_memory_below(MAX_MEMORY);
}

/// The log is not read, and each received byte takes four characters in it.
#[test]
fn a_full_log_is_bounded() {
    for format in [&["-v"][..], &["-v", "--json"]] {
        let (unread, log) = std::io::pipe().unwrap();
        let log = std::fs::File::from(std::os::fd::OwnedFd::from(log));
        let tool = tool()
            .args(format)
            .args(["--port-file", "port", "127.0.0.1:0"])
            .stdout_to(log)
            .measure_memory();
        let running = tool.spawn();
        let port = running.home().join("port");
        let port: u16 = loop {
            if let Ok(text) = std::fs::read_to_string(&port) {
                break text.trim().parse().unwrap();
            }
            assert!(running.is_running());
        };
        let mut client = Client::connect(([127, 0, 0, 1], port).into());
        let chunk = vec![1; 64 * 1024];
        for _ in 0..300 {
            client.echo(&chunk);
        }
        drop(client);
        running.signal(SIGTERM);
        let out = running.wait();
        out.code(0).peak_memory_below(MAX_MEMORY);
        drop(unread);
    }
}

/// Delayed replies of one byte each: the bookkeeping needs more memory than the
/// bytes.
#[test]
fn delayed_replies_are_bounded() {
    let server = measured_server(&["--delay", "1h", "--drain", "0"]);
    let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    let timeout = std::time::Duration::from_millis(200);
    for client in &mut clients {
        client.0.set_write_timeout(Some(timeout)).unwrap();
    }
    // Until the server accepts nothing more, or certainly keeps enough bytes.
    for client in &mut clients {
        for _ in 0..10_000 {
            if client.0.write_all(b"x").is_err() {
                break;
            }
        }
    }
    server.running.signal(SIGTERM);
    let out = server.running.wait();
    out.peak_memory_below(MAX_MEMORY);
}

/// Each client begins a handshake and does not continue it.
#[cfg(feature = "tls")]
#[test]
fn unfinished_handshakes_are_bounded() {
    let authority = testkit::tls::Authority::new();
    let (cert, key) = authority.files(testkit::tls::Leaf::Good);
    let server = Server::spawn(
        tool()
            .arg("--cert")
            .arg(cert)
            .arg("--key")
            .arg(key)
            .args(["--drain", "0", "127.0.0.1:0"])
            .measure_memory(),
    );
    // The first part of a ClientHello of 60,000 bytes, in records of 16 KiB.
    let mut hello = vec![1, 0, 0xea, 0x60];
    hello.resize(50_000, 0);
    let mut records = Vec::new();
    for part in hello.chunks(16_000) {
        records.extend([22, 3, 1]);
        records.extend((part.len() as u16).to_be_bytes());
        records.extend(part);
    }
    let clients: Vec<Client> = (0..100)
        .map(|_| {
            let mut client = server.connect();
            client.send(&records);
            client
        })
        .collect();
    for _ in &clients {
        assert_eq!(server.next_event()[0], "connected");
    }
    server.running.signal(SIGTERM);
    assert!(server.running.ends());
    drop(clients);
    // At most 64 KiB per connection.
    server.running.wait().peak_memory_below(MAX_MEMORY);
}

//! Clients of ill will: what they can make the server hold, send or do stays
//! bounded.

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use testkit::netns::{self, Lab};

use crate::kit::{Client, Server, tool};

const BIN: &str = env!("CARGO_BIN_EXE_tcpecho-server");

/// Of a server with a few clients and a full log.
const FLAT: u64 = 40 << 20;

fn measured(args: &[&str]) -> Server {
    Server::of(tool().args(args).arg("127.0.0.1:0").measure_memory())
}

/// One datagram with a forged source makes two servers answer each other, until
/// one of them has given its answers of that second.
#[test]
fn two_servers_that_answer_each_other() {
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
         # One that is refused ends the loop.
         until [ $(grep -c received a.log) -ge 101 ]; do :; done
         kill -TERM $one $two; wait $one $two
         cat a.err b.err"
    );
    let out = Lab::new().script(&script);
    let lines = out.code(0).lines();
    assert_eq!(lines.len(), 2, "{}", out.story());
    for line in lines {
        // 5 bytes each. The second may have turned while it went on.
        let (_, rest) = line.split_once(" bytes in, ").unwrap();
        let sent: u64 = rest.split(' ').next().unwrap().parse().unwrap();
        assert!((5 * 50..=5 * 100 * 4).contains(&sent), "{}", out.story());
    }
}

/// Answers to groups: only on request, from an address of this host, and to
/// directly attached sources.
#[test]
fn broadcasts_and_multicasts() {
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
         # Until the server has logged a datagram, after answering it, its sender
         # keeps waiting for an answer.
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
         # Those without an answer arrived, too.
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
fn ports_of_other_services_and_of_this_server() {
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

/// Keeps sending for as long as `work` runs.
fn under_fire<T>(addr: SocketAddr, datagram: &[u8], work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                while !stop.load(Ordering::Relaxed) {
                    // Refused once the server has gone.
                    let _ = socket.send_to(datagram, addr);
                }
            });
        }
        let done = work();
        stop.store(true, Ordering::Relaxed);
        done
    })
}

#[test]
fn a_flood_of_datagrams_does_not_keep_it_from_ending() {
    let server = Server::start(&["--udp"]);
    let pid = server.running.pid();
    under_fire(server.addr, b"x", || {
        let mut client = server.connect();
        client.ask(b"served beside it");
        drop(client);
        server.running.signal(15);
        assert!(server.running.ends(), "{pid} goes on");
    });
    let _ = server.running.wait().code(0);
}

/// Empty ones, of which the number alone counts.
#[test]
fn held_datagrams_are_bounded() {
    let server = measured(&["--udp", "--delay", "1h:1h", "--drain", "0"]);
    under_fire(server.addr, b"", || {
        // More than are held, answered or not.
        for _ in 0..600 {
            let mut client = server.connect();
            client.send(b"x");
        }
    });
    server.end().peak_memory_below(FLAT);
}

/// A log that is not read, of bytes that take four characters each.
#[test]
fn a_flood_into_a_full_log() {
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
        let mut client = Client::to(([127, 0, 0, 1], port).into());
        let chunk = vec![1; 64 * 1024];
        for _ in 0..300 {
            client.ask(&chunk);
        }
        drop(client);
        running.signal(15);
        let out = running.wait();
        out.code(0).peak_memory_below(FLAT);
        drop(unread);
    }
}

/// Answers held back, one byte each: what is kept about them counts as well.
#[test]
fn many_small_pieces_held_back() {
    let server = measured(&["--delay", "1h", "--drain", "0"]);
    let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    let quiet = std::time::Duration::from_millis(200);
    for client in &mut clients {
        client.0.set_write_timeout(Some(quiet)).unwrap();
    }
    // Until nothing more is taken, at the latest when what was sent is held.
    for client in &mut clients {
        for _ in 0..10_000 {
            if client.0.write_all(b"x").is_err() {
                break;
            }
        }
    }
    server.running.signal(15);
    let out = server.running.wait();
    out.peak_memory_below(FLAT);
}

/// Each connection begins a handshake and says no more.
#[cfg(feature = "tls")]
#[test]
fn handshakes_that_do_not_end() {
    let authority = testkit::tls::Authority::new();
    let (cert, key) = authority.files(testkit::tls::Leaf::Good);
    let server = Server::of(
        tool()
            .arg("--cert")
            .arg(cert)
            .arg("--key")
            .arg(key)
            .args(["--drain", "0", "127.0.0.1:0"])
            .measure_memory(),
    );
    // The beginning of a ClientHello of 60,000 bytes, in records of 16 KiB.
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
        assert_eq!(server.event()[0], "connected");
    }
    server.running.signal(15);
    assert!(server.running.ends());
    drop(clients);
    // 64 KiB each at most.
    server.running.wait().peak_memory_below(FLAT);
}

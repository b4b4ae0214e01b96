//! Targets with zones and international names, broadcast and multicast targets,
//! abstract sockets.

use std::os::unix::net::UnixListener;

use testkit::netns::{self, Lab};

use crate::client;

#[test]
fn zones_and_international_names_are_accepted() {
    if let Err(reason) = netns::available() {
        return netns::skip(&reason);
    }
    let lab = Lab::new().with(env!("CARGO_BIN_EXE_tcpecho-client"));
    // Without a name server, only the file is searched for names.
    let script = "
        net a b; link a b
        ip -n a address add fe80::a/64 dev to-b nodad
        ip -n b address add fe80::b/64 dev to-a nodad
        mkdir etc; echo '127.0.0.1 xn--bcher-kva.test' >etc/hosts
        : >etc/resolv.conf
        mount --bind etc/hosts /etc/hosts; mount --bind etc/resolv.conf /etc/resolv.conf
        ip netns exec b socat TCP6-LISTEN:7,fork EXEC:cat & one=$!
        ip netns exec b socat UDP6-RECVFROM:7,ipv6only=1,fork EXEC:cat & two=$!
        socat TCP4-LISTEN:7,fork EXEC:cat & three=$!
        try() { at a tcpecho-client --retry 100 --retry-delay 0.1 \"$@\" 2>&1; echo \" $?\"; }
        try [fe80::b%to-b]:7 one
        try fe80::b%to-b 7 two
        try [fe80::b]:7 -I to-b three
        try [fe80::b%to-b]:7 --source fe80::a%to-b four
        try -u [fe80::b%to-b]:7 five
        try --connect-only -q [fe80::b%to-b]:7
        try [fe80::b%to-b]:7 -c 1 -q | grep -o '1 sent, 1 received'
        try [fe80::b%nowhere]:7 six
        tcpecho-client --retry 100 --retry-delay 0.1 b\u{fc}cher.test:7 seven; echo \" $?\"
        tcpecho-client b\u{fc}cher.test 7 eight; echo \" $?\"
        kill $one $two $three";
    let out = lab.script(script);
    out.stdout(
        "one 0\ntwo 0\nthree 0\nfour 0\nfive 0\n 0\n1 sent, 1 received\n\
         tcpecho-client: [fe80::b%nowhere]:7: no network interface named nowhere\n 2\n\
         seven 0\neight 0\n",
    );
}

/// The replies come from another address than the target.
#[test]
fn replies_to_broadcasts_and_multicasts_are_received() {
    if let Err(reason) = netns::available() {
        return netns::skip(&reason);
    }
    let lab = Lab::new().with(env!("CARGO_BIN_EXE_tcpecho-client"));
    let script = "
        net a b; link a b 10.9.0.1/24 10.9.0.2/24 fd00:9::1/64 fd00:9::2/64
        at a ip route add default dev to-b
        ip netns exec b socat UDP4-RECVFROM:7,broadcast,fork EXEC:cat & one=$!
        ip netns exec b socat UDP6-RECVFROM:7,ipv6only=1,fork EXEC:cat & two=$!
        try() { at a tcpecho-client -u --timeout 5s \"$@\" 2>&1; echo \" $?\"; }
        until at a tcpecho-client -u --timeout 0.3 10.9.0.2:7 x >/dev/null 2>&1; do :; done
        until at a tcpecho-client -u --timeout 0.3 [fd00:9::2]:7 x >/dev/null 2>&1; do :; done
        try 10.9.0.255:7 subnet
        try 255.255.255.255:7 limited
        try 224.0.0.1:7 group
        try [ff02::1%to-b]:7 link
        try 10.9.0.255:7 -c 3 -i 0 -q | grep -o '3 sent, 3 received'
        kill $one $two";
    let out = lab.script(script);
    out.stdout("subnet 0\nlimited 0\ngroup 0\nlink 0\n3 sent, 3 received\n");
}

#[test]
fn datagrams_are_as_long_as_the_family_allows() {
    let peer = testkit::udp::UdpPeer::echo();
    let addr = peer.addr().to_string();
    for (size, code) in [("65507", 0), ("65508", 2)] {
        let out = client()
            .args(["-u", "-c", "1", "--size", size, &addr])
            .run();
        out.code(code);
    }
    let Ok(socket) = std::net::UdpSocket::bind("[::1]:0") else {
        return netns::skip("::1 is not available");
    };
    let addr = socket.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 70_000];
        while let Ok((n, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..n], from);
        }
    });
    for (size, code) in [("65527", 0), ("65528", 2)] {
        let out = client()
            .args(["-u", "-c", "1", "--size", size, &addr])
            .run();
        out.code(code);
        let message = "x".repeat(size.parse().unwrap());
        let out = client().args(["-u", &addr, &message]).run();
        out.code(code);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_sockets_are_valid_targets() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("tcpecho-client-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    let target = format!("unix:@{name}");
    client()
        .args([&target, "hello"])
        .run()
        .code(0)
        .stdout("hello");
    let out = client()
        .args([&target, "-c", "2", "-i", "0", "--reconnect"])
        .run();
    out.code(0).stdout_contains("2 sent, 2 received");
    let out = client()
        .args(["--bench", "--reconnect", "--duration", "50ms", &target])
        .run();
    out.code(0).stderr("");
    let out = client().args([&format!("{target}-none"), "hello"]).run();
    out.code(3).stderr_contains("connection refused");
}

//! Tests in network namespaces: systems with one address family, and zones.

use testkit::netns::{self, Lab};

use crate::harness::BIN;

/// Starts the server without an operand, and expects it at port 8080 of `host`.
fn check_default_address(host: &str, prepare: &str) {
    if let Err(reason) = netns::available() {
        return netns::skip(&reason);
    }
    let script = format!(
        "{prepare} || exit 9
         mkfifo events
         bash -c '
             {BIN} --once >events & exec 3<events
             read -r event address <&3; echo $event $address
             exec 4<>/dev/tcp/{host}/8080 || exit 8
             echo hello >&4; read -r reply <&4; echo $reply
             exec 4>&-; wait $!; echo $?'"
    );
    let out = Lab::new().script(&script);
    let lines = out.code(0).lines();
    assert!(lines[0].starts_with("listening "), "{}", out.report());
    assert!(lines[0].ends_with(":8080"), "{}", out.report());
    assert_eq!(lines[1..], ["hello", "0"]);
}

#[test]
fn the_default_works_without_ipv6() {
    check_default_address(
        "127.0.0.1",
        "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 && \
         echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6",
    );
}

#[test]
fn the_default_works_without_ipv4() {
    check_default_address("::1", "ip address del 127.0.0.1/8 dev lo");
}

/// Link-local addresses, and servers limited to one of several interfaces.
#[test]
fn zones_and_interfaces_are_respected() {
    if let Err(reason) = netns::available() {
        return netns::skip(&reason);
    }
    let script = format!(
        "net a b; link a b 10.9.0.1/24 10.9.0.2/24
         ip -n a address add fe80::a/64 dev to-b nodad
         ip -n b address add fe80::b/64 dev to-a nodad
         serve() {{
             name=$1; shift
             ip netns exec b {BIN} --udp -v $* >$name.log 2>$name.err &
             until grep -q listening $name.log; do :; done
         }}
         # The server ends a TCP connection. A sender of datagrams waits until
         # the server has logged the datagram, then one more second.
         ask() {{
             case $2 in
             UDP*) printf udp; until grep -q '\"udp\"' $name.log; do sleep 0.02; done ;;
             *) printf tcp ;;
             esac | ip netns exec $1 socat -t ${{3:-30}} - $2 2>/dev/null
             echo \" $?\"
         }}
         serve zone [fe80::b%to-a]:7001
         ask a TCP6:[fe80::b%to-b]:7001
         ask a UDP6:[fe80::b%to-b]:7001 1
         serve device *%to-a:7002
         ask a TCP4:10.9.0.2:7002
         ask b TCP4:127.0.0.1:7002
         serve option -I to-a 7003
         ask a TCP4:10.9.0.2:7003
         ask a UDP4:10.9.0.2:7003 1
         ask b TCP4:127.0.0.1:7003
         serve port 7004
         ask b TCP4:127.0.0.1:7004
         serve star *:7005
         ask b TCP4:127.0.0.1:7005
         at b {BIN} [fe80::b%nowhere]:7006 2>&1; echo \" $?\"
         at b {BIN} -I nowhere :7006 2>&1; echo \" $?\""
    );
    Lab::new().script(&script).stdout(
        "tcp 0\nudp 0\ntcp 0\n 1\ntcp 0\nudp 0\n 1\ntcp 0\ntcp 0\n\
         tcpecho-server: [fe80::b%nowhere]:7006: no network interface named nowhere\n 2\n\
         tcpecho-server: :7006: no network interface named nowhere\n 2\n",
    );
}

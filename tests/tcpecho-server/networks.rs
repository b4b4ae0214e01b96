//! Networks with one family only, in namespaces of their own.

use testkit::netns::{self, Lab};

const BIN: &str = env!("CARGO_BIN_EXE_tcpecho-server");

/// Starts the server without an operand, so on port 8080 of all addresses, and
/// talks to it at `host`.
fn default_served_at(host: &str, prepare: &str) {
    if let Err(reason) = netns::available() {
        return netns::skip(&reason);
    }
    let script = format!(
        "{prepare} || exit 9
         mkfifo events
         bash -c '
             {BIN} --once >events & exec 3<events
             read -r what where <&3; echo $what $where
             exec 4<>/dev/tcp/{host}/8080 || exit 8
             echo hello >&4; read -r back <&4; echo $back
             exec 4>&-; wait $!; echo $?'"
    );
    let out = Lab::new().script(&script);
    let lines = out.code(0).lines();
    assert!(lines[0].starts_with("listening "), "{}", out.story());
    assert!(lines[0].ends_with(":8080"), "{}", out.story());
    assert_eq!(lines[1..], ["hello", "0"]);
}

#[test]
fn ipv4_only() {
    default_served_at(
        "127.0.0.1",
        "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 && \
         echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6",
    );
}

#[test]
fn ipv6_only() {
    default_served_at("::1", "ip address del 127.0.0.1/8 dev lo");
}

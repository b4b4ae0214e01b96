//! Shell scripts in private network namespaces, in which links can be created,
//! delayed and cut, and can have any address.
//!
//! [`Lab`] runs a shell script under `unshare` with private network and mount
//! namespaces: directly as root, otherwise as the root of a user namespace. In
//! these, `lo` is up and `ip netns` uses a private `/run`, so the script sees and
//! changes nothing outside, and everything is removed at its end. The script can
//! use three shell functions:
//!
//! - `net NAME…` creates network namespaces with `lo` up;
//! - `link NS1 NS2 [ADDR1/LEN ADDR2/LEN]…` connects two namespaces (with names of
//!   at most 12 characters) by a veth pair. Its interfaces are `to-NS2` and
//!   `to-NS1`, with the given IPv4 or IPv6 addresses;
//! - `at NS COMMAND…` runs a command in a namespace.
//!
//! ```no_run
//! use testkit::netns::{self, Lab};
//! if let Err(reason) = netns::available() {
//!     return testkit::skip(&reason);
//! }
//! Lab::new()
//!     .script("net a b; link a b 10.0.0.1/24 10.0.0.2/24; at a ping -c1 -q 10.0.0.2 >&2")
//!     .code(0);
//! ```

use std::sync::OnceLock;
use std::time::Duration;

pub use crate::skipped::skip;
use crate::{Output, Tool, privilege};

/// The shell code before every script.
const PRELUDE: &str = r#"
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
ip link set lo up
net() {
    for name in "$@"; do
        ip netns add "$name"
        ip -n "$name" link set lo up
    done
}
link() {
    one=$1 two=$2
    shift 2
    ip link add "to-$two" netns "$one" type veth peer name "to-$one" netns "$two"
    ip -n "$one" link set "to-$two" up
    ip -n "$two" link set "to-$one" up
    while [ $# -ge 2 ]; do
        # Without duplicate detection an IPv6 address is usable immediately.
        ip -n "$one" address add "$1" dev "to-$two" nodad
        ip -n "$two" address add "$2" dev "to-$one" nodad
        shift 2
    done
}
at() {
    name=$1
    shift
    ip netns exec "$name" "$@"
}
set +e
"#;

/// Runs scripts in network namespaces, which are new and empty for each script.
#[derive(Debug, Clone)]
#[must_use]
pub struct Lab {
    path: Option<std::ffi::OsString>,
    timeout: Duration,
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Lab {
    /// Creates a laboratory with the system's `PATH`.
    pub fn new() -> Self {
        Self {
            path: None,
            timeout: crate::cmd::DEFAULT_TIMEOUT,
        }
    }

    /// Puts the directory of a program first on `PATH`, so that scripts can call
    /// it by name; pass `env!("CARGO_BIN_EXE_ping")`.
    pub fn with(mut self, program: &str) -> Self {
        let dir = std::path::Path::new(program).parent().map(Into::into);
        let system = self.path.take().unwrap_or_else(crate::cmd::system_path);
        let all = dir.into_iter().chain(std::env::split_paths(&system));
        self.path =
            Some(std::env::join_paths(all).expect("join a PATH without colons in its directories"));
        self
    }

    /// Sets the timeout of each script (20 s by default).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs a `sh` script to its end. The output has the status of the script.
    #[track_caller]
    pub fn script(&self, script: &str) -> Output {
        self.tool(script).run()
    }

    /// Returns the script as a [`Tool`], to set its input or to interact with it.
    pub fn tool(&self, script: &str) -> Tool {
        let mut tool = Tool::new("unshare").timeout(self.timeout);
        if let Some(path) = &self.path {
            tool = tool.env("PATH", path);
        }
        if !privilege::is_root() {
            tool = tool.args(["--user", "--map-root-user"]);
        }
        tool.args(["--net", "--mount", "sh", "-c"])
            .arg(format!("{PRELUDE}{script}"))
    }
}

/// Checks, once per process, whether namespaces can be created. The error is a
/// reason for [`skip`].
pub fn available() -> Result<(), String> {
    static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
    ANSWER
        .get_or_init(|| {
            let script = "net a b && link a b 10.0.0.1/24 10.0.0.2/24 && at a nft list ruleset";
            let out = Lab::new().script(script);
            if out.code == Some(0) {
                return Ok(());
            }
            let stderr = String::from_utf8_lossy(&out.stderr);
            let last = stderr.trim().lines().last().unwrap_or("no message");
            Err(format!("no network namespaces: {last}"))
        })
        .clone()
}

/// Runs the body of a test in a private laboratory, in which servers can listen
/// on port 53 and files of the system can be replaced. The script `prepare` runs
/// first; then the test binary runs again with this test only. `name` is the
/// name of the test as `cargo test` prints it.
///
/// ```no_run
/// // In a test called `ports::on_port_53`:
/// testkit::netns::within("ports::on_port_53", "ip link set lo mtu 1500", || {
///     std::net::UdpSocket::bind("127.0.0.1:53").unwrap();
/// });
/// ```
#[track_caller]
pub fn within(name: &str, prepare: &str, body: impl FnOnce()) {
    const INSIDE: &str = "TESTKIT_WITHIN";
    if std::env::var_os(INSIDE).is_some_and(|inside| inside == *name) {
        return body();
    }
    if let Err(reason) = available() {
        return skip(&reason);
    }
    let binary = std::env::current_exe().expect("get the path of this program");
    let script = format!(
        "set -e\n{prepare}\n{INSIDE}={name} exec '{}' --exact '{name}' --nocapture",
        binary.display()
    );
    let lab = Lab::new().timeout(Duration::from_secs(100));
    let out = lab.script(&script);
    // With a wrong name no test would run, which is a success for the harness.
    out.code(0).stdout_contains("1 passed");
    let stderr = String::from_utf8_lossy(&out.stderr);
    if let Some(line) = stderr
        .lines()
        .find_map(|line| line.strip_prefix("SKIPPED: "))
    {
        skip(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_connects_two_namespaces() {
        if let Err(reason) = available() {
            return skip(&reason);
        }
        let script = "
            net left right
            link left right 10.9.0.1/24 10.9.0.2/24
            at right ip -4 -br address show dev to-left
            at left ip route get 10.9.0.2 | grep -o 'dev to-right'";
        let out = Lab::new().script(script);
        out.code(0)
            .stdout_contains("10.9.0.2/24")
            .stdout_contains("dev to-right");
    }

    #[test]
    fn a_body_runs_in_another_namespace() {
        let outside = std::fs::read_link("/proc/self/ns/net").unwrap();
        let prepare = format!("export OUTSIDE='{}'", outside.display());
        within(
            "netns::tests::a_body_runs_in_another_namespace",
            &prepare,
            || {
                let outside = std::env::var("OUTSIDE").unwrap();
                let inside = std::fs::read_link("/proc/self/ns/net").unwrap();
                assert_ne!(inside.to_str(), Some(&*outside));
                std::net::UdpSocket::bind("127.0.0.1:53").unwrap();
            },
        );
    }

    #[test]
    fn an_unknown_test_name_fails() {
        if let Err(reason) = available() {
            return skip(&reason);
        }
        let ran = std::panic::catch_unwind(|| within("netns::tests::unknown", "", || {}));
        assert!(ran.is_err());
    }

    #[test]
    fn the_status_is_that_of_the_script() {
        if let Err(reason) = available() {
            return skip(&reason);
        }
        Lab::new().script("exit 7").code(7).stdout("").stderr("");
    }
}

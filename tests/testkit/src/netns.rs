//! A network laboratory: scripts that run in network namespaces of their own,
//! where links can be made, delayed, cut and given any address.
//!
//! [`Lab`] runs a shell script under `unshare` with private network and mount
//! namespaces: as root directly, otherwise as the root of a user namespace.
//! Inside, `lo` is up and `ip netns` works on a private `/run`, so nothing
//! outside is seen or touched, and all of it is gone when the script ends.
//! Three shell functions save typing:
//!
//! - `net NAME…` makes network namespaces with `lo` up;
//! - `link NS1 NS2 [ADDR1/LEN ADDR2/LEN]…` joins two of them (names of at most
//!   12 characters) by a veth pair whose ends are called `to-NS2` and `to-NS1`,
//!   and gives each end its addresses, IPv4 or IPv6;
//! - `at NS COMMAND…` runs a command inside one.
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

/// What every script begins with.
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
        # Without duplicate detection an IPv6 address is usable at once.
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

/// Scripts in network namespaces. Each script gets new, empty ones.
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
    /// A laboratory with the system's `PATH`.
    pub fn new() -> Self {
        Self {
            path: None,
            timeout: crate::cmd::DEFAULT_TIMEOUT,
        }
    }

    /// Puts the directory of this program first on `PATH`, so that scripts can
    /// call it by name; pass `env!("CARGO_BIN_EXE_ping")`.
    pub fn with(mut self, program: &str) -> Self {
        let dir = std::path::Path::new(program).parent().map(Into::into);
        let system = self.path.take().unwrap_or_else(crate::cmd::system_path);
        let all = dir.into_iter().chain(std::env::split_paths(&system));
        self.path = Some(std::env::join_paths(all).expect("a directory without a colon"));
        self
    }

    /// Bounds each script (20 s by default).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs a `sh` script to its end; its status is that of the script.
    #[track_caller]
    pub fn script(&self, script: &str) -> Output {
        self.tool(script).run()
    }

    /// The script as a [`Tool`], to give it input or to run beside it.
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

/// Whether namespaces can be made here; asked once per process. The error is
/// a reason to [`skip`].
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

/// Runs a test's body in a laboratory of its own, where servers may listen on
/// port 53 and files of the system may be replaced: `prepare` is a script, and
/// behind it the test binary runs once more, with this test alone. `name` is
/// the test's, as `cargo test` shows it.
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
    let binary = std::env::current_exe().expect("a path of this program");
    let script = format!(
        "set -e\n{prepare}\n{INSIDE}={name} exec '{}' --exact '{name}' --nocapture",
        binary.display()
    );
    let lab = Lab::new().timeout(Duration::from_secs(100));
    let out = lab.script(&script);
    // A name that is not a test's would pass as no test at all.
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
    fn two_hosts_and_a_link() {
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
    fn a_body_runs_within() {
        let outside = std::fs::read_link("/proc/self/ns/net").unwrap();
        let prepare = format!("export OUTSIDE='{}'", outside.display());
        within("netns::tests::a_body_runs_within", &prepare, || {
            let outside = std::env::var("OUTSIDE").unwrap();
            let inside = std::fs::read_link("/proc/self/ns/net").unwrap();
            assert_ne!(inside.to_str(), Some(&*outside));
            std::net::UdpSocket::bind("127.0.0.1:53").unwrap();
        });
    }

    #[test]
    fn a_body_without_a_test_is_no_pass() {
        if let Err(reason) = available() {
            return skip(&reason);
        }
        let ran = std::panic::catch_unwind(|| within("netns::tests::none", "", || {}));
        assert!(ran.is_err());
    }

    #[test]
    fn status_is_the_scripts() {
        if let Err(reason) = available() {
            return skip(&reason);
        }
        Lab::new().script("exit 7").code(7).stdout("").stderr("");
    }
}

//! A host that answers probes as a test decides, and the runs against it: with raw
//! and with datagram sockets, over IPv4 and IPv6.

use serde_json::Value;
use testkit::icmp::{IcmpLab, IcmpMessage, Probe};
use testkit::{Output, Tool, netns, privilege};

use super::mask;

/// Starts a lab with a host that answers each probe as `replies` decides. Returns
/// `None` if this user cannot create it.
pub(super) fn start<F>(replies: F) -> Option<IcmpLab>
where
    F: Fn(&Probe) -> Vec<IcmpMessage> + Send + Sync + 'static,
{
    if !privilege::is_root() {
        netns::skip("only root can create this host");
        return None;
    }
    match IcmpLab::start(replies) {
        Ok(lab) => Some(lab),
        Err(reason) => {
            netns::skip(&reason);
            None
        }
    }
}

/// The socket type and the target of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketCase {
    pub(super) is_raw: bool,
    pub(super) host: &'static str,
}

pub(super) const SOCKET_CASES: [SocketCase; 4] = [
    socket_case(true, "127.0.0.1"),
    socket_case(false, "127.0.0.1"),
    socket_case(true, "::1"),
    socket_case(false, "::1"),
];

const fn socket_case(is_raw: bool, host: &'static str) -> SocketCase {
    SocketCase { is_raw, host }
}

impl SocketCase {
    /// Returns `ping` with these arguments. The lab permits datagram sockets, so
    /// for a raw socket they must be forbidden, which holds for both families.
    pub(super) fn tool(self, args: &str) -> Tool {
        let (ping, host) = (env!("CARGO_BIN_EXE_ping"), self.host);
        let groups = if self.is_raw { "1 0" } else { "0 1000000" };
        let range = "/proc/sys/net/ipv4/ping_group_range";
        let script = format!("echo {groups} >{range}; exec {ping} {args} {host}");
        Tool::new("sh").args(["-c", &script])
    }

    pub(super) fn run(self, lab: &IcmpLab, args: &str) -> Output {
        lab.run(self.tool(args))
    }

    /// Returns standard output with every time replaced by `T`, and the target by
    /// `HOST`.
    pub(super) fn text(self, out: &Output) -> String {
        mask(out.stdout_str()).replace(self.host, "HOST")
    }

    /// Checks that [`SocketCase::text`] contains a text.
    #[track_caller]
    pub(super) fn expect_text(self, out: &Output, text: &str) {
        assert!(self.text(out).contains(text), "{}", out.report());
    }
}

/// Returns the records of a type.
pub(super) fn of_type<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|r| r["type"] == kind).collect()
}

/// Returns the only summary of a run.
pub(super) fn summary(out: &Output) -> Value {
    let records = out.json();
    let summaries = of_type(&records, "summary");
    assert_eq!(summaries.len(), 1, "{}", out.report());
    summaries[0].clone()
}

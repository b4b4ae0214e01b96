//! Compares ping's classic format with iputils: the same lines except for the
//! times, and the same status. Also runs programs that parse ping's output.

use serde_json::Value;
use support::TaskResult;
use support::exec::{Exec, which};
use testkit::privilege;

use super::{Context, same_lines};

/// The options with which both must print the same.
const OPTIONS: [&[&str]; 8] = [
    &["-c", "2", "-i", "0.2"],
    &["-c", "3", "-i", "0.2", "-q"],
    &["-c", "2", "-i", "0.2", "-n", "-s", "1000"],
    &["-c", "2", "-i", "0.2", "-s", "8"],
    &["-c", "2", "-i", "0.2", "-D"],
    &["-c", "2", "-i", "0.2", "-p", "ff00"],
    &["-c", "3", "-A"],
    &["-c", "1", "-t", "9"],
];

/// Compares the output for every set of options and both families.
pub(super) fn classic_format(context: &Context) -> TaskResult<String> {
    let peer = which("ping").ok_or("no ping")?;
    let mut addresses = vec!["127.0.0.1"];
    if privilege::has_ipv6() {
        addresses.push("::1");
    }
    let mut compared = 0;
    let mut refused = 0;
    for address in addresses {
        for options in OPTIONS {
            let args = || options.iter().copied().chain([address]);
            let theirs = Exec::new(&peer, args()).run()?;
            let ours = context.tool("ping", args()).run()?;
            if theirs.code == 2 && ours.code == 2 {
                refused += 1;
                continue;
            }
            let what = format!("ping {} {address}", options.join(" "));
            if ours.code != theirs.code {
                return Err(format!(
                    "{what}: status {} instead of {}\n{}",
                    ours.code,
                    theirs.code,
                    ours.err()
                ));
            }
            same_lines(&what, &shape(&ours.out()), &shape(&theirs.out()))?;
            compared += 1;
        }
    }
    if compared == 0 {
        return Ok("SKIPPED, neither may send ICMP here".to_owned());
    }
    Ok(format!("{compared} runs alike, {refused} refused alike"))
}

/// Compares the figures that jc reads from the output with the lines themselves.
pub(super) fn jc(context: &Context) -> TaskResult<String> {
    if !privilege::can_ping() {
        return Ok("SKIPPED, ping may not send ICMP here".to_owned());
    }
    let python = super::python()?;
    let mut addresses = vec!["127.0.0.1"];
    if privilege::has_ipv6() {
        addresses.push("::1");
    }
    let mut parsed = 0;
    for address in addresses {
        for options in [&[][..], &["-q"], &["-v"], &["--percentiles"], &["-D"]] {
            let args = ["-c", "3", "-i", "0.2"]
                .into_iter()
                .chain(options.iter().copied());
            let text = context.tool("ping", args.chain([address])).text()?;
            let what = format!("jc of ping {} {address}", options.join(" "));
            let read = Exec::new(&python, ["-m", "jc", "--ping"])
                .stdin(text.as_bytes())
                .text()?;
            let read: Value =
                serde_json::from_str(&read).map_err(|e| format!("{what}: {e}: {read}"))?;
            let last = text.lines().last().unwrap_or_default();
            let times = last
                .strip_prefix("rtt min/avg/max/mdev = ")
                .and_then(|rest| rest.strip_suffix(" ms"))
                .ok_or_else(|| format!("{what}: the last line is {last}"))?;
            let mut expected = vec![
                ("packets_transmitted", "3"),
                ("packets_received", "3"),
                ("packet_loss_percent", "0"),
            ];
            let keys = ["min", "avg", "max", "stddev"].map(|key| format!("round_trip_ms_{key}"));
            expected.extend(keys.iter().map(String::as_str).zip(times.split('/')));
            for (key, value) in expected {
                let wanted: f64 = value.parse().map_err(|e| format!("{what}: {e}: {value}"))?;
                if read[key].as_f64() != Some(wanted) {
                    return Err(format!("{what}: {key} is {} and not {wanted}", read[key]));
                }
            }
            let replies = read["responses"].as_array().map_or(0, Vec::len);
            if replies != if options.contains(&"-q") { 0 } else { 3 } {
                return Err(format!("{what}: {replies} replies"));
            }
            parsed += 1;
        }
    }
    Ok(format!("{parsed} outputs read"))
}

/// The path of the check in Debian's monitoring-plugins-basic.
pub(super) const CHECK_PING: &str = "/usr/lib/nagios/plugins/check_ping";

/// Compares the verdicts of check_ping with the system's ping and with this one in
/// its place: no loss, half of the probes lost, no reply; both families.
pub(super) fn check_ping(context: &Context) -> TaskResult<String> {
    let script = r#"
        ip link set lo up
        [ -z "$2" ] || mount --bind "$2" /bin/ping || exit 9
        verdict() {
            "$1" -H $2 -w 100,10% -c 500,60% -p 2 -t 15
            echo "status $?"
        }
        nft 'add table inet t; add chain inet t i { type filter hook input priority 0; }'
        for host in 127.0.0.1 ::1; do verdict "$1" $host; done
        nft 'add rule inet t i icmp type echo-request numgen inc mod 2 1 drop'
        nft 'add rule inet t i icmpv6 type echo-request numgen inc mod 2 1 drop'
        for host in 127.0.0.1 ::1; do verdict "$1" $host; done
        nft 'flush chain inet t i; add rule inet t i icmp type echo-request drop'
        verdict "$1" 127.0.0.1"#;
    let run = |ours: &str| -> TaskResult<String> {
        let user: &[&str] = if privilege::is_root() {
            &[]
        } else {
            &["--user", "--map-root-user"]
        };
        let args = user.iter().copied();
        let args = args.chain([
            "--net", "--mount", "sh", "-c", script, "sh", CHECK_PING, ours,
        ]);
        let text = Exec::new("unshare", args).text()?;
        Ok(verdicts(&text))
    };
    let theirs = run("")?;
    let ours = run(&context.bins.tool("ping").display().to_string())?;
    same_lines("check_ping", &ours, &theirs)?;
    let count = theirs
        .lines()
        .filter(|line| line.starts_with("status "))
        .count();
    if count != 5 {
        return Err(format!("{count} verdicts instead of 5:\n{theirs}"));
    }
    Ok(format!("{count} verdicts alike"))
}

/// Returns the verdicts without their times.
fn verdicts(text: &str) -> String {
    text.lines()
        .map(|line| match line.split_once(", RTA = ") {
            Some((head, _)) => format!("{head}\n"),
            None => format!("{}\n", line.split('|').next().unwrap_or_default()),
        })
        .collect()
}

/// Replaces every time by `T`, and adds the blank that newer versions have in the
/// IPv6 header.
fn shape(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = line.replacen("PING ::1(::1)", "PING ::1 (::1)", 1);
        // `-D`: [1700000000.000000]
        let line = match line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((stamp, rest)) if stamp.contains('.') => format!("[T]{rest}"),
            _ => line,
        };
        if let Some(rest) = line.strip_prefix("rtt min/avg/max/mdev = ") {
            // `ipg/ewma` with -A is a figure of its own.
            let tail = rest.split_once(" ms").map_or("", |(_, tail)| tail);
            let tail = tail
                .split_once("ipg/ewma")
                .map_or(tail, |(_, _)| ", ipg/ewma T");
            out.push_str(&format!("rtt T ms{tail}\n"));
            continue;
        }
        match line.split_once("time=") {
            Some((head, _)) => out.push_str(&format!("{head}time=T\n")),
            None => match line.rsplit_once(", time ") {
                Some((head, _)) => out.push_str(&format!("{head}, time T\n")),
                None => out.push_str(&format!("{line}\n")),
            },
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::shape;

    #[test]
    fn times_become_t() {
        assert_eq!(
            shape("64 bytes from ::1: icmp_seq=1 ttl=64 time=0.045 ms\n"),
            "64 bytes from ::1: icmp_seq=1 ttl=64 time=T\n"
        );
        assert_eq!(
            shape("2 packets transmitted, 2 received, 0% packet loss, time 204ms\n"),
            "2 packets transmitted, 2 received, 0% packet loss, time T\n"
        );
        assert_eq!(
            shape("rtt min/avg/max/mdev = 0.024/0.032/0.040/0.008 ms\n"),
            "rtt T ms\n"
        );
        assert_eq!(shape("[1700000000.123456] 64 bytes\n"), "[T] 64 bytes\n");
    }
}

//! ping's classic face beside iputils: the same lines but for the times, and
//! the same status.

use testkit::privilege;

use super::{Bench, same_lines};
use crate::Outcome;
use crate::exec::{Exec, which};

/// Options under which both must look alike.
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

/// Every set of options, both families.
pub(super) fn faces(bench: &Bench) -> Outcome<String> {
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
            let ours = bench.tool("ping", args()).run()?;
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
            let theirs = shape(&theirs.out());
            // What ours adds comes after the line `rtt`, where theirs ends.
            let ours = shape(&ours.out());
            let lines = theirs.lines().count();
            let ours: String = ours.split_inclusive('\n').take(lines).collect();
            same_lines(&what, &ours, &theirs)?;
            compared += 1;
        }
    }
    if compared == 0 {
        return Ok("SKIPPED, neither may send ICMP here".to_owned());
    }
    Ok(format!("{compared} runs alike, {refused} refused alike"))
}

/// The text with every time replaced by `T`, and the blank that newer
/// versions put into the IPv6 header.
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

//! The memory and time that hostile input takes.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

use testkit::Tool;

use super::subnetcalc;

const MIB: u64 = 1 << 20;

/// A run with a long timeout that measures the peak memory.
fn measured(args: &[&str]) -> Tool {
    subnetcalc()
        .args(args)
        .measure_memory()
        .timeout(Duration::from_secs(120))
}

/// A sparse file that has `gap` NUL bytes between two texts.
fn sparse(start: &str, gap: u64, end: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("make a directory");
    let path = dir.path().join("sparse");
    let mut file = File::create(&path).expect("create a file");
    file.write_all(start.as_bytes()).expect("write");
    file.seek(SeekFrom::Current(gap.cast_signed()))
        .expect("seek");
    file.write_all(end.as_bytes()).expect("write");
    let path = path.to_str().expect("a plain path").to_owned();
    (dir, path)
}

fn dev_null() -> File {
    File::options()
        .write(true)
        .open("/dev/null")
        .expect("open /dev/null")
}

#[test]
fn grep_searches_a_line_of_any_length() {
    let (_dir, path) = sparse("x", 150 * MIB, " 10.0.0.1 \n10.0.0.2\n");
    for (options, status, expected) in [
        (&["-c"][..], 0, "2\n"),
        (&["-c", "-v"], 1, "0\n"),
        (&["-c", "--no-address"], 1, "0\n"),
        (&["-c", "-x"], 0, "1\n"),
        (&["-o"], 0, "10.0.0.1\n10.0.0.2\n"),
        (&["-q"], 0, ""),
        (&["-v"], 1, ""),
        (&["--no-address"], 1, ""),
        (&["-x"], 0, "10.0.0.2\n"),
    ] {
        measured(&[&["grep", "--in", "10.0.0.0/8", &path], options].concat())
            .run()
            .code(status)
            .stdout(expected)
            .stderr("")
            .peak_memory_below(160 * MIB);
    }
    // With a set that has no address of the line.
    measured(&["grep", "-c", "-v", "--in", "192.0.2.1", &path])
        .run()
        .code(0)
        .stdout("2\n")
        .peak_memory_below(64 * MIB);
}

#[test]
fn grep_reports_a_selected_line_that_is_too_long_to_print() {
    let (_dir, path) = sparse("9.9.9.9\nx", 100 * MIB, " 10.0.0.1 \n10.0.0.2\n");
    for (options, expected) in [
        (&["--in", "10.0.0.0/8"][..], "10.0.0.2\n"),
        (&["-v", "--in", "192.0.2.1"], "9.9.9.9\n10.0.0.2\n"),
    ] {
        measured(&[&["grep", &path], options].concat())
            .run()
            .code(2)
            .stdout(expected)
            .stderr(&format!(
                "subnetcalc: {path}:2: selected line not printed: it is longer than 67108864 \
                 bytes; use -o, -c or -q, which have no limit\n"
            ))
            .peak_memory_below(160 * MIB);
    }
    let out = measured(&["--json", "grep", "--in", "10.0.0.0/8", &path]).run();
    out.code(2).peak_memory_below(160 * MIB);
    let records = out.json();
    assert_eq!(records[0]["type"], "error");
    assert_eq!(records[1]["text"], "10.0.0.2");
    assert_eq!(records[1]["line"], 3);
}

#[test]
fn grep_prints_a_line_that_starts_with_a_member_while_it_reads_it() {
    let (_dir, path) = sparse("10.0.0.1 ", 150 * MIB, " 10.0.0.2\n10.0.0.3\n");
    measured(&["grep", "--in", "10.0.0.0/8", &path])
        .stdout_to(dev_null())
        .run()
        .code(0)
        .stderr("")
        .peak_memory_below(64 * MIB);
    // A JSON record is printed as a whole, so its line is limited.
    let (_dir, path) = sparse("10.0.0.1 ", 60 * MIB, " 10.0.0.2\n");
    measured(&["--json", "grep", "--in", "10.0.0.0/8", &path])
        .stdout_to(dev_null())
        .run()
        .code(0)
        .stderr("")
        .peak_memory_below(256 * MIB);
}

#[test]
fn grep_of_endless_input_takes_no_memory() {
    for options in [&[][..], &["-v"], &["-c"], &["-x"], &["-o"], &["--json"]] {
        let zero = File::open("/dev/zero").expect("open /dev/zero");
        let running = measured(&[&["grep", "--in", "10.0.0.0/8"], options].concat())
            .stdin_from(zero)
            .spawn();
        // This is a multiple of the memory that it may use.
        while read_by(running.pid()) < 200 * MIB {
            std::thread::yield_now();
        }
        assert!(running.peak_memory() < 160 * MIB, "{options:?}");
        running.signal(15);
        running.wait().killed_by(15);
    }
}

/// Returns the number of bytes that a process has read so far.
fn read_by(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).expect("read /proc");
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.and_then(|n| n.parse().ok()).expect("rchar")
}

#[test]
fn a_list_without_newlines_takes_no_memory() {
    for words in [
        &["aggregate", "-"][..],
        &["count", "-"],
        &["sort", "-"],
        &["overlap", "-"],
        &["match", "--in", "::/0", "-"],
        &["match", "--in", "-", "::1"],
        &["grep", "--in", "-", "/dev/null"],
        &["subtract", "10.0.0.0/8", "--minus", "-"],
        &["hosts", "-"],
        &["info", "-"],
        &["mask", "-"],
    ] {
        let (_dir, path) = sparse("10.0.0.0/8\n", 40 * MIB, "\n10.0.0.0/8\n");
        measured(words)
            .stdin_from(File::open(path).expect("open"))
            .stdout_to(dev_null())
            .run()
            .code(2)
            .peak_memory_below(32 * MIB);
    }
}

#[test]
fn millions_of_repeats_take_no_memory() {
    let text = "2001:db8::1\n10.0.0.0/24\n10.0.0.1-10.0.0.7\n::/128\n".repeat(600_000);
    for (words, expected) in [
        (&["count"][..], "256\n2\n"),
        (&["supernet"], "10.0.0.0/24\n::/2\n"),
        (
            &["match", "--in", "-", "10.0.0.3"],
            "10.0.0.3\t10.0.0.1-10.0.0.7\n",
        ),
    ] {
        measured(words)
            .stdin(text.as_bytes())
            .run()
            .code(0)
            .stdout(expected)
            .stderr("")
            .peak_memory_below(40 * MIB);
    }
}

/// Ranges with up to 254 networks each.
fn wide_ranges(count: u64) -> String {
    (0..count)
        .map(|n| {
            format!(
                "::{:x}:{:x}:1-fffe:ffff:ffff:ffff:ffff:ffff:ffff:fffe\n",
                n >> 16,
                n & 0xffff
            )
        })
        .collect()
}

#[test]
fn ranges_are_not_stored_as_their_networks() {
    let text = wide_ranges(30_000);
    measured(&["match", "--in", "-", "::1:1"])
        .stdin(text.as_bytes())
        .run()
        .code(0)
        .stdout("::1:1\t::1:1-fffe:ffff:ffff:ffff:ffff:ffff:ffff:fffe\n")
        .peak_memory_below(32 * MIB);
    measured(&["sort"])
        .stdin(text.as_bytes())
        .run_closing_stdout_after(100)
        .code(0)
        .peak_memory_below(32 * MIB);
    measured(&["aggregate"])
        .stdin(text.as_bytes())
        .run()
        .code(0)
        .peak_memory_below(32 * MIB);
}

#[test]
fn networks_of_ranges_are_merged_in_bounded_memory() {
    // These ranges do not touch and have 126 networks each, 5 million in total.
    let text: String = (0..40_000_u64)
        .map(|n| {
            let net = format!("2001:db8:{:x}:{:x}", n >> 16, n & 0xffff);
            format!("{net}::1-{net}:ffff:ffff:ffff:fffe\n")
        })
        .collect();
    let out = measured(&["aggregate", "--max-count", "10"])
        .stdin(text.as_bytes())
        .run();
    out.code(0).peak_memory_below(450 * MIB);
    assert!(out.lines().len() <= 10);
}

#[test]
fn a_large_set_is_searched_in_bounded_memory() {
    let text: String = (0..200_000_u64)
        .map(|n| format!("2001:db8:{:x}:{:x}::/64\n", n >> 16, n & 0xffff))
        .collect();
    measured(&["match", "--in", "-", "2001:db8:1:2::3", "::1"])
        .stdin(text.as_bytes())
        .run()
        .code(1)
        .stdout("2001:db8:1:2::3\t2001:db8:1:2::/64\n::1\t-\n")
        .peak_memory_below(80 * MIB);
}

#[test]
fn huge_numbers_take_no_memory() {
    let most = u128::MAX.to_string();
    let digits = "9".repeat(100_000);
    for (words, status) in [
        (&["hosts", "::/0", "--all", "--step", &most][..], 0),
        (&["hosts", "::/0", "--step", "9".repeat(39).as_str()], 2),
        (&["hosts", "::/0", "--step", &digits], 2),
        (&["hosts", "::/0", "--limit", &digits], 2),
        (&["hosts", "::/120", "--limit", &most], 0),
        (&["split", "::/0", "--parts", &digits], 2),
        (&["split", "10.0.0.0/8", "--parts", &most], 2),
        (&["nth", "::/0", &digits], 1),
        (&["nth", "::/0", &format!("-{digits}")], 1),
        (&["next", "::/64", &digits], 2),
        (&["next", "::/64", &most], 1),
        (&["sample", "::/0", &digits], 2),
        (&["plan", "::/0", &digits], 2),
        (&["plan", "::/0", &most], 0),
        (&["plan", "::/1", &most], 1),
        (
            &["aggregate", "--max-count", &u64::MAX.to_string(), "::/1"],
            0,
        ),
        (&["aggregate", "--max-count", &digits, "::/1"], 2),
        (&["mask", &digits], 2),
        (&["info", &format!("10.0.0.0/{digits}")], 2),
        (&["info", &digits], 2),
        (&["aggregate", &format!("10.0.0.0-{digits}")], 2),
    ] {
        // These runs are so short that the memory of the test program may be measured.
        measured(words)
            .run()
            .code(status)
            .peak_memory_below(512 * MIB);
    }
    for words in [
        &["hosts", "::/0"][..],
        &["split", "::/0", "--prefix", "128"],
        &["split", "::/0", "--parts", &(1_u128 << 127).to_string()],
        &["sample", "::/0", &most],
        &["free", "::/0", "--used", "::1", "--prefix", "128"],
    ] {
        measured(words)
            .run_closing_stdout_after(1 << 16)
            .code(0)
            .stderr("")
            .peak_memory_below(512 * MIB);
    }
}

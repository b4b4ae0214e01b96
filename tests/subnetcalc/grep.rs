//! The command `grep`.

use super::{file, records_are, run, subnetcalc};

const LOG: &str = "10.0.0.1 - a\n192.0.2.1 b 10.0.0.2.\nno address\nx10.0.0.3y\n\
    [2001:db8::1]:443 c\n::ffff:10.0.0.4 d\n10.0.0.5:80 e\n";

fn grep(args: &[&str]) -> testkit::Output {
    subnetcalc().arg("grep").args(args).stdin(LOG).run()
}

#[test]
fn lines_with_an_address_of_the_set_are_printed() {
    grep(&["--in", "10.0.0.0/8"])
        .code(0)
        .stdout("10.0.0.1 - a\n192.0.2.1 b 10.0.0.2.\n10.0.0.5:80 e\n")
        .stderr("");
    grep(&["--in", "10.0.0.0/8", "--in", "2001:db8::/32", "-"])
        .code(0)
        .stdout("10.0.0.1 - a\n192.0.2.1 b 10.0.0.2.\n[2001:db8::1]:443 c\n10.0.0.5:80 e\n");
    grep(&["--in", "172.16.0.0/12"])
        .code(1)
        .stdout("")
        .stderr("");
}

#[test]
fn options_change_what_is_selected_and_printed() {
    grep(&["-v", "--in", "10.0.0.0/8"])
        .code(0)
        .stdout("[2001:db8::1]:443 c\n::ffff:10.0.0.4 d\n");
    grep(&["--no-address", "--in", "10.0.0.0/8"])
        .code(0)
        .stdout("no address\nx10.0.0.3y\n");
    grep(&["-c", "--in", "10.0.0.0/8"]).code(0).stdout("3\n");
    grep(&["-c", "--in", "172.16.0.0/12"]).code(1).stdout("0\n");
    grep(&["-o", "--in", "10.0.0.0/8"])
        .code(0)
        .stdout("10.0.0.1\n10.0.0.2\n10.0.0.5\n");
    grep(&["-x", "--in", "10.0.0.0/8"])
        .code(0)
        .stdout("10.0.0.1 - a\n10.0.0.5:80 e\n");
    grep(&["-xv", "--in", "10.0.0.0/8"])
        .code(0)
        .stdout("192.0.2.1 b 10.0.0.2.\n[2001:db8::1]:443 c\n::ffff:10.0.0.4 d\n");
    grep(&["--unmap", "--in", "10.0.0.4"])
        .code(0)
        .stdout("::ffff:10.0.0.4 d\n");
    grep(&["--in", "::ffff:10.0.0.0/104"])
        .code(0)
        .stdout("::ffff:10.0.0.4 d\n");
    grep(&["-q", "--in", "10.0.0.4", "--in", "10.0.0.5"])
        .code(0)
        .stdout("")
        .stderr("");
    grep(&["-q", "--in", "10.0.0.4"])
        .code(1)
        .stdout("")
        .stderr("");
}

#[test]
fn files_are_named_as_grep_names_them() {
    let (_a, a) = file("10.0.0.1 a\n9.9.9.9\n");
    let (_b, b) = file("10.0.0.2 b");
    let files = |args: &[&str]| {
        subnetcalc()
            .args(["grep", "--in", "10.0.0.0/8"])
            .args(args)
            .stdin("10.0.0.3 stdin\n")
            .run()
    };
    files(&[&a]).code(0).stdout("10.0.0.1 a\n");
    files(&[&a, &b, "-"]).code(0).stdout(&format!(
        "{a}:10.0.0.1 a\n{b}:10.0.0.2 b\n(standard input):10.0.0.3 stdin\n"
    ));
    files(&["-c", &a, &b])
        .code(0)
        .stdout(&format!("{a}:1\n{b}:1\n"));
    files(&["-H", &a])
        .code(0)
        .stdout(&format!("{a}:10.0.0.1 a\n"));
    files(&["--no-filename", &a, &b])
        .code(0)
        .stdout("10.0.0.1 a\n10.0.0.2 b\n");
    files(&["/nowhere", &a])
        .code(2)
        .stdout(&format!("{a}:10.0.0.1 a\n"))
        .stderr("subnetcalc: /nowhere: no such file or directory\n");
    let _ = files(&["-", "-"]).code(2).stdout("");
}

#[test]
fn json_has_a_record_for_each_line_or_file() {
    let records = grep(&["--json", "--in", "10.0.0.0/8"]).code(0).json();
    assert_eq!(records.len(), 3);
    assert_eq!(records[1]["type"], "grep");
    assert_eq!(records[1]["file"], "-");
    assert_eq!(records[1]["line"], 2);
    assert_eq!(records[1]["text"], "192.0.2.1 b 10.0.0.2.");
    assert_eq!(records[1]["addresses"].as_array().unwrap().len(), 1);
    records_are(
        grep(&["--json", "-c", "--in", "10.0.0.0/8"])
            .code(0)
            .stderr(""),
        "{\"type\":\"grep\",\"file\":\"-\",\"line\":null,\"text\":null,\"text_base64\":null,\
         \"addresses\":null,\"count\":3}\n",
    );
}

#[test]
fn lines_are_printed_byte_for_byte() {
    let line = b"\xff\x00 10.0.0.1 \x1b[31m\r\n";
    let out = subnetcalc()
        .args(["grep", "--in", "10.0.0.1"])
        .stdin(line.to_vec())
        .run();
    assert_eq!(out.code(0).stdout, line);
}

#[test]
fn a_large_file_keeps_its_order() {
    let mut text = String::new();
    let mut expected = String::new();
    for n in 0..200_000_u32 {
        let line = if n % 3 == 0 {
            format!("{n} from 10.0.{}.{} here\n", n / 256 % 256, n % 256)
        } else {
            format!("{n} from 11.0.0.1 at 12:30:45\n")
        };
        if n % 3 == 0 {
            expected += &line;
        }
        text += &line;
    }
    let (_dir, path) = file(&text);
    let out = run(&format!("grep --in 10.0.0.0/8 {path}"));
    assert!(out.code(0).stdout == expected.as_bytes());
    let out = run(&format!("grep -c --in 10.0.0.0/8 {path}"));
    out.code(0).stdout("66667\n");
    subnetcalc()
        .args(["grep", "-q", "--in", "10.0.0.0/8", &path])
        .run()
        .code(0)
        .stdout("");
    subnetcalc()
        .args(["grep", "--in", "0.0.0.0/0", &path])
        .run_closing_stdout_after(1000)
        .code(0)
        .stderr("");
}

#[test]
fn a_line_can_be_longer_than_the_buffer() {
    let mut line = "x".repeat(5_000_000);
    line += " 10.0.0.1\n";
    let out = subnetcalc()
        .args(["grep", "--in", "10.0.0.1"])
        .stdin(line.clone())
        .run();
    assert!(out.code(0).stdout == line.as_bytes());
}

#[test]
fn a_quiet_search_ends_with_the_first_selected_line() {
    let child = subnetcalc()
        .args(["grep", "-q", "--in", "10.0.0.0/8"])
        .piped_stdin()
        .spawn();
    // This is more than one thread searches alone.
    child.write_stdin(&b"nothing here\n".repeat(400_000));
    child.write_stdin(b"10.0.0.1\n");
    assert!(child.ends());
    child.wait().code(0).stdout("").stderr("");
}

#[test]
fn a_quiet_search_succeeds_even_if_a_file_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log");
    std::fs::write(&file, "10.0.0.1\n").unwrap();
    let run = |set: &str| {
        subnetcalc()
            .args(["grep", "-q", "--in", set, "/nowhere/log"])
            .arg(&file)
            .run()
    };
    let message = "subnetcalc: /nowhere/log: no such file or directory\n";
    run("10.0.0.0/8").code(0).stderr(message);
    run("11.0.0.0/8").code(2).stderr(message);
}

#[test]
fn addresses_of_the_other_family_are_ignored() {
    let lines = "::1\n10.0.0.1\n11.0.0.1\nnone\n";
    for (option, selected, expected) in [
        ("-4", "-v", "11.0.0.1\n"),
        ("-6", "-v", "::1\n"),
        ("-6", "--no-address", "10.0.0.1\n11.0.0.1\nnone\n"),
    ] {
        subnetcalc()
            .args([
                "grep",
                option,
                selected,
                "--in",
                "10.0.0.0/8",
                "--in",
                "::2",
            ])
            .stdin(lines)
            .run()
            .code(0)
            .stdout(expected);
    }
    // With --unmap, a v4-mapped address is of IPv4.
    let lines = "::ffff:10.0.0.1\n::ffff:11.0.0.1\n::1\n";
    for (option, selected, expected) in [
        ("-4", "-v", "::ffff:11.0.0.1\n"),
        ("-4", "--no-address", "::1\n"),
        ("-6", "-v", "::1\n"),
        ("-6", "--no-address", "::ffff:10.0.0.1\n::ffff:11.0.0.1\n"),
    ] {
        grep_of(
            lines,
            &["--unmap", option, selected, "--in", "10.0.0.0/8,::2"],
        )
        .code(0)
        .stdout(expected);
    }
}

/// Runs `grep` with this text on stdin.
fn grep_of(text: &str, args: &[&str]) -> testkit::Output {
    subnetcalc().arg("grep").args(args).stdin(text).run()
}

#[test]
fn a_match_has_its_prefix_length() {
    let text = "{\"ip_prefix\":\"3.5.140.0/22\"},{\"ip_prefix\":\"3.4.12.4/32\"}\n\
                http://10.0.0.1/24 x 2001:db8::/32\n";
    grep_of(text, &["-o", "--in", "0.0.0.0/0,::/0"])
        .code(0)
        .stdout("3.5.140.0/22\n3.4.12.4/32\n10.0.0.1\n2001:db8::/32\n");
    let records = grep_of(text, &["--json", "--in", "::/0,3.0.0.0/8"])
        .code(0)
        .json();
    assert_eq!(records[0]["addresses"][0], "3.5.140.0/22");
    assert_eq!(records[1]["addresses"][0], "2001:db8::/32");
}

#[test]
fn a_zone_is_not_part_of_a_match() {
    let text = "fe80::1%eth0 x\nfe80::2%br-lan/64,y\n[fe80::3%2]:80\nfe80::4%\nx fe80::5%lo\n";
    grep_of(text, &["-o", "--in", "fe80::/10"])
        .code(0)
        .stdout("fe80::1\nfe80::2/64\nfe80::3\nfe80::4\nfe80::5\n");
    grep_of(text, &["-x", "-o", "--in", "fe80::/10"])
        .code(0)
        .stdout("fe80::1\nfe80::2/64\nfe80::3\n");
    let records = grep_of(text, &["--json", "--in", "fe80::2"]).code(0).json();
    assert_eq!(records[0]["text"], "fe80::2%br-lan/64,y");
    assert_eq!(records[0]["addresses"][0], "fe80::2/64");
}

#[test]
fn a_bare_double_colon_is_not_an_address() {
    let text = "2024-01-01 :: INFO :: started\nplain\nx 10.0.0.1\n";
    grep_of(text, &["-v", "--in", "10.0.0.0/8"])
        .code(1)
        .stdout("");
    grep_of(text, &["--no-address", "--in", "10.0.0.0/8"])
        .code(0)
        .stdout("2024-01-01 :: INFO :: started\nplain\n");
    grep_of(text, &["--in", "::/0"]).code(1).stdout("");
    grep_of(":: x\n", &["-x", "--in", "::/0"])
        .code(1)
        .stdout("");
    grep_of("[::]:80 ::/0\n", &["-o", "--in", "::/0"])
        .code(0)
        .stdout("::\n::/0\n");
}

#[test]
fn the_first_field_ends_at_separators() {
    let text = "10.0.0.1,foo\n10.0.0.2;x\n10.0.0.3|y\n10.0.0.4/24 z\n10.0.0.8-10.0.0.9\n\
                2001:db8::1,x\n[2001:db8::2]:80;x\nx,10.0.0.5\n";
    grep_of(text, &["-x", "-o", "--in", "10.0.0.0/8,2001:db8::/32"])
        .code(0)
        .stdout("10.0.0.1\n10.0.0.2\n10.0.0.3\n10.0.0.4/24\n2001:db8::1\n2001:db8::2\n");
}

#[test]
fn a_port_may_follow_a_dot() {
    let text = "IP 10.1.1.117.4222 > 1.1.1.1.443: Flags\nIP6 2001:db8::1.53 > ::1.1\n1.2.3.4.5.6\n";
    let set = "10.0.0.0/8,2001:db8::/32,1.2.3.4";
    grep_of(text, &["--in", set]).code(1).stdout("");
    grep_of(text, &["-o", "--dot-port", "--in", set])
        .code(0)
        .stdout("10.1.1.117\n2001:db8::1\n");
    grep_of("10.0.0.1.80 x\n", &["-x", "--dot-port", "--in", set])
        .code(0)
        .stdout("10.0.0.1.80 x\n");
}

#[test]
fn lines_have_numbers_and_file_names() {
    let (_a, a) = file("x\n10.0.0.1 10.0.0.2\n\n10.0.0.3\n");
    let (_b, b) = file("nothing\n");
    let of = |args: &[&str]| {
        subnetcalc()
            .args(["grep", "--in", "10.0.0.0/8"])
            .args(args)
            .run()
    };
    of(&["-n", &a])
        .code(0)
        .stdout("2:10.0.0.1 10.0.0.2\n4:10.0.0.3\n");
    of(&["-n", "-o", &a])
        .code(0)
        .stdout("2:10.0.0.1\n2:10.0.0.2\n4:10.0.0.3\n");
    of(&["-n", "--no-address", &a]).code(0).stdout("1:x\n3:\n");
    of(&["-n", &a, &b])
        .code(0)
        .stdout(&format!("{a}:2:10.0.0.1 10.0.0.2\n{a}:4:10.0.0.3\n"));
    of(&["-n", "-c", &a]).code(0).stdout("2\n");
    of(&["-l", &a, &b]).code(0).stdout(&format!("{a}\n"));
    of(&["-l", &b]).code(1).stdout("");
    of(&["-l", "--no-address", &a, &b])
        .code(0)
        .stdout(&format!("{a}\n{b}\n"));
    let records = of(&["--json", "-l", &a, &b]).code(0).json();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["file"], a);
    assert!(records[0]["line"].is_null() && records[0]["count"].is_null());
    // A long line has its number, too.
    let long = format!("x\n10.0.0.1 {}\n10.0.0.2\n", "y".repeat(3 << 20));
    let out = grep_of(&long, &["-n", "--in", "10.0.0.0/8"]);
    assert_eq!(out.code(0).lines().len(), 2);
    out.stdout_contains("2:10.0.0.1 y")
        .stdout_contains("y\n3:10.0.0.2\n");
}

#[test]
fn a_line_that_is_not_utf_8_is_base64_in_json() {
    let out = subnetcalc()
        .args(["--json", "grep", "--in", "10.0.0.0/8"])
        .stdin(&b"10.0.0.1 \xff\n10.0.0.2\n"[..])
        .run();
    let records = out.code(0).json();
    assert!(records[0]["text"].is_null());
    assert_eq!(records[0]["text_base64"], "MTAuMC4wLjEg/w==");
    assert_eq!(records[1]["text"], "10.0.0.2");
    assert!(records[1]["text_base64"].is_null());
}

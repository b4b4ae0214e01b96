//! The operands and lists that make a set.

use super::{file, prints, run, subnetcalc};

#[test]
fn ranges_have_several_forms() {
    let (_dir, path) = file("10.0.0.0 - 10.0.0.3\n10.0.1.0/24-10.0.2.0/24\n10.0.9.0+3\n");
    subnetcalc()
        .args(["aggregate", "--ranges", &format!("@{path}")])
        .run()
        .code(0)
        .stdout("10.0.0.0-10.0.0.3\n10.0.1.0-10.0.2.255\n10.0.9.0-10.0.9.2\n")
        .stderr("");
    prints(
        "aggregate 192.168.100.0 - 192.168.103.255",
        &["192.168.100.0/22"],
    );
    prints(
        "hosts 10.0.0.1 - 10.0.0.3",
        &["10.0.0.1", "10.0.0.2", "10.0.0.3"],
    );
    prints("hosts 10.0.0.1+2", &["10.0.0.1", "10.0.0.2"]);
    prints("count ::1 - ::ff ::1:0", &["256"]);
    prints(
        "aggregate 193.18.0.0+73728",
        &["193.18.0.0/16", "193.19.0.0/19"],
    );
    // Any other hyphen is standard input.
    subnetcalc()
        .args(["aggregate", "10.0.0.9", "-", "10.0.0.1"])
        .stdin("10.0.0.8\n")
        .run()
        .code(0)
        .stdout("10.0.0.1/32\n10.0.0.8/31\n");
}

#[test]
fn quotes_and_commas_in_lists_are_ignored() {
    subnetcalc()
        .args(["aggregate", "-"])
        .stdin("\u{feff}\"10.0.0.0/8\",\r\n '11.0.0.0/8' , ; x\n12.0.0.0/8,\n")
        .run()
        .code(0)
        .stdout("10.0.0.0/7\n12.0.0.0/8\n")
        .stderr("");
    subnetcalc()
        .args(["hosts", "-"])
        .stdin("\"10.0.0.1\",\n\"\"\n'10.0.0.2'\n")
        .run()
        .code(0)
        .stdout("10.0.0.1\n10.0.0.2\n");
}

#[test]
fn options_accept_comma_separated_lists() {
    prints(
        "subtract 10.0.0.0/30 --minus 10.0.0.1,10.0.0.2",
        &["10.0.0.0/32", "10.0.0.3/32"],
    );
    prints(
        "intersect 10.0.0.0/8 ::/0 --with 10.0.0.1,::1,10.0.0.8-10.0.0.9",
        &["10.0.0.1/32", "10.0.0.8/31", "::1/128"],
    );
    prints(
        "free 10.0.0.0/30 --used 10.0.0.0/31,10.0.0.2",
        &["10.0.0.3/32"],
    );
    prints(
        "match --in 10.0.0.0/8,192.0.2.0/24 192.0.2.1",
        &["192.0.2.1\t192.0.2.0/24"],
    );
    let (_dir, path) = file("10.0.0.1\n");
    subnetcalc()
        .args([
            "subtract",
            "10.0.0.0/30",
            "--minus",
            &format!("10.0.0.0,@{path},-"),
        ])
        .stdin("10.0.0.2\n")
        .run()
        .code(0)
        .stdout("10.0.0.3/32\n");
    // The name of a file may have a comma.
    let with_comma = format!("{path},x");
    std::fs::write(&with_comma, "10.0.0.0/31\n").unwrap();
    subnetcalc()
        .args([
            "subtract",
            "10.0.0.0/30",
            "--minus",
            &format!("@{with_comma}"),
        ])
        .run()
        .code(0)
        .stdout("10.0.0.2/31\n");
    // Standard input is read only once.
    let out = run("subtract - --minus 10.0.0.1,-");
    out.code(2)
        .stdout("")
        .stderr_contains("stdin cannot be read for both the operands and the option");
    // With an invalid member in an option, nothing is printed.
    let out = run("subtract 10.0.0.0/8 --minus 10.0.0.1,10.0.0.300");
    out.code(2)
        .stdout("")
        .stderr("subnetcalc: 10.0.0.300: not an address: a number is above 255\n");
    let out = run("subtract 10.0.0.0/8 --minus ,");
    out.code(2).stdout("").stderr_contains("missing");
}

#[test]
fn max_prefix_has_a_length_for_each_family() {
    let added = |words: &str, stdout: &str, stderr: &str| {
        run(words)
            .code(0)
            .stdout(stdout)
            .stderr(&format!("subnetcalc: {stderr}\n"));
    };
    added(
        "aggregate --max-prefix 24 10.0.0.1 2001:db8::/32",
        "10.0.0.0/24\n2001:db8::/32\n",
        "added 255 IPv4 and 0 IPv6 addresses",
    );
    added(
        "aggregate --max-prefix 24,48 10.0.0.1 2001:db8::/64",
        "10.0.0.0/24\n2001:db8::/48\n",
        "added 255 IPv4 and 1208907372870555465154560 IPv6 addresses",
    );
    added(
        "aggregate --max-prefix 48 2001:db8::/64",
        "2001:db8::/48\n",
        "added 1208907372870555465154560 addresses",
    );
    for bad in ["33,48", "24,129", "24,", ",48", "24,48,1", "x"] {
        run(&format!("aggregate --max-prefix {bad} 10.0.0.1"))
            .code(2)
            .stdout("");
    }
}

#[test]
fn max_count_adds_the_fewest_addresses() {
    let words = "aggregate --max-count 4 10.0.0.113 10.0.0.117 10.0.0.145 10.0.0.191 10.0.0.239 \
                 10.0.2.152 10.0.3.40 10.0.3.48 10.0.3.81 10.0.3.92 10.0.3.178 10.0.3.192";
    let out = run(words);
    out.code(0).stderr("subnetcalc: added 381 addresses\n");
    assert_eq!(out.lines().len(), 4);
}

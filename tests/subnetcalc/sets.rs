//! The commands that work on sets.

use super::{file, prints, records_are, run, says_no, subnetcalc};

#[test]
fn aggregate_prints_the_fewest_networks() {
    prints(
        "aggregate 10.0.0.0/25 10.0.0.128/25 2001:db8::/33 2001:db8:8000::/33",
        &["10.0.0.0/24", "2001:db8::/32"],
    );
    prints("aggregate 10.0.0.1 10.0.0.0 10.0.0.0/31", &["10.0.0.0/31"]);
    prints("aggregate ::1 10.0.0.1", &["10.0.0.1/32", "::1/128"]);
    prints("aggregate 128.0.0.0/1 0.0.0.0/1", &["0.0.0.0/0"]);
    prints("aggregate ::/1 8000::/1", &["::/0"]);
    prints(
        "aggregate 10.0.0.5-10.0.0.8",
        &["10.0.0.5/32", "10.0.0.6/31", "10.0.0.8/32"],
    );
    prints("aggregate 0.0.0.0-255.255.255.255", &["0.0.0.0/0"]);
    prints(
        "aggregate 255.255.255.255 255.255.255.254",
        &["255.255.255.254/31"],
    );
    prints("aggregate 10.0.0.9/24", &["10.0.0.0/24"]);
    prints("aggregate 10.0.0.0/255.255.255.0", &["10.0.0.0/24"]);
    prints("aggregate --wildcard 10.0.0.0/0.0.0.255", &["10.0.0.0/24"]);
    prints(
        "aggregate ::ffff:10.0.0.0/121 10.0.0.0/25",
        &["10.0.0.0/25", "::ffff:10.0.0.0/121"],
    );
}

#[test]
fn sets_are_printed_as_ranges_and_json() {
    prints(
        "aggregate --ranges 10.0.0.0/25 10.0.0.128/26 10.9.9.9",
        &["10.0.0.0-10.0.0.191", "10.9.9.9-10.9.9.9"],
    );
    records_are(
        run("aggregate --json 10.0.0.0/25 ::1").code(0).stderr(""),
        "{\"type\":\"set\",\"network\":\"10.0.0.0/25\",\"first\":\"10.0.0.0\",\"last\":\"10.0.0.127\"}\n{\"type\":\"set\",\"network\":\"::1/128\",\"first\":\"::1\",\"last\":\"::1\"}\n",
    );
    records_are(
        run("aggregate --json --ranges 10.0.0.0/31")
            .code(0)
            .stderr(""),
        "{\"type\":\"set\",\"network\":null,\"first\":\"10.0.0.0\",\"last\":\"10.0.0.1\"}\n",
    );
}

#[test]
fn operands_files_and_stdin_are_read() {
    let (_dir, path) = file("# ours\n10.0.0.0/25\n\n  10.0.0.128/25 \r\n2001:db8::/32\n");
    let at = format!("@{path}");
    subnetcalc()
        .args(["aggregate", &at, "-", "192.0.2.1", "-"])
        .stdin("192.0.2.0\n#x\n192.0.2.2-192.0.2.3\n")
        .run()
        .code(0)
        .stdout("10.0.0.0/24\n192.0.2.0/30\n2001:db8::/32\n")
        .stderr("");
    // Without operands, stdin is read.
    subnetcalc()
        .arg("aggregate")
        .stdin("10.0.0.0/8")
        .run()
        .code(0)
        .stdout("10.0.0.0/8\n");
}

#[test]
fn invalid_members_are_reported_and_the_others_used() {
    let (_dir, path) = file("10.0.0.0/8\nnonsense\n10.0.0.0/33\n\u{e9}\n11.0.0.0/8\n");
    subnetcalc()
        .args(["aggregate", &format!("@{path}"), "1.2.3"])
        .run()
        .code(2)
        .stdout("10.0.0.0/7\n")
        .stderr(&format!(
            "subnetcalc: {path}:2: nonsense: not an IPv4 or IPv6 address\n\
             subnetcalc: {path}:3: 10.0.0.0/33: the prefix length is out of range; use 0 to 32\n\
             subnetcalc: {path}:4: \u{e9}: not an address: contains the character U+00E9\n\
             subnetcalc: 1.2.3: not an address: IPv4 needs four numbers, this has 3\n"
        ));
    run("aggregate 10.0.0.0/8 @/nowhere/at/all")
        .code(2)
        .stdout("10.0.0.0/8\n")
        .stderr("subnetcalc: /nowhere/at/all: no such file or directory\n");
    let out = run("aggregate --json 10.0.0.0/33 10.0.0.0/8");
    let records = out.code(2).json();
    assert_eq!(records[0]["type"], "error");
    assert_eq!(records[0]["kind"], "input");
    assert_eq!(records[0]["target"], "10.0.0.0/33");
    assert_eq!(records[1]["network"], "10.0.0.0/8");
}

#[test]
fn nothing_is_printed_if_an_option_has_an_invalid_member() {
    let (_dir, path) = file("10.0.0.0/8\nbad\n");
    let at = format!("@{path}");
    for args in [
        ["subtract", "10.0.0.0/8", "--minus", &at],
        ["intersect", "10.0.0.0/8", "--with", &at],
        ["symdiff", "10.0.0.0/8", "--with", &at],
        ["free", "10.0.0.0/8", "--used", &at],
        ["match", "10.0.0.0", "--in", &at],
        ["grep", "-", "--in", &at],
    ] {
        subnetcalc()
            .args(args)
            .stdin("10.0.0.1\n")
            .run()
            .code(2)
            .stdout("")
            .stderr(&format!(
                "subnetcalc: {path}:2: bad: not an IPv4 or IPv6 address\n"
            ));
    }
}

#[test]
fn strict_refuses_host_bits() {
    run("aggregate --strict 10.0.0.5/24 10.0.1.0/24")
        .code(2)
        .stdout("10.0.1.0/24\n")
        .stderr("subnetcalc: 10.0.0.5/24: host bits are set; the network is 10.0.0.0/24\n");
    run("subtract --strict 10.0.0.0/8 --minus 10.0.0.5/24")
        .code(2)
        .stdout("");
    prints("aggregate --strict 10.0.0.5", &["10.0.0.5/32"]);
}

#[test]
fn networks_can_be_widened_and_merged() {
    let out = run("aggregate --max-prefix 24 10.0.0.1 10.0.1.7 10.0.9.0/25");
    out.code(0)
        .stdout("10.0.0.0/23\n10.0.9.0/24\n")
        .stderr("subnetcalc: added 638 addresses\n");
    run("aggregate --max-count 3 10.0.0.0 10.0.0.3 10.0.0.8 10.0.0.10/31")
        .code(0)
        .stdout("10.0.0.0/32\n10.0.0.3/32\n10.0.0.8/30\n")
        .stderr("subnetcalc: added 1 address\n");
    run("aggregate --max-count 2 -q 10.0.0.0 10.0.0.3 ::1 ::4")
        .code(0)
        .stdout("10.0.0.0/30\n::/125\n")
        .stderr("");
    run("aggregate --max-count 2 10.0.0.0 10.0.0.3 ::1 ::4")
        .code(0)
        .stderr("subnetcalc: added 2 IPv4 and 6 IPv6 addresses\n");
    run("aggregate --max-count 5 10.0.0.0/24")
        .code(0)
        .stdout("10.0.0.0/24\n")
        .stderr("subnetcalc: added 0 addresses\n");
    says_no(
        "aggregate --max-count 1 10.0.0.0 ::1",
        "one network cannot cover both families; use --max-count 2, -4 or -6",
    );
}

#[test]
fn supernet_prints_the_enclosing_network() {
    prints(
        "supernet 10.0.0.1 10.0.3.7 2001:db8::1",
        &["10.0.0.0/22", "2001:db8::1/128"],
    );
    prints("supernet 0.0.0.0 255.255.255.255", &["0.0.0.0/0"]);
    prints("supernet :: ffff::", &["::/0"]);
}

#[test]
fn sets_are_subtracted_intersected_and_complemented() {
    prints(
        "subtract 10.0.0.0/30 2001:db8::/127 --minus 10.0.0.1 --minus 2001:db8::1",
        &["10.0.0.0/32", "10.0.0.2/31", "2001:db8::/128"],
    );
    prints("subtract 10.0.0.0/8 --minus 0.0.0.0/0", &[]);
    prints(
        "intersect 10.0.0.0/8 11.0.0.0/8 --with 10.255.255.0-11.0.0.255",
        &["10.255.255.0/24", "11.0.0.0/24"],
    );
    prints("intersect 10.0.0.0/8 --with ::/0", &[]);
    prints(
        "symdiff 10.0.0.0/24 --with 10.0.0.128-10.0.1.127",
        &["10.0.0.0/25", "10.0.1.0/25"],
    );
    prints("symdiff 10.0.0.0/24 --with 10.0.0.0/24", &[]);
    prints("complement 128.0.0.0/1", &["0.0.0.0/1"]);
    prints("complement 0.0.0.0/0", &[]);
    prints("complement ::/1 0.0.0.0/1", &["128.0.0.0/1", "8000::/1"]);
    prints(
        "complement --ranges 0.0.0.1-255.255.255.254",
        &["0.0.0.0-0.0.0.0", "255.255.255.255-255.255.255.255"],
    );
    subnetcalc()
        .args(["complement", "-"])
        .stdin("")
        .run()
        .code(0)
        .stdout("")
        .stderr("");
}

#[test]
fn free_prints_the_unused_parts() {
    prints(
        "free 10.0.0.0/24 --used 10.0.0.0/26 --used 10.0.0.255",
        &[
            "10.0.0.64/26",
            "10.0.0.128/26",
            "10.0.0.192/27",
            "10.0.0.224/28",
            "10.0.0.240/29",
            "10.0.0.248/30",
            "10.0.0.252/31",
            "10.0.0.254/32",
        ],
    );
    prints(
        "free 10.0.0.0/24 --used 10.0.0.0/26 --prefix 26",
        &["10.0.0.64/26", "10.0.0.128/26", "10.0.0.192/26"],
    );
    prints(
        "free 10.0.0.0/24 --used 10.0.0.1 --prefix 25",
        &["10.0.0.128/25"],
    );
    prints(
        "free 255.255.255.0/24 --used 255.255.255.0/25 --prefix 26",
        &["255.255.255.128/26", "255.255.255.192/26"],
    );
    prints("free 10.0.0.0/24 --used 10.0.0.0/8", &[]);
    run("free 10.0.0.0/24 --used 10.0.0.0/8 --prefix 25")
        .code(1)
        .stdout("")
        .stderr("");
    run("free 10.0.0.0/24 --used 10.0.0.64 --prefix 24")
        .code(1)
        .stdout("")
        .stderr("");
    // The network does not contain larger networks.
    run("free 10.0.0.0/24 --used 10.0.0.64 --prefix 16")
        .code(1)
        .stdout("")
        .stderr("subnetcalc: 10.0.0.0/24: smaller than a /16, so it cannot contain one\n");
    let out = run("free 10.0.0.0/24 --used 10.0.0.64 --prefix 33");
    out.code(2).stdout("").stderr(
        "subnetcalc: 10.0.0.0/24: has no networks with prefix length 33; use --prefix 24 to 32\n",
    );
    prints("free ::/0 --used 8000::/1", &["::/1"]);
    records_are(
        run("free --json 10.0.0.0/31 --used 10.0.0.0")
            .code(0)
            .stderr(""),
        "{\"type\":\"set\",\"network\":\"10.0.0.1/32\",\"first\":\"10.0.0.1\",\"last\":\"10.0.0.1\"}\n",
    );
}

#[test]
fn sort_keeps_duplicates() {
    prints(
        "sort ::1 10.0.0.0/8 9.9.9.9 10.0.0.0/16 10.0.0.77/8 2.0.0.0/7",
        &[
            "2.0.0.0/7",
            "9.9.9.9",
            "10.0.0.0/8",
            "10.0.0.0/8",
            "10.0.0.0/16",
            "::1",
        ],
    );
    prints(
        "sort 10.0.0.1-10.0.0.2 10.0.0.0",
        &["10.0.0.0", "10.0.0.1/32", "10.0.0.2/32"],
    );
    // The networks of ranges are sorted among the others.
    prints(
        "sort 10.0.0.1-10.0.0.6 10.0.0.2-10.0.0.4 10.0.0.3 10.0.0.3/32 10.0.0.2/30 10.0.0.3",
        &[
            "10.0.0.0/30",
            "10.0.0.1/32",
            "10.0.0.2/31",
            "10.0.0.2/31",
            "10.0.0.3",
            "10.0.0.3",
            "10.0.0.3/32",
            "10.0.0.4/31",
            "10.0.0.4/32",
            "10.0.0.6/32",
        ],
    );
    prints(
        "sort 10.0.0.1-10.0.0.2 10.0.0.2-10.0.0.3",
        &["10.0.0.1/32", "10.0.0.2/31", "10.0.0.2/32"],
    );
    prints(
        "sort --ranges 10.0.0.1-10.0.0.2 10.0.0.0",
        &["10.0.0.0-10.0.0.0", "10.0.0.1-10.0.0.2"],
    );
    records_are(
        run("sort -j 10.0.0.1").code(0).stderr(""),
        "{\"type\":\"sort\",\"network\":\"10.0.0.1\",\"first\":\"10.0.0.1\",\"last\":\"10.0.0.1\"}\n",
    );
}

#[test]
fn count_prints_the_number_of_addresses() {
    prints("count 10.0.0.0/8 10.0.0.0/9 11.0.0.0", &["16777217"]);
    prints(
        "count ::/0 0.0.0.0/0",
        &["4294967296", "340282366920938463463374607431768211456"],
    );
    prints(
        "count ::/1 8000::/1",
        &["340282366920938463463374607431768211456"],
    );
    prints("count -6 10.0.0.0/8 ::1", &["1"]);
    records_are(
        run("count -j 10.0.0.0/8 ::/0").code(0).stderr(""),
        "{\"type\":\"count\",\"family\":4,\"total\":\"16777216\"}\n\
         {\"type\":\"count\",\"family\":6,\"total\":\"340282366920938463463374607431768211456\"}\n",
    );
}

#[test]
fn overlap_prints_pairs() {
    prints(
        "overlap 10.0.0.0/8 10.1.0.0/16 192.0.2.0/24 10.0.0.0/8 ::/0 2001:db8::/32",
        &[
            "10.0.0.0/8\t10.0.0.0/8",
            "10.0.0.0/8\t10.1.0.0/16",
            "10.0.0.0/8\t10.1.0.0/16",
            "::/0\t2001:db8::/32",
        ],
    );
    prints(
        "overlap 10.0.0.0-10.0.0.9 10.0.0.5",
        &["10.0.0.0-10.0.0.9\t10.0.0.5/32"],
    );
    prints(
        "overlap --ranges 10.0.0.0/31 10.0.0.1",
        &["10.0.0.0-10.0.0.1\t10.0.0.1-10.0.0.1"],
    );
    run("overlap 10.0.0.0/8 11.0.0.0/8 ::/0")
        .code(1)
        .stdout("")
        .stderr("");
    run("overlap -q 10.0.0.0/8 10.0.0.1")
        .code(0)
        .stdout("")
        .stderr("");
    records_are(
        run("overlap -j 10.0.0.0/31 10.0.0.1").code(0).stderr(""),
        "{\"type\":\"overlap\",\"a\":\"10.0.0.0/31\",\"b\":\"10.0.0.1/32\"}\n",
    );
}

#[test]
fn free_warns_about_host_bits() {
    let (_dir, path) = file("10.250.5.4/24\n10.250.6.4/24\n");
    subnetcalc()
        .args(["free", "10.250.4.0/22", "--used", &format!("@{path}")])
        .run()
        .code(0)
        .stdout("10.250.4.0/24\n10.250.7.0/24\n")
        .stderr(
            "subnetcalc: 10.250.5.4/24: host bits are set, so all of 10.250.5.0/24 counts as \
             used; omit the prefix length if only the address is used\n",
        );
    run("free 10.0.0.0/30 --used 10.0.0.0/31 --used 10.0.0.2")
        .code(0)
        .stderr("");
}

#[test]
fn sets_are_compared() {
    run("equal 10.0.0.0/25 10.0.0.128/25 ::1 --with ::1,10.0.0.0/24")
        .code(0)
        .stdout("")
        .stderr("");
    run("equal 10.0.0.0/25 --with 10.0.0.0/24")
        .code(1)
        .stdout("")
        .stderr("");
    run("equal 10.0.0.0/25 --with ::1").code(1).stdout("");
    records_are(
        run("equal -j ::1 --with ::2").code(1),
        "{\"type\":\"equal\",\"equal\":false}\n",
    );
    run("diff 10.0.0.0/24 ::/127 --with 10.0.0.128/25,10.0.2.0/23,9.0.0.0/8,::1")
        .code(1)
        .stdout("+9.0.0.0/8\n-10.0.0.0/25\n+10.0.2.0/23\n-::/128\n")
        .stderr("");
    run("diff --ranges 10.0.0.1-10.0.0.6 --with 10.0.0.9")
        .code(1)
        .stdout("-10.0.0.1-10.0.0.6\n+10.0.0.9-10.0.0.9\n");
    run("diff 10.0.0.0/25 10.0.0.128/25 --with 10.0.0.0/24")
        .code(0)
        .stdout("");
    records_are(
        run("diff -j 10.0.0.0/31 --with ::1").code(1),
        "{\"type\":\"diff\",\"change\":\"removed\",\"network\":\"10.0.0.0/31\",\
         \"first\":\"10.0.0.0\",\"last\":\"10.0.0.1\"}\n\
         {\"type\":\"diff\",\"change\":\"added\",\"network\":\"::1/128\",\
         \"first\":\"::1\",\"last\":\"::1\"}\n",
    );
}

#[test]
fn an_empty_set_has_0_addresses() {
    let (_dir, path) = file("# nothing\n");
    subnetcalc()
        .args(["count", &format!("@{path}")])
        .run()
        .code(0)
        .stdout("0\n")
        .stderr("");
    run("count").code(0).stdout("0\n");
    prints("count -6 10.0.0.0/8", &["0"]);
    records_are(
        run("count -j").code(0),
        "{\"type\":\"count\",\"family\":null,\"total\":\"0\"}\n",
    );
}

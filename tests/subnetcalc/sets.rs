//! Set work: aggregate to free, sort, count, overlap.

use super::{file, prints, records_are, run, says_no, subnetcalc};

#[test]
fn aggregate() {
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
fn ranges_and_json() {
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
fn operands_of_every_kind() {
    let (_dir, path) = file("# ours\n10.0.0.0/25\n\n  10.0.0.128/25 \r\n2001:db8::/32\n");
    let at = format!("@{path}");
    subnetcalc()
        .args(["aggregate", &at, "-", "192.0.2.1", "-"])
        .stdin("192.0.2.0\n#x\n192.0.2.2-192.0.2.3\n")
        .run()
        .code(0)
        .stdout("10.0.0.0/24\n192.0.2.0/30\n2001:db8::/32\n")
        .stderr("");
    // Without operands stdin is read.
    subnetcalc()
        .arg("aggregate")
        .stdin("10.0.0.0/8")
        .run()
        .code(0)
        .stdout("10.0.0.0/8\n");
}

#[test]
fn bad_members_are_named_and_the_rest_goes_on() {
    let (_dir, path) = file("10.0.0.0/8\nnonsense\n10.0.0.0/33\n\u{e9}\n11.0.0.0/8\n");
    subnetcalc()
        .args(["aggregate", &format!("@{path}"), "1.2.3"])
        .run()
        .code(2)
        .stdout("10.0.0.0/7\n")
        .stderr(&format!(
            "subnetcalc: {path}:2: nonsense: not an IPv4 or IPv6 address\n\
             subnetcalc: {path}:3: 10.0.0.0/33: prefix length out of range; use 0 to 32\n\
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
fn a_bad_member_of_an_option_prints_nothing() {
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
fn strict() {
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
fn longest_and_fewest() {
    let out = run("aggregate --max-prefix 24 10.0.0.1 10.0.1.7 10.0.9.0/25");
    out.code(0)
        .stdout("10.0.0.0/23\n10.0.9.0/24\n")
        .stderr("subnetcalc: added 638 addresses\n");
    run("aggregate --max-count 3 10.0.0.0 10.0.0.3 10.0.0.8 10.0.0.10/31")
        .code(0)
        .stdout("10.0.0.0/32\n10.0.0.3/32\n10.0.0.8/30\n")
        .stderr("subnetcalc: added 1 addresses\n");
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
        "--max-count 1 cannot hold both families; use 2, or -4 or -6",
    );
}

#[test]
fn supernet() {
    prints(
        "supernet 10.0.0.1 10.0.3.7 2001:db8::1",
        &["10.0.0.0/22", "2001:db8::1/128"],
    );
    prints("supernet 0.0.0.0 255.255.255.255", &["0.0.0.0/0"]);
    prints("supernet :: ffff::", &["::/0"]);
}

#[test]
fn algebra() {
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
fn free() {
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
    // Larger than the network itself there is none.
    run("free 10.0.0.0/24 --used 10.0.0.64 --prefix 16")
        .code(1)
        .stdout("")
        .stderr("");
    let out = run("free 10.0.0.0/24 --used 10.0.0.64 --prefix 33");
    out.code(2)
        .stdout("")
        .stderr("subnetcalc: 10.0.0.0/24: has no networks of length 33; use --prefix 24 to 32\n");
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
    // The networks of ranges have their places among the others.
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
        "sort --ranges 10.0.0.1-10.0.0.2 10.0.0.0",
        &["10.0.0.0-10.0.0.0", "10.0.0.1-10.0.0.2"],
    );
    records_are(
        run("sort -j 10.0.0.1").code(0).stderr(""),
        "{\"type\":\"sort\",\"network\":\"10.0.0.1\",\"first\":\"10.0.0.1\",\"last\":\"10.0.0.1\"}\n",
    );
}

#[test]
fn count() {
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
fn overlap() {
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
fn plan() {
    prints(
        "plan 192.168.1.0/24 web=50 10 db=2 lan=60",
        &[
            "192.168.1.0/26\tweb\t50\t62",
            "192.168.1.64/26\tlan\t60\t62",
            "192.168.1.128/28\t-\t10\t14",
            "192.168.1.144/30\tdb\t2\t2",
            "192.168.1.148/30\tfree\t-\t2",
            "192.168.1.152/29\tfree\t-\t6",
            "192.168.1.160/27\tfree\t-\t30",
            "192.168.1.192/26\tfree\t-\t62",
        ],
    );
    prints("plan 10.0.0.0/30 1", &["10.0.0.0/30\t-\t1\t2"]);
    prints(
        "plan --exact 2001:db8::/126 2 1",
        &[
            "2001:db8::/127\t-\t2\t2",
            "2001:db8::2/128\t-\t1\t1",
            "2001:db8::3/128\tfree\t-\t1",
        ],
    );
    says_no(
        "plan 10.0.0.0/24 200 100",
        "10.0.0.0/24: does not fit: takes 384 addresses, there are 256",
    );
    says_no(
        "plan 10.0.0.0/31 1",
        "10.0.0.0/31: does not fit: takes 4 addresses, there are 2",
    );
    says_no(
        "plan 10.0.0.0/8 99999999999",
        "10.0.0.0/8: does not fit: no IPv4 network is that large",
    );
    run("plan 10.0.0.0/8 web=x").code(2).stdout("").stderr(
        "subnetcalc: web=x: not a number of hosts or a prefix length; use [NAME=]HOSTS or \
                 [NAME=]/LEN\n",
    );
    records_are(
        run("plan -j 10.0.0.0/29 a=2").code(0).stderr(""),
        "{\"type\":\"plan\",\"network\":\"10.0.0.0/30\",\"name\":\"a\",\"asked\":\"2\",\"usable\":\"2\",\"free\":false}\n\
             {\"type\":\"plan\",\"network\":\"10.0.0.4/30\",\"name\":null,\"asked\":null,\"usable\":\"2\",\"free\":true}\n",
    );
}

#[test]
fn ranges_of_every_spelling() {
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
    // Not between addresses of one family in order: that is standard input.
    subnetcalc()
        .args(["aggregate", "10.0.0.9", "-", "10.0.0.1"])
        .stdin("10.0.0.8\n")
        .run()
        .code(0)
        .stdout("10.0.0.1/32\n10.0.0.8/31\n");
}

#[test]
fn lists_with_quotes_and_commas() {
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
fn options_take_comma_lists() {
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
    // A file whose name has a comma.
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
    // Standard input can be read once.
    let out = run("subtract - --minus 10.0.0.1,-");
    out.code(2)
        .stdout("")
        .stderr_contains("stdin cannot be both");
    // A bad member in an option: nothing is printed.
    let out = run("subtract 10.0.0.0/8 --minus 10.0.0.1,10.0.0.300");
    out.code(2)
        .stdout("")
        .stderr("subnetcalc: 10.0.0.300: not an address: a number is above 255\n");
    let out = run("subtract 10.0.0.0/8 --minus ,");
    out.code(2).stdout("").stderr_contains("missing");
}

#[test]
fn max_prefix_of_each_family() {
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
fn max_count_adds_the_fewest() {
    let words = "aggregate --max-count 4 10.0.0.113 10.0.0.117 10.0.0.145 10.0.0.191 10.0.0.239 \
                 10.0.2.152 10.0.3.40 10.0.3.48 10.0.3.81 10.0.3.92 10.0.3.178 10.0.3.192";
    let out = run(words);
    out.code(0).stderr("subnetcalc: added 381 addresses\n");
    assert_eq!(out.lines().len(), 4);
}

#[test]
fn an_address_with_its_networks_length_is_warned_about() {
    let (_dir, path) = file("10.250.5.4/24\n10.250.6.4/24\n");
    subnetcalc()
        .args(["free", "10.250.4.0/22", "--used", &format!("@{path}")])
        .run()
        .code(0)
        .stdout("10.250.4.0/24\n10.250.7.0/24\n")
        .stderr(
            "subnetcalc: 10.250.5.4/24: host bits are set, so all of 10.250.5.0/24 counts as \
             used; for the address alone leave out the prefix length\n",
        );
    run("free 10.0.0.0/30 --used 10.0.0.0/31 --used 10.0.0.2")
        .code(0)
        .stderr("");
}

#[test]
fn equal_and_diff() {
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
fn an_empty_set_counts_0() {
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

#[test]
fn plans_by_length_and_in_order() {
    prints(
        "plan 10.0.0.0/24 link=/31 web=50 /32",
        &[
            "10.0.0.0/26\tweb\t50\t62",
            "10.0.0.64/31\tlink\t/31\t2",
            "10.0.0.66/32\t-\t/32\t1",
            "10.0.0.67/32\tfree\t-\t1",
            "10.0.0.68/30\tfree\t-\t2",
            "10.0.0.72/29\tfree\t-\t6",
            "10.0.0.80/28\tfree\t-\t14",
            "10.0.0.96/27\tfree\t-\t30",
            "10.0.0.128/25\tfree\t-\t126",
        ],
    );
    prints(
        "plan --keep-order 10.0.0.0/26 a=/30 b=/27",
        &[
            "10.0.0.0/30\ta\t/30\t2",
            "10.0.0.32/27\tb\t/27\t30",
            "10.0.0.4/30\tfree\t-\t2",
            "10.0.0.8/29\tfree\t-\t6",
            "10.0.0.16/28\tfree\t-\t14",
        ],
    );
    says_no(
        "plan --keep-order 10.0.0.0/25 /27 /26 /27",
        "10.0.0.0/25: does not fit: in this order there are gaps for alignment; without \
         --keep-order the largest comes first",
    );
    prints(
        "plan 2001:db8::/62 lan=50 guests=/64 big=18446744073709551617",
        &[
            "2001:db8::/63\tbig\t18446744073709551617\t36893488147419103232",
            "2001:db8:0:2::/64\tlan\t50\t18446744073709551616",
            "2001:db8:0:3::/64\tguests\t/64\t18446744073709551616",
        ],
    );
    says_no(
        "plan 2001:db8::/120 lan=50",
        "2001:db8::/120: does not fit: takes 18446744073709551616 addresses, there are 256; \
         --exact makes parts longer than /64",
    );
    run("plan 10.0.0.0/8 /33").code(1).stdout("");
    run("plan 10.0.0.0/8 /129").code(2).stdout("");
}

//! Set work: aggregate to free, sort, count, overlap.

use super::{file, prints, run, says_no, subnetcalc};

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
    run("aggregate --json 10.0.0.0/25 ::1")
        .code(0)
        .stdout("{\"type\":\"set\",\"network\":\"10.0.0.0/25\"}\n{\"type\":\"set\",\"network\":\"::1/128\"}\n");
    run("aggregate --json --ranges 10.0.0.0/31")
        .code(0)
        .stdout("{\"type\":\"set\",\"first\":\"10.0.0.0\",\"last\":\"10.0.0.1\"}\n");
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
             subnetcalc: {path}:4: \u{e9}: not an IPv4 or IPv6 address\n\
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
    run("free --json 10.0.0.0/31 --used 10.0.0.0")
        .code(0)
        .stdout("{\"type\":\"set\",\"network\":\"10.0.0.1/32\"}\n");
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
    run("sort -j 10.0.0.1")
        .code(0)
        .stdout("{\"type\":\"sort\",\"network\":\"10.0.0.1\"}\n");
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
    run("count -j 10.0.0.0/8 ::/0").code(0).stdout(
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
    run("overlap -j 10.0.0.0/31 10.0.0.1")
        .code(0)
        .stdout("{\"type\":\"overlap\",\"a\":\"10.0.0.0/31\",\"b\":\"10.0.0.1/32\"}\n");
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
        "plan 2001:db8::/126 2 1",
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
        "10.0.0.0/8: does not fit: no IPv4 network is so large",
    );
    run("plan 10.0.0.0/8 web=x")
        .code(2)
        .stdout("")
        .stderr("subnetcalc: web=x: not a number of hosts; use [NAME=]HOSTS\n");
    run("plan -j 10.0.0.0/29 a=2")
        .code(0)
        .stdout(
            "{\"type\":\"plan\",\"network\":\"10.0.0.0/30\",\"name\":\"a\",\"asked\":\"2\",\"usable\":\"2\",\"free\":false}\n\
             {\"type\":\"plan\",\"network\":\"10.0.0.4/30\",\"name\":null,\"asked\":null,\"usable\":\"2\",\"free\":true}\n",
        );
}

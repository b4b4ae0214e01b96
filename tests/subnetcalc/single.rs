//! The commands that compute a single result.

use super::{prints, records_are, run, says_no, subnetcalc};

#[test]
fn nth_counts_from_either_end() {
    prints("nth 10.0.0.0/24 0", &["10.0.0.0"]);
    prints("nth 10.0.0.0/24 255", &["10.0.0.255"]);
    prints("nth 10.0.0.7/24 -1", &["10.0.0.255"]);
    prints("nth 10.0.0.0/24 -256", &["10.0.0.0"]);
    prints("nth ::/0 -1", &["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]);
    prints("nth ::/0 -340282366920938463463374607431768211456", &["::"]);
    says_no(
        "nth 10.0.0.0/24 256",
        "10.0.0.0/24: index 256 is out of range; use 0 to 255 or -256 to -1",
    );
    says_no(
        "nth 10.0.0.0/24 -257",
        "10.0.0.0/24: index -257 is out of range; use 0 to 255 or -256 to -1",
    );
    says_no(
        "nth ::/0 340282366920938463463374607431768211456",
        "::/0: index 340282366920938463463374607431768211456 is out of range; use 0 to \
         340282366920938463463374607431768211455 or -340282366920938463463374607431768211456 \
         to -1",
    );
    for bad in ["x", "+1", "--1", "1.5", "-"] {
        let _ = subnetcalc()
            .args(["nth", "10.0.0.0/24", bad])
            .run()
            .code(2)
            .stdout("");
    }
    records_are(
        run("nth -j 10.0.0.0/24 1").code(0).stderr(""),
        "{\"type\":\"nth\",\"address\":\"10.0.0.1\"}\n",
    );
}

#[test]
fn next_and_prev_keep_the_size_of_the_network() {
    prints("next 10.0.0.0/24", &["10.0.1.0/24"]);
    prints("next 10.0.0.0/24 255", &["10.0.255.0/24"]);
    prints("next 10.0.0.9/24 0", &["10.0.0.0/24"]);
    prints("prev 10.0.1.0/24", &["10.0.0.0/24"]);
    prints("prev 2001:db8::/32 1", &["2001:db7::/32"]);
    prints("next --ranges 10.0.0.0/31", &["10.0.0.2-10.0.0.3"]);
    prints("next ::fffe", &["::ffff/128"]);
    says_no(
        "next 255.255.255.0/24",
        "255.255.255.0/24: the result is past the end of the address space",
    );
    says_no(
        "prev 0.0.0.0/24",
        "0.0.0.0/24: the result is before the start of the address space",
    );
    says_no(
        "next ::/0",
        "::/0: the result is past the end of the address space",
    );
    says_no(
        "next 0.0.0.0/0 1",
        "0.0.0.0/0: the result is past the end of the address space",
    );
    records_are(
        run("prev -j 10.0.1.0/24").code(0).stderr(""),
        "{\"type\":\"prev\",\"network\":\"10.0.0.0/24\",\"first\":\"10.0.0.0\",\"last\":\"10.0.0.255\"}\n",
    );
}

#[test]
fn reverse_prints_zones_and_ptr_names() {
    prints(
        "reverse 10.1.4.0/23 192.0.2.1 2001:db8::/32",
        &[
            "4.1.10.in-addr.arpa",
            "5.1.10.in-addr.arpa",
            "1.2.0.192.in-addr.arpa",
            "8.b.d.0.1.0.0.2.ip6.arpa",
        ],
    );
    prints("reverse 192.0.2.128/25", &["128/25.2.0.192.in-addr.arpa"]);
    prints(
        "reverse ::1",
        &["1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa"],
    );
    records_are(
        run("reverse -j 10.0.0.0/15").code(0).stderr(""),
        "{\"type\":\"reverse\",\"network\":\"10.0.0.0/15\",\"reverse_zones\":[\"0.10.in-addr.arpa\",\"1.10.in-addr.arpa\"]}\n",
    );
}

#[test]
fn masks_are_converted() {
    prints(
        "mask 22 255.255.240.0 0 32",
        &[
            "22\t255.255.252.0\t0.0.3.255\tfffffc00",
            "20\t255.255.240.0\t0.0.15.255\tfffff000",
            "0\t0.0.0.0\t255.255.255.255\t00000000",
            "32\t255.255.255.255\t0.0.0.0\tffffffff",
        ],
    );
    prints(
        "mask --wildcard 0.0.0.255",
        &["24\t255.255.255.0\t0.0.0.255\tffffff00"],
    );
    prints(
        "mask 48 -6",
        &["48\tffff:ffff:ffff::\t::ffff:ffff:ffff:ffff:ffff\tffffffffffff00000000000000000000"],
    );
    prints(
        "mask 80",
        &["80\tffff:ffff:ffff:ffff:ffff::\t::ffff:ffff:ffff\tffffffffffffffffffff000000000000"],
    );
    prints(
        "mask ffff::",
        &["16\tffff::\t0:ffff:ffff:ffff:ffff:ffff:ffff:ffff\tffff0000000000000000000000000000"],
    );
    for bad in [
        "129",
        "024",
        "255.255.0.255",
        "fffffff",
        "ff00ff00",
        "0x",
        "x",
        "/24",
        "+24",
        "",
    ] {
        let _ = subnetcalc().args(["mask", bad]).run().code(2).stdout("");
    }
    let slash_22 = "22\t255.255.252.0\t0.0.3.255\tfffffc00";
    for mask in ["22", "255.255.252.0", "0.0.3.255", "fffffc00", "0xFFFFFC00"] {
        prints(&format!("mask {mask}"), &[slash_22]);
    }
    // A mask that can be both is a netmask, unless --wildcard is given.
    prints("mask 0.0.0.0", &["0\t0.0.0.0\t255.255.255.255\t00000000"]);
    prints(
        "mask --wildcard 0.0.0.0",
        &["32\t255.255.255.255\t0.0.0.0\tffffffff"],
    );
    prints(
        "mask ffffffff000000000000000000000000",
        &["32\tffff:ffff::\t::ffff:ffff:ffff:ffff:ffff:ffff\tffffffff000000000000000000000000"],
    );
    let _ = run("mask -4 64").code(2).stdout("");
    records_are(
        run("mask -j 24").code(0).stderr(""),
        "{\"type\":\"mask\",\"prefix_length\":24,\"netmask\":\"255.255.255.0\",\"wildcard\":\"0.0.0.255\",\"hex\":\"ffffff00\"}\n",
    );
}

#[test]
fn eui64_makes_an_address_from_a_mac_address() {
    prints("eui64 00:1b:21:3c:9d:f8", &["fe80::21b:21ff:fe3c:9df8"]);
    prints(
        "eui64 001b.213c.9df8 2001:db8:1:2::/64",
        &["2001:db8:1:2:21b:21ff:fe3c:9df8"],
    );
    prints(
        "eui64 00-1B-21-3C-9D-F8 2001:db8::/32",
        &["2001:db8::21b:21ff:fe3c:9df8"],
    );
    records_are(
        run("eui64 -j 00:1b:21:3c:9d:f8").code(0).stderr(""),
        "{\"type\":\"eui64\",\"mac\":\"00:1b:21:3c:9d:f8\",\"address\":\"fe80::21b:21ff:fe3c:9df8\"}\n",
    );
    for words in [
        "eui64 00:1b:21:3c:9d",
        "eui64 00:1b:21:3c:9d:f8 2001:db8::/65",
        "eui64 00:1b:21:3c:9d:f8 10.0.0.0/8",
    ] {
        let out = run(words);
        out.code(2).stdout("");
        assert_eq!(out.stderr_str().lines().count(), 1);
    }
}

#[test]
fn ula_makes_a_random_network() {
    let out = run("ula --seed 1");
    let text = out.code(0).stderr("").stdout_str();
    assert!(
        text.starts_with("fd") && text.ends_with("::/48\n"),
        "{text}"
    );
    assert_eq!(run("ula --seed 1").stdout, out.stdout);
    assert_ne!(run("ula --seed 2").stdout, out.stdout);
    assert_ne!(run("ula").stdout, run("ula").stdout);
    assert_eq!(run("ula -j").code(0).json()[0]["type"], "ula");
}

#[test]
fn a_network_of_the_other_family_is_refused() {
    run("nth -6 10.0.0.0/8 1")
        .code(2)
        .stdout("")
        .stderr("subnetcalc: 10.0.0.0/8: an IPv4 network cannot be used with -6\n");
}

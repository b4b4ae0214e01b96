//! The command `match`.

use super::{file, prints, records_are, run, subnetcalc};

#[test]
fn the_most_specific_member_is_found() {
    prints(
        "match --in 10.0.0.0/8 --in 10.1.0.0/16 --in ::/0 10.1.2.3 10.2.0.0 2001:db8::1",
        &[
            "10.1.2.3\t10.1.0.0/16",
            "10.2.0.0\t10.0.0.0/8",
            "2001:db8::1\t::/0",
        ],
    );
    prints(
        "match --in 0.0.0.0/0 255.255.255.255",
        &["255.255.255.255\t0.0.0.0/0"],
    );
    prints(
        "match --in 10.0.0.5-10.0.0.8 10.0.0.7",
        &["10.0.0.7\t10.0.0.5-10.0.0.8"],
    );
    // A range that is a network is printed as the range.
    prints(
        "match --in 10.0.0.0-10.0.0.255 --in 10.0.0.0/8 10.0.0.7 10.1.0.0",
        &["10.0.0.7\t10.0.0.0-10.0.0.255", "10.1.0.0\t10.0.0.0/8"],
    );
    // Of overlapping members, the one with fewer addresses is more specific.
    prints(
        "match --in 10.0.0.0-10.0.0.9 --in 10.0.0.5-10.0.0.250 10.0.0.7 10.0.0.10 10.0.0.0",
        &[
            "10.0.0.7\t10.0.0.0-10.0.0.9",
            "10.0.0.10\t10.0.0.5-10.0.0.250",
            "10.0.0.0\t10.0.0.0-10.0.0.9",
        ],
    );
    prints(
        "match --in 2001:db8::5-2001:db8:ffff::ffff:ffff:ffff:ffff --in ::1 2001:db8::6 ::1",
        &[
            "2001:db8::6\t2001:db8::5-2001:db8:ffff:0:ffff:ffff:ffff:ffff",
            "::1\t::1/128",
        ],
    );
    records_are(
        run("match --json --in 10.0.0.5-10.0.0.8 10.0.0.7")
            .code(0)
            .stderr(""),
        "{\"type\":\"match\",\"address\":\"10.0.0.7\",\"network\":\"10.0.0.5-10.0.0.8\"}\n",
    );
    prints(
        "match --in ::ffff:0:0/96 ::ffff:10.0.0.1",
        &["::ffff:10.0.0.1\t::ffff:0.0.0.0/96"],
    );
}

#[test]
fn an_address_outside_all_networks_causes_status_1() {
    run("match --in 10.0.0.0/8 11.0.0.1 10.0.0.1")
        .code(1)
        .stdout("11.0.0.1\t-\n10.0.0.1\t10.0.0.0/8\n")
        .stderr("");
    // A v4-mapped address is an IPv6 address.
    run("match --in 10.0.0.0/8 ::ffff:10.0.0.1")
        .code(1)
        .stdout("::ffff:10.0.0.1\t-\n");
    run("match -q --in 10.0.0.0/8 11.0.0.1")
        .code(1)
        .stdout("")
        .stderr("");
    run("match -q --in 10.0.0.0/8 10.0.0.1")
        .code(0)
        .stdout("")
        .stderr("");
    records_are(
        run("match --json --in 10.0.0.0/8 11.0.0.1 10.0.0.1")
            .code(1)
            .stderr(""),
        "{\"type\":\"match\",\"address\":\"11.0.0.1\",\"network\":null}\n\
         {\"type\":\"match\",\"address\":\"10.0.0.1\",\"network\":\"10.0.0.0/8\"}\n",
    );
}

#[test]
fn lines_of_stdin_are_looked_up() {
    let (_dir, path) = file("10.0.0.0/8\n10.1.0.0/16\n2001:db8::/32\n");
    subnetcalc()
        .args(["match", "--in", &format!("@{path}"), "-"])
        .stdin("10.1.1.1\n# c\n\n 10.2.2.2 \n2001:DB8::5\nbad\n10.0.0.1/32\n9.9.9.9")
        .run()
        .code(2)
        .stdout(
            "10.1.1.1\t10.1.0.0/16\n10.2.2.2\t10.0.0.0/8\n2001:db8::5\t2001:db8::/32\n9.9.9.9\t-\n",
        )
        .stderr(
            "subnetcalc: -:6: bad: not an IPv4 or IPv6 address\n\
             subnetcalc: -:7: 10.0.0.1/32: a network, not an address; match looks up addresses\n",
        );
    subnetcalc()
        .args(["match", "--in", "-", "10.0.0.1"])
        .stdin("10.0.0.0/8\n")
        .run()
        .code(0)
        .stdout("10.0.0.1\t10.0.0.0/8\n");
    let _ = subnetcalc()
        .args(["match", "--in", "-", "-"])
        .run()
        .code(2)
        .stdout("");
}

#[test]
fn every_address_of_a_large_table_is_found() {
    let mut nets = String::new();
    let mut addresses = String::new();
    let mut expected = String::new();
    for n in 0..2000_u32 {
        let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n * 7919);
        nets += &format!("{address}/32\n");
        addresses += &format!("{address}\n");
        expected += &format!("{address}\t{address}/32\n");
    }
    let (_dir, path) = file(&nets);
    subnetcalc()
        .args(["match", "--in", &format!("@{path}")])
        .stdin(addresses)
        .run()
        .code(0)
        .stdout(&expected)
        .stderr("");
}

#[test]
fn addresses_are_read_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("addresses");
    std::fs::write(&path, "10.0.0.1\nbad\n# none\n11.0.0.1\n").unwrap();
    let at = format!("@{}", path.display());
    subnetcalc()
        .args(["match", "--in", "10.0.0.0/8", &at, "10.9.9.9"])
        .run()
        .code(2)
        .stdout("10.0.0.1\t10.0.0.0/8\n11.0.0.1\t-\n10.9.9.9\t10.0.0.0/8\n")
        .stderr(&format!(
            "subnetcalc: {}:2: bad: not an IPv4 or IPv6 address\n",
            path.display()
        ));
    // Commands that read networks accept files, too.
    std::fs::write(&path, "10.0.0.0/30\n").unwrap();
    subnetcalc()
        .args(["hosts", &at])
        .run()
        .code(0)
        .stdout("10.0.0.1\n10.0.0.2\n");
    subnetcalc()
        .args(["--get", "total", &at, "10.0.0.1"])
        .run()
        .stdout("4\n1\n");
}

#[test]
fn v4_mapped_addresses_can_be_unmapped() {
    run("match --in 10.0.0.0/8 ::ffff:10.0.0.5")
        .code(1)
        .stdout("::ffff:10.0.0.5\t-\n");
    prints(
        "match --unmap --in 10.0.0.0/8,::/0 ::ffff:10.0.0.5 ::10.0.0.5 10.0.0.6",
        &[
            "::ffff:10.0.0.5\t10.0.0.0/8",
            "::a00:5\t::/0",
            "10.0.0.6\t10.0.0.0/8",
        ],
    );
    subnetcalc()
        .args(["match", "--unmap", "-4", "--in", "10.0.0.0/8"])
        .stdin("::ffff:10.0.0.5\n::1\n")
        .run()
        .code(0)
        .stdout("::ffff:10.0.0.5\t10.0.0.0/8\n");
}

/// Lookups are made in batches of one family.
#[test]
fn results_keep_the_input_order_across_families() {
    let mut addresses = String::new();
    let mut expected = String::new();
    for n in 0..2000_u32 {
        let address = match n % 7 {
            0..3 => format!("2001:db8::{n:x}"),
            _ => format!("10.0.{}.{}", n / 256, n % 256),
        };
        let network = if n % 7 < 3 {
            "2001:db8::/32"
        } else {
            "10.0.0.0/8"
        };
        addresses += &format!("{address}\n");
        expected += &format!("{address}\t{network}\n");
    }
    // std formats ::0 as ::.
    let expected = expected.replace("2001:db8::0\t", "2001:db8::\t");
    subnetcalc()
        .args(["match", "--in", "10.0.0.0/8,2001:db8::/32"])
        .stdin(addresses)
        .run()
        .code(0)
        .stdout(&expected)
        .stderr("");
}

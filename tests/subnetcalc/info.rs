//! The command `info` with its output as text, selected fields and JSON.

use super::{prints, records_are, run, subnetcalc};

#[test]
fn details_of_a_private_network_are_printed() {
    let text = "        Address: 192.168.1.10
        Network: 192.168.1.0/24
        Netmask: 255.255.255.0 = 24
       Wildcard: 0.0.0.255
      Broadcast: 192.168.1.255
     First host: 192.168.1.1
      Last host: 192.168.1.254
      Total IPs: 256
   Usable hosts: 254
Special purpose: Private-Use, RFC1918, globally reachable: no
   Reverse zone: 1.168.192.in-addr.arpa
";
    for words in [
        "192.168.1.10/24",
        "info 192.168.1.10/24",
        "192.168.1.10/255.255.255.0",
        "--wildcard 192.168.1.10/0.0.0.255",
    ] {
        run(words).code(0).stdout(text).stderr("");
    }
}

#[test]
fn details_of_an_ipv6_network_are_printed() {
    let text = "        Address: 2001:db8::21b:21ff:fe3c:9df8
        Network: 2001:db8::/64
        Netmask: ffff:ffff:ffff:ffff:: = 64
       Wildcard: ::ffff:ffff:ffff:ffff
     First host: 2001:db8::
      Last host: 2001:db8::ffff:ffff:ffff:ffff
      Total IPs: 18446744073709551616
   Usable hosts: 18446744073709551616
Special purpose: Documentation, RFC3849, globally reachable: no
   Reverse zone: 0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa
     EUI-64 MAC: 00:1b:21:3c:9d:f8
 Solicited node: ff02::1:ff3c:9df8
";
    run("2001:db8::21b:21ff:fe3c:9df8/64")
        .code(0)
        .stdout(text)
        .stderr("");
}

#[test]
fn a_blank_line_separates_networks() {
    let out = run("10.0.0.0/8 11.0.0.0/8");
    let text = out.code(0).stdout_str();
    assert_eq!(text.matches("\n\n").count(), 1, "{}", out.report());
    assert!(!text.ends_with("\n\n"));
}

#[test]
fn lines_that_do_not_apply_are_omitted() {
    for net in ["10.0.0.0/31", "10.0.0.1/32", "10.0.0.1", "2001:db8::/64"] {
        let out = run(net);
        let text = out.code(0).stdout_str();
        assert!(!text.contains("Broadcast"), "{text}");
    }
    let out = run("8.8.8.0/22");
    out.code(0).stdout_contains(
        "   Reverse zone: 8.8.8.in-addr.arpa, 9.8.8.in-addr.arpa, 10.8.8.in-addr.arpa, 11.8.8.in-addr.arpa\n",
    );
    assert!(!out.stdout_str().contains("Special"));
    run("10.0.0.0/9")
        .code(0)
        .stdout_contains(": 0.10.in-addr.arpa to 127.10.in-addr.arpa (128 zones)\n");
}

#[test]
fn embedded_addresses_and_multicast_are_decoded() {
    run("ff02::1:ff3c:9df8")
        .code(0)
        .stdout_contains("Multicast scope: link-local\n  Multicast MAC: 33:33:ff:3c:9d:f8\n");
    run("2001:0:4136:e378:8000:63bf:3fff:fdd2")
        .code(0)
        .stdout_contains("  Embedded IPv4: 192.0.2.45 (teredo client, UDP port 40000)\n")
        .stdout_contains("  Teredo server: 65.54.227.120\n");
    run("::ffff:192.0.2.1")
        .code(0)
        .stdout_contains("        Address: ::ffff:192.0.2.1\n")
        .stdout_contains("  Embedded IPv4: 192.0.2.1 (v4-mapped)\n");
    run("192.88.99.1")
        .code(0)
        .stdout_contains("globally reachable: N/A\n");
}

#[test]
fn get_prints_selected_fields() {
    prints(
        "--get network,broadcast,usable 10.0.0.5/30 10.0.0.4/31 10.0.0.4",
        &[
            "10.0.0.4/30\t10.0.0.7\t2",
            "10.0.0.4/31\t-\t2",
            "10.0.0.4/32\t-\t1",
        ],
    );
    prints(
        "--get total ::/0",
        &["340282366920938463463374607431768211456"],
    );
    prints("--get total,usable 0.0.0.0/0", &["4294967296\t4294967294"]);
    prints(
        "--get special.name,special.rfc,special.entry,special.globally_reachable 10.1.2.3 8.8.8.8",
        &["Private-Use\tRFC1918\t10.0.0.0/8\tfalse", "-\t-\t-\t-"],
    );
    prints(
        "--get hex,decimal,binary,expanded 10.0.0.1",
        &["0a000001\t167772161\t00001010.00000000.00000000.00000001\t10.0.0.1"],
    );
    prints(
        "--get hex,expanded 2001:db8::1",
        &["20010db8000000000000000000000001\t2001:0db8:0000:0000:0000:0000:0000:0001"],
    );
    prints(
        "--get reverse_zones 192.0.2.0/23 192.0.2.64/26 192.0.2.1 0.0.0.0/0 2001:db8::/31",
        &[
            "2.0.192.in-addr.arpa,3.0.192.in-addr.arpa",
            "64/26.2.0.192.in-addr.arpa",
            "1.2.0.192.in-addr.arpa",
            "in-addr.arpa",
            "8.b.d.0.1.0.0.2.ip6.arpa,9.b.d.0.1.0.0.2.ip6.arpa",
        ],
    );
    prints(
        "--get embedded.kind,embedded.ipv4,embedded.server,embedded.port 2002:c000:204:: 64:ff9b::c000:221",
        &["6to4\t192.0.2.4\t-\t-", "nat64\t192.0.2.33\t-\t-"],
    );
    prints(
        "--get multicast,multicast_scope,multicast_mac 239.255.0.1 10.0.0.1",
        &["true\tlocal\t01:00:5e:7f:00:01", "false\t-\t-"],
    );
}

#[test]
fn an_unknown_field_is_a_usage_error() {
    for field in ["totl", "special", "special.x", "total.x", ""] {
        let out = subnetcalc().args(["--get", field, "10.0.0.0/8"]).run();
        out.code(2).stdout("").stderr_contains(" for '--get'");
        assert_eq!(out.stderr_str().lines().count(), 1, "{}", out.report());
    }
}

#[test]
fn json_has_all_keys() {
    let records = run("--json 192.168.1.10/24 2001:db8::1/127").code(0).json();
    let keys: Vec<&str> = records[0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut expected: Vec<&str> =
        "type address prefix_length network netmask wildcard broadcast first \
        last first_host last_host total usable family special multicast reverse_zones hex decimal \
        binary expanded embedded mac solicited_node multicast_scope multicast_mac time"
            .split_whitespace()
            .collect();
    let same = keys.len() == expected.len() && {
        let mut keys = keys.clone();
        keys.sort_unstable();
        expected.sort_unstable();
        keys == expected
    };
    assert!(same, "{keys:?}");
    let v4 = &records[0];
    assert_eq!(v4["type"], "network");
    assert_eq!(v4["address"], "192.168.1.10");
    assert_eq!(v4["network"], "192.168.1.0/24");
    assert_eq!(v4["prefix_length"], 24);
    assert_eq!(v4["total"], "256");
    assert_eq!(v4["usable"], "254");
    assert_eq!(v4["family"], 4);
    assert_eq!(v4["special"]["entry"], "192.168.0.0/16");
    assert_eq!(v4["special"]["globally_reachable"], false);
    assert_eq!(v4["reverse_zones"][0], "1.168.192.in-addr.arpa");
    assert!(v4["mac"].is_null() && v4["embedded"].is_null());
    let v6 = &records[1];
    assert_eq!(v6["usable"], "2");
    assert!(v6["broadcast"].is_null());
    assert_eq!(v6["solicited_node"], "ff02::1:ff00:1");
    let records = run("--json 2001:0:4136:e378:8000:63bf:3fff:fdd2 192.88.99.1 8.8.8.8")
        .code(0)
        .json();
    assert_eq!(records[0]["embedded"]["kind"], "teredo");
    assert_eq!(records[0]["embedded"]["port"], 40000);
    assert!(records[0]["special"]["globally_reachable"].is_null());
    assert!(records[1]["special"]["globally_reachable"].is_null());
    assert!(records[2]["special"].is_null());
}

#[test]
fn json_has_only_the_selected_fields() {
    records_are(
        run("--json --get total,special.name 10.0.0.0/8")
            .code(0)
            .stderr(""),
        "{\"type\":\"network\",\"total\":\"16777216\",\"special\":{\"name\":\"Private-Use\"}}\n",
    );
}

#[test]
fn networks_of_the_other_family_are_ignored() {
    prints("-4 --get network 10.0.0.0/8 ::/0", &["10.0.0.0/8"]);
    prints("-6 --get network 10.0.0.0/8 ::/0", &["::/0"]);
}

#[test]
fn a_registry_row_contains_the_complete_network() {
    prints(
        "--get network,special.name,special.globally_reachable,multicast 0.0.0.0/0 10.0.0.0/7 \
         100.64.0.0/8 192.0.0.0/24 172.16.0.0/9 10.9.0.0/16 224.0.0.0/3 224.0.0.0/4 224.0.0.9 \
         ::/0 2001::/23 fc00::/6 2000::/3 ff00::/7 ff00::/8",
        &[
            "0.0.0.0/0\t-\t-\tfalse",
            "10.0.0.0/7\t-\t-\tfalse",
            "100.0.0.0/8\t-\t-\tfalse",
            "192.0.0.0/24\tIETF Protocol Assignments\tfalse\tfalse",
            "172.0.0.0/9\t-\t-\tfalse",
            "10.9.0.0/16\tPrivate-Use\tfalse\tfalse",
            "224.0.0.0/3\t-\t-\tfalse",
            "224.0.0.0/4\t-\t-\ttrue",
            "224.0.0.9/32\t-\t-\ttrue",
            "::/0\t-\t-\tfalse",
            "2001::/23\tIETF Protocol Assignments\tfalse\tfalse",
            "fc00::/6\t-\t-\tfalse",
            "2000::/3\t-\t-\tfalse",
            "fe00::/7\t-\t-\tfalse",
            "ff00::/8\t-\t-\ttrue",
        ],
    );
}

#[test]
fn an_address_and_a_netmask_are_one_network() {
    for mask in ["255.255.255.0", "0xffffff00", "ffffff00"] {
        let text = run(&format!("192.168.1.10 {mask}"));
        text.code(0).stderr("");
        assert_eq!(text.stdout, run("192.168.1.10/24").stdout, "{mask}");
        prints(
            &format!("--get address,network 192.168.1.10 {mask}"),
            &["192.168.1.10\t192.168.1.0/24"],
        );
    }
    prints(
        "info --wildcard --get network 10.1.2.3 0.0.255.255",
        &["10.1.0.0/16"],
    );
    let records = run("--json 10.1.2.3 255.0.0.0").code(0).json();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["prefix_length"], 8);
    run("--strict 192.168.1.10 255.255.255.0")
        .code(2)
        .stdout("");
    run("192.168.1.0 255.255.255.1")
        .code(2)
        .stdout("")
        .stderr("subnetcalc: 255.255.255.1: not a netmask: its one bits are not contiguous\n");
    run("192.168.1.0 0.0.0.255").code(2).stdout("").stderr(
        "subnetcalc: 0.0.0.255: a wildcard mask, not a netmask; add --wildcard to use it\n",
    );
    // With other operands, they are two networks.
    prints(
        "--get network 10.0.0.1 255.255.255.0 10.0.0.2",
        &["10.0.0.1/32", "255.255.255.0/32", "10.0.0.2/32"],
    );
    prints(
        "--get network 10.0.0.1/32 255.0.0.0",
        &["10.0.0.1/32", "255.0.0.0/32"],
    );
    prints(
        "--get network 10.0.0.1 10.0.0.2",
        &["10.0.0.1/32", "10.0.0.2/32"],
    );
    run("192.168.1.10 /24")
        .code(2)
        .stderr("subnetcalc: /24: missing address before '/'; write ADDR/LEN without a space\n");
    // A range is not a network.
    run("10.0.0.0 - 10.0.0.255").code(2).stdout("").stderr(
        "subnetcalc: 10.0.0.0-10.0.0.255: a range, not a network; 'subnetcalc aggregate' \
         converts it to networks\n",
    );
}

#[test]
fn nested_keys_stay_nested() {
    let record = |get: &str, net: &str| {
        let records = run(&format!("--json --get {get} {net}")).code(0).json();
        let mut record = records.into_iter().next().unwrap();
        let time = record.as_object_mut().unwrap().remove("time");
        assert!(time.is_some());
        record
    };
    assert_eq!(
        record("special.rfc,network,special.name,special.rfc", "10.0.0.0/8"),
        serde_json::json!({
            "type": "network",
            "network": "10.0.0.0/8",
            "special": {"name": "Private-Use", "rfc": "RFC1918"},
        })
    );
    assert_eq!(
        record("special.name,embedded.port", "8.8.8.8"),
        serde_json::json!({"type": "network", "special": null, "embedded": null})
    );
}

#[test]
fn shells_complete_the_names_of_fields() {
    for shell in ["bash", "fish", "zsh"] {
        let out = subnetcalc().args(["--generate", shell]).run();
        out.code(0)
            .stdout_contains("prefix_length")
            .stdout_contains("special.name");
    }
}

#[test]
fn a_zone_is_accepted_and_ignored() {
    let plain = run("fe80::1/64").stdout;
    run("fe80::1%eth0/64")
        .code(0)
        .stderr("")
        .stdout(std::str::from_utf8(&plain).expect("UTF-8"));
    let address = run("--json --get address fe80::1%eth0").code(0).json();
    assert_eq!(address[0]["address"], "fe80::1");
    for (words, line) in [
        ("reverse fe80::%eth0/16", "0.8.e.f.ip6.arpa"),
        ("next fe80::1%eth0/64", "fe80:0:0:1::/64"),
        ("prev fe80::1%2", "fe80::/128"),
        ("nth fe80::%eth0/64 1", "fe80::1"),
        ("hosts fe80::1%br-lan", "fe80::1"),
        ("aggregate fe80::1%br-lan", "fe80::1/128"),
        ("hosts --step 2 fe80::1%e0 - fe80::2%e0", "fe80::1"),
        (
            "aggregate fe80::%e0/65 fe80::8000:0:0:0%e1-fe80::ffff:ffff:ffff:ffff",
            "fe80::/64",
        ),
        (
            "match --in fe80::%eth0/10 fe80::1%eth1",
            "fe80::1\tfe80::/10",
        ),
        (
            "eui64 001b213c9df8 fe80::%eth0/64",
            "fe80::21b:21ff:fe3c:9df8",
        ),
    ] {
        prints(words, &[line]);
    }
    subnetcalc()
        .args(["match", "--in", "-", "fe80::1", "fe80::1%eth0"])
        .stdin("fe80::1%eth0 # a router\n")
        .run()
        .code(0)
        .stdout("fe80::1\tfe80::1/128\nfe80::1\tfe80::1/128\n");
    run("fe80::1% 10.0.0.1%eth0 --get address")
        .code(2)
        .stdout("")
        .stderr(
            "subnetcalc: fe80::1%: missing zone after '%'; use ADDR%IFACE\n\
             subnetcalc: 10.0.0.1%eth0: an IPv4 address cannot have a zone (%)\n",
        );
}

#[test]
fn unicast_addresses_have_a_solicited_node_group() {
    prints(
        "--get address,solicited_node :: ::1 2001:db8::1:2:3 ff02::1 10.0.0.1",
        &[
            "::\t-",
            "::1\tff02::1:ff00:1",
            "2001:db8::1:2:3\tff02::1:ff02:3",
            "ff02::1\t-",
            "10.0.0.1\t-",
        ],
    );
}

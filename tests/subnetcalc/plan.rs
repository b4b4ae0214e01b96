//! The command `plan`.

use super::{prints, records_are, run, says_no};

#[test]
fn parts_are_planned_by_number_of_hosts() {
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
        "10.0.0.0/24: does not fit: the parts need 384 addresses, the network has 256",
    );
    says_no(
        "plan 10.0.0.0/31 1",
        "10.0.0.0/31: does not fit: the parts need 4 addresses, the network has 2",
    );
    says_no(
        "plan 10.0.0.0/8 99999999999",
        "10.0.0.0/8: does not fit: a part is larger than any IPv4 network",
    );
    run("plan 10.0.0.0/8 web=x").code(2).stdout("").stderr(
        "subnetcalc: web=x: neither a number of hosts nor a prefix length; use [NAME=]HOSTS or \
                 [NAME=]/LEN\n",
    );
    records_are(
        run("plan -j 10.0.0.0/29 a=2").code(0).stderr(""),
        "{\"type\":\"plan\",\"network\":\"10.0.0.0/30\",\"name\":\"a\",\"asked\":\"2\",\"usable\":\"2\",\"free\":false}\n\
             {\"type\":\"plan\",\"network\":\"10.0.0.4/30\",\"name\":null,\"asked\":null,\"usable\":\"2\",\"free\":true}\n",
    );
}

#[test]
fn parts_are_planned_by_length_and_in_order() {
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
        "10.0.0.0/25: does not fit: alignment leaves gaps between the parts in this order; \
         omit --keep-order to put the largest part first",
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
        "2001:db8::/120: does not fit: the parts need 18446744073709551616 addresses, the \
         network has 256; use --exact for parts longer than /64",
    );
    run("plan 10.0.0.0/8 /33").code(1).stdout("");
    run("plan 10.0.0.0/8 /129").code(2).stdout("");
}

//! Replies made record by record, and what is made of them.

use super::*;
use crate::wire::reply::read;
use domain::base::iana::Rcode;
use domain::base::message_builder::MessageBuilder;
use domain::base::rdata::UnknownRecordData;

fn name(text: &str) -> OwnedName {
    OwnedName::vec_from_str(text).unwrap()
}

/// A reply to `a.test A`.
struct Made {
    flags: &'static str,
    rcode: Rcode,
    answer: Vec<(OwnedName, Rtype, Vec<u8>)>,
    authority: Vec<(OwnedName, Rtype, Vec<u8>)>,
}

fn made() -> Made {
    Made {
        flags: "",
        rcode: Rcode::NOERROR,
        answer: Vec::new(),
        authority: Vec::new(),
    }
}

impl Made {
    fn rcode(mut self, rcode: Rcode) -> Self {
        self.rcode = rcode;
        self
    }

    /// `d` is RD, `r` RA, `a` AA.
    fn flags(mut self, letters: &'static str) -> Self {
        self.flags = letters;
        self
    }

    fn a(mut self, owner: &str) -> Self {
        let data = vec![192, 0, 2, 1];
        self.answer.push((name(owner), Rtype::A, data));
        self
    }

    fn link(mut self, rtype: Rtype, owner: &str, to: &str) -> Self {
        let data = name(to).as_slice().to_vec();
        self.answer.push((name(owner), rtype, data));
        self
    }

    fn cname(self, owner: &str, to: &str) -> Self {
        self.link(Rtype::CNAME, owner, to)
    }

    fn dname(self, owner: &str, to: &str) -> Self {
        self.link(Rtype::DNAME, owner, to)
    }

    fn ns(mut self, owner: &str, to: &str) -> Self {
        let data = name(to).as_slice().to_vec();
        self.authority.push((name(owner), Rtype::NS, data));
        self
    }

    fn soa(mut self) -> Self {
        self.authority.push((name("test"), Rtype::SOA, vec![0; 22]));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut builder = MessageBuilder::new_vec();
        let header = builder.header_mut();
        header.set_rcode(self.rcode);
        header.set_rd(self.flags.contains('d'));
        header.set_ra(self.flags.contains('r'));
        header.set_aa(self.flags.contains('a'));
        let mut question = builder.question();
        question.push((name("a.test"), Rtype::A)).unwrap();
        let data = |rtype: &Rtype, data: &Vec<u8>| {
            UnknownRecordData::from_octets(*rtype, data.clone()).unwrap()
        };
        let mut answer = question.answer();
        for (owner, rtype, bytes) in &self.answer {
            answer.push((owner, 60, data(rtype, bytes))).unwrap();
        }
        let mut authority = answer.authority();
        for (owner, rtype, bytes) in &self.authority {
            authority.push((owner, 60, data(rtype, bytes))).unwrap();
        }
        authority.finish()
    }

    /// The status, how many records belong to the answer, where the chain ends,
    /// and what is wrong as the sentence about server S.
    fn says(&self, rtype: Rtype) -> (String, usize, String, String) {
        let bytes = self.bytes();
        let reply = read(&bytes).unwrap();
        let outcome = follow(&reply, &Question::new(name("a.test"), rtype));
        let gap = outcome.gap.map(|gap| gap.sentence("S", "a.test."));
        let odd = outcome.odd.join("; ");
        (
            outcome.status.name(),
            outcome.records.len(),
            outcome.end.as_ref().map(present::name).unwrap_or_default(),
            gap.unwrap_or(odd),
        )
    }

    #[track_caller]
    fn is(&self, status: &str, records: usize, end: &str, says: &str) {
        let expected = (status.to_owned(), records, end.to_owned(), says.to_owned());
        assert_eq!(self.says(Rtype::A), expected);
    }
}

#[test]
fn what_is_found() {
    made().a("a.test").is("NOERROR", 1, "", "");
    made().a("b.test").is("NODATA", 0, "", "");
    made()
        .cname("a.test", "B.test")
        .a("b.test")
        .is("NOERROR", 2, "B.test.", "");
    let two = made().cname("a.test", "b.test").cname("b.test", "c.test");
    two.a("c.test").is("NOERROR", 3, "c.test.", "");
    // The order of the records does not matter, those of others do not count.
    let other = made().a("c.test").a("d.test").cname("b.test", "c.test");
    other
        .cname("a.test", "b.test")
        .is("NOERROR", 3, "c.test.", "");
}

/// RFC 6672: the part of the name below the DNAME stays.
#[test]
fn what_is_found_behind_a_dname() {
    made()
        .dname("test", "example")
        .a("a.example")
        .is("NOERROR", 2, "a.example.", "");
    let deeper = made()
        .cname("a.test", "x.y.b.test")
        .dname("b.test", "c.example");
    deeper
        .a("x.y.c.example")
        .is("NOERROR", 3, "x.y.c.example.", "");
    // Neither at the name itself nor beside it, and not by letters alone.
    for owner in ["a.test", "b.test", "est"] {
        made()
            .dname(owner, "example")
            .a("a.example")
            .a("example")
            .is("NODATA", 0, "", "");
    }
    // To the root: what is left of the name.
    made().dname("test", ".").a("a").is("NOERROR", 2, "a.", "");
    // A target that would be too long is not followed.
    let long = [
        "x".repeat(63),
        "x".repeat(63),
        "x".repeat(63),
        "x".repeat(61),
    ]
    .join(".");
    made().dname("test", &long).is("NODATA", 0, "", "");
    // Whoever asks for the DNAME itself gets that of the name.
    let (status, records, ..) = made().dname("a.test", "example").says(Rtype::DNAME);
    assert_eq!((status.as_str(), records), ("NOERROR", 1));
}

/// Whatever records come with it, a failure is a failure and a no is a no.
#[test]
fn the_code_counts_more_than_the_records() {
    for (rcode, status) in [
        (Rcode::FORMERR, "FORMERR"),
        (Rcode::SERVFAIL, "SERVFAIL"),
        (Rcode::NXDOMAIN, "NXDOMAIN"),
        (Rcode::REFUSED, "REFUSED"),
        (Rcode::YXDOMAIN, "YXDOMAIN"),
        (Rcode::checked_from_int(13).unwrap(), "RCODE13"),
    ] {
        made().a("a.test").rcode(rcode).is(status, 0, "", "");
        let chain = made().cname("a.test", "b.test").rcode(rcode);
        chain.a("b.test").is(status, 1, "b.test.", "");
    }
    let looping = made().cname("a.test", "a.test").rcode(Rcode::SERVFAIL);
    assert_eq!(looping.says(Rtype::A).0, "SERVFAIL");
}

/// The SOA proves that there is no data, or a server that was asked to follow
/// aliases and does.
#[test]
fn no_data() {
    let alias = || made().cname("a.test", "b.test");
    let stops = "incomplete answer from S: it stops at the alias b.test.";
    alias().soa().is("NODATA", 1, "b.test.", "");
    alias().flags("dr").is("NODATA", 1, "b.test.", "");
    for flags in ["", "d", "r", "a", "da"] {
        alias().flags(flags).is("INCOMPLETE", 1, "b.test.", stops);
    }
    let ns = || alias().ns("test", "ns.test");
    ns().flags("dra").is("INCOMPLETE", 1, "b.test.", stops);
    ns().flags("dra").soa().is("NODATA", 1, "b.test.", "");
    made().is("NODATA", 0, "", "");
    made()
        .flags("a")
        .ns("test", "ns.test")
        .is("NODATA", 0, "", "");
}

#[test]
fn referrals() {
    let says = "S refers to the servers of test. (ns1.test., ns2.test.)";
    let referral = || made().ns("test", "ns1.test").ns("test", "ns2.test");
    referral()
        .ns("other", "x.other")
        .is("INCOMPLETE", 0, "", says);
    referral().flags("dr").is("INCOMPLETE", 0, "", says);
    referral().flags("a").is("NODATA", 0, "", "");
    let upwards = "S is not authoritative for a.test. and refers upwards (lame)";
    made()
        .ns(".", "a.root-servers.net")
        .is("INCOMPLETE", 0, "", upwards);
    let many = (0..40).fold(made(), |made, n| made.ns("test", &format!("ns{n}.test")));
    let (.., says) = many.says(Rtype::A);
    assert!(says.len() < 200 && says.contains(", ..., "), "{says}");
}

#[test]
fn loops() {
    made()
        .cname("a.test", "a.test")
        .is("INCOMPLETE", 1, "", "alias loop: a.test. -> a.test.");
    let round = made().cname("a.test", "b.test").cname("b.test", "c.test");
    let says = "alias loop: b.test. -> c.test. -> b.test.";
    round
        .cname("c.test", "b.test")
        .is("INCOMPLETE", 3, "c.test.", says);
    let dname = made().dname("test", "test").cname("a.test", "a.test");
    let says = "alias loop: a.test. -> a.test.";
    dname.is("INCOMPLETE", 1, "", says);
}

/// Chains of up to twenty links are followed.
#[test]
fn long_chains() {
    let chain = |links: usize| {
        let names: Vec<String> = (0..links).map(|n| format!("n{n}.test")).collect();
        let first = made().cname("a.test", &names[0]);
        let made = names.windows(2).fold(first, |m, w| m.cname(&w[0], &w[1]));
        made.a(&names[links - 1])
    };
    chain(20).is("NOERROR", 21, "n19.test.", "");
    let says = "more than 20 aliases, one after the other";
    chain(21).is("INCOMPLETE", 21, "n19.test.", says);
    chain(40).is("INCOMPLETE", 21, "n19.test.", says);
}

#[test]
fn what_should_not_be() {
    let both = made().cname("a.test", "b.test").a("a.test").a("b.test");
    both.is(
        "NOERROR",
        1,
        "",
        "a.test. has a CNAME record and other data",
    );
    let two = made().cname("a.test", "b.test").cname("a.test", "c.test");
    let says = "a.test. has several CNAME records";
    two.a("b.test")
        .a("c.test")
        .is("NOERROR", 2, "b.test.", says);
    // The same one twice is only that.
    let twice = made().cname("a.test", "b.test").cname("a.test", "b.test");
    twice.a("b.test").is("NOERROR", 2, "b.test.", "");
    assert_eq!(both_of_any(), "");
}

fn both_of_any() -> String {
    let both = made().cname("a.test", "b.test").a("a.test");
    both.says(Rtype::ANY).3
}

/// Hashed or not, owners are the same ones.
#[test]
fn many_records_make_no_difference() {
    let fill = (0..100).fold(made(), |made, n| made.a(&format!("x{n}.test")));
    let some = fill.cname("A.TEST", "b.test").a("B.Test").a("b.test");
    some.is("NOERROR", 3, "b.test.", "");
}

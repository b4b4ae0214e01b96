//! Tests with replies that are built record by record.

use super::*;
use crate::wire::reply::read;
use domain::base::iana::Rcode;
use domain::base::message_builder::MessageBuilder;
use domain::base::rdata::UnknownRecordData;

fn name(text: &str) -> OwnedName {
    OwnedName::vec_from_str(text).unwrap()
}

/// A reply to the question `a.test A`.
struct TestReply {
    flags: &'static str,
    rcode: Rcode,
    answer: Vec<(OwnedName, Class, Rtype, Vec<u8>)>,
    authority: Vec<(OwnedName, Rtype, Vec<u8>)>,
}

fn reply() -> TestReply {
    TestReply {
        flags: "",
        rcode: Rcode::NOERROR,
        answer: Vec::new(),
        authority: Vec::new(),
    }
}

impl TestReply {
    fn rcode(mut self, rcode: Rcode) -> Self {
        self.rcode = rcode;
        self
    }

    /// Sets flags: `d` is RD, `r` is RA, `a` is AA.
    fn flags(mut self, letters: &'static str) -> Self {
        self.flags = letters;
        self
    }

    fn a(self, owner: &str) -> Self {
        self.record(owner, Class::IN, Rtype::A, vec![192, 0, 2, 1])
    }

    fn record(mut self, owner: &str, class: Class, rtype: Rtype, data: Vec<u8>) -> Self {
        self.answer.push((name(owner), class, rtype, data));
        self
    }

    fn cname(self, owner: &str, to: &str) -> Self {
        let data = name(to).as_slice().to_vec();
        self.record(owner, Class::IN, Rtype::CNAME, data)
    }

    fn dname(self, owner: &str, to: &str) -> Self {
        let data = name(to).as_slice().to_vec();
        self.record(owner, Class::IN, Rtype::DNAME, data)
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

    fn to_bytes(&self) -> Vec<u8> {
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
        for (owner, class, rtype, bytes) in &self.answer {
            let record = (owner, *class, 60, data(rtype, bytes));
            answer.push(record).unwrap();
        }
        let mut authority = answer.authority();
        for (owner, rtype, bytes) in &self.authority {
            authority.push((owner, 60, data(rtype, bytes))).unwrap();
        }
        authority.finish()
    }

    /// Returns the status, the number of records in the answer, the end of the
    /// alias chain, and the message or the warnings with `S` as the server.
    fn outcome(&self, rtype: Rtype) -> (String, usize, String, String) {
        let bytes = self.to_bytes();
        let reply = read(&bytes).unwrap();
        let outcome = follow(&reply, &Question::new(name("a.test"), rtype));
        let message = outcome.incomplete.map(|why| why.message("S", "a.test."));
        let target = outcome.alias_target.as_ref().map(presentation::name);
        (
            outcome.status.name(),
            outcome.records.len(),
            target.unwrap_or_default(),
            message.unwrap_or(outcome.warnings.join("; ")),
        )
    }

    #[track_caller]
    fn gives(&self, status: &str, records: usize, target: &str, message: &str) {
        let expected = (
            status.to_owned(),
            records,
            target.to_owned(),
            message.to_owned(),
        );
        assert_eq!(self.outcome(Rtype::A), expected);
    }
}

#[test]
fn records_of_the_name_are_found() {
    reply().a("a.test").gives("NOERROR", 1, "", "");
    reply().a("b.test").gives("NODATA", 0, "", "");
    reply()
        .cname("a.test", "B.test")
        .a("b.test")
        .gives("NOERROR", 2, "B.test.", "");
    let two = reply().cname("a.test", "b.test").cname("b.test", "c.test");
    two.a("c.test").gives("NOERROR", 3, "c.test.", "");
    // The order of the records is irrelevant, and other owners do not count.
    let other = reply().a("c.test").a("d.test").cname("b.test", "c.test");
    other
        .cname("a.test", "b.test")
        .gives("NOERROR", 3, "c.test.", "");
}

/// Signatures belong to the answer, unless they are requested themselves.
#[test]
fn signatures_are_part_of_the_answer() {
    let signed = || {
        let signature = vec![0; 20];
        reply()
            .a("a.test")
            .record("a.test", Class::IN, Rtype::RRSIG, signature)
    };
    signed().gives("NOERROR", 2, "", "");
    for rtype in [Rtype::RRSIG, Rtype::ANY] {
        let (_, records, ..) = signed().outcome(rtype);
        let expected = if rtype == Rtype::ANY { 2 } else { 1 };
        assert_eq!(records, expected, "{rtype}");
    }
}

#[test]
fn records_of_another_class_do_not_count() {
    for class in [Class::CH, Class::HS] {
        reply()
            .record("a.test", class, Rtype::A, vec![192, 0, 2, 1])
            .gives("NODATA", 0, "", "");
        let target = name("example").as_slice().to_vec();
        reply()
            .record("test", class, Rtype::DNAME, target)
            .a("a.example")
            .gives("NODATA", 0, "", "");
    }
}

/// RFC 6672: the part of the name below the DNAME is kept.
#[test]
fn dname_records_are_followed() {
    reply()
        .dname("test", "example")
        .a("a.example")
        .gives("NOERROR", 2, "a.example.", "");
    let deeper = reply()
        .cname("a.test", "x.y.b.test")
        .dname("b.test", "c.example");
    deeper
        .a("x.y.c.example")
        .gives("NOERROR", 3, "x.y.c.example.", "");
    // A DNAME does not apply to its owner, its siblings, or parts of a label.
    for owner in ["a.test", "b.test", "est"] {
        reply()
            .dname(owner, "example")
            .a("a.example")
            .a("example")
            .gives("NODATA", 0, "", "");
    }
    // The target may be the root.
    reply()
        .dname("test", ".")
        .a("a")
        .gives("NOERROR", 2, "a.", "");
    // A target that would be too long is not followed.
    let long = [
        "x".repeat(63),
        "x".repeat(63),
        "x".repeat(63),
        "x".repeat(61),
    ]
    .join(".");
    reply().dname("test", &long).gives("NODATA", 0, "", "");
    // A query for DNAME itself returns that of the name.
    let (status, records, ..) = reply().dname("a.test", "example").outcome(Rtype::DNAME);
    assert_eq!((status.as_str(), records), ("NOERROR", 1));
}

/// Errors and negative answers keep their status, whatever records they carry.
#[test]
fn the_rcode_counts_more_than_the_records() {
    for (rcode, status) in [
        (Rcode::FORMERR, "FORMERR"),
        (Rcode::SERVFAIL, "SERVFAIL"),
        (Rcode::NXDOMAIN, "NXDOMAIN"),
        (Rcode::REFUSED, "REFUSED"),
        (Rcode::YXDOMAIN, "YXDOMAIN"),
        (Rcode::checked_from_int(13).unwrap(), "RCODE13"),
    ] {
        reply().a("a.test").rcode(rcode).gives(status, 0, "", "");
        let chain = reply().cname("a.test", "b.test").rcode(rcode);
        chain.a("b.test").gives(status, 1, "b.test.", "");
    }
    let looping = reply().cname("a.test", "a.test").rcode(Rcode::SERVFAIL);
    assert_eq!(looping.outcome(Rtype::A).0, "SERVFAIL");
}

/// NODATA is proved by a SOA, or by a server that was asked to follow aliases and
/// is able to.
#[test]
fn nodata_needs_a_proof() {
    let alias = || reply().cname("a.test", "b.test");
    let stops = "incomplete answer from S: it stops at the alias b.test.";
    alias().soa().gives("NODATA", 1, "b.test.", "");
    alias().flags("dr").gives("NODATA", 1, "b.test.", "");
    for flags in ["", "d", "r", "a", "da"] {
        alias()
            .flags(flags)
            .gives("INCOMPLETE", 1, "b.test.", stops);
    }
    let ns = || alias().ns("test", "ns.test");
    ns().flags("dra").gives("INCOMPLETE", 1, "b.test.", stops);
    ns().flags("dra").soa().gives("NODATA", 1, "b.test.", "");
    reply().gives("NODATA", 0, "", "");
    reply()
        .flags("a")
        .ns("test", "ns.test")
        .gives("NODATA", 0, "", "");
}

#[test]
fn a_referral_is_incomplete() {
    let message = "S refers to the servers of test. (ns1.test., ns2.test.)";
    let referral = || reply().ns("test", "ns1.test").ns("test", "ns2.test");
    referral()
        .ns("other", "x.other")
        .gives("INCOMPLETE", 0, "", message);
    referral().flags("dr").gives("INCOMPLETE", 0, "", message);
    referral().flags("a").gives("NODATA", 0, "", "");
    let upwards = "S is not authoritative for a.test. and refers upwards (lame)";
    reply()
        .ns(".", "a.root-servers.net")
        .gives("INCOMPLETE", 0, "", upwards);
    // Of many servers, the first five and the last of those kept are listed.
    let many = (0..40).fold(reply(), |reply, n| reply.ns("test", &format!("ns{n}.test")));
    let (.., message) = many.outcome(Rtype::A);
    assert_eq!(
        message,
        "S refers to the servers of test. (ns0.test., ns1.test., ns2.test., ns3.test., \
         ns4.test., ..., ns6.test.)"
    );
}

#[test]
fn alias_loops_are_incomplete() {
    reply()
        .cname("a.test", "a.test")
        .gives("INCOMPLETE", 1, "", "alias loop: a.test. -> a.test.");
    let circle = reply().cname("a.test", "b.test").cname("b.test", "c.test");
    let message = "alias loop: b.test. -> c.test. -> b.test.";
    circle
        .cname("c.test", "b.test")
        .gives("INCOMPLETE", 3, "c.test.", message);
    let dname = reply().dname("test", "test").cname("a.test", "a.test");
    let message = "alias loop: a.test. -> a.test.";
    dname.gives("INCOMPLETE", 1, "", message);
}

#[test]
fn alias_chains_are_limited() {
    let chain = |aliases: usize| {
        let names: Vec<String> = (0..aliases).map(|n| format!("n{n}.test")).collect();
        let first = reply().cname("a.test", &names[0]);
        let reply = names.windows(2).fold(first, |r, w| r.cname(&w[0], &w[1]));
        reply.a(&names[aliases - 1])
    };
    chain(20).gives("NOERROR", 21, "n19.test.", "");
    let message = "alias chain of more than 20 names";
    chain(21).gives("INCOMPLETE", 21, "n19.test.", message);
    chain(40).gives("INCOMPLETE", 21, "n19.test.", message);
}

#[test]
fn inconsistent_aliases_cause_warnings() {
    let warning = "a.test. has a CNAME record and other data";
    let both = reply().cname("a.test", "b.test").a("a.test").a("b.test");
    both.gives("NOERROR", 1, "", warning);
    // DNSSEC records may accompany an alias (RFC 4034, RFC 4035).
    for (rtype, warning) in [
        (Rtype::RRSIG, ""),
        (Rtype::NSEC, ""),
        (Rtype::KEY, ""),
        (Rtype::TXT, warning),
    ] {
        let alias = reply().cname("a.test", "b.test").a("b.test");
        alias
            .record("a.test", Class::IN, rtype, vec![0; 20])
            .gives("NOERROR", 2, "b.test.", warning);
    }
    let two = reply().cname("a.test", "b.test").cname("a.test", "c.test");
    let warning = "a.test. has several CNAME records";
    two.a("b.test")
        .a("c.test")
        .gives("NOERROR", 2, "b.test.", warning);
    // A repeated record is harmless.
    let twice = reply().cname("a.test", "b.test").cname("a.test", "b.test");
    twice.a("b.test").gives("NOERROR", 2, "b.test.", "");
    // ANY requests aliases and other data.
    let both = reply().cname("a.test", "b.test").a("a.test");
    assert_eq!(both.outcome(Rtype::ANY).3, "");
}

/// Owners of long answers are hashed, with the same result.
#[test]
fn many_records_are_searched_by_hash() {
    let many = (0..100).fold(reply(), |reply, n| reply.a(&format!("x{n}.test")));
    let some = many.cname("A.TEST", "b.test").a("B.Test").a("b.test");
    some.gives("NOERROR", 3, "b.test.", "");
}

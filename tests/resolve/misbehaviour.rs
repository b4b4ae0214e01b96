//! Tests each [`Misbehaviour`] of the test server, as the only server and with a second
//! server that answers correctly.

use testkit::Output;
use testkit::dns::{Behaviour, DnsServer, Misbehaviour};

use super::{at, resolve, wait_until, zone};

/// The expected result of a wrong answer from the only server.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    /// The packet is ignored and no other arrives.
    Ignored,
    /// The lookup fails with this status.
    Fails(&'static str),
    /// The correct answer is found.
    Found,
    /// The answer is accepted as NODATA.
    NoData,
}

fn expected(lie: Misbehaviour) -> Expected {
    use Expected::{Fails, Found, Ignored, NoData};
    match lie {
        Misbehaviour::WrongId
        | Misbehaviour::WrongName
        | Misbehaviour::ParentName
        | Misbehaviour::WrongType
        | Misbehaviour::WrongClass
        | Misbehaviour::WrongOpcode
        | Misbehaviour::WrongPort
        | Misbehaviour::NotAReply
        | Misbehaviour::Echo
        | Misbehaviour::Empty
        | Misbehaviour::OneByte
        | Misbehaviour::ElevenBytes
        | Misbehaviour::BareNoError
        | Misbehaviour::NoQuestion
        | Misbehaviour::TwoQuestions
        | Misbehaviour::QuestionMissing
        | Misbehaviour::ForeignCookie
        | Misbehaviour::Silence => Ignored,
        Misbehaviour::PointerToItself
        | Misbehaviour::PointerForward
        | Misbehaviour::PointersInACircle
        | Misbehaviour::PointerBeyondTheEnd
        | Misbehaviour::PointerIntoTheHeader
        | Misbehaviour::ReservedLabel
        | Misbehaviour::OverlongName
        | Misbehaviour::OverlongLabel
        | Misbehaviour::TooManyAnswers
        | Misbehaviour::TooManyAdditional
        | Misbehaviour::LengthBeyondTheEnd
        | Misbehaviour::AddressTooShort
        | Misbehaviour::AddressTooLong
        | Misbehaviour::CutInARecord
        | Misbehaviour::TruncatedAndStreamCloses
        | Misbehaviour::TruncatedAndStreamTruncates
        | Misbehaviour::TruncatedAndStreamCutsShort => Fails("MALFORMED"),
        Misbehaviour::AliasLoop | Misbehaviour::AliasToNowhere | Misbehaviour::Referral => {
            Fails("INCOMPLETE")
        }
        Misbehaviour::UnknownRcode => Fails("RCODE13"),
        // The records belong to another name, or the alias is not one.
        Misbehaviour::ForeignRecords
        | Misbehaviour::ForeignClass
        | Misbehaviour::OnlyInAdditional
        | Misbehaviour::TargetPointsAtItself => NoData,
        Misbehaviour::ManyWrongIds
        | Misbehaviour::TrailingBytes
        | Misbehaviour::FalseFirst
        | Misbehaviour::Twice
        | Misbehaviour::Late
        | Misbehaviour::FormErrWithEdns
        | Misbehaviour::BadVersWithEdns
        | Misbehaviour::BareFormErrWithEdns
        | Misbehaviour::TruncatedAndStreamTrickles
        | Misbehaviour::TruncatedAndStreamAnswersAnother
        | Misbehaviour::TruncatedInARecord => Found,
    }
}

fn lying(lie: Misbehaviour) -> DnsServer {
    DnsServer::with_behaviour(zone(), move |_, _| Behaviour::Misbehave(lie))
}

/// Checks several at a time, since most of the time is spent waiting.
fn for_each_lie(check: impl Fn(Misbehaviour) + Sync) {
    std::thread::scope(|scope| {
        for some in Misbehaviour::ALL.chunks(Misbehaviour::ALL.len().div_ceil(8)) {
            scope.spawn(|| some.iter().for_each(|lie| check(*lie)));
        }
    });
}

#[test]
fn a_wrong_answer_of_the_only_server_is_handled() {
    for_each_lie(|lie| {
        let server = lying(lie);
        let expected = expected(lie);
        let ask = |timeout: &str| {
            resolve()
                .arg(at(&server))
                .args(["--json", "-v", "--timeout", timeout, "-t", "A", "host.test"])
                .run()
        };
        let out = match expected {
            Expected::Ignored => ask_until_it_was_received(lie, ask),
            _ => ask("60s"),
        };
        let records = out.json();
        assert_eq!(records.len(), 1, "{lie:?}: {}", out.report());
        let record = &records[0];
        let (status, code) = match expected {
            Expected::Ignored => ("TIMEOUT", 3),
            Expected::Fails(status) => (status, 3),
            Expected::Found => ("NOERROR", 0),
            Expected::NoData => ("NODATA", 1),
        };
        assert_eq!(record["status"], status, "{lie:?}: {}", out.report());
        out.code(code);
        if expected == Expected::Found {
            assert_eq!(record["records"][0]["data"], "192.0.2.1", "{lie:?}");
        }
        assert!(!out.stdout_str().contains("192.0.2.66"), "{lie:?}");
        wait_until("a query", || !server.queries().is_empty());
    });
}

/// Doubles the timeout until the tool reports that it has ignored a packet, since on a busy
/// machine a run may end before the answer has been sent.
fn ask_until_it_was_received(lie: Misbehaviour, ask: impl Fn(&str) -> Output) -> Output {
    let mut timeout = 200;
    loop {
        let out = ask(&format!("{timeout}ms"));
        let has_ignored = !out.stderr_str().contains("ignored 0 unrelated packets");
        // The tool receives neither silence nor a packet from another port.
        if has_ignored || matches!(lie, Misbehaviour::Silence | Misbehaviour::WrongPort) {
            return out;
        }
        timeout *= 2;
        assert!(timeout < 60_000, "{lie:?}: {}", out.report());
    }
}

#[test]
fn a_second_server_is_asked_after_a_wrong_answer() {
    let correct = DnsServer::start(zone());
    for_each_lie(|lie| {
        // NODATA is final, and the second server answers before a late answer.
        if expected(lie) == Expected::NoData || lie == Misbehaviour::Late {
            return;
        }
        let server = lying(lie);
        let out = resolve()
            .args([at(&server), at(&correct)])
            .args(["--timeout", "60s", "-t", "A", "host.test"])
            .run();
        assert_eq!(out.code(0).stdout_str(), "192.0.2.1\n", "{lie:?}");
        out.stderr("");
    });
}

#[test]
fn unrelated_packets_are_counted() {
    let server = lying(Misbehaviour::ManyWrongIds);
    resolve()
        .arg(at(&server))
        .args(["-v", "-t", "A", "host.test"])
        .run()
        .code(0)
        .stdout("192.0.2.1\n")
        .stderr_contains("ignored 99 unrelated packets");
}

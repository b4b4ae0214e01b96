//! Every lie of the test server: told alone, with an honest second server,
//! and what the tool makes of it.

use testkit::Output;
use testkit::dns::{Behaviour, DnsServer, Lie};

use super::{at, resolve, wait_until, zone};

/// What becomes of a lie that is told by the only server.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// It is ignored, and nothing else comes.
    Ignored,
    /// It fails with this status.
    Fails(&'static str),
    /// The answer comes all the same.
    Survives,
    /// The server says no, and is believed.
    No,
}

fn fate(lie: Lie) -> Fate {
    use Fate::{Fails, Ignored, No, Survives};
    match lie {
        Lie::WrongId
        | Lie::WrongName
        | Lie::ParentName
        | Lie::WrongType
        | Lie::WrongClass
        | Lie::WrongOpcode
        | Lie::WrongPort
        | Lie::NotAReply
        | Lie::Echo
        | Lie::Empty
        | Lie::OneByte
        | Lie::ElevenBytes
        | Lie::BareNoError
        | Lie::NoQuestion
        | Lie::TwoQuestions
        | Lie::QuestionMissing
        | Lie::ForeignCookie
        | Lie::Silence => Ignored,
        Lie::PointerToItself
        | Lie::PointerForward
        | Lie::PointersInACircle
        | Lie::PointerBeyondTheEnd
        | Lie::PointerIntoTheHeader
        | Lie::ReservedLabel
        | Lie::OverlongName
        | Lie::OverlongLabel
        | Lie::TooManyAnswers
        | Lie::TooManyAdditional
        | Lie::LengthBeyondTheEnd
        | Lie::AddressTooShort
        | Lie::AddressTooLong
        | Lie::CutInARecord
        | Lie::TruncatedAndStreamCloses
        | Lie::TruncatedAndStreamTruncates
        | Lie::TruncatedAndStreamCutsShort => Fails("MALFORMED"),
        Lie::AliasLoop | Lie::AliasToNowhere | Lie::Referral => Fails("INCOMPLETE"),
        Lie::UnknownRcode => Fails("RCODE13"),
        // The records are somebody else's, or no alias at all: nothing for us.
        Lie::ForeignRecords
        | Lie::ForeignClass
        | Lie::OnlyInAdditional
        | Lie::TargetPointsAtItself => No,
        Lie::ManyWrongIds
        | Lie::TrailingBytes
        | Lie::FalseFirst
        | Lie::Twice
        | Lie::Late
        | Lie::FormErrWithEdns
        | Lie::BadVersWithEdns
        | Lie::BareFormErrWithEdns
        | Lie::TruncatedAndStreamTrickles
        | Lie::TruncatedAndStreamAnswersAnother
        | Lie::TruncatedInARecord => Survives,
    }
}

fn lying(lie: Lie) -> DnsServer {
    DnsServer::with_behaviour(zone(), move |_, _| Behaviour::Lie(lie))
}

/// Some at a time: most of a lie's time is waiting.
fn for_each(check: impl Fn(Lie) + Sync) {
    std::thread::scope(|scope| {
        for some in Lie::ALL.chunks(Lie::ALL.len().div_ceil(8)) {
            scope.spawn(|| some.iter().for_each(|lie| check(*lie)));
        }
    });
}

#[test]
fn told_by_the_only_server() {
    for_each(|lie| {
        let server = lying(lie);
        let fate = fate(lie);
        let ask = |timeout: &str| {
            resolve()
                .arg(at(&server))
                .args(["--json", "-v", "--timeout", timeout, "-t", "A", "host.test"])
                .run()
        };
        let out = match fate {
            Fate::Ignored => ask_until_it_was_received(lie, ask),
            _ => ask("60s"),
        };
        let records = out.json();
        assert_eq!(records.len(), 1, "{lie:?}: {}", out.story());
        let record = &records[0];
        let (status, code) = match fate {
            Fate::Ignored => ("TIMEOUT", 3),
            Fate::Fails(status) => (status, 3),
            Fate::Survives => ("NOERROR", 0),
            Fate::No => ("NODATA", 1),
        };
        assert_eq!(record["status"], status, "{lie:?}: {}", out.story());
        out.code(code);
        if fate == Fate::Survives {
            assert_eq!(record["records"][0]["data"], "192.0.2.1", "{lie:?}");
        }
        assert!(!out.stdout_str().contains("192.0.2.66"), "{lie:?}");
        wait_until("a query", || !server.queries().is_empty());
    });
}

/// Asks with ever longer timeouts until the tool reports that it has ignored a
/// packet: on a busy machine the time of a run may be over before the lie is told.
fn ask_until_it_was_received(lie: Lie, ask: impl Fn(&str) -> Output) -> Output {
    let mut timeout = 200;
    loop {
        let out = ask(&format!("{timeout}ms"));
        let has_ignored = !out.stderr_str().contains("ignored 0 unrelated packets");
        // Silence cannot be received, nor a packet from another port.
        if has_ignored || matches!(lie, Lie::Silence | Lie::WrongPort) {
            return out;
        }
        timeout *= 2;
        assert!(timeout < 60_000, "{lie:?}: {}", out.story());
    }
}

#[test]
fn an_honest_second_server_saves_the_day() {
    let honest = DnsServer::start(zone());
    for_each(|lie| {
        // A "no" is final; a late answer is not waited for.
        if fate(lie) == Fate::No || lie == Lie::Late {
            return;
        }
        let server = lying(lie);
        let out = resolve()
            .args([at(&server), at(&honest)])
            .args(["--timeout", "60s", "-t", "A", "host.test"])
            .run();
        assert_eq!(out.code(0).stdout_str(), "192.0.2.1\n", "{lie:?}");
        out.stderr("");
    });
}

#[test]
fn unrelated_packets_are_counted() {
    let server = lying(Lie::ManyWrongIds);
    resolve()
        .arg(at(&server))
        .args(["-v", "-t", "A", "host.test"])
        .run()
        .code(0)
        .stdout("192.0.2.1\n")
        .stderr_contains("ignored 99 unrelated packets");
}

//! Every lie of the test server: told alone, with an honest second server,
//! and what the tool makes of it.

use testkit::dns::{Behaviour, DnsServer, Lie};

use super::{at, resolve, zone};

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
        // Only silence has to be waited for.
        let timeout = if fate == Fate::Ignored {
            "200ms"
        } else {
            "60s"
        };
        let out = resolve()
            .arg(at(&server))
            .args(["--json", "--timeout", timeout, "-t", "A", "host.test"])
            .run();
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
        assert!(!server.queries().is_empty(), "{lie:?}");
    });
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

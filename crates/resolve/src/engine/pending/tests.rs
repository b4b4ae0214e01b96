//! Tests of a lookup alone: the test passes events to it, and nothing is sent.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use domain::base::iana::Rtype;

use super::servers::ServerList;
use super::*;
use crate::answer::Status;
use crate::engine::connections::ClosedConnection;
use crate::engine::query::{Message, SentVia};
use crate::engine::settings::tests::settings;
use crate::engine::settings::{LookupRequest, Settings};
use crate::engine::upstreams::Upstreams;
use crate::lookup::Lookup;
use crate::server::Protocol;
use crate::wire::OwnedName;

const TRUNCATED: u8 = 2;
const SERVFAIL: u8 = 2;
const BADVERS: u16 = 16;
const BADCOOKIE: u16 = 23;

/// A lookup that has started, its servers, and a simulated clock.
struct Fixture {
    lookup: PendingLookup,
    upstreams: Upstreams,
    now: Instant,
}

impl Fixture {
    /// Creates a lookup of the A record of x.test.
    fn with(settings: Settings) -> Self {
        let name = |text: &str| OwnedName::vec_from_str(text).unwrap();
        let request = LookupRequest {
            token: 7,
            name: name("x.test"),
            rtype: Rtype::A,
            candidates: vec![name("x.other")],
            only_server: None,
        };
        let id = LookupId { key: 0, serial: 1 };
        let servers = ServerList::new(settings.servers.len(), 0, false);
        let mut lookup = PendingLookup::new(id, request, servers);
        let now = Instant::now();
        lookup.start(settings.timeout, now);
        Self {
            lookup,
            upstreams: Upstreams::new(settings).unwrap(),
            now,
        }
    }

    fn new(servers: &[&str]) -> Self {
        Self::with(settings(servers))
    }

    /// Asks a server; returns the time until which the lookup waits, in milliseconds.
    #[track_caller]
    fn ask(&mut self, server: usize) -> u128 {
        match self.lookup.ask(server, &mut self.upstreams, self.now) {
            Action::WaitUntil(at) => (at - self.now).as_millis(),
            other => panic!("{other:?}"),
        }
    }

    /// Receives an answer to the last query: a header, its question, and an OPT record
    /// with the upper bits of the RCODE if that needs one.
    fn receive(&mut self, flags: u8, rcode: u16) -> Option<Action> {
        let query = self.lookup.last_query().unwrap();
        let (serial, protocol) = match query.via {
            SentVia::Udp(_) => (query.serial, Protocol::Udp),
            _ => (query.serial, Protocol::Tcp),
        };
        let mut bytes = query.message_id.to_be_bytes().to_vec();
        bytes.extend([0x80 | flags, (rcode & 15) as u8, 0, 1, 0, 0, 0, 0, 0]);
        bytes.push(u8::from(rcode > 15));
        bytes.extend(self.lookup.question.bytes());
        if rcode > 15 {
            bytes.extend([0, 0, 41, 4, 0, (rcode >> 4) as u8, 0, 0, 0, 0, 0]);
        }
        let message = Message {
            bytes: &bytes,
            is_cut: false,
            protocol,
        };
        self.lookup
            .on_message(serial, message, &mut self.upstreams, self.now)
    }

    fn select(&self) -> Selection {
        self.lookup.select_server(&self.upstreams, self.now)
    }
}

/// Returns the status and the message of a result.
#[track_caller]
fn failure(action: Action) -> (Status, String) {
    let Action::Finish(lookup) = action else {
        panic!("{action:?}");
    };
    let Lookup {
        status, failure, ..
    } = *lookup;
    (status, failure.map(|f| f.message).unwrap_or_default())
}

#[test]
fn servers_are_asked_in_turn_until_all_have_failed() {
    let mut fixture = Fixture::new(&["127.0.0.1:9", "127.0.0.2:9"]);
    assert_eq!(fixture.select(), Selection::Server(0));
    fixture.ask(0);
    assert!(matches!(
        fixture.receive(0, SERVFAIL.into()),
        Some(Action::Requeue)
    ));
    assert!(fixture.lookup.queries.is_empty(), "it is not awaited");
    assert_eq!(fixture.select(), Selection::Server(1));
    fixture.ask(1);
    let (status, message) = failure(fixture.receive(0, 5).unwrap());
    assert_eq!(message, "127.0.0.1:9 answered SERVFAIL", "the first one");
    assert_eq!(status.name(), "SERVFAIL");
}

#[test]
fn a_silent_server_is_followed_by_the_next_and_then_asked_again() {
    let mut fixture = Fixture::new(&["127.0.0.1:9", "127.0.0.2:9"]);
    for server in [0, 1, 0] {
        assert_eq!(fixture.select(), Selection::Server(server));
        let wait = fixture.ask(server);
        fixture.now += Duration::from_millis(wait as u64);
        let outcome = fixture.lookup.on_timer(&mut fixture.upstreams, fixture.now);
        assert!(matches!(outcome.action, Action::Requeue));
        assert_eq!(outcome.silent, None);
    }
    assert_eq!(fixture.lookup.queries.len(), 3, "all can still be answered");
    fixture.now += Duration::from_secs(5);
    let outcome = fixture.lookup.on_timer(&mut fixture.upstreams, fixture.now);
    let (status, message) = failure(outcome.action);
    assert_eq!(status, Status::Timeout);
    assert_eq!(message, "no answer from 127.0.0.1:9 in time");
}

#[test]
fn attempts_are_limited_if_resolv_conf_does_so() {
    let mut fixture = Fixture::with(Settings {
        attempts: Some(2),
        ..settings(&["127.0.0.1:9"])
    });
    for last in [false, true] {
        assert_eq!(fixture.ask(0), 1000);
        fixture.now += Duration::from_secs(1);
        let outcome = fixture.lookup.on_timer(&mut fixture.upstreams, fixture.now);
        let has_ended = matches!(outcome.action, Action::Finish(_));
        assert_eq!(has_ended, last);
    }
}

#[test]
fn a_truncated_answer_leads_to_tcp() {
    let mut fixture = Fixture::new(&["127.0.0.1:9"]);
    fixture.ask(0);
    let action = fixture.receive(TRUNCATED, 0);
    assert!(matches!(action, Some(Action::Ask(0))));
    fixture.ask(0);
    let via = fixture.lookup.last_query().unwrap().via;
    assert!(matches!(via, SentVia::Connection(_)));
    let failure = crate::engine::failure::malformed("it");
    let action = fixture
        .lookup
        .fail_server(0, failure, None, &mut fixture.upstreams, fixture.now);
    assert_eq!(
        self::failure(action).1,
        "malformed answer from it (over TCP, because the answer over UDP was truncated)"
    );
}

#[test]
fn a_refused_cookie_is_sent_once_more_and_then_tcp_is_used() {
    let mut fixture = Fixture::new(&["127.0.0.1:9"]);
    for over_tcp in [false, false, true] {
        fixture.ask(0);
        let query = fixture.lookup.last_query().unwrap();
        assert_eq!(matches!(query.via, SentVia::Connection(_)), over_tcp);
        let action = fixture.receive(0, BADCOOKIE).unwrap();
        assert_eq!(matches!(action, Action::Ask(0)), !over_tcp);
    }
}

#[test]
fn refused_edns_is_omitted_once() {
    let mut fixture = Fixture::new(&["127.0.0.1:9"]);
    fixture.ask(0);
    assert!(matches!(fixture.receive(0, BADVERS), Some(Action::Ask(0))));
    assert!(matches!(fixture.receive(0, BADVERS), Some(Action::Wait)));
    fixture.ask(0);
    assert!(!fixture.lookup.last_query().unwrap().has_edns);
    let (status, _) = failure(fixture.receive(0, BADVERS).unwrap());
    assert_eq!(status.name(), "BADVERS");
}

#[test]
fn a_message_with_another_question_is_ignored() {
    let mut fixture = Fixture::new(&["127.0.0.1:9"]);
    fixture.ask(0);
    let question = fixture.lookup.question.clone();
    fixture.lookup.question =
        crate::wire::Question::new(OwnedName::vec_from_str("y.test").unwrap(), Rtype::A);
    let mut bytes = vec![0; 12];
    bytes[..2].copy_from_slice(&fixture.lookup.queries[0].message_id.to_be_bytes());
    (bytes[2], bytes[5]) = (0x80, 1);
    bytes.extend(question.bytes());
    let message = Message {
        bytes: &bytes,
        is_cut: false,
        protocol: Protocol::Udp,
    };
    let serial = fixture.lookup.queries[0].serial;
    let upstreams = &mut fixture.upstreams;
    let action = fixture
        .lookup
        .on_message(serial, message, upstreams, fixture.now);
    assert!(action.is_none(), "{action:?}");
}

#[test]
fn a_name_without_data_is_followed_by_the_next_candidate() {
    let mut fixture = Fixture::new(&["127.0.0.1:9"]);
    fixture.ask(0);
    assert!(matches!(fixture.receive(0, 3), Some(Action::Requeue)));
    assert_eq!(fixture.lookup.question.name().to_string(), "x.other");
    assert!(fixture.lookup.queries.is_empty());
    fixture.ask(0);
    assert_eq!(
        failure(fixture.receive(0, 3).unwrap()).0,
        Status::NoSuchName
    );
}

/// Closes a connection, and returns whether the lookup asks the server again.
fn resumes(servers: &[&str], closed: &ClosedConnection, was_sent: bool) -> Vec<bool> {
    let mut fixture = Fixture::new(servers);
    (0..3)
        .map(|_| {
            fixture.ask(0);
            let query = fixture.lookup.last_query().unwrap().serial;
            let query = fixture.lookup.take_query(query).unwrap();
            fixture.upstreams.release(&query);
            let error = ErrorKind::UnexpectedEof.into();
            let (upstreams, now) = (&mut fixture.upstreams, fixture.now);
            let lookup = &mut fixture.lookup;
            let action = lookup.on_close(0, closed, was_sent, &error, upstreams, now);
            matches!(action, Action::Ask(0))
        })
        .collect()
}

#[test]
fn a_closed_connection_is_replaced_as_long_as_that_makes_progress() {
    let (one, two) = (&["tcp://127.0.0.1:9"][..], &["tcp://127.0.0.1:9"; 2][..]);
    let closed = |change: fn(&mut ClosedConnection)| {
        let mut closed = ClosedConnection {
            lookups: vec![(0, true)],
            ..ClosedConnection::default()
        };
        change(&mut closed);
        closed
    };
    let answered = closed(|c| c.has_answered = true);
    assert_eq!(resumes(two, &answered, true), [true, true, true]);
    let surplus = closed(|c| c.is_surplus = true);
    assert_eq!(resumes(two, &surplus, true), [true, true, true]);
    let refused = closed(|_| {});
    assert_eq!(resumes(one, &refused, true), [false, false, false]);
    let empty = closed(|c| c.was_established = true);
    assert_eq!(resumes(one, &empty, true), [true, true, false]);
    assert!(!resumes(two, &empty, true)[0], "another server is left");
    assert_eq!(
        resumes(one, &empty, false),
        [true, true, true],
        "its query waits"
    );
    let busy = closed(|c| c.server_has_answered = true);
    assert_eq!(resumes(one, &busy, true), [true, true, false]);
}

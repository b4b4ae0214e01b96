//! What a lookup does with the messages that servers send.

use std::sync::Arc;
use std::time::Instant;

use domain::base::iana::OptRcode;

use super::lookup::{Action, PendingLookup};
use super::servers::TcpReason;
use crate::answer::{self, Outcome, Status};
use crate::engine::failure;
use crate::engine::query::Message;
use crate::engine::settings::Settings;
use crate::engine::upstreams::Upstreams;
use crate::lookup::{self, Lookup, QueryType};
use crate::presentation;
use crate::server::Protocol;
use crate::wire::reply::{self, Classified, Reply};
use crate::wire::{OwnedName, Question};

/// A reply with the query that it answers.
struct Answer<'a> {
    reply: &'a Reply<'a>,
    /// The index of the server.
    server: usize,
    protocol: Protocol,
    /// Whether the query had an OPT record.
    query_has_edns: bool,
}

impl PendingLookup {
    /// Handles a message with the ID of a query. Returns `None` if the message does not
    /// answer the query.
    pub(crate) fn on_message(
        &mut self,
        serial: u32,
        message: Message<'_>,
        upstreams: &mut Upstreams,
        now: Instant,
    ) -> Option<Action> {
        let query = self.queries.iter_mut().find(|q| q.serial == serial)?;
        let (server, query_has_edns) = (query.server, query.has_edns);
        let upstream = &mut upstreams.list[server];
        let rule = upstream.edns.cookie_rule(message.protocol);
        let id = query.message_id;
        let classified = reply::classify(message.bytes, id, &self.question, rule);
        match classified {
            Classified::Unrelated => return None,
            Classified::MissingCookie => {
                // If no valid answer arrives before the timeout, TCP is tried.
                self.servers.state_mut(server).lacked_cookie = true;
                return None;
            }
            Classified::WithoutQuestion(_)
                if query_has_edns && !upstream.edns.is_required(&upstreams.settings) =>
            {
                // Such an error is easy to forge, but its only effect is one more query.
                return Some(self.retry_without_edns(server));
            }
            _ => {}
        }
        upstream.record_answer(query, now);
        if message.protocol == Protocol::Udp {
            let is_truncated = message.is_cut || reply::is_truncated(message.bytes);
            upstream.record_udp_answer(is_truncated);
            if is_truncated {
                self.servers.state_mut(server).over_tcp = Some(TcpReason::Truncated);
                return Some(Action::Ask(server));
            }
        }
        Some(match &classified {
            Classified::Reply(reply) if !reply.truncated => {
                let answer = Answer {
                    reply,
                    server,
                    protocol: message.protocol,
                    query_has_edns,
                };
                self.on_answer(&answer, upstreams, now)
            }
            Classified::WithoutQuestion(reply) => self.on_rcode(server, reply, upstreams, now),
            _ => self.on_malformed(server, None, upstreams, now),
        })
    }

    /// Sends a query without EDNS after one with EDNS was refused. Does nothing if
    /// that was done before: this refusal then answers an earlier query.
    fn retry_without_edns(&mut self, server: usize) -> Action {
        let state = self.servers.state_mut(server);
        if std::mem::replace(&mut state.without_edns, true) {
            return Action::Wait;
        }
        Action::Ask(server)
    }

    /// Tries the new cookie once, then TCP.
    fn retry_after_bad_cookie(&mut self, server: usize) -> Action {
        let state = self.servers.state_mut(server);
        if std::mem::replace(&mut state.refused_cookie, true) {
            state.over_tcp = Some(TcpReason::RefusedCookie);
        }
        Action::Ask(server)
    }

    /// Excludes a server that answered with an error.
    fn on_rcode(
        &mut self,
        server: usize,
        reply: &Reply<'_>,
        upstreams: &mut Upstreams,
        now: Instant,
    ) -> Action {
        let failure = failure::rcode(reply.rcode, reply, upstreams.list[server].label());
        let message = message_to_keep(reply, &upstreams.settings);
        self.fail_server(server, failure, message, upstreams, now)
    }

    /// Excludes a server with a malformed answer.
    fn on_malformed(
        &mut self,
        server: usize,
        message: Option<Box<[u8]>>,
        upstreams: &mut Upstreams,
        now: Instant,
    ) -> Action {
        let failure = failure::malformed(upstreams.list[server].label());
        self.fail_server(server, failure, message, upstreams, now)
    }

    /// Handles a complete, valid reply.
    fn on_answer(
        &mut self,
        answer: &Answer<'_>,
        upstreams: &mut Upstreams,
        now: Instant,
    ) -> Action {
        let Answer { reply, server, .. } = *answer;
        let settings = &upstreams.settings;
        let edns = &mut upstreams.list[server].edns;
        edns.learn_cookie(reply.cookie(), settings);
        let refuses_edns = matches!(
            reply.rcode,
            OptRcode::FORMERR | OptRcode::NOTIMP | OptRcode::BADVERS
        );
        if refuses_edns && answer.query_has_edns && !edns.is_required(settings) {
            return self.retry_without_edns(server);
        }
        if reply.rcode == OptRcode::BADCOOKIE
            && answer.protocol == Protocol::Udp
            && self.servers.state(server).over_tcp.is_none()
        {
            return self.retry_after_bad_cookie(server);
        }
        if !refuses_edns {
            edns.record_answer(reply.opt.is_some(), answer.query_has_edns);
        }
        let outcome = answer::follow(reply, &self.question);
        if matches!(outcome.status, Status::Rcode(_)) {
            return self.on_rcode(server, reply, upstreams, now);
        }
        let keep_owners = settings.keep_owners;
        let records = lookup::display_records(&outcome.records, &self.question, keep_owners);
        let Ok(records) = records else {
            let message = message_to_keep(reply, settings);
            return self.on_malformed(server, message, upstreams, now);
        };
        let lookup = Lookup::found(QueryType::Type(self.question.rtype()), records);
        self.on_outcome(answer, outcome, lookup, upstreams, now)
    }

    /// Ends the lookup with a found or negative answer, or continues with another server
    /// or name. `lookup` has the records of the answer.
    fn on_outcome(
        &mut self,
        answer: &Answer<'_>,
        outcome: Outcome<'_, '_>,
        mut lookup: Lookup,
        upstreams: &mut Upstreams,
        now: Instant,
    ) -> Action {
        let Answer { reply, server, .. } = *answer;
        let (settings, label) = (&upstreams.settings, upstreams.list[server].label());
        lookup.query_name = self.query_name_to_keep(settings);
        lookup.server = Some(Arc::clone(label));
        lookup.protocol = Some(answer.protocol);
        lookup.status = outcome.status;
        lookup.alias_target = outcome.alias_target;
        lookup.warnings = outcome.warnings;
        lookup.extended_errors = reply.extended_errors();
        lookup.authenticated = reply.authenticated;
        lookup.elapsed = self.elapsed(now);
        lookup.tries = self.total_queries;
        lookup.message = message_to_keep(reply, settings);
        lookup.pack(reply.bytes);
        let mut lookup = Box::new(lookup);
        if let Some(reason) = outcome.incomplete {
            let name = presentation::name(&self.question.name());
            let failure = failure::incomplete_answer(&reason, label, &name);
            lookup.failure = Some(failure.clone());
            if settings.accept_referrals {
                return Action::Finish(lookup);
            }
            self.outcomes.incomplete = Some(lookup);
            let failure = (Status::Incomplete, failure);
            return self.fail_server(server, failure, None, upstreams, now);
        }
        if lookup.status.is_negative()
            && let Some(next) = self.candidates.pop()
        {
            if lookup.status == Status::NoData {
                self.outcomes.nodata = Some(lookup);
            }
            return self.try_next_name(next, upstreams);
        }
        // NODATA for one candidate is more informative than NXDOMAIN for another.
        match self.outcomes.nodata.take() {
            Some(nodata) if lookup.status == Status::NoSuchName => Action::Finish(nodata),
            _ => Action::Finish(lookup),
        }
    }

    /// Continues with another name of the search list, in the time that is left.
    fn try_next_name(&mut self, name: OwnedName, upstreams: &mut Upstreams) -> Action {
        self.question = Question::new(name, self.question.rtype());
        self.queries_for_name = 0;
        self.servers.reset();
        self.outcomes.reset_failures();
        self.release_queries(upstreams);
        Action::Requeue
    }
}

/// Copies the message of a reply if it is needed for the output.
fn message_to_keep(reply: &Reply<'_>, settings: &Settings) -> Option<Box<[u8]>> {
    settings.keep_messages.then(|| reply.bytes.into())
}

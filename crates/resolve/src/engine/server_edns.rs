//! What a server's answers have shown about its support of EDNS and cookies.

use super::settings::Settings;
use crate::server::Protocol;
use crate::wire::edns::{Cookie, CookieOption, CookieRule};

/// The use of EDNS with one server.
#[derive(Debug)]
pub(crate) struct ServerEdns {
    cookie: Option<Cookie>,
    /// The OPT record of queries over UDP and TCP.
    opt: Vec<u8>,
    /// Whether the server refused EDNS and answered without it.
    is_refused: bool,
    /// Whether the server has ever answered with EDNS.
    pub(crate) is_supported: bool,
}

impl ServerEdns {
    /// Creates the state with a client cookie, if cookies are used.
    pub(crate) fn new(client: Option<[u8; 8]>, settings: &Settings) -> Self {
        let cookie = client.map(|client| Cookie {
            client,
            server: Vec::new(),
        });
        Self {
            opt: settings.edns.record(cookie.as_ref(), None),
            cookie,
            is_refused: false,
            is_supported: false,
        }
    }

    /// Returns the OPT record of queries over UDP and TCP.
    pub(crate) fn opt(&self) -> &[u8] {
        &self.opt
    }

    /// Returns whether queries must carry an OPT record. A server that has sent a
    /// cookie supports EDNS, and its answers over UDP must then carry the cookie.
    pub(crate) fn is_required(&self, settings: &Settings) -> bool {
        let has_cookie = self.cookie.as_ref().is_some_and(|c| !c.server.is_empty());
        settings.edns.is_required() || has_cookie
    }

    /// Returns whether the server is known to answer only without EDNS.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Returns the rule for the cookie of an answer.
    pub(crate) fn cookie_rule(&self, protocol: Protocol) -> CookieRule<'_> {
        match (protocol, &self.cookie) {
            (Protocol::Udp, Some(cookie)) => cookie.rule(),
            _ => CookieRule::Ignore,
        }
    }

    /// Stores the server cookie of an answer to our client cookie.
    pub(crate) fn learn_cookie(&mut self, option: CookieOption<'_>, settings: &Settings) {
        if let (Some(cookie), CookieOption::Parts(client, server)) = (&mut self.cookie, option)
            && *client == cookie.client
            && !server.is_empty()
            && cookie.server != server
        {
            cookie.server = server.to_vec();
            self.opt = settings.edns.record(Some(cookie), None);
        }
    }

    /// Records an answer with or without an OPT record to a query with or without one.
    pub(crate) fn record_answer(&mut self, has_opt: bool, query_has_opt: bool) {
        self.is_supported |= has_opt;
        self.is_refused = !self.is_supported && (self.is_refused || !query_has_opt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::settings::tests::settings;

    #[test]
    fn an_answer_with_edns_outweighs_all_refusals() {
        let mut edns = ServerEdns::new(None, &settings(&[]));
        assert!(!edns.is_refused() && !edns.is_supported);
        edns.record_answer(false, true);
        assert!(
            !edns.is_refused(),
            "an answer without OPT does not refuse EDNS"
        );
        edns.record_answer(false, false);
        assert!(edns.is_refused());
        edns.record_answer(false, true);
        assert!(edns.is_refused());
        edns.record_answer(true, true);
        assert!(!edns.is_refused() && edns.is_supported);
        edns.record_answer(false, false);
        assert!(!edns.is_refused());
    }

    #[test]
    fn a_server_cookie_is_sent_back_and_required() {
        let settings = settings(&[]);
        let mut edns = ServerEdns::new(Some([7; 8]), &settings);
        let first = edns.opt().len();
        edns.learn_cookie(CookieOption::Parts(&[8; 8], &[1; 8]), &settings);
        edns.learn_cookie(CookieOption::Parts(&[7; 8], &[]), &settings);
        assert!(!edns.is_required(&settings), "not an answer to our cookie");
        edns.learn_cookie(CookieOption::Parts(&[7; 8], &[1; 16]), &settings);
        assert!(edns.is_required(&settings));
        assert_eq!(edns.opt().len(), first + 16);
        assert!(edns.cookie_rule(Protocol::Udp).is_required());
        assert!(!edns.cookie_rule(Protocol::Tcp).is_required());
    }
}

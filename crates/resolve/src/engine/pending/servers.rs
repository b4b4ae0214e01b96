//! The servers of one lookup: their order, and what the lookup has found out about
//! each of them.

/// The reason why a lookup asks a server that serves UDP over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TcpReason {
    Truncated,
    MissingCookie,
    RefusedCookie,
}

impl TcpReason {
    /// Returns the clause for messages.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Truncated => "the answer over UDP was truncated",
            Self::MissingCookie => "answers over UDP lacked the server's cookie",
            Self::RefusedCookie => "the server refused the cookie over UDP",
        }
    }
}

/// The experience of a lookup with one server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ServerState {
    /// Whether it failed and is not asked again.
    pub(crate) has_failed: bool,
    /// Whether it is asked without EDNS.
    pub(crate) without_edns: bool,
    /// Why it is asked over TCP, if it is.
    pub(crate) over_tcp: Option<TcpReason>,
    /// Whether it refused a cookie with BADCOOKIE.
    pub(crate) refused_cookie: bool,
    /// Whether an answer over UDP lacked the expected cookie.
    pub(crate) lacked_cookie: bool,
}

/// The servers of a lookup by index.
#[derive(Debug)]
pub(crate) struct ServerList {
    /// The number of all servers.
    count: u16,
    /// Whether only the first one may be asked.
    is_single: bool,
    /// The index of the server that is asked first.
    first: u16,
    /// The offset from `first` of the server that is asked next.
    next: u16,
    /// The states by index. Those after the end are default: a lookup that is
    /// answered without trouble, as most are, allocates none.
    states: Vec<ServerState>,
}

impl ServerList {
    /// Creates the list of `count` servers, of which `first` is asked first, or alone
    /// if `is_single`.
    pub(crate) fn new(count: usize, first: usize, is_single: bool) -> Self {
        Self {
            count: count as u16,
            is_single,
            first: first as u16,
            next: 0,
            states: Vec::new(),
        }
    }

    /// Returns the index of the server that is asked first.
    pub(crate) fn first(&self) -> usize {
        self.first.into()
    }

    /// Returns the servers that can still be asked, the next one first.
    pub(crate) fn order(&self) -> impl Iterator<Item = usize> {
        let (first, next, count) = (self.first, self.next, self.count);
        let others = if self.is_single { 0 } else { count };
        let single = self.is_single.then_some(first);
        let all = (0..others).map(move |offset| (first + next + offset) % count);
        let all = single.into_iter().chain(all).map(usize::from);
        all.filter(|index| !self.state(*index).has_failed)
    }

    /// Returns how many servers can still be asked.
    pub(crate) fn left(&self) -> usize {
        if self.is_single {
            return usize::from(!self.state(self.first()).has_failed);
        }
        let failed = self.states.iter().filter(|state| state.has_failed).count();
        usize::from(self.count) - failed
    }

    /// Returns how many servers have neither failed nor are in `asked`.
    pub(crate) fn unasked(&self, asked: &(impl Iterator<Item = usize> + Clone)) -> usize {
        if self.is_single {
            return 0;
        }
        let is_unasked = |server: &usize| {
            !self.state(*server).has_failed && !asked.clone().any(|a| a == *server)
        };
        (0..usize::from(self.count)).filter(is_unasked).count()
    }

    pub(crate) fn state(&self, server: usize) -> ServerState {
        self.states.get(server).copied().unwrap_or_default()
    }

    pub(crate) fn state_mut(&mut self, server: usize) -> &mut ServerState {
        if server >= self.states.len() {
            self.states.resize(server + 1, ServerState::default());
        }
        &mut self.states[server]
    }

    /// Makes this server the next one.
    pub(crate) fn select(&mut self, server: usize) {
        let (server, count) = (server as u16, self.count);
        self.next = (server + count - self.first) % count;
    }

    /// Makes the server after the next one the next.
    pub(crate) fn skip(&mut self) {
        self.next = (self.next + 1) % self.count;
    }

    /// Forgets the experience with the servers, except for EDNS, which does not depend
    /// on the name.
    pub(crate) fn reset(&mut self) {
        for state in &mut self.states {
            *state = ServerState {
                without_edns: state.without_edns,
                ..ServerState::default()
            };
        }
    }
}

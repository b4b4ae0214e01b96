//! All servers of the engine, with the state that they share.

use std::io;
use std::time::Instant;

use super::failure::ServerFailure;
use super::query::{InFlightQuery, QueryId};
use super::settings::{Settings, Stats};
use super::udp::QueryIds;
use super::upstream::{OutgoingQuery, Upstream};

/// The servers in the order of the settings.
#[derive(Debug)]
pub(crate) struct Upstreams {
    pub(crate) settings: Settings,
    pub(crate) list: Vec<Upstream>,
    pub(crate) stats: Stats,
    ids: QueryIds,
    /// The serial number of the last query.
    serial: u32,
}

impl Upstreams {
    /// Creates the state of all servers without opening a socket.
    pub(crate) fn new(settings: Settings) -> io::Result<Self> {
        let mut ids = QueryIds::new();
        let servers = settings.servers.iter();
        let list: io::Result<Vec<Upstream>> = servers
            .map(|server| Upstream::new(server.clone(), &settings, &mut ids))
            .collect();
        Ok(Self {
            list: list?,
            settings,
            stats: Stats::default(),
            ids,
            serial: 0,
        })
    }

    /// Sends a query of the lookup with this slab key to a server.
    pub(crate) fn send(
        &mut self,
        server: usize,
        query: &OutgoingQuery<'_>,
        now: Instant,
    ) -> Result<InFlightQuery, ServerFailure> {
        let (settings, ids) = (&self.settings, &mut self.ids);
        let (via, message_id) = self.list[server].send(query, settings, ids, now)?;
        Ok(InFlightQuery {
            serial: query.id.serial,
            server,
            via,
            message_id,
            sent: now,
            in_window: true,
            has_edns: query.has_edns,
        })
    }

    /// Returns the ID of the next query of the lookup with this slab key.
    pub(crate) fn next_query_id(&mut self, lookup: u32) -> QueryId {
        self.serial = self.serial.wrapping_add(1);
        QueryId {
            lookup,
            serial: self.serial,
        }
    }

    /// Forgets a query, so that its ID may be used again.
    pub(crate) fn release(&mut self, query: &InFlightQuery) {
        self.list[query.server].release(query);
    }
}

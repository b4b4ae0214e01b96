//! A pending lookup: which server it asks next, and what an answer, a timeout or a closed
//! connection means for it.
//!
//! A [`PendingLookup`] owns its queries and sends them through the
//! [`Upstreams`](super::upstreams::Upstreams), but it neither waits nor knows other
//! lookups. Its method for an event returns an [`Action`], which the engine carries out.
//! `ask` sends queries, `receive` handles answers, `timeout` handles timers and closed
//! connections, and `end` handles failures of servers and composes results.

mod ask;
mod end;
mod lookup;
mod receive;
mod servers;
mod timeout;

#[cfg(test)]
mod tests;

pub(super) use self::ask::Selection;
pub(super) use self::lookup::{Action, LookupId, PendingLookup};
pub(super) use self::servers::ServerList;
pub(super) use self::timeout::SilentConnection;

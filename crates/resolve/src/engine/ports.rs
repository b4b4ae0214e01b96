//! The UDP ports of one server. A query's source port is half of what an
//! attacker off the path has to guess (RFC 5452), so no port serves a long run:
//! after some queries or seconds another takes its place, and the old one only
//! waits for the answers that it is still owed.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::udp::{Ids, Port};
use crate::sys;

/// Ports in use for new queries.
const ACTIVE: usize = 4;

/// Ports with those that wait for answers; fewer if there are many servers.
const PORTS_MAX: usize = 64;

/// Ports of all servers together, as far as that is compatible with
/// [`ACTIVE`]: descriptors are limited, often to 1024.
const ALL_MAX: usize = 512;

/// Queries from one port: this many, and up to as many more by chance.
const QUERIES: u32 = 256;

/// How long a port is used for new queries.
const AGE: Duration = Duration::from_secs(5);

/// The ports. Each keeps its number until it is closed.
#[derive(Debug)]
pub(crate) struct Ports {
    list: Vec<Option<Port>>,
    /// Numbers of those in use for new queries, and the one whose turn it is.
    active: Vec<usize>,
    turn: usize,
    most: usize,
    /// The serial number of the latest port.
    serial: u32,
}

impl Ports {
    /// No port yet; `servers` is the number of servers that there are.
    pub(crate) fn new(servers: usize) -> Self {
        Self {
            list: Vec::new(),
            active: Vec::new(),
            turn: 0,
            most: (ALL_MAX / servers.max(1)).clamp(ACTIVE + 1, PORTS_MAX),
            serial: 0,
        }
    }

    /// All of them with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Port)> {
        let all = self.list.iter().enumerate();
        all.filter_map(|(number, port)| Some((number, port.as_ref()?)))
    }

    /// The numbers that may be in use.
    pub(crate) fn numbers(&self) -> std::ops::Range<usize> {
        0..self.list.len()
    }

    pub(crate) fn get(&self, number: usize) -> Option<&Port> {
        self.list.get(number)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut Port> {
        self.list.get_mut(number)?.as_mut()
    }

    /// The flight with an id on the port that a datagram arrived at. A port
    /// that was closed since, and whose number another one has now, has none.
    pub(crate) fn flight(&self, number: usize, serial: u32, id: u16) -> Option<u32> {
        let port = self.get(number).filter(|port| port.serial == serial)?;
        port.flight(id)
    }

    /// Datagrams that the receive buffers of the active ports hold.
    pub(crate) fn room(&self) -> usize {
        let active = self.active.iter().filter_map(|&number| self.get(number));
        active.map(|port| port.room).sum()
    }

    /// The number of a port for the next query, and whether it is a new one.
    /// One port is filled after the other, so that a batch goes out by one
    /// call; all are used, for what their buffers hold and for their numbers.
    pub(crate) fn pick(
        &mut self,
        server: SocketAddr,
        large: bool,
        ids: &mut Ids,
        now: Instant,
    ) -> io::Result<(usize, bool)> {
        let busy = |port: &Port| port.in_use >= sys::BATCH;
        let more = self.active.len() < ACTIVE
            && self.active.iter().all(|&n| self.get(n).is_some_and(busy));
        if more {
            match self.open(server, large, ids, now) {
                Ok(number) => {
                    self.active.push(number);
                    self.turn = self.active.len() - 1;
                    return Ok((number, true));
                }
                Err(error) if self.active.is_empty() => return Err(error),
                // The ports that are open take the query.
                Err(_) => {}
            }
        }
        if self.current().is_some_and(Port::full) {
            self.turn();
        }
        let number = self.active[self.turn];
        if self.current().is_some_and(|port| !port.is_worn(now)) {
            return Ok((number, false));
        }
        match self.open(server, large, ids, now) {
            Ok(new) => {
                let proven = self.get(number).is_some_and(Port::is_proven);
                if let Some(port) = self.get_mut(new) {
                    port.proven_by(proven);
                }
                self.active[self.turn] = new;
                self.retire(number);
                Ok((new, true))
            }
            // No further port is to be had: the old one serves on.
            Err(_) => Ok((number, false)),
        }
    }

    /// After a batch the next port is filled.
    pub(crate) fn turn(&mut self) {
        if !self.active.is_empty() {
            self.turn = (self.turn + 1) % self.active.len();
        }
    }

    /// Gives an id of a port back; one that waited for this only is closed.
    pub(crate) fn release(&mut self, number: usize, id: u16) {
        if let Some(port) = self.get_mut(number) {
            port.release(id);
            if port.in_use == 0 && !self.active.contains(&number) {
                self.list[number] = None;
            }
        }
    }

    fn current(&self) -> Option<&Port> {
        self.get(*self.active.get(self.turn)?)
    }

    fn retire(&mut self, number: usize) {
        if self.get(number).is_some_and(|port| port.in_use == 0) {
            self.list[number] = None;
        }
    }

    fn open(
        &mut self,
        server: SocketAddr,
        large: bool,
        ids: &mut Ids,
        now: Instant,
    ) -> io::Result<usize> {
        let free = self.list.iter().position(Option::is_none);
        if free.is_none() && self.list.len() >= self.most {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        let queries = QUERIES + u32::from(ids.draw()?) % QUERIES;
        let mut port = Port::open(server, large, queries, now + AGE)?;
        self.serial = self.serial.wrapping_add(1);
        port.serial = self.serial;
        let number = free.unwrap_or(self.list.len());
        match free {
            Some(number) => self.list[number] = Some(port),
            None => self.list.push(Some(port)),
        }
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    /// Ports of a server that does not answer, and a clock.
    struct Course {
        ports: Ports,
        ids: Ids,
        server: UdpSocket,
        now: Instant,
        /// How many sockets were opened. Their local ports may repeat: the
        /// system is free to assign a closed one again.
        opened: usize,
    }

    impl Course {
        fn new(servers: usize) -> Self {
            Self {
                ports: Ports::new(servers),
                ids: Ids::new(),
                server: UdpSocket::bind("127.0.0.1:0").unwrap(),
                now: Instant::now(),
                opened: 0,
            }
        }

        /// Takes an id for one query; the port's number, and the id.
        fn query(&mut self) -> (usize, u16) {
            let server = self.server.local_addr().unwrap();
            let (number, is_new) = self
                .ports
                .pick(server, false, &mut self.ids, self.now)
                .unwrap();
            self.opened += usize::from(is_new);
            let port = self.ports.get_mut(number).unwrap();
            (number, port.assign(&mut self.ids, 1).unwrap())
        }

        fn open(&self) -> usize {
            self.ports.iter().count()
        }
    }

    #[test]
    fn a_port_is_left_after_its_queries() {
        let mut course = Course::new(1);
        for _ in 0..10_000 {
            let (number, id) = course.query();
            course.ports.release(number, id);
            assert!(course.open() <= 1, "it waits for nothing");
        }
        let (least, most) = (10_000 / 512, 10_000 / 256 + 1);
        let opened = course.opened;
        assert!((least..=most).contains(&opened), "{opened}");
    }

    #[test]
    fn a_port_is_left_after_its_time() {
        let mut course = Course::new(1);
        for second in 0..60 {
            let (number, id) = course.query();
            course.ports.release(number, id);
            course.now += Duration::from_secs(1);
            assert_eq!(course.opened, second / 5 + 1, "{second}");
        }
    }

    /// A datagram that was received on a closed port is not matched against
    /// the queries of the port that has its number now.
    #[test]
    fn a_reused_number_is_not_the_same_port() {
        let mut course = Course::new(1);
        let (number, old_id) = course.query();
        let old = course.ports.get(number).unwrap().serial;
        assert_eq!(course.ports.flight(number, old, old_id), Some(1));
        // The port expires while it is owed an answer, is closed after it, and
        // the next port takes its number.
        course.now += AGE;
        let (second, _) = course.query();
        assert_ne!(second, number);
        course.ports.release(number, old_id);
        assert!(course.ports.get(number).is_none());
        course.now += AGE;
        let (third, id) = course.query();
        assert_eq!(third, number);
        let new = course.ports.get(number).unwrap().serial;
        assert_eq!(course.ports.flight(number, new, id), Some(1));
        assert_eq!(course.ports.flight(number, old, id), None);
    }

    #[test]
    fn ports_are_bounded_while_nothing_is_answered() {
        for (servers, most) in [(1, PORTS_MAX), (8, 64), (64, 8), (1000, ACTIVE + 1)] {
            let mut course = Course::new(servers);
            let mut flying = Vec::new();
            for _ in 0..30_000 {
                flying.push(course.query());
                course.ports.turn();
            }
            assert_eq!(course.open(), most, "{servers}");
            for (number, id) in flying {
                course.ports.release(number, id);
            }
            assert_eq!(
                course.open(),
                ACTIVE,
                "those that wait for nothing are closed"
            );
        }
    }
}

//! A host with configurable replies to echo requests: late, duplicate, reordered
//! or corrupt replies, replies from another address, ICMP errors, or none.
//!
//! [`IcmpLab`] is a network namespace with only a loopback device, in which the
//! kernel does not reply to echo requests. Raw sockets receive every request to
//! 127.0.0.0/8 and ::1 and send the messages that a closure returns. Programs
//! under test run in the namespace, which no traffic leaves. `start` needs root.

mod message;

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

pub use message::{IcmpMessage, Probe};
use message::{header6, parse, parse6};

use crate::{Output, Running, Tool, sys};

type Job = Box<dyn FnOnce() + Send>;

/// The namespace with its host. It is removed with this value and the last program
/// in it.
#[derive(Debug)]
pub struct IcmpLab {
    jobs: Sender<Job>,
    stop: Arc<AtomicBool>,
    response_times: Arc<Mutex<Vec<Duration>>>,
}

impl IcmpLab {
    /// Creates the namespace. Its host sends the messages that `replies` returns
    /// for each echo request. The error is a reason for [`crate::netns::skip`].
    pub fn start<F>(replies: F) -> Result<Self, String>
    where
        F: Fn(&Probe) -> Vec<IcmpMessage> + Send + Sync + 'static,
    {
        Self::start_host(replies, false)
    }

    /// Like [`IcmpLab::start`], with a host that polls its IPv4 socket without
    /// sleeping, so that [`IcmpLab::response_times`] includes all delays of the host. It keeps
    /// a processor busy.
    pub fn busy_polling<F>(replies: F) -> Result<Self, String>
    where
        F: Fn(&Probe) -> Vec<IcmpMessage> + Send + Sync + 'static,
    {
        Self::start_host(replies, true)
    }

    fn start_host<F>(replies: F, busy_polls: bool) -> Result<Self, String>
    where
        F: Fn(&Probe) -> Vec<IcmpMessage> + Send + Sync + 'static,
    {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (ready, outcome) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let response_times = Arc::new(Mutex::new(Vec::new()));
        let times = Arc::clone(&response_times);
        std::thread::spawn(move || {
            let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
            let sockets =
                enter_namespace().and_then(|()| any.map(raw_socket).into_iter().collect());
            let replies = Arc::new(replies);
            match sockets {
                Ok(sockets) => {
                    let sockets: Vec<Socket> = sockets;
                    for (socket, any) in sockets.into_iter().zip(any) {
                        let (stopped, replies) = (Arc::clone(&stopped), Arc::clone(&replies));
                        let times = Arc::clone(&times);
                        let host = Responder {
                            is_v6: any.is_ipv6(),
                            busy_polls: busy_polls && any.is_ipv4(),
                            socket,
                        };
                        std::thread::spawn(move || host.respond(&stopped, &times, &*replies));
                    }
                    let _ = ready.send(Ok(()));
                }
                Err(error) => {
                    let _ = ready.send(Err(format!("no network namespace: {error}")));
                    return;
                }
            }
            for job in queue {
                job();
            }
        });
        outcome
            .recv()
            .expect("receive the report of the namespace's thread")?;
        Ok(Self {
            jobs,
            stop,
            response_times,
        })
    }

    /// Returns the response time of each request so far, from its receipt to the
    /// last answer without a delay.
    pub fn response_times(&self) -> Vec<Duration> {
        let times = self.response_times.lock();
        times.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts a program in the namespace.
    #[track_caller]
    pub fn spawn(&self, tool: Tool) -> Running {
        let (sender, receiver) = mpsc::channel();
        let job = move || drop(sender.send(tool.spawn()));
        self.jobs
            .send(Box::new(job))
            .expect("send a job to the namespace's thread");
        receiver.recv().expect("receive the started program")
    }

    /// Runs a program in the namespace to its end.
    #[track_caller]
    pub fn run(&self, tool: Tool) -> Output {
        self.spawn(tool).wait()
    }
}

impl Drop for IcmpLab {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Moves the calling thread to a new namespace and sets that up.
fn enter_namespace() -> io::Result<()> {
    const SETUP: &str = "ip link set lo up && ip address add ::7/128 dev lo nodad \
                         && echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all \
                         && echo 1 >/proc/sys/net/ipv6/icmp/echo_ignore_all \
                         && echo 0 1000000 >/proc/sys/net/ipv4/ping_group_range";
    sys::unshare_network()?;
    let output = Command::new("sh").args(["-c", SETUP]).output()?;
    if output.status.success() {
        Ok(())
    } else {
        let text = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(text.trim().to_owned()))
    }
}

fn raw_socket(from: IpAddr) -> io::Result<Socket> {
    let (domain, protocol) = match from {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    Ok(socket)
}

/// The responder of one address family.
struct Responder {
    socket: Socket,
    is_v6: bool,
    /// Whether to poll for requests without sleeping.
    busy_polls: bool,
}

impl Responder {
    /// Receives requests and answers them until `stop` is set.
    fn respond(
        &self,
        stop: &AtomicBool,
        response_times: &Mutex<Vec<Duration>>,
        replies: &dyn Fn(&Probe) -> Vec<IcmpMessage>,
    ) {
        let mut number = 0;
        let mut packet = vec![0; 65_535];
        // Nothing interrupts a read of the raw socket, so it has a timeout.
        let timeout = Some(Duration::from_millis(100));
        self.socket
            .set_read_timeout(timeout)
            .expect("set a timeout");
        self.socket
            .set_nonblocking(self.busy_polls)
            .expect("set a mode");
        while !stop.load(Ordering::SeqCst) {
            let Ok(n) = (&mut &self.socket).read(&mut packet) else {
                std::hint::spin_loop();
                continue;
            };
            let start = Instant::now();
            let parse = if self.is_v6 { parse6 } else { parse };
            let Some(probe) = parse(&packet[..n], number) else {
                continue;
            };
            number += 1;
            for reply in replies(&probe) {
                if !reply.delay.is_zero() {
                    std::thread::spawn(move || {
                        std::thread::sleep(reply.delay);
                        send(&reply);
                    });
                } else if reply.is_plain() {
                    let to = SocketAddr::from((reply.to, 0)).into();
                    let sent = self.socket.send_to(&reply.message, &to);
                    sent.expect("send an ICMP message");
                } else {
                    send(&reply);
                }
            }
            let mut times = response_times
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            times.push(start.elapsed());
        }
    }
}

fn send(reply: &IcmpMessage) {
    let to = SocketAddr::from((reply.to, 0)).into();
    let sent = match (reply.from, reply.to) {
        // The kernel would write a correct checksum.
        (IpAddr::V6(from), IpAddr::V6(to6)) if !reply.checksum_ok => {
            let mut packet = header6(from, to6, reply.message.len());
            packet.extend(&reply.message);
            let raw = Protocol::from(255);
            Socket::new(Domain::IPV6, Type::RAW, Some(raw))
                .and_then(|socket| socket.send_to(&packet, &to))
        }
        _ => raw_socket(reply.from).and_then(|socket| {
            if !reply.options.is_empty() {
                sys::set_ip_options(&socket, reply.from.is_ipv6(), &reply.options)?;
            }
            socket.send_to(&reply.message, &to)
        }),
    };
    sent.expect("send an ICMP message");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns;

    /// Sends one echo request in the namespace and returns the ICMP messages of
    /// `count` answers.
    fn exchange(lab: &IcmpLab, count: usize) -> Vec<Vec<u8>> {
        let (sender, receiver) = mpsc::channel();
        let job = move || {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::ICMPV4)).unwrap();
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into();
            let timeout = Some(Duration::from_secs(10));
            socket.set_read_timeout(timeout).unwrap();
            socket.send_to(b"\x08\0\0\0\0\0\0\x07data", &to).unwrap();
            let mut buffer = [0; 100];
            for _ in 0..count {
                let n = (&socket).read(&mut buffer).unwrap();
                sender.send(buffer[..n].to_vec()).unwrap();
            }
        };
        lab.jobs.send(Box::new(job)).unwrap();
        receiver.iter().collect()
    }

    #[test]
    fn a_correct_and_a_corrupt_reply_are_sent() {
        let lab = match IcmpLab::start(|probe| {
            assert_eq!((probe.seq, probe.number), (7, 0));
            vec![probe.reply(), probe.reply().corrupt(9)]
        }) {
            Ok(lab) => lab,
            Err(reason) => return netns::skip(&reason),
        };
        let replies = exchange(&lab, 2);
        assert_eq!(replies[0][6..], *b"\0\x07data");
        assert_eq!(replies[1][6..], *b"\0\x07d\x9eta");
        assert_eq!(replies[0][0], 0);
    }

    #[test]
    fn programs_run_in_the_namespace() {
        let lab = match IcmpLab::start(|_| Vec::new()) {
            Ok(lab) => lab,
            Err(reason) => return netns::skip(&reason),
        };
        let out = lab.run(Tool::new("ip").args(["-o", "link"]));
        assert_eq!(out.code(0).lines().len(), 1, "{}", out.report());
    }
}

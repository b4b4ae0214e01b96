//! A server under test, and clients of few lines.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use testkit::{Output, Running, Tool};

/// Long enough for a busy machine; no test waits for it to pass.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// The tool, not started.
pub(crate) fn tool() -> Tool {
    Tool::new(env!("CARGO_BIN_EXE_tcpecho-server")).timeout(Duration::from_secs(60))
}

/// A server that has said where it listens.
pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) addr: SocketAddr,
}

impl Server {
    /// One on a free port of 127.0.0.1.
    #[track_caller]
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::of(tool().args(args).arg("127.0.0.1:0"))
    }

    /// One made otherwise; its first line is a text log's `listening`.
    #[track_caller]
    pub(crate) fn of(tool: Tool) -> Self {
        let running = tool.spawn();
        let line = running.read_line(SOON);
        let addr = line
            .strip_prefix("listening\t")
            .and_then(|addr| addr.parse().ok())
            .unwrap_or_else(|| panic!("first line: {line:?}"));
        Self { running, addr }
    }

    /// A connection with a bound on every wait.
    #[track_caller]
    pub(crate) fn connect(&self) -> Client {
        Client::to(self.addr)
    }

    /// The next line of the log, split into its fields.
    #[track_caller]
    pub(crate) fn event(&self) -> Vec<String> {
        let line = self.running.read_line(SOON);
        line.split('\t').map(str::to_owned).collect()
    }

    /// Ends it by SIGTERM.
    #[track_caller]
    pub(crate) fn end(self) -> Output {
        self.running.signal(15);
        self.running.wait()
    }
}

/// A client's end of a connection.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    #[track_caller]
    pub(crate) fn to(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&addr, SOON).expect("connect");
        stream.set_read_timeout(Some(SOON)).expect("set a timeout");
        stream.set_write_timeout(Some(SOON)).expect("set a timeout");
        stream.set_nodelay(true).expect("set an option");
        Self(stream)
    }

    /// The address the log shows.
    pub(crate) fn name(&self) -> String {
        self.0.local_addr().expect("a local address").to_string()
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("send");
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        self.0.read_exact(&mut got).expect("receive");
        assert!(got == bytes, "other bytes came back");
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, bytes: &[u8]) {
        self.send(bytes);
        self.expect(bytes);
    }

    pub(crate) fn half_close(&self) {
        self.0.shutdown(Shutdown::Write).expect("shut down");
    }

    /// Everything up to the end of file.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        self.0.read_to_end(&mut all).expect("receive to the end");
        all
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.0)
            .set_linger(Some(Duration::ZERO))
            .expect("set an option");
    }
}

/// Bytes without a short period, all values among them.
pub(crate) fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|n| ((n * n / 7) ^ (n >> 8)) as u8).collect()
}

/// Sends all while reading all, then half-closes; what came back.
#[track_caller]
pub(crate) fn round_trip(client: &mut Client, sent: &[u8]) -> Vec<u8> {
    let stream = client.0.try_clone().expect("clone a socket");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            (&stream).write_all(sent).expect("send");
            stream.shutdown(Shutdown::Write).expect("shut down");
        });
        client.rest()
    })
}

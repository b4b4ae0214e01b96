//! The server under test, and clients for it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use testkit::{Output, Running, Tool};

/// Bounds every wait, even on a busy machine. No test waits for it to expire.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(15);

pub(crate) const SIGINT: i32 = 2;
pub(crate) const SIGKILL: i32 = 9;
pub(crate) const SIGUSR1: i32 = 10;
pub(crate) const SIGTERM: i32 = 15;
pub(crate) const SIGCONT: i32 = 18;
pub(crate) const SIGSTOP: i32 = 19;

/// The path of the tool, for scripts.
pub(crate) const BIN: &str = env!("CARGO_BIN_EXE_tcpecho-server");

/// Returns the tool, not started yet.
pub(crate) fn tool() -> Tool {
    Tool::new(BIN).timeout(Duration::from_secs(60))
}

/// A server that has logged its address.
pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) addr: SocketAddr,
}

impl Server {
    /// Starts a server on a free port of 127.0.0.1.
    #[track_caller]
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::spawn(tool().args(args).arg("127.0.0.1:0"))
    }

    /// Starts a server with a text log.
    #[track_caller]
    pub(crate) fn spawn(tool: Tool) -> Self {
        let running = tool.spawn();
        let line = running.read_line(TIMEOUT);
        let addr = line
            .strip_prefix("listening\t")
            .and_then(|addr| addr.parse().ok())
            .unwrap_or_else(|| panic!("first line: {line:?}"));
        Self { running, addr }
    }

    /// Opens a connection to the server.
    #[track_caller]
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Returns the fields of the next line of the log.
    #[track_caller]
    pub(crate) fn next_event(&self) -> Vec<String> {
        let line = self.running.read_line(TIMEOUT);
        line.split('\t').map(str::to_owned).collect()
    }

    /// Ends the server with SIGTERM.
    #[track_caller]
    pub(crate) fn terminate(self) -> Output {
        self.running.signal(SIGTERM);
        self.running.wait()
    }
}

/// The client's end of a connection.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    #[track_caller]
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&addr, TIMEOUT).expect("connect");
        stream
            .set_read_timeout(Some(TIMEOUT))
            .expect("set the timeout");
        stream
            .set_write_timeout(Some(TIMEOUT))
            .expect("set the timeout");
        stream.set_nodelay(true).expect("set TCP_NODELAY");
        Self(stream)
    }

    /// Returns the client's address, as the log shows it.
    pub(crate) fn address(&self) -> String {
        self.0
            .local_addr()
            .expect("get the local address")
            .to_string()
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("send");
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, bytes: &[u8]) {
        let mut received = vec![0; bytes.len()];
        self.0.read_exact(&mut received).expect("receive");
        assert!(received == bytes, "other bytes were echoed");
    }

    /// Sends bytes and expects their echo.
    #[track_caller]
    pub(crate) fn echo(&mut self, bytes: &[u8]) {
        self.send(bytes);
        self.expect(bytes);
    }

    pub(crate) fn half_close(&self) {
        self.0.shutdown(Shutdown::Write).expect("half-close");
    }

    /// Receives everything up to the end of file.
    #[track_caller]
    pub(crate) fn read_to_eof(&mut self) -> Vec<u8> {
        let mut received = Vec::new();
        self.0
            .read_to_end(&mut received)
            .expect("receive to the end of file");
        received
    }

    /// Closes the connection with a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.0)
            .set_linger(Some(Duration::ZERO))
            .expect("set SO_LINGER");
    }
}

/// Returns bytes of all values, without a short period.
pub(crate) fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|n| ((n * n / 7) ^ (n >> 8)) as u8).collect()
}

/// Sends bytes and half-closes, while receiving up to the end of file. Returns
/// the bytes received.
#[track_caller]
pub(crate) fn round_trip(client: &mut Client, sent: &[u8]) -> Vec<u8> {
    let stream = client.0.try_clone().expect("clone the socket");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            (&stream).write_all(sent).expect("send");
            stream.shutdown(Shutdown::Write).expect("half-close");
        });
        client.read_to_eof()
    })
}

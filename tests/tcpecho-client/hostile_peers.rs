//! Peers that send or read without end: memory and run time are bounded.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::TcpStream;

use serde_json::Value;
use testkit::Tool;
use testkit::peer::TcpPeer;
use testkit::udp::UdpPeer;

use crate::{TEST_TIMEOUT, client, client_to};

/// The memory limit of a run that only needs its fixed buffers.
const BUFFERS_ONLY: u64 = 24 << 20;

/// The number of bytes of a reply that a record contains at most.
const RECORD_MAX: usize = 16 << 20;

/// Sends `byte` until the connection ends.
fn flood(mut stream: &TcpStream, byte: u8) -> std::io::Result<()> {
    let chunk = vec![byte; 64 * 1024];
    loop {
        stream.write_all(&chunk)?;
    }
}

fn flooding(byte: u8) -> TcpPeer {
    TcpPeer::start(move |stream| flood(&stream, byte))
}

fn null() -> File {
    File::options()
        .write(true)
        .open("/dev/null")
        .expect("open /dev/null")
}

/// Runs a tool with its output in a file, and returns it with its records. The
/// output is long; a pipe would make it slow on a busy machine.
fn run_with_records(tool: Tool) -> (testkit::Output, Vec<Value>) {
    let mut file = tempfile::tempfile().expect("make a temporary file");
    let stdout = file.try_clone().expect("duplicate a descriptor");
    let out = bounded(tool.stdout_to(stdout)).run();
    file.rewind().expect("rewind a file");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("read the output");
    let records = text.lines().map(serde_json::from_str);
    (out, records.collect::<Result<_, _>>().expect("records"))
}

fn bounded(tool: Tool) -> Tool {
    tool.measure_memory().timeout(TEST_TIMEOUT * 3)
}

#[test]
fn a_record_contains_a_bounded_part_of_the_reply() {
    for (byte, key, length) in [
        (b'x', "data", RECORD_MAX),
        (0, "data", RECORD_MAX),
        (0xff, "data_base64", RECORD_MAX.div_ceil(3) * 4),
    ] {
        let peer = TcpPeer::start(move |mut stream| {
            stream.read_exact(&mut [0; 5])?;
            let chunk = vec![byte; RECORD_MAX];
            (0..5).try_for_each(|_| stream.write_all(&chunk))
        });
        let tool = client_to(&peer).args(["-j", "--no-verify", "--timeout", "15s", "hello"]);
        let (out, records) = run_with_records(tool);
        out.code(0).peak_memory_below(4 * RECORD_MAX as u64);
        let record = &records[0];
        assert_eq!(record["truncated"], true);
        assert_eq!(
            record["bytes_received"].as_u64(),
            Some(5 * RECORD_MAX as u64)
        );
        assert_eq!(record[key].as_str().map(str::len), Some(length));
    }
    // The record ends with a complete character.
    let peer = TcpPeer::start(|mut stream| {
        stream.read_exact(&mut [0; 5])?;
        let text = "a".to_owned() + &"\u{e9}".repeat(RECORD_MAX / 2 + 10);
        stream.write_all(text.as_bytes())
    });
    let tool = client_to(&peer).args(["-j", "--no-verify", "--timeout", "15s", "hello"]);
    let (out, records) = run_with_records(tool);
    out.code(0);
    let record = &records[0];
    assert_eq!(record["data"].as_str().map(str::len), Some(RECORD_MAX - 1));
    assert_eq!(
        record["bytes_received"].as_u64(),
        Some(RECORD_MAX as u64 + 21)
    );
}

#[test]
fn a_long_reply_is_copied_in_constant_memory() {
    let peer = flooding(b'x');
    for args in [
        &["--no-verify", "--timeout", "1s", "hello"][..],
        &["-q", "--no-verify", "--timeout", "1s", "hello"],
    ] {
        let out = bounded(client_to(&peer).args(args).stdout_to(null())).run();
        out.code(0).peak_memory_below(BUFFERS_ONLY);
    }
    let peer = TcpPeer::start(|mut stream| {
        for _ in 0..100 {
            stream.write_all(&vec![0; 64 * 1024])?;
        }
        std::io::Result::Ok(())
    });
    for args in [&["-j"][..], &[]] {
        let out = bounded(client_to(&peer).args(args).stdout_to(null())).run();
        out.code(0).peak_memory_below(BUFFERS_ONLY);
    }
}

#[test]
fn a_flood_of_datagrams_ends_by_the_timeout() {
    let peer = UdpPeer::start(|_, _| vec![vec![b'x'; 60_000]; 20_000]);
    let addr = peer.addr().to_string();
    for args in [&["-j"][..], &[]] {
        let tool = client().args(["-u", "--no-verify", "--timeout", "1s", &addr, "hello"]);
        let out = bounded(tool.args(args).stdout_to(null())).run();
        out.code(0).peak_memory_below(4 * RECORD_MAX as u64);
    }
    let tool = client().args(["-u", "-c", "3", "-i", "10ms", "--timeout", "1s", &addr]);
    let out = bounded(tool.stdout_to(null())).run();
    out.code(1).peak_memory_below(BUFFERS_ONLY);
}

#[test]
fn a_peer_that_reads_everything_and_returns_nothing_takes_bounded_memory() {
    let peer = TcpPeer::silent();
    let tool = client_to(&peer).args(["--file", "/dev/zero", "--timeout", "2s"]);
    let out = bounded(tool).run();
    out.code(3).stdout("").peak_memory_below(80 << 20);
    out.stderr(&format!(
        "tcpecho-client: {}: timed out without a reply; at most 32 MiB are sent ahead of the \
         echo; use --no-verify to remove this limit\n",
        peer.addr()
    ));
    let tool = client_to(&peer).args(["--file", "/dev/zero", "--no-verify", "--timeout", "1s"]);
    bounded(tool).run().code(0).peak_memory_below(BUFFERS_ONLY);
}

#[test]
fn an_exchange_without_an_end_ends_by_the_timeout() {
    let peer = TcpPeer::echo();
    let tool = client_to(&peer).args(["-j", "--file", "/dev/zero", "--timeout", "2s"]);
    let (out, records) = run_with_records(tool);
    // Both ends of a loopback connection buffer a part of it.
    out.code(3).peak_memory_below(5 * RECORD_MAX as u64);
    out.stderr_contains(": timed out after ");
    let received = records[0]["bytes_received"].as_u64();
    assert_eq!(records[0]["truncated"], received > Some(RECORD_MAX as u64));
    assert_eq!(records[1]["kind"], "timeout");
}

#[test]
fn a_flood_instead_of_echoes_ends_the_run() {
    for args in [
        &["-c", "5", "-i", "10ms"][..],
        &["-c", "5", "-i", "10ms", "-j"],
        &["-c", "2", "-i", "10ms", "--reconnect"],
        &["--bench", "--duration", "1s", "--timeout", "1s"],
    ] {
        let peer = flooding(b'x');
        let tool = client_to(&peer).args(args).stdout_to(null());
        bounded(tool).run().code(1).peak_memory_below(BUFFERS_ONLY);
    }
}

#[test]
fn a_peer_that_reads_one_byte_at_a_time_ends_by_the_timeout() {
    let peer = TcpPeer::start(|mut stream| {
        let mut byte = [0];
        while stream.read(&mut byte)? == 1 {
            stream.write_all(&byte)?;
        }
        std::io::Result::Ok(())
    });
    let tool = client_to(&peer).args(["--file", "/dev/zero", "--timeout", "1s", "-q"]);
    let out = bounded(tool).run();
    out.code(3).peak_memory_below(80 << 20);
}

//! Tests of the event log: its formats, and its independence from the service.

use std::fs::File;

use testkit::Output;

use crate::harness::{BIN, Client, SIGTERM, SIGUSR1, Server, TIMEOUT, tool};

#[test]
fn the_text_log_has_one_line_per_event() {
    let server = Server::start(&["--once", "-v"]);
    let addr = server.addr;
    let mut client = server.connect();
    client.echo(b"Hello\t\"\\\x1b\xff\n");
    client.half_close();
    assert_eq!(client.read_to_eof(), b"");
    let out = server.running.wait();
    let lines = out.code(0).lines();
    let name = client.address();
    let (closed, ms) = {
        let fields: Vec<&str> = lines[3].split('\t').collect();
        let ms: f64 = fields[4].parse().unwrap();
        (lines[3].replace(fields[4], "MS"), ms)
    };
    assert!(ms > 0.0);
    assert_eq!(
        [&lines[0], &lines[1], &lines[2], &closed],
        [
            &format!("listening\t{addr}"),
            &format!("connected\t{name}"),
            &format!("received\t{name}\t11\t\"Hello\\t\\\"\\\\\\x1b\\xff\\n\""),
            &format!("closed\t{name}\t11\t11\tMS\teof"),
        ]
    );
    assert_eq!(lines.len(), 4);
}

#[test]
fn discarded_bytes_are_not_logged() {
    let server = Server::start(&["--once", "-v", "--max-bytes", "20"]);
    let mut client = server.connect();
    client.send(&[b'x'; 100]);
    assert_eq!(client.read_to_eof(), [b'x'; 20]);
    client.half_close();
    let out = server.running.wait();
    let lines = out.code(0).lines();
    let received: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("received\t"))
        .collect();
    assert_eq!(received.len(), 1, "{}", out.report());
    assert_eq!(received[0].split('\t').nth(2), Some("20"));
}

#[test]
fn the_json_log_has_one_object_per_event() {
    let running = tool()
        .args(["--once", "-v", "--json", "127.0.0.1:0"])
        .spawn();
    let first: serde_json::Value = serde_json::from_str(&running.read_line(TIMEOUT)).unwrap();
    let addr = first["address"].as_str().unwrap().to_owned();
    let mut client = Client::connect(addr.parse().unwrap());
    client.echo(b"a\x7fb\n");
    client.half_close();
    assert_eq!(client.read_to_eof(), b"");
    let out = running.wait();
    let records = out.code(0).stderr("").json();
    let name = client.address();
    let kinds: Vec<_> = records
        .iter()
        .map(|r| r["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["listening", "connected", "received", "closed", "summary"]
    );
    assert_eq!(records[1]["peer"], name);
    assert_eq!(records[1]["local"], addr);
    assert_eq!(
        (&records[2]["bytes"], &records[2]["data"]),
        (&4.into(), &"a\u{7f}b\n".into())
    );
    assert!(out.stdout_str().contains(r#""data":"a\u007fb\n""#));
    assert_eq!(records[3]["bytes_received"], 4);
    assert_eq!(records[3]["bytes_sent"], 4);
    assert_eq!(records[3]["reason"], "eof");
    assert!(records[3]["duration_ms"].as_f64().unwrap() > 0.0);
    for record in &records[..4] {
        let time = record["time"].as_str().unwrap();
        assert!(time.len() == 27 && time.ends_with('Z'), "{time}");
    }
    let summary = &records[4];
    for (key, value) in [
        ("connections", 1),
        ("refused", 0),
        ("bytes_received", 4),
        ("bytes_sent", 4),
        ("cut", 0),
        ("events_dropped", 0),
    ] {
        assert_eq!(summary[key], value, "{key}");
    }
    assert!(summary["duration_ms"].as_f64().unwrap() > 0.0);
}

#[test]
fn quiet_servers_print_nothing() {
    let running = tool()
        .args(["-q", "--once", "--port-file", "port", "127.0.0.1:0"])
        .spawn();
    let mut client = Client::connect(wait_for_port_file(&running).parse().unwrap());
    client.echo(b"hello");
    drop(client);
    running.wait().code(0).stdout("").stderr("");
}

/// Returns the address of a server started with `--port-file port`.
fn wait_for_port_file(running: &testkit::Running) -> String {
    let file = running.home().join("port");
    loop {
        // The file appears with its complete contents.
        if let Ok(text) = std::fs::read_to_string(&file) {
            return format!("127.0.0.1:{}", text.trim_end());
        }
        assert!(running.is_running(), "the server has ended");
        std::thread::yield_now();
    }
}

/// Serves two clients, one after the other, then ends the server with SIGTERM.
fn serve_two(tool: testkit::Tool) -> Output {
    let running = tool.args(["--port-file", "port", "127.0.0.1:0"]).spawn();
    let addr = wait_for_port_file(&running).parse().unwrap();
    for _ in 0..2 {
        let mut client = Client::connect(addr);
        client.echo(b"hello");
        client.half_close();
        assert_eq!(client.read_to_eof(), b"");
    }
    running.signal(SIGTERM);
    running.wait()
}

#[test]
fn a_full_disk_does_not_stop_the_service() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let out = serve_two(tool().stdout_to(full));
    // The events are one "listening", two "connected" and two "closed".
    out.code(0).stderr_contains(
        "2 connections, 0 refused, 10 bytes in, 10 bytes out, 0 cut off, 5 events",
    );
}

#[test]
fn a_closed_pipe_does_not_stop_the_service() {
    let out = serve_two(tool().close_stdout_after(0));
    out.code(0).stderr_contains("5 events dropped");
    let out = serve_two(tool().close_stdout_after(1));
    out.code(0).stderr_contains("2 connections");
}

#[test]
fn a_pipe_that_is_not_read_does_not_stop_the_service() {
    let (reader, writer) = std::io::pipe().unwrap();
    let out = {
        let running = tool()
            .stdout_to(File::from(std::os::fd::OwnedFd::from(writer)))
            .args(["-v", "--port-file", "port", "127.0.0.1:0"])
            .spawn();
        let addr = wait_for_port_file(&running).parse().unwrap();
        let mut client = Client::connect(addr);
        // More events than the pipe and the queue can hold.
        let chunk = vec![1; 60_000];
        for _ in 0..40 {
            client.echo(&chunk);
        }
        drop(client);
        running.signal(SIGTERM);
        running.wait()
    };
    out.code(0)
        .stderr_contains("1 connection, 0 refused, 2400000 bytes in");
    assert!(
        !out.stderr_str().contains(" 0 events dropped"),
        "{}",
        out.report()
    );
    drop(reader);
}

#[test]
fn a_script_can_wait_for_the_listening_line() {
    // The method of the README, without a port file.
    let script = format!(
        "mkfifo events; {BIN} --once 127.0.0.1:0 >events 2>summary & exec 3<events
         IFS=$'\\t' read -r event addr <&3; echo $event
         exec 4<>/dev/tcp/${{addr/://}}; echo hello >&4; read -r reply <&4; echo $reply
         exec 4>&-; wait; cut -f 1 <&3"
    );
    testkit::Tool::new("bash")
        .args(["-c", &script])
        .run()
        .code(0)
        .stdout("listening\nhello\nconnected\nclosed\n");
}

/// Standard error is a full pipe from the start; standard output is the same pipe
/// in the first run only.
#[test]
fn full_output_streams_do_not_stop_the_service() {
    use std::io::Write;
    for both in [true, false] {
        let (reader, mut writer) = std::io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        while writer.write(&[b'x'; 4096]).is_ok() {}
        rustix::io::ioctl_fionbio(&writer, false).unwrap();
        let full = |writer: &std::io::PipeWriter| {
            let fd = std::os::fd::OwnedFd::from(writer.try_clone().unwrap());
            File::from(fd)
        };
        let mut tool = tool().stderr_to(full(&writer));
        if both {
            tool = tool.stdout_to(full(&writer));
        }
        let args = ["--drop", "0.5", "--drain", "1s", "--port-file", "port"];
        let running = tool.args(args).arg("127.0.0.1:0").spawn();
        let addr = wait_for_port_file(&running).parse().unwrap();
        for _ in 0..3 {
            let mut client = Client::connect(addr);
            client.half_close();
            assert_eq!(client.read_to_eof(), b"");
        }
        // The summary cannot be printed, neither now nor at the end.
        running.signal(SIGUSR1);
        let mut client = Client::connect(addr);
        client.half_close();
        assert_eq!(client.read_to_eof(), b"");
        running.signal(SIGTERM);
        let _ = running.wait().code(0);
        drop(reader);
    }
}

/// The client's own counts are compared with the log and the summary.
#[test]
fn counts_of_streams_and_datagrams_are_exact() {
    let running = tool()
        .args([
            "-v",
            "--json",
            "--udp",
            "--drop",
            "0.3",
            "--seed",
            "5",
            "127.0.0.1:0",
        ])
        .spawn();
    let next =
        || -> serde_json::Value { serde_json::from_str(&running.read_line(TIMEOUT)).unwrap() };
    let (tcp, udp) = (next(), next());
    assert_eq!(
        (&tcp["protocol"], &udp["protocol"]),
        (&"tcp".into(), &"udp".into())
    );
    assert_eq!(tcp["address"], udp["address"]);
    let addr: std::net::SocketAddr = tcp["address"].as_str().unwrap().parse().unwrap();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(addr).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    let (mut sent, mut received) = ((0, 0), (0, 0));
    let mut client = Client::connect(addr);
    for n in 1..=40 {
        socket.send(&vec![0xff; n]).unwrap();
        sent = (sent.0 + 1, sent.1 + n);
        // The log shows when the server has received it; its reply, if any, is
        // sent before any later reply.
        while next()["protocol"] != "udp" {}
    }
    let data = [7; 1000];
    client.send(&data);
    client.half_close();
    let stream_received = client.read_to_eof().len();
    running.signal(SIGTERM);
    let out = running.wait();
    socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 100];
    while let Ok(n) = socket.recv(&mut buffer) {
        received = (received.0 + 1, received.1 + n);
    }
    let records = out.code(0).json();
    let summary = records.last().unwrap();
    for (key, value) in [
        ("datagrams_received", sent.0),
        ("datagrams_sent", received.0),
        ("bytes_received", sent.1 + 1000),
        ("bytes_sent", received.1 + stream_received),
        ("connections", 1),
    ] {
        assert_eq!(summary[key], value, "{key} in {summary}");
    }
    assert!(received.0 > 0 && received.0 < sent.0);
    let events = records.iter().filter(|r| r["type"] == "received");
    let bytes: u64 = events.map(|r| r["bytes"].as_u64().unwrap()).sum();
    assert_eq!(summary["bytes_received"], bytes);
    let closed = records.iter().find(|r| r["type"] == "closed").unwrap();
    assert_eq!(closed["bytes_received"], 1000);
    assert_eq!(closed["bytes_sent"], stream_received);
    for record in &records {
        let keys = ["time", "type"];
        assert!(keys.iter().all(|key| record[key].is_string()), "{record}");
    }
    let first = records.iter().find(|r| r["type"] == "received").unwrap();
    assert_eq!(first["data_base64"], "/w==");
    assert!(first["data"].is_null());
}

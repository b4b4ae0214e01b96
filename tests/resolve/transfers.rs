//! Zone transfers that are long, large, or end with an error.

use std::io::{Read, Write};
use std::time::Duration;

use testkit::dns::{Query, Record, rtype};
use testkit::peer::TcpPeer;

use super::resolve;

const PATIENCE: Duration = Duration::from_secs(60);

fn address(query: &Query) -> Record {
    Record::new(&query.name, rtype::A, 60, [192, 0, 2, 200])
}

/// Starts a server that reads the query of a transfer and then calls `rest`, which
/// sends messages with the records it passes on.
fn zone_server(
    rest: impl Fn(&Query, &mut dyn FnMut(&[Record]) -> std::io::Result<()>) -> std::io::Result<()>
    + Send
    + Sync
    + 'static,
) -> TcpPeer {
    TcpPeer::start(move |mut stream| -> std::io::Result<()> {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut query)?;
        let query = Query::parse(&query).expect("a query");
        let mut send = |records: &[Record]| {
            let mut response = query.response();
            response.answers = records.to_vec();
            let bytes = response.to_bytes();
            stream.write_all(&(bytes.len() as u16).to_be_bytes())?;
            stream.write_all(&bytes)
        };
        rest(&query, &mut send)
    })
}

fn soa(serial: u8) -> Record {
    let mut data = vec![0; 22];
    data[5] = serial;
    Record::new("x.test", rtype::SOA, 60, data)
}

fn transfer(peer: &TcpPeer, args: &[&str]) -> testkit::Output {
    resolve()
        .arg(format!("@tcp://{}", peer.addr()))
        .args(["-t", "AXFR", "x.test"])
        .args(args)
        .timeout(Duration::from_secs(120))
        .measure_memory()
        .run()
}

/// The timeout applies to the silence between messages.
#[test]
fn a_transfer_may_exceed_the_timeout() {
    const TIMES: usize = 30;
    let peer = zone_server(|query, send| {
        send(&[soa(1)])?;
        for _ in 0..TIMES {
            std::thread::sleep(Duration::from_millis(100));
            send(&[address(query)])?;
        }
        send(&[soa(1)])
    });
    let out = transfer(&peer, &["--timeout", "2s"]);
    assert_eq!(out.code(0).stderr("").lines().len(), TIMES + 2);
}

/// Silence ends a transfer, and so do messages without records.
#[test]
fn a_stalled_transfer_ends_after_the_timeout() {
    let silent = zone_server(|_, send| {
        send(&[soa(1)])?;
        std::thread::sleep(PATIENCE);
        Ok(())
    });
    let empty = zone_server(|_, send| {
        send(&[soa(1)])?;
        loop {
            send(&[])?;
        }
    });
    for peer in [&silent, &empty] {
        let out = transfer(peer, &["--timeout", "500ms", "--json"]);
        let record = &out.code(3).json()[0];
        assert_eq!(record["status"], "INCOMPLETE");
        assert_eq!(record["records"].as_array().map(Vec::len), Some(1));
        out.stderr(&format!(
            "resolve: x.test: no further message from {} in time\n",
            peer.addr()
        ));
    }
}

#[test]
fn a_transfer_with_two_serials_is_incomplete() {
    let peer = zone_server(|query, send| send(&[soa(1), address(query), soa(2)]));
    let out = transfer(&peer, &[]);
    assert_eq!(out.code(3).lines().len(), 3);
    out.stderr(&format!(
        "resolve: x.test: incomplete answer from {}: the SOA records at the start and at the end differ; \
         the zone changed during the transfer\n",
        peer.addr()
    ));
}

/// The JSON record of a large zone is written while the zone arrives.
#[test]
fn a_large_zone_as_json_takes_bounded_memory() {
    const MESSAGES: usize = 200;
    let peer = zone_server(|query, send| {
        send(&[soa(1)])?;
        let many = vec![address(query); 1000];
        for _ in 0..MESSAGES {
            send(&many)?;
        }
        send(&[soa(1)])
    });
    let out = transfer(&peer, &["--json", "--timeout", "60s"]);
    let record = &out.code(0).stderr("").peak_memory_below(20 << 20).json()[0];
    let records = record["records"].as_array().expect("records");
    assert_eq!(records.len(), 1000 * MESSAGES + 2);
    assert_eq!(records[1]["data"], "192.0.2.200");
    assert_eq!(record["status"], "NOERROR");
    assert_eq!(record["query_name"], "x.test.");
    assert_eq!(record["protocol"], "tcp");
    assert!(record["error"].is_null() && record["duration_ms"].is_number());
}

/// Another server cannot continue a transfer that has printed records, but it can
/// replace one that has not.
#[test]
fn a_transfer_is_not_continued_from_another_server() {
    let complete = zone_server(|query, send| send(&[soa(1), address(query), soa(1)]));
    let ask = |first: &TcpPeer| {
        resolve()
            .args([first, &complete].map(|peer| format!("@tcp://{}", peer.addr())))
            .args(["-t", "AXFR", "x.test"])
            .run()
    };
    let cut = zone_server(|query, send| send(&[soa(1), address(query)]));
    let out = ask(&cut);
    assert_eq!(out.code(3).lines().len(), 2);
    assert_eq!(complete.accepted(), 0);
    let empty = zone_server(|_, _| Ok(()));
    let out = ask(&empty);
    assert_eq!(out.code(0).stderr("").lines().len(), 3);
}

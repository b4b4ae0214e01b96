//! Zone transfers: long ones, large ones, and those that end badly.

use std::io::{Read, Write};
use std::time::Duration;

use testkit::dns::{Query, Record, rtype};
use testkit::peer::TcpPeer;

use super::resolve;

const PATIENCE: Duration = Duration::from_secs(60);

fn address(query: &Query) -> Record {
    Record::new(&query.name, rtype::A, 60, [192, 0, 2, 200])
}

/// A server of zones: the start of a transfer, then what `rest` sends.
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

/// A zone takes as long as it takes, as long as it comes.
#[test]
fn a_long_transfer() {
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

/// Silence ends it, and so do messages that hold nothing.
#[test]
fn a_transfer_that_stops() {
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

/// The zone changed while it was transferred.
#[test]
fn a_transfer_with_two_serials() {
    let peer = zone_server(|query, send| send(&[soa(1), address(query), soa(2)]));
    let out = transfer(&peer, &[]);
    assert_eq!(out.code(3).lines().len(), 3);
    out.stderr(&format!(
        "resolve: x.test: incomplete answer from {}: the SOA at the end is not that of the start; \
         the zone changed during the transfer\n",
        peer.addr()
    ));
}

/// JSON of a large zone is written as it comes.
#[test]
fn a_large_zone_as_json() {
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

//! Events as lines, text and JSON side by side.

use std::io::{self, Write};
use std::time::Duration;

use common::{json, text, time};
use serde::Serialize;

use crate::event::{Event, Reason, Summary};

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Fields separated by one TAB.
    Text,
    /// JSON Lines.
    Json,
}

/// Writes one event as one line.
pub(crate) fn event(out: &mut impl Write, format: Format, event: &Event<'_>) -> io::Result<()> {
    match format {
        Format::Text => text_event(out, event),
        Format::Json => json::write_line(out, &Record::of(event)),
    }
}

/// Writes the summary as one line; in text without the tool's name.
pub(crate) fn summary(out: &mut impl Write, format: Format, summary: &Summary) -> io::Result<()> {
    let s = summary;
    match format {
        Format::Text => write!(
            out,
            "{} connections, {} refused, {} bytes in, {} bytes out, {} cut, \
             {} events dropped, {:.3} s",
            s.connections,
            s.refused,
            s.bytes_in,
            s.bytes_out,
            s.cut,
            s.events_dropped,
            s.duration.as_secs_f64()
        ),
        Format::Json => json::write_line(
            out,
            &Record::Summary {
                connections: s.connections,
                refused: s.refused,
                bytes_in: s.bytes_in,
                bytes_out: s.bytes_out,
                cut: s.cut,
                events_dropped: s.events_dropped,
                duration_ms: ms(s.duration),
            },
        ),
    }
}

fn text_event(out: &mut impl Write, event: &Event<'_>) -> io::Result<()> {
    match event {
        Event::Listening(address) => writeln!(out, "listening\t{address}"),
        Event::Connected { peer, .. } => writeln!(out, "connected\t{peer}"),
        Event::Received { peer, data } => {
            writeln!(
                out,
                "received\t{peer}\t{}\t{}",
                data.len(),
                text::quote(data)
            )
        }
        Event::Closed {
            peer,
            bytes_in,
            bytes_out,
            duration,
            reason,
        } => writeln!(
            out,
            "closed\t{peer}\t{bytes_in}\t{bytes_out}\t{:.3}\t{reason}",
            ms(*duration)
        ),
    }
}

/// Microseconds are as fine as the clock is worth.
fn ms(duration: Duration) -> f64 {
    json::ms(Duration::from_micros(duration.as_micros() as u64))
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Record {
    Listening {
        address: String,
        time: String,
    },
    Connected {
        peer: String,
        local: Option<String>,
        time: String,
    },
    Received {
        peer: String,
        bytes: usize,
        data: String,
        time: String,
    },
    Closed {
        peer: String,
        bytes_in: u64,
        bytes_out: u64,
        duration_ms: f64,
        reason: Reason,
        time: String,
    },
    Summary {
        connections: u64,
        refused: u64,
        bytes_in: u64,
        bytes_out: u64,
        cut: u64,
        events_dropped: u64,
        duration_ms: f64,
    },
}

impl Record {
    fn of(event: &Event<'_>) -> Self {
        let time = time::now();
        match event {
            Event::Listening(address) => Self::Listening {
                address: address.to_string(),
                time,
            },
            Event::Connected { peer, local } => Self::Connected {
                peer: peer.to_string(),
                local: local.map(ToString::to_string),
                time,
            },
            Event::Received { peer, data } => Self::Received {
                peer: peer.to_string(),
                bytes: data.len(),
                data: String::from_utf8_lossy(data).into_owned(),
                time,
            },
            Event::Closed {
                peer,
                bytes_in,
                bytes_out,
                duration,
                reason,
            } => Self::Closed {
                peer: peer.to_string(),
                bytes_in: *bytes_in,
                bytes_out: *bytes_out,
                duration_ms: ms(*duration),
                reason: *reason,
                time,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Peer;

    fn line(format: Format, e: &Event<'_>) -> String {
        let mut out = Vec::new();
        event(&mut out, format, e).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_and_json_say_the_same() {
        let peer = Peer::inet("[::ffff:127.0.0.1]:9".parse().unwrap());
        let local = Peer::inet("127.0.0.1:7".parse().unwrap());
        let events = [
            Event::Listening(&local),
            Event::Connected {
                peer: &peer,
                local: Some(&local),
            },
            Event::Received {
                peer: &peer,
                data: b"a\t\"\xff\n",
            },
            Event::Closed {
                peer: &peer,
                bytes_in: 5,
                bytes_out: 4,
                duration: Duration::from_nanos(1_234_567),
                reason: Reason::MaxBytes,
            },
        ];
        let text: String = events.iter().map(|e| line(Format::Text, e)).collect();
        assert_eq!(
            text,
            "listening\t127.0.0.1:7\nconnected\t127.0.0.1:9\n\
             received\t127.0.0.1:9\t5\t\"a\\t\\\"\\xff\\n\"\n\
             closed\t127.0.0.1:9\t5\t4\t1.234\tmax-bytes\n"
        );
        let mut json = String::new();
        for e in &events {
            let line = line(Format::Json, e);
            let at = line.find(",\"time\":\"2").unwrap();
            assert_eq!(line.len() - at, ",\"time\":\"\"}\n".len() + 27);
            json += &line[..at];
            json += "}\n";
        }
        assert_eq!(
            json,
            "{\"type\":\"listening\",\"address\":\"127.0.0.1:7\"}\n\
             {\"type\":\"connected\",\"peer\":\"127.0.0.1:9\",\"local\":\"127.0.0.1:7\"}\n\
             {\"type\":\"received\",\"peer\":\"127.0.0.1:9\",\"bytes\":5,\
             \"data\":\"a\\t\\\"\u{fffd}\\n\"}\n\
             {\"type\":\"closed\",\"peer\":\"127.0.0.1:9\",\"bytes_in\":5,\"bytes_out\":4,\
             \"duration_ms\":1.234,\"reason\":\"max-bytes\"}\n"
        );
    }

    #[test]
    fn summaries() {
        let s = Summary {
            connections: 2,
            bytes_in: 10,
            duration: Duration::from_millis(1500),
            ..Summary::default()
        };
        let mut out = Vec::new();
        summary(&mut out, Format::Text, &s).unwrap();
        assert_eq!(
            out,
            b"2 connections, 0 refused, 10 bytes in, 0 bytes out, 0 cut, 0 events dropped, 1.500 s"
        );
        let mut out = Vec::new();
        summary(&mut out, Format::Json, &s).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"type\":\"summary\",\"connections\":2,\"refused\":0,\"bytes_in\":10,\
             \"bytes_out\":0,\"cut\":0,\"events_dropped\":0,\"duration_ms\":1500.0}\n"
        );
    }
}

//! Renders events and the summary as lines of text or JSON.

use std::io::{self, Write};
use std::time::Duration;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use common::{json, text, time};
use serde::Serialize;

use crate::address::Protocol;
use crate::event::{Event, Reason, Summary};

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Fields separated by one TAB.
    Text,
    /// JSON Lines, one object per event.
    Json,
}

/// Writes an event as one line.
pub(crate) fn event(out: &mut impl Write, format: Format, event: &Event<'_>) -> io::Result<()> {
    match format {
        Format::Text => text_event(out, event),
        Format::Json => json::write_line(out, &Record::from_event(event)),
    }
}

/// Writes the summary as one line. The text format has neither the tool's name
/// nor a newline, which the reporter adds.
pub(crate) fn summary(out: &mut impl Write, format: Format, summary: &Summary) -> io::Result<()> {
    let s = summary;
    match format {
        Format::Text => {
            write!(
                out,
                "{}, {} refused, {} in, {} out",
                counted(s.connections, "connection"),
                s.refused,
                counted(s.bytes_received, "byte"),
                counted(s.bytes_sent, "byte"),
            )?;
            if s.datagrams_received > 0 {
                write!(
                    out,
                    ", {} in, {} out",
                    counted(s.datagrams_received, "datagram"),
                    s.datagrams_sent
                )?;
            }
            write!(
                out,
                ", {} cut off, {} dropped, {:.3} s",
                s.cut,
                counted(s.events_dropped, "event"),
                s.duration.as_secs_f64()
            )
        }
        Format::Json => json::write_line(
            out,
            &Record::Summary {
                connections: s.connections,
                refused: s.refused,
                bytes_received: s.bytes_received,
                bytes_sent: s.bytes_sent,
                datagrams_received: s.datagrams_received,
                datagrams_sent: s.datagrams_sent,
                cut: s.cut,
                events_dropped: s.events_dropped,
                duration_ms: ms(s.duration),
                time: time::now(),
            },
        ),
    }
}

fn text_event(out: &mut impl Write, event: &Event<'_>) -> io::Result<()> {
    match event {
        Event::Listening { address, .. } => writeln!(out, "listening\t{address}"),
        Event::Connected { peer, .. } => writeln!(out, "connected\t{peer}"),
        Event::Received { peer, data, .. } => {
            writeln!(
                out,
                "received\t{peer}\t{}\t{}",
                data.len(),
                text::quote(data)
            )
        }
        Event::Closed {
            peer,
            bytes_received,
            bytes_sent,
            duration,
            reason,
        } => writeln!(
            out,
            "closed\t{peer}\t{bytes_received}\t{bytes_sent}\t{:.3}\t{reason}",
            ms(*duration)
        ),
    }
}

/// Converts to milliseconds, truncated to whole microseconds.
fn ms(duration: Duration) -> f64 {
    json::ms(Duration::from_micros(duration.as_micros() as u64))
}

/// Returns a count with its noun, such as `1 byte` or `2 bytes`.
fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Record<'a> {
    Listening {
        address: String,
        protocol: Protocol,
        time: String,
    },
    Connected {
        peer: String,
        local: Option<String>,
        protocol: Protocol,
        time: String,
    },
    Received {
        peer: String,
        bytes: usize,
        data: Option<&'a str>,
        data_base64: Option<Base64<'a>>,
        protocol: Protocol,
        time: String,
    },
    Closed {
        peer: String,
        bytes_received: u64,
        bytes_sent: u64,
        duration_ms: f64,
        reason: Reason,
        protocol: Protocol,
        time: String,
    },
    Summary {
        connections: u64,
        refused: u64,
        bytes_received: u64,
        bytes_sent: u64,
        datagrams_received: u64,
        datagrams_sent: u64,
        cut: u64,
        events_dropped: u64,
        duration_ms: f64,
        time: String,
    },
}

/// Bytes that are encoded while they are serialized.
struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

impl<'a> Record<'a> {
    fn from_event(event: &Event<'a>) -> Self {
        let time = time::now();
        match event {
            Event::Listening { address, protocol } => Self::Listening {
                address: address.to_string(),
                protocol: *protocol,
                time,
            },
            Event::Connected { peer, local } => Self::Connected {
                peer: peer.to_string(),
                local: local.map(ToString::to_string),
                protocol: peer.protocol(),
                time,
            },
            Event::Received {
                peer,
                protocol,
                data,
            } => {
                let text = std::str::from_utf8(data).ok();
                Self::Received {
                    peer: peer.to_string(),
                    bytes: data.len(),
                    data: text,
                    data_base64: text.is_none().then_some(Base64(data)),
                    protocol: *protocol,
                    time,
                }
            }
            Event::Closed {
                peer,
                bytes_received,
                bytes_sent,
                duration,
                reason,
            } => Self::Closed {
                peer: peer.to_string(),
                bytes_received: *bytes_received,
                bytes_sent: *bytes_sent,
                duration_ms: ms(*duration),
                reason: *reason,
                protocol: peer.protocol(),
                time,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

    fn line(format: Format, e: &Event<'_>) -> String {
        let mut out = Vec::new();
        event(&mut out, format, e).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_and_json_have_the_same_contents() {
        let peer = Address::inet("[::ffff:127.0.0.1]:9".parse().unwrap());
        let local = Address::inet("127.0.0.1:7".parse().unwrap());
        let events = [
            Event::Listening {
                address: &local,
                protocol: Protocol::Tcp,
            },
            Event::Connected {
                peer: &peer,
                local: Some(&local),
            },
            Event::Received {
                peer: &peer,
                protocol: Protocol::Udp,
                data: b"a\t\"\xff\n",
            },
            Event::Received {
                peer: &peer,
                protocol: Protocol::Tcp,
                data: "\u{e9}".as_bytes(),
            },
            Event::Closed {
                peer: &peer,
                bytes_received: 5,
                bytes_sent: 4,
                duration: Duration::from_nanos(1_234_567),
                reason: Reason::MaxBytes,
            },
        ];
        let text: String = events.iter().map(|e| line(Format::Text, e)).collect();
        assert_eq!(
            text,
            "listening\t127.0.0.1:7\nconnected\t127.0.0.1:9\n\
             received\t127.0.0.1:9\t5\t\"a\\t\\\"\\xff\\n\"\n\
             received\t127.0.0.1:9\t2\t\"\u{e9}\"\n\
             closed\t127.0.0.1:9\t5\t4\t1.234\tmax-bytes\n"
        );
        let mut json = String::new();
        for e in &events {
            let line = line(Format::Json, e);
            let end = line.find(",\"time\":\"2").unwrap();
            assert_eq!(line.len() - end, ",\"time\":\"\"}\n".len() + 27);
            json += &line[..end];
            json += "}\n";
        }
        assert_eq!(
            json,
            "{\"type\":\"listening\",\"address\":\"127.0.0.1:7\",\"protocol\":\"tcp\"}\n\
             {\"type\":\"connected\",\"peer\":\"127.0.0.1:9\",\"local\":\"127.0.0.1:7\",\
             \"protocol\":\"tcp\"}\n\
             {\"type\":\"received\",\"peer\":\"127.0.0.1:9\",\"bytes\":5,\
             \"data\":null,\"data_base64\":\"YQki/wo=\",\"protocol\":\"udp\"}\n\
             {\"type\":\"received\",\"peer\":\"127.0.0.1:9\",\"bytes\":2,\
             \"data\":\"\u{e9}\",\"data_base64\":null,\"protocol\":\"tcp\"}\n\
             {\"type\":\"closed\",\"peer\":\"127.0.0.1:9\",\"bytes_received\":5,\"bytes_sent\":4,\
             \"duration_ms\":1.234,\"reason\":\"max-bytes\",\"protocol\":\"tcp\"}\n"
        );
    }

    #[test]
    fn the_summary_counts_connections_bytes_and_datagrams() {
        let mut s = Summary {
            connections: 1,
            bytes_received: 10,
            duration: Duration::from_millis(1500),
            ..Summary::default()
        };
        let mut out = Vec::new();
        summary(&mut out, Format::Text, &s).unwrap();
        assert_eq!(
            out,
            b"1 connection, 0 refused, 10 bytes in, 0 bytes out, 0 cut off, 0 events dropped, 1.500 s"
        );
        (s.datagrams_received, s.datagrams_sent, s.bytes_sent) = (1, 0, 1);
        out.clear();
        summary(&mut out, Format::Text, &s).unwrap();
        assert_eq!(
            out,
            b"1 connection, 0 refused, 10 bytes in, 1 byte out, 1 datagram in, 0 out, 0 cut off, \
              0 events dropped, 1.500 s"
        );
        let mut out = Vec::new();
        summary(&mut out, Format::Json, &s).unwrap();
        let json = String::from_utf8(out).unwrap();
        let (json, _) = json.split_once(",\"time\":\"2").unwrap();
        assert_eq!(
            json,
            "{\"type\":\"summary\",\"connections\":1,\"refused\":0,\"bytes_received\":10,\
             \"bytes_sent\":1,\"datagrams_received\":1,\"datagrams_sent\":0,\"cut\":0,\
             \"events_dropped\":0,\"duration_ms\":1500.0"
        );
    }
}

//! `-w`: a format with the variables of curl.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::report::Report;

/// A parsed format of `-w`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WriteOut {
    parts: Vec<Part>,
    /// Unknown variables, which print nothing.
    unknown: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(&'static str),
    Header(String),
    Json,
    HeaderJson,
    /// The index of the URL.
    UrlNumber,
    Stderr,
    Stdout,
    OnError,
}

/// The variables in alphabetical order; [`value`] knows them all.
const VARIABLES: [&str; 30] = [
    "content_type",
    "errormsg",
    "exitcode",
    "filename_effective",
    "http_code",
    "http_version",
    "method",
    "num_certs",
    "num_connects",
    "num_headers",
    "num_redirects",
    "num_retries",
    "redirect_url",
    "remote_ip",
    "remote_port",
    "response_code",
    "scheme",
    "size_download",
    "size_header",
    "size_request",
    "speed_download",
    "time_appconnect",
    "time_connect",
    "time_namelookup",
    "time_pretransfer",
    "time_redirect",
    "time_starttransfer",
    "time_total",
    "url",
    "url_effective",
];

impl WriteOut {
    /// Parses a format; the error is a sentence about its syntax.
    pub(crate) fn parse(format: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut unknown = Vec::new();
        let mut text = String::new();
        let mut rest = format;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            let part = match c {
                '\\' => {
                    let next = rest.chars().next();
                    rest = &rest[next.map_or(0, char::len_utf8)..];
                    match next {
                        Some('n') => text.push('\n'),
                        Some('r') => text.push('\r'),
                        Some('t') => text.push('\t'),
                        other => {
                            text.push('\\');
                            text.extend(other);
                        }
                    }
                    continue;
                }
                '%' if rest.starts_with('%') => {
                    rest = &rest[1..];
                    text.push('%');
                    continue;
                }
                '%' if rest.starts_with('{') => {
                    let (name, after) = rest[1..]
                        .split_once('}')
                        .ok_or_else(|| "a '%{' has no closing '}'".to_owned())?;
                    rest = after;
                    let Some(part) = parse_variable(name) else {
                        unknown.push(name.to_owned());
                        continue;
                    };
                    part
                }
                // Forms of curl that are not supported.
                '%' if rest.starts_with("output{") || rest.starts_with("time{") => {
                    let end = rest
                        .find('}')
                        .ok_or_else(|| "a '%output{' or '%time{' has no closing '}'".to_owned())?;
                    unknown.push(rest[..=end].to_owned());
                    rest = &rest[end + 1..];
                    continue;
                }
                '%' if rest.starts_with("header{") => {
                    let (name, after) = rest["header{".len()..]
                        .split_once('}')
                        .ok_or_else(|| "a '%header{' has no closing '}'".to_owned())?;
                    rest = after;
                    Part::Header(name.to_owned())
                }
                c => {
                    text.push(c);
                    continue;
                }
            };
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(part);
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self { parts, unknown })
    }

    /// Returns the unknown variables of the format.
    pub(crate) fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Returns the text for standard output and for standard error. `index` is that of
    /// the URL, from 0.
    pub(crate) fn render(&self, report: &Report, index: usize) -> (String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        let mut to_err = false;
        for part in &self.parts {
            let text = match part {
                Part::Text(text) => text.clone(),
                Part::Variable(name) => format_value(name, &value(name, report)),
                Part::Header(name) => {
                    let head = report.head.as_ref();
                    let value = head.and_then(|head| head.get(name)).unwrap_or_default();
                    common::text::escape(value.as_bytes()).into_owned()
                }
                Part::Json => all_variables(report, index),
                Part::UrlNumber => index.to_string(),
                Part::HeaderJson => all_headers(report),
                Part::Stderr => {
                    to_err = true;
                    continue;
                }
                Part::Stdout => {
                    to_err = false;
                    continue;
                }
                Part::OnError if report.exit() == common::Exit::Success => break,
                Part::OnError => continue,
            };
            if to_err {
                err.push_str(&text);
            } else {
                out.push_str(&text);
            }
        }
        (out, err)
    }
}

fn parse_variable(name: &str) -> Option<Part> {
    match name {
        "json" => Some(Part::Json),
        "urlnum" => Some(Part::UrlNumber),
        "header_json" => Some(Part::HeaderJson),
        "stderr" => Some(Part::Stderr),
        "stdout" => Some(Part::Stdout),
        "onerror" => Some(Part::OnError),
        name => VARIABLES
            .iter()
            .find(|known| **known == name)
            .map(|known| Part::Variable(known)),
    }
}

/// Formats a value as curl prints it.
fn format_value(name: &str, value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => common::text::escape(text.as_bytes()).into_owned(),
        Value::Number(n) if name.starts_with("time_") => {
            format!("{:.6}", n.as_f64().unwrap_or_default())
        }
        Value::Number(n) if name.ends_with("_code") => {
            format!("{:03}", n.as_u64().unwrap_or_default())
        }
        other => other.to_string(),
    }
}

/// Returns the value of a variable. Times are in seconds since the start.
fn value(name: &str, report: &Report) -> Value {
    let head = report.head.as_ref();
    let exchange = &report.exchange;
    let connection = &exchange.connection;
    let time_after = |phases: &[Option<Duration>]| {
        let sum: Duration = phases.iter().flatten().sum();
        (report.redirect_time + sum).as_secs_f64()
    };
    let or_zero = |phase: Option<Duration>, sum: f64| if phase.is_some() { sum } else { 0.0 };
    let until_tls = time_after(&[connection.dns, connection.connect, connection.tls]);
    match name {
        "content_type" => json!(head.and_then(|head| head.get("content-type"))),
        "errormsg" => json!(
            report
                .error
                .as_ref()
                .map(crate::report::FetchError::message)
        ),
        "exitcode" => json!(report.exit().code()),
        "filename_effective" => {
            json!(report.file.as_ref().map(|file| file.display().to_string()))
        }
        "http_code" | "response_code" => json!(head.map_or(0, |head| head.status)),
        "http_version" => {
            json!(head.map_or("0", |head| if head.minor == 0 { "1.0" } else { "1.1" }))
        }
        "method" => json!(report.method),
        "num_certs" => json!(
            connection
                .tls_info
                .as_ref()
                .map_or(0, |info| info.chain.len())
        ),
        "num_connects" => json!(report.connects),
        "num_headers" => json!(head.map_or(0, |head| head.headers.len())),
        "num_redirects" => json!(report.redirect_count),
        "num_retries" => json!(report.retries),
        "redirect_url" => {
            let location = head
                .filter(|head| head.status / 100 == 3)
                .and_then(|head| head.get("location"));
            let base = report
                .final_url
                .as_deref()
                .and_then(|url| url::Url::parse(url).ok());
            let joined = base.zip(location).and_then(|(base, to)| base.join(to).ok());
            json!(joined.map(String::from))
        }
        "remote_ip" | "remote_port" => match connection.peer {
            Some(crate::net::Peer::Address(address)) if name == "remote_ip" => {
                json!(address.ip().to_string())
            }
            Some(crate::net::Peer::Address(address)) => json!(address.port()),
            _ if name == "remote_ip" => Value::Null,
            _ => json!(0),
        },
        "scheme" => {
            let url = report.final_url.as_deref().unwrap_or_default();
            json!(url.split(':').next())
        }
        "size_download" => json!(report.wire_bytes),
        "size_header" => json!(report.head_bytes),
        "size_request" => json!(exchange.sent.len()),
        "speed_download" => {
            let seconds = report.total.as_secs_f64();
            let speed = if seconds > 0.0 {
                report.wire_bytes as f64 / seconds
            } else {
                0.0
            };
            json!(speed as u64)
        }
        "time_namelookup" => json!(time_after(&[connection.dns])),
        "time_connect" => json!(or_zero(
            connection.connect,
            time_after(&[connection.dns, connection.connect])
        )),
        "time_appconnect" => json!(or_zero(connection.tls, until_tls)),
        "time_pretransfer" => json!(until_tls),
        "time_redirect" => json!(report.redirect_time.as_secs_f64()),
        "time_starttransfer" => {
            let first = report.first_byte();
            json!(or_zero(
                first,
                time_after(&[connection.dns, connection.connect, connection.tls, first])
            ))
        }
        "time_total" => json!(report.total.as_secs_f64()),
        "url" => json!(report.url),
        _ => json!(report.final_url),
    }
}

fn json_line(value: &Value) -> String {
    let mut line = Vec::new();
    // Writing to memory cannot fail. The format decides about line ends.
    let _ = common::json::write_line(&mut line, value);
    line.pop();
    String::from_utf8_lossy(&line).into_owned()
}

fn all_variables(report: &Report, index: usize) -> String {
    let mut map: Map<String, Value> = VARIABLES
        .iter()
        .map(|name| ((*name).to_owned(), value(name, report)))
        .collect();
    map.insert("urlnum".to_owned(), json!(index));
    json_line(&Value::Object(map))
}

fn all_headers(report: &Report) -> String {
    let mut map: Map<String, Value> = Map::new();
    for (name, value) in report.head.iter().flat_map(|head| &head.headers) {
        let values = map
            .entry(name.to_ascii_lowercase())
            .or_insert_with(|| json!([]));
        if let Value::Array(values) = values {
            values.push(json!(value));
        }
    }
    json_line(&Value::Object(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_rendered() {
        let render = |format: &str| {
            let report = Report {
                url: "http://h/".to_owned(),
                final_url: Some("http://h/x".to_owned()),
                ..Report::default()
            };
            WriteOut::parse(format).unwrap().render(&report, 0)
        };
        assert_eq!(
            render("%{http_code}\\n%%\\t%{url_effective}").0,
            "000\n%\thttp://h/x"
        );
        assert_eq!(render("a%{stderr}b%{stdout}c"), ("ac".into(), "b".into()));
        assert_eq!(
            render("%{time_total}|%{scheme}|%{num_redirects}").0,
            "0.000000|http|0"
        );
        assert_eq!(render("%{urlnum}").0, "0");
        assert_eq!(render("%header{x}.%{onerror}never").0, ".");
        let json: Value = serde_json::from_str(&render("%{json}").0).unwrap();
        assert_eq!(json["url"], "http://h/");
        assert_eq!(
            WriteOut::parse("a%{unknown}").unwrap().unknown(),
            ["unknown"]
        );
        assert_eq!(render("a%{unknown}b").0, "ab");
        assert!(WriteOut::parse("%{url").is_err());
    }

    #[test]
    fn the_variables_are_sorted() {
        assert!(VARIABLES.is_sorted());
    }
}

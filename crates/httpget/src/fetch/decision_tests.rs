//! The tables of [`decide`] and [`body::place`], one case per line: the requested part, the
//! options, the response, and the decision.
//!
//! The bytes that are there are 5 of 10, of the version with the ETag "1"; those of
//! `unproved` have no validator.

use super::*;
use crate::config::{ErrorStatus, OutputConfig, RequestConfig};
use crate::json::pointer;
use crate::policy::time_condition::TimeCondition;

/// The first table, in the order of its rows.
const DECISIONS: &str = r#"
  # 1: a status that may be temporary
  whole        | retry                | 503                                            | retry
  rest         | retry                | 200                                            | retry
  # 2: the time condition
  whole        | -z                   | 200 Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT | not modified
  whole        | -z                   | 200 Last-Modified: Sun, 06 Nov 1994 08:49:38 GMT | stdout
  whole        | -z                   | 200                                            | stdout
  whole        | -z -I                | 200 Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT | discarded
  whole        | -z                   | 404 Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT | failure: stdout
  rest         | -z -o                | 206 Content-Range: bytes 5-9/10; Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT | continued
  segment      | -z -o                | 206 Content-Range: bytes 0-1048575/9999999; ETag: "1"; Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT | not modified
  # 3: the segment
  segment      | -o                   | 206 Content-Range: bytes 0-1048575/9999999; ETag: "1" | segments of 9999999
  segment      | -o max=9             | 206 Content-Range: bytes 0-1048575/9999999; ETag: "1" | fail: the body is larger than 9 bytes (--max-filesize)
  segment      | -o                   | 206 Content-Range: bytes 0-4/5; ETag: "1"      | segments of 5
  segment-rest | -o                   | 206 Content-Range: bytes 5-9/10; ETag: "1"     | segments of 10
  # 4: another part, or an empty file
  segment      | -o                   | 206 Content-Range: bytes 0-1048575/9999999     | one connection: repeat
  segment      | -o                   | 206 Content-Range: bytes 1-1048575/9999999; ETag: "1" | one connection: repeat
  segment-rest | -o                   | 206 Content-Range: bytes 5-9/10; ETag: "2"     | one connection: repeat
  segment-rest | -o                   | 206 Content-Range: bytes 5-10/11; ETag: "1"    | one connection: repeat
  segment-rest | -o                   | 206 Content-Range: bytes 5-9/10; ETag: "1"; Content-Encoding: gzip | one connection: repeat
  segment      | -o                   | 416                                            | one connection: repeat
  segment      | -o                   | 200                                            | one connection: file
  segment      | -o                   | 503                                            | failure: discarded
  segment-rest | -o                   | 416 Content-Range: bytes */5; ETag: "1"        | complete
  segment-rest | -o                   | 416                                            | start over: repeat
  segment-rest | -o                   | 200 ETag: "2"                                  | one connection: start over: file
  # 5: a part that was not requested
  whole        |                      | 206 Content-Range: bytes 0-4/10                | fail: unexpected 206 Partial Content
  whole        | range=0-4            | 206 Content-Range: bytes 0-4/10                | stdout
  whole        | header=bytes=0-4     | 206 Content-Range: bytes 0-4/10                | stdout
  # 6: the rest
  rest         | -o                   | 206 Content-Range: bytes 5-9/10; ETag: "1"     | continued
  unproved     | -o                   | 206 Content-Range: bytes 0-9/10                | continued
  offset       |                      | 206 Content-Range: bytes 5-9/10                | continued
  rest         | printed              | 206 Content-Range: bytes 5-9/10; ETag: "1"     | continued
  # 7: complete already
  rest         | -o                   | 416 Content-Range: bytes */5; ETag: "1"        | complete
  unproved     | -o                   | 416 Content-Range: bytes */5                   | complete
  # 8: the bytes cannot be given up
  offset       | -o                   | 200                                            | fail: the server cannot start at byte 5
  offset       | -o                   | 416                                            | fail: the server cannot start at byte 5
  rest         | printed              | 200                                            | fail: the server cannot resume at byte 5
  rest         | printed              | 206 Content-Range: bytes 5-9/10; ETag: "2"     | fail: the server cannot resume at byte 5
  # 9: they can be
  rest         | -o                   | 200 ETag: "2"                                  | start over: file
  rest         | -o                   | 206 Content-Range: bytes 4-9/10; ETag: "1"     | start over: repeat
  rest         | -o                   | 206 Content-Range: bytes 5-9/10; ETag: "2"     | start over: repeat
  rest         | -o                   | 416 Content-Range: bytes */4                   | start over: repeat
  # 10: another status after printed bytes
  rest         | printed              | 204                                            | fail: the server sent 204 instead of the rest of the body
  rest         | printed              | 404                                            | failure: discarded
  rest         | printed --no-fail    | 404                                            | fail: the server sent 404 instead of the rest of the body
  rest         | -o                   | 404                                            | failure: discarded
  # 11: content codings and lengths
  whole        | --compressed         | 200 Content-Encoding: x                        | fail: unsupported content coding x
  whole        |                      | 200 Content-Encoding: x                        | stdout
  whole        | --compressed -I      | 200 Content-Encoding: x                        | discarded
  whole        |                      | 200 Content-Length: x                          | fail: invalid Content-Length: x
  # 12: a 206 and its lengths
  whole        | range=0-4            | 206                                            | fail: 206 Partial Content without a Content-Range
  whole        | range=0-1,3-4        | 206 Content-Type: multipart/byteranges; boundary=x | stdout
  whole        | range=0-4            | 206 Content-Range: bytes 1-4/10                | fail: Content-Range 'bytes 1-4/10' is not the requested range
  whole        | range=0-4            | 206 Content-Range: bytes 0-4/10; Content-Length: 4 | fail: Content-Length differs from the length of Content-Range
  whole        | range=0-4 -I         | 206 Content-Range: bytes 1-4/10                | discarded
  # 13: the maximum size
  whole        | max=9                | 200 Content-Length: 10                         | fail: the body is larger than 9 bytes (--max-filesize)
  whole        | max=9                | 200 Content-Length: 9                          | stdout
  whole        | max=9                | 404 Content-Length: 10                         | failure: stdout
  whole        | max=9 --no-fail      | 404 Content-Length: 10                         | fail: the body is larger than 9 bytes (--max-filesize)
"#;

/// The second table, in the order of its rows.
const PLACES: &str = r"
  # 1: continued, see above
  # 2: no body
  whole        | -I                   | 200                                            | discarded
  whole        | -I -o                | 200                                            | file
  whole        | -I -o                | 404                                            | failure: discarded
  whole        | -o                   | 304                                            | discarded
  whole        | --json               | 304                                            | discarded
  # 3: memory
  whole        | --json               | 200                                            | memory
  whole        | --json               | 404                                            | failure: memory
  whole        | --json -f            | 404                                            | failure: memory
  whole        | --json -o            | 200                                            | file
  whole        | --pointer            | 200                                            | memory
  whole        | --pointer -o         | 200                                            | memory
  whole        | --pointer            | 404                                            | failure: stdout
  whole        | --pointer --no-fail  | 404                                            | memory
  # 4: failures
  whole        | -f                   | 404                                            | failure: discarded
  whole        | -o                   | 404                                            | failure: discarded
  whole        | printed              | 404                                            | failure: discarded
  whole        |                      | 404                                            | failure: stdout
  whole        | --no-fail            | 404                                            | stdout
  whole        | --no-fail -o         | 404                                            | file
  # 5: no file
  whole        |                      | 200                                            | stdout
  # 6 and 7: the file
  whole        | -o                   | 200 Content-Length: 65536                      | short file
  whole        | -o                   | 200 Content-Length: 65537                      | file
  whole        | -o                   | 200                                            | file
  whole        | -o -i                | 200 Content-Length: 5                          | file
  whole        | -o --compressed      | 200 Content-Length: 5; Content-Encoding: gzip  | file
";

/// Returns the part that a word of the tables stands for.
fn part(word: &str) -> RequestedPart {
    let partial = PartialDownload {
        bytes: 5,
        validator: Some(Validator::Tag("\"1\"".into())),
        total: Some(10),
        coding: Some(String::new()),
        ..PartialDownload::default()
    };
    match word {
        "whole" => RequestedPart::Whole,
        "rest" => RequestedPart::Rest(partial),
        "unproved" => RequestedPart::Rest(PartialDownload {
            validator: None,
            ..partial
        }),
        "offset" => RequestedPart::Offset(PartialDownload {
            bytes: 5,
            is_exact: true,
            ..PartialDownload::default()
        }),
        "segment" => RequestedPart::Segment(None),
        "segment-rest" => RequestedPart::Segment(Some(partial)),
        other => panic!("unknown part {other}"),
    }
}

/// Returns the decision of one case in words.
fn decision(part: &RequestedPart, options: &str, head: &Head) -> String {
    let (mut request, mut output) = (RequestConfig::default(), OutputConfig::default());
    let (mut max_bytes, mut is_saved, mut has_printed) = (None, false, false);
    let mut retry_delay = None;
    for option in options.split_whitespace() {
        match option.split_once('=').unwrap_or((option, "")) {
            ("retry", _) => retry_delay = Some(Duration::ZERO),
            ("printed", _) => has_printed = true,
            ("max", bytes) => max_bytes = bytes.parse().ok(),
            ("range", range) => request.range = Some(range.to_owned()),
            ("header", value) => request.range_header = Some(value.to_owned()),
            ("-z", _) => {
                request.time_condition = Some(TimeCondition::ModifiedAfter(784_111_777));
            }
            ("-I", _) => (request.head, output.heads) = (true, true),
            ("-i", _) => output.heads = true,
            ("-o", _) => is_saved = true,
            ("-f", _) => output.error_status = ErrorStatus::Discard,
            ("--no-fail", _) => output.error_status = ErrorStatus::Accept,
            ("--compressed", _) => request.compressed = true,
            ("--json", _) => output.json = true,
            ("--pointer", _) => output.pointer = pointer::parse("/a").ok(),
            (other, _) => panic!("unknown option {other}"),
        }
    }
    let situation = Situation {
        request: &request,
        output: &output,
        max_bytes,
        is_saved,
        part,
        has_printed,
        retry_delay,
    };
    let decision = decide(&situation, head);
    let mut words = Vec::new();
    if decision.one_connection {
        words.push("one connection".to_owned());
    }
    if decision.start_over.is_some() {
        words.push("start over".to_owned());
    }
    let action = match decision.action {
        Action::Retry(_) => "retry".to_owned(),
        Action::NotModified => "not modified".to_owned(),
        Action::Segments(segments) => format!("segments of {}", segments.total),
        Action::Repeat => "repeat".to_owned(),
        Action::Complete(_) => "complete".to_owned(),
        Action::Fail(error) => format!("fail: {}", error.message()),
        Action::Deliver(body) => {
            if body.is_failure {
                words.push("failure".to_owned());
            }
            let place = match body.place {
                Place::Continued => "continued",
                Place::Discarded => "discarded",
                Place::Memory => "memory",
                Place::Stdout => "stdout",
                Place::File => "file",
                Place::ShortFile => "short file",
            };
            place.to_owned()
        }
    };
    words.push(action);
    words.join(": ")
}

fn check(table: &str) {
    let lines = table.lines().map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [word, options, response, expected] = columns[..] else {
            panic!("four columns in {line}");
        };
        let (status, headers) = response.split_once(' ').unwrap_or((response, ""));
        let headers = headers
            .replace("; boundary", ";boundary")
            .replace("; ", "\r\n");
        let text = format!("HTTP/1.1 {status}\r\n{headers}\r\n\r\n");
        let head = Head::parse(text.trim_start().as_bytes()).unwrap();
        assert_eq!(decision(&part(word), options, &head), expected, "{line}");
    }
}

#[test]
fn the_first_check_that_applies_decides() {
    check(DECISIONS);
}

#[test]
fn the_place_follows_from_the_options_and_the_status() {
    check(PLACES);
}

#[test]
fn only_offsets_in_the_whole_body_can_be_continued() {
    for (word, options, response, is_resumable) in [
        ("whole", RequestConfig::default(), "200", true),
        (
            "whole",
            RequestConfig {
                range: Some("5-".to_owned()),
                ..RequestConfig::default()
            },
            "206 P\r\nContent-Range: bytes 5-9/10",
            false,
        ),
        (
            "rest",
            RequestConfig::default(),
            "206 P\r\nContent-Range: bytes 5-9/10",
            true,
        ),
    ] {
        let head = Head::parse(format!("HTTP/1.1 {response}\r\n\r\n").as_bytes()).unwrap();
        let situation = Situation {
            request: &options,
            output: &OutputConfig::default(),
            max_bytes: None,
            is_saved: true,
            part: &part(word),
            has_printed: false,
            retry_delay: None,
        };
        let Action::Deliver(body) = decide(&situation, &head).action else {
            panic!("a body for {response}");
        };
        assert_eq!(body.is_resumable, is_resumable, "{response}");
    }
}

//! The state file next to a partial file (`FILE.part.state`): which URL the bytes
//! belong to, and how the download can be continued.
//!
//! It is text with one `KEY: VALUE` per line. The first line identifies it as a
//! state file of this tool, the last one proves that it is complete.

use crate::hex;
use crate::policy::resume::{PartialDownload, Validator, is_strong_tag};

/// Returns the SHA-256 of a URL, which stands for it in the state file: a query
/// may contain a secret.
pub fn url_id(url: &url::Url) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, url.as_str().as_bytes());
    hex::encode(digest.as_ref())
}

/// The key of the first line, which identifies a state file.
const URL: &str = "url-sha256";

/// The key of the last line; a file without it is truncated.
const END: &str = "end";

/// Returns the text of the state file of a URL with this [`url_id`]. `bytes` is
/// the length of the contiguous start of a partial file with gaps; without it,
/// the file has no gaps.
pub fn format(partial: &PartialDownload, url_id: &str, bytes: Option<u64>) -> String {
    let line = |name: &str, value: Option<String>| {
        value.map_or_else(String::new, |value| format!("{name}: {value}\n"))
    };
    let coding = partial.coding.clone().filter(|coding| !coding.is_empty());
    let validator = partial.validator.as_ref().map(|validator| {
        let name = match validator {
            Validator::Tag(_) => "etag",
            Validator::Date(_) => "last-modified",
            Validator::WeakTag(_) => "weak-etag",
            Validator::WeakDate(_) => "weak-last-modified",
        };
        line(name, Some(validator.value().to_owned()))
    });
    [
        line(URL, Some(url_id.to_owned())),
        line("bytes", bytes.map(|bytes| bytes.to_string())),
        line("content-encoding", coding),
        validator.unwrap_or_default(),
        line("length", partial.total.map(|total| total.to_string())),
        line(END, Some("record".to_owned())),
    ]
    .concat()
}

/// Whether a text is that of a state file, for any URL.
pub fn is_state_file(text: &str) -> bool {
    text.strip_prefix(URL)
        .is_some_and(|rest| rest.starts_with(": "))
}

/// Parses the state file of a URL with this [`url_id`], next to a partial file of
/// `length` bytes. `None` if it is invalid, of another URL or does not match the
/// length: then it proves nothing.
pub fn parse(text: &str, url_id: &str, length: u64) -> Option<PartialDownload> {
    let mut validator = None;
    let mut total = None;
    let mut bytes = length;
    let mut coding = String::new();
    let (mut is_same_url, mut is_complete) = (false, false);
    // A line without a line end may be truncated.
    for line in text.strip_suffix('\n')?.split('\n') {
        let (name, value) = line.split_once(": ")?;
        match name {
            URL => is_same_url = value == url_id,
            END => is_complete = true,
            "etag" if is_strong_tag(value) => validator = Some(Validator::Tag(value.to_owned())),
            "last-modified" => validator = Some(Validator::Date(value.to_owned())),
            "weak-etag" => validator = Some(Validator::WeakTag(value.to_owned())),
            "weak-last-modified" => validator = Some(Validator::WeakDate(value.to_owned())),
            "content-encoding" => value.clone_into(&mut coding),
            "length" => total = Some(value.parse().ok()?),
            "bytes" => bytes = value.parse().ok()?,
            _ => return None,
        }
    }
    let is_consistent = bytes > 0 && bytes <= length && total.is_none_or(|total| bytes <= total);
    (is_consistent && is_same_url && is_complete).then(|| PartialDownload {
        bytes,
        validator,
        total,
        coding: Some(coding),
        ..PartialDownload::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let id = url_id(&url::Url::parse("http://h/?token=secret").unwrap());
        assert_eq!(id.len(), 64);
        let tag = Validator::Tag("\"x\"".into());
        let partial = |bytes| PartialDownload {
            bytes,
            validator: Some(tag.clone()),
            total: Some(7),
            coding: Some(String::new()),
            ..PartialDownload::default()
        };
        let text = format(&partial(5), "id", None);
        assert_eq!(
            text,
            "url-sha256: id\netag: \"x\"\nlength: 7\nend: record\n"
        );
        assert!(is_state_file(&text));
        assert_eq!(parse(&text, "id", 5), Some(partial(5)));
        assert_eq!(parse(&text, "other", 5), None);
        assert_eq!(parse(&text, "id", 8), None);
        assert_eq!(parse(&text, "id", 0), None);
        let coded = PartialDownload {
            coding: Some("gzip".into()),
            ..partial(5)
        };
        let text = format(&coded, "id", None);
        assert_eq!(parse(&text, "id", 5), Some(coded));
        let text = format(&partial(5), "id", Some(3));
        assert_eq!(parse(&text, "id", 5), Some(partial(3)));
        assert_eq!(parse(&text, "id", 2), None);
        // A truncated file proves nothing.
        for end in 0..text.len() {
            let truncated = parse(&text[..end], "id", 5);
            assert_eq!(truncated, None, "{}", &text[..end]);
        }
        for bad in [
            "bytes: x\netag: \"x\"\n",
            "etag: x\n",
            "etag: \"x\"\nlength: y\n",
            "junk",
        ] {
            assert_eq!(
                parse(&format!("url-sha256: id\n{bad}end: record\n"), "id", 9),
                None,
                "{bad}"
            );
            assert!(!is_state_file(bad));
        }
        // Without the URL it proves nothing.
        assert_eq!(parse("etag: \"x\"\nend: record\n", "id", 9), None);
        for validator in [
            None,
            Some(Validator::WeakTag("W/\"x\"".into())),
            Some(Validator::WeakDate("y".into())),
        ] {
            let weak = PartialDownload {
                validator,
                ..partial(5)
            };
            let text = format(&weak, "id", None);
            assert!(is_state_file(&text));
            assert_eq!(parse(&text, "id", 5), Some(weak));
        }
    }
}

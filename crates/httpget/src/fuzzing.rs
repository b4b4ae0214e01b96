//! Entry points for the fuzz targets: readers of untrusted bytes that are not
//! public otherwise.

use common::text::is_dangerous;

use crate::http::charset::Encoding;
use crate::http::media::Class;
use crate::output::view::View;
use crate::output::write_out::WriteOut;
use crate::report::Report;

pub use crate::net::fuzzing::{certificate, transport, tunnel};

/// Renders a body for a terminal in pieces of this size. Nothing dangerous is
/// printed, and no more than 70 times the input; a byte of another charset than
/// UTF-8 becomes up to three.
pub fn view(bytes: &[u8], step: usize) {
    const CHARSETS: [Option<&str>; 4] = [None, Some("latin1"), Some("gbk"), Some("utf-16")];
    let classes = [Class::Json, Class::Text, Class::Other];
    let ways = classes
        .iter()
        .flat_map(|&class| CHARSETS.map(|label| (class, label)));
    for (class, label) in ways {
        let charset = label.and_then(|label| Encoding::for_label(label.as_bytes()));
        let factor = if charset.is_some() { 3 } else { 1 };
        let mut view = View::new(class, charset, false, false);
        let mut all = String::new();
        let mut emit = |shown: &[u8]| {
            all.push_str(std::str::from_utf8(shown).expect("the output is UTF-8"));
            Ok(())
        };
        let pieces = bytes.chunks(step.max(1));
        let mut outcome = Ok(());
        for piece in pieces {
            outcome = view.push(piece, &mut emit);
            if outcome.is_err() {
                break;
            }
        }
        if outcome.is_ok() {
            // The emitter above never fails.
            let _ = view.finish(&mut emit);
        }
        let dangerous = |c: char| is_dangerous(c) && !matches!(c, '\n' | '\t');
        assert!(!all.contains(dangerous), "{all:?}");
        assert!(all.len() <= 70 * factor * (bytes.len() + 1) + 2);
    }
}

/// Parses a format of `-w` and renders it for an empty transfer.
pub fn write_out(format: &str) {
    if let Ok(write_out) = WriteOut::parse(format) {
        let _ = write_out.render(&Report::default(), 0);
    }
}

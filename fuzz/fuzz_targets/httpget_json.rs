//! JSON text: validated as by serde_json, and no value is changed by compacting,
//! by indenting, or by a pointer.
#![no_main]

use httpget::json::pretty::Pretty;
use httpget::json::scan::Scanner;
use httpget::json::{pointer, text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, u16)| {
    let (json, pointer, cut) = input;
    let mut scanner = Scanner::default();
    let accepted = json.chars().all(|c| scanner.step(c).is_some()) && scanner.is_complete();
    let valid = serde_json::Deserializer::from_str(json)
        .into_iter::<serde::de::IgnoredAny>()
        .all(|value| value.is_ok());
    assert_eq!(accepted, valid);
    if !text::is_valid(json) {
        return;
    }
    let compact = text::compact(json);
    let cut = (0..=usize::from(cut).min(json.len()))
        .rev()
        .find(|&at| json.is_char_boundary(at))
        .unwrap_or(0);
    let mut printer = Pretty::new(false);
    let mut shown = String::new();
    for piece in [&json[..cut], &json[cut..]] {
        printer.push(piece, &mut shown).expect("valid JSON");
    }
    assert!(printer.finish(&mut shown));
    assert_eq!(text::compact(&shown), compact);
    assert!(shown.len() <= 70 * json.len() + 2);
    let Ok(path) = pointer::parse(pointer) else {
        return;
    };
    let found = path.find(json).expect("valid JSON").map(text::compact);
    // serde_json limits the depth, and converts numbers.
    if let Ok(value) = serde_json::from_str::<serde_json::Value>(json)
        && let Some(expected) = value.pointer(pointer)
    {
        let found: serde_json::Value = serde_json::from_str(&found.expect("found")).unwrap();
        assert_eq!(&found, expected);
    }
});

//! netrc files, and the records beside part files: what is written comes back,
//! and no record says that more is there than is.
#![no_main]

use httpget::policy::netrc::Netrc;
use httpget::policy::resume;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, u64)| {
    let (text, length) = input;
    let _ = Netrc::parse(text).find("a.b.test", None, true);
    for text in [text.to_owned(), format!("url-sha256: id\n{text}\n")] {
        let Some(had) = resume::from_state(&text, "id", length) else {
            continue;
        };
        assert!(had.bytes > 0 && had.bytes <= length);
        assert!(had.total.is_none_or(|total| had.bytes <= total));
        let again = resume::to_state(&had, "id", Some(had.bytes));
        assert_eq!(resume::from_state(&again, "id", length), Some(had));
    }
});

//! netrc files, and the state files beside partial files: a written state is read
//! back unchanged, and no state claims more bytes than the file has.
#![no_main]

use httpget::policy::netrc::Netrc;
use httpget::policy::state_file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, u64)| {
    let (text, length) = input;
    let _ = Netrc::parse(text).find("a.b.test", None, true);
    for text in [text.to_owned(), format!("url-sha256: id\n{text}\n")] {
        let Some(partial) = state_file::parse(&text, "id", length) else {
            continue;
        };
        assert!(partial.bytes > 0 && partial.bytes <= length);
        assert!(partial.total.is_none_or(|total| partial.bytes <= total));
        let again = state_file::format(&partial, "id", Some(partial.bytes));
        assert_eq!(state_file::parse(&again, "id", length), Some(partial));
    }
});

//! Cookies, cookie files and netrc files: a written jar is read back unchanged, and
//! no control character ever reaches a request.
#![no_main]

use httpget::policy::{cookie::Jar, netrc::Netrc};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(url) = url::Url::parse("https://a.b.test/d/e") else {
        return;
    };
    let mut jar = Jar::default();
    for line in text.lines() {
        jar.insert(line, &url, 1000, &|domain| Some(domain == "test"));
    }
    let header = jar.header(&url, 1000);
    if let Some(header) = &header {
        assert!(!header.contains(char::is_control));
    }
    let again = Jar::read(jar.to_netscape(1000).as_bytes()).expect("a written jar can be read");
    assert_eq!(again.header(&url, 1000), header);
    if let Ok(jar) = Jar::read(text.as_bytes()) {
        let header = jar.header(&url, 1000);
        assert!(header.is_none_or(|header| !header.contains(char::is_control)));
    }
    let _ = Netrc::parse(text).find("a.b.test", None, true);
});

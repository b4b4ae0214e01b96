//! The public suffix list of the system, which decides for which domains a server may
//! set a cookie.

use std::path::Path;
use std::sync::OnceLock;

use crate::policy::cookie;

/// The public suffix list on Debian and on other systems.
const LIST_PATHS: [&str; 2] = [
    "/usr/share/publicsuffix/public_suffix_list.dat",
    "/usr/share/publicsuffix/effective_tld_names.dat",
];

/// The public suffix list of the system, read when a cookie needs it.
#[derive(Debug, Default)]
pub(crate) struct PublicSuffixes(OnceLock<Option<String>>);

impl PublicSuffixes {
    /// Whether a domain is a public suffix; `None` if the system has no list.
    pub(super) fn is_public(&self, domain: &str) -> Option<bool> {
        let list = self.0.get_or_init(|| {
            let mut lists = LIST_PATHS.iter().map(Path::new);
            lists.find_map(|path| std::fs::read_to_string(path).ok())
        });
        list.as_ref().map(|list| cookie::is_public(list, domain))
    }
}

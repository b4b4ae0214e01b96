//! Public suffixes: domains open to registrations by the public, such as `com` or
//! `co.uk`. No cookie may be set for the whole of such a domain.

/// Returns whether a list in the format of publicsuffix.org makes `domain` a
/// public suffix.
pub fn is_public(list: &str, domain: &str) -> bool {
    let parent = domain.split_once('.').map(|(_, parent)| parent);
    let mut is_listed = false;
    for line in list.lines() {
        let rule = line.split_ascii_whitespace().next().unwrap_or_default();
        if rule.is_empty() || rule.starts_with("//") {
            continue;
        }
        if let Some(exception) = rule.strip_prefix('!') {
            if exception == domain {
                return false;
            }
        } else if let Some(rest) = rule.strip_prefix("*.") {
            is_listed |= parent == Some(rest);
        } else {
            is_listed |= rule == domain;
        }
    }
    // The implicit rule `*`: a name of one label is a public suffix.
    is_listed || parent.is_none()
}

#[cfg(test)]
mod tests {
    use super::super::tests::LIST;
    use super::*;

    #[test]
    fn rules_wildcards_and_exceptions_apply() {
        for (domain, public) in [
            ("com", true),
            ("example.com", false),
            ("co.uk", true),
            ("a.ck", true),
            ("www.ck", false),
            ("localhost", true),
        ] {
            assert_eq!(is_public(LIST, domain), public, "{domain}");
        }
    }
}

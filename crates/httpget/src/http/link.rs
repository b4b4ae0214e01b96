//! The Link header (RFC 8288), which names the next page of a list.

use super::disposition::parameters;

/// Returns the target of the first link with the relation `rel`.
pub fn find<'a>(values: impl IntoIterator<Item = &'a str>, rel: &str) -> Option<&'a str> {
    values
        .into_iter()
        .flat_map(links)
        .find_map(|(target, rest)| {
            let relations = parameters(rest)
                .into_iter()
                .find(|(name, _)| name.eq_ignore_ascii_case("rel"))?
                .1;
            relations
                .split_ascii_whitespace()
                .any(|relation| relation.eq_ignore_ascii_case(rel))
                .then_some(target)
        })
}

/// Splits a value into targets and their parameters, which start with `;`.
fn links(value: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some(open) = rest.find('<') {
        let Some(close) = rest[open..].find('>').map(|at| open + at) else {
            break;
        };
        let target = rest[open + 1..close].trim();
        rest = &rest[close + 1..];
        let end = end_of_parameters(rest);
        found.push((target, &rest[..end]));
        rest = &rest[end..];
    }
    found
}

/// Returns the offset of the comma before the next link, outside of quotes.
fn end_of_parameters(text: &str) -> usize {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn links_to_the_next_page() {
        let find = |value| find([value], "next");
        assert_eq!(
            find("<https://a.test/?page=2>; rel=\"next\", </?page=9>; rel=last"),
            Some("https://a.test/?page=2")
        );
        assert_eq!(
            find("</p,1>; rel=\"prev\"; title=\"a, b\", </p2>; title=x; REL=\"last NEXT\""),
            Some("/p2")
        );
        assert_eq!(find("</x>; rel=prev"), None);
        assert_eq!(find("</x>"), None);
        assert_eq!(find("<broken; rel=next"), None);
        assert_eq!(find("</x>; rel=next; rel=prev"), Some("/x"));
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*") {
            let _ = find([text.as_str()], "next");
        }
    }
}

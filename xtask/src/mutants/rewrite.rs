//! Writes several mutants into one source file, each behind a condition that
//! [`MUTANT`](testkit::cmd::MUTANT) selects at run time, so that one build contains all of them.

use std::ops::Range;

use super::sample::Mutant;

/// The module that the conditions call, for the end of the root file of a crate.
pub(super) const MODULE: &str = r#"
#[doc(hidden)]
mod xtask_mutant {
    /// Whether the mutant with this number is active.
    pub(crate) fn active(number: usize) -> bool {
        static ACTIVE: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
        let active = ACTIVE.get_or_init(|| {
            let value = std::env::var("INETKIT_MUTANT");
            value.ok().and_then(|value| value.parse().ok()).unwrap_or(0)
        });
        *active == number
    }
}
"#;

/// Returns the text of a file with all given mutants of it, with their numbers and,
/// in the same order, the range of each in the new text. The mutants must be sorted
/// and must not overlap.
pub(super) fn with_mutants(
    text: &str,
    mutants: &[(usize, &Mutant)],
) -> (String, Vec<Range<usize>>) {
    let mut new = String::new();
    let mut ranges = Vec::new();
    let mut end = 0;
    for (number, mutant) in mutants {
        new += &text[end..mutant.range.start];
        let start = new.len();
        let original = &text[mutant.range.clone()];
        new += &match &mutant.mutated {
            Some(mutated) => format!(
                "(if crate::xtask_mutant::active({number}) {{ {mutated} }} else {{ {original} }})"
            ),
            None => format!("if !crate::xtask_mutant::active({number}) {{ {original} }}"),
        };
        ranges.push(start..new.len());
        end = mutant.range.end;
    }
    new += &text[end..];
    (new, ranges)
}

/// Whether two mutants change overlapping text.
pub(super) fn overlap(a: &Mutant, b: &Mutant) -> bool {
    a.file == b.file && a.range.start < b.range.end && b.range.start < a.range.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::sample::mutants_of;
    use std::path::Path;
    use testkit::cmd::MUTANT;

    #[test]
    fn mutants_are_alternatives() {
        let text = "fn f(a: u8) -> bool {\n    go(a);\n    a == g()\n}\n";
        let mutants = mutants_of(Path::new("a.rs"), text).unwrap();
        let numbered: Vec<_> = (7..).zip(&mutants).collect();
        let (new, ranges) = with_mutants(text, &numbered);
        assert_eq!(
            new,
            "fn f(a: u8) -> bool {\n    \
             if !crate::xtask_mutant::active(7) { go(a); }\n    \
             (if crate::xtask_mutant::active(8) { (a) != (g()) } else { a == g() })\n}\n"
        );
        let parts: Vec<&str> = ranges.iter().map(|range| &new[range.clone()]).collect();
        assert!(parts[0].ends_with("{ go(a); }"), "{parts:?}");
        assert!(
            parts[1].starts_with("(if") && parts[1].ends_with("})"),
            "{parts:?}"
        );
    }

    #[test]
    fn nested_mutants_overlap() {
        let text = "fn f() {\n    a() && b(1);\n    c();\n}\n";
        let mutants = mutants_of(Path::new("a.rs"), text).unwrap();
        let [and, one, call] = &mutants[..] else {
            panic!("{mutants:?}");
        };
        assert!(overlap(and, one) && overlap(one, and));
        assert!(!overlap(and, call) && !overlap(call, one));
        let mut other = and.clone();
        other.file = "b.rs".into();
        assert!(!overlap(and, &other));
    }

    #[test]
    fn rewritten_code_is_valid() {
        let text = include_str!("sample.rs");
        let mutants = mutants_of(Path::new("sample.rs"), text).unwrap();
        assert!(mutants.len() > 30, "{}", mutants.len());
        for mutant in &mutants {
            let (new, _) = with_mutants(text, &[(1, mutant)]);
            syn::parse_file(&(new + MODULE)).unwrap_or_else(|error| panic!("{mutant}: {error}"));
        }
        assert!(MODULE.contains(MUTANT));
    }
}

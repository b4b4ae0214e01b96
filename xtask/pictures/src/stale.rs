//! The comparison of pictures of different runs.

use std::sync::LazyLock;

use regex::Regex;

/// A number, with the fraction and the unit prefix that depend on its size.
static FIGURE: LazyLock<Regex> = LazyLock::new(|| pattern(r"[0-9]+(?:\.[0-9]+)?(?:[KMG]iB)?"));

/// A bar of the graph, and the progress bar.
static BAR: LazyLock<Regex> = LazyLock::new(|| pattern("[▁▂▃▄▅▆▇█░]"));

/// The spaces that align columns, and the place where a long line wraps, depend on the
/// length of the figures.
static SPACES: LazyLock<Regex> = LazyLock::new(|| pattern(r"\s+"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("compile a constant pattern")
}

/// Returns a text without white space, with every figure replaced by `0` and every bar
/// by the lowest one, so that two runs of the same program are equal.
pub(crate) fn comparable(text: &str) -> String {
    let text = SPACES.replace_all(text, "");
    let text = FIGURE.replace_all(&text, "0");
    BAR.replace_all(&text, "▁").into_owned()
}

#[cfg(test)]
mod tests {
    use super::comparable;

    #[test]
    fn figures_are_equal() {
        let one = "64 bytes from 127.0.0.1: time=0.031 ms  ▁▃█  1.5 MiB/s";
        let two = "64 bytes from 127.0.0.1: time=12 ms ▅▅▁ 980 KiB/s";
        assert_eq!(comparable(one), comparable(two));
        assert_eq!(comparable(two), "0bytesfrom0.0:time=0ms▁▁▁0/s");
    }

    #[test]
    fn words_are_not_equal() {
        assert_ne!(comparable("3 received"), comparable("3 lost"));
        assert_eq!(comparable("0.4\n2 ms"), comparable("7 ms"));
    }
}

//! Whether to colour, decided once: `--color`, then the conventions of the
//! environment, then whether the stream is a terminal.

use clap::ValueEnum;

/// The values of `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless the environment says otherwise.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What the environment says about colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColorEnv {
    /// `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// `CLICOLOR_FORCE` is set, not empty and not `0`.
    pub force: bool,
    /// `TERM` is `dumb`.
    pub dumb: bool,
}

impl ColorChoice {
    /// Whether a stream is to be coloured.
    pub fn enabled(self, env: ColorEnv, is_terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto if env.no_color => false,
            Self::Auto if env.force => true,
            Self::Auto => is_terminal && !env.dumb,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precedence() {
        let plain = ColorEnv::default();
        assert!(ColorChoice::Auto.enabled(plain, true));
        assert!(!ColorChoice::Auto.enabled(plain, false));
        let no = ColorEnv {
            no_color: true,
            force: true,
            dumb: false,
        };
        assert!(!ColorChoice::Auto.enabled(no, true));
        assert!(ColorChoice::Always.enabled(no, false));
        let force = ColorEnv {
            force: true,
            ..plain
        };
        assert!(ColorChoice::Auto.enabled(force, false));
        let dumb = ColorEnv {
            dumb: true,
            ..plain
        };
        assert!(!ColorChoice::Auto.enabled(dumb, true));
        assert!(!ColorChoice::Never.enabled(force, true));
    }
}

//! Colour of the output, determined by `--color`, then by environment variables,
//! then by whether the stream is a terminal.

use clap::ValueEnum;

/// The values of `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// Colour on a terminal, unless the environment disables it
    #[default]
    Auto,
    /// Always use colour
    Always,
    /// Never use colour
    Never,
}

/// The environment variables that control colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColorEnv {
    /// `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// `CLICOLOR_FORCE` is set, not empty and not `0`.
    pub force: bool,
    /// `TERM` has the value `dumb`.
    pub dumb: bool,
}

impl ColorChoice {
    /// Whether to colour a stream.
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
    fn the_option_precedes_the_environment() {
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

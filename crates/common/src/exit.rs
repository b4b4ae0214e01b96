//! The exit status, with the same four values in all tools.
//!
//! The order of the variants is their precedence: with several operands the
//! highest status wins, so the status of a run is the maximum of its parts.

use std::process::ExitCode;

/// The result of a run or of one operand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Everything that was asked for succeeded.
    #[default]
    Success = 0,
    /// The answer is negative: nothing found, or different.
    Negative = 1,
    /// A local error: usage, invalid input, missing permission, files.
    LocalError = 2,
    /// No answer, because of the network or the peer.
    Network = 3,
}

impl Exit {
    /// Returns the number for the shell, 0 to 3.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Returns the higher of the two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.max(other)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_status_wins() {
        assert_eq!(Exit::Negative.and(Exit::Success), Exit::Negative);
        assert_eq!(Exit::LocalError.and(Exit::Network), Exit::Network);
        assert_eq!(
            [
                Exit::Success,
                Exit::Negative,
                Exit::LocalError,
                Exit::Network
            ]
            .map(Exit::code),
            [0, 1, 2, 3]
        );
    }
}

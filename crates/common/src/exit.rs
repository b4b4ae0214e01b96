//! The exit status, the same four for all six tools.
//!
//! The order of the variants is the order of their weight: with several
//! operands the highest wins, so a run's status is the `max` of its parts.

use std::process::ExitCode;

/// How a run, or one operand of it, ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// What was asked happened.
    #[default]
    Yes = 0,
    /// The answer is no, for certain.
    No = 1,
    /// A mistake or fault on this side: usage, input, permission, files.
    Fault = 2,
    /// The network stood in the way, so there is no answer.
    Network = 3,
}

impl Exit {
    /// The number the shell sees, 0 to 3.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The weightier of the two.
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
    fn the_highest_wins() {
        assert_eq!(Exit::No.and(Exit::Yes), Exit::No);
        assert_eq!(Exit::Fault.and(Exit::Network), Exit::Network);
        assert_eq!(
            [Exit::Yes, Exit::No, Exit::Fault, Exit::Network].map(Exit::code),
            [0, 1, 2, 3]
        );
    }
}

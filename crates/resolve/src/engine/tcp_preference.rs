//! Whether a server that serves UDP is asked over TCP, because of truncated answers.

/// Answers over UDP after which the share of truncated ones is evaluated.
const TRUNCATION_SAMPLE: u32 = 64;

/// The share of truncated answers of a server, and what follows from it.
///
/// A server that truncates a quarter of its answers is asked over TCP from then on: its
/// answers are large, or it is rate-limiting us and drops as many queries as it
/// truncates.
#[derive(Debug, Default)]
pub(crate) struct TcpPreference {
    /// Answers over UDP since the last evaluation.
    answers: u32,
    /// How many of them were truncated.
    truncated: u32,
    is_active: bool,
    /// Whether the server does not answer over TCP.
    has_failed: bool,
}

impl TcpPreference {
    pub(crate) fn is_active(&self) -> bool {
        self.is_active
    }

    /// Records an answer over UDP. Returns whether TCP is preferred from now on.
    pub(crate) fn record_answer(&mut self, is_truncated: bool) -> bool {
        self.answers += 1;
        self.truncated += u32::from(is_truncated);
        if self.answers < TRUNCATION_SAMPLE {
            return false;
        }
        let is_frequent = self.truncated * 4 >= self.answers;
        (self.answers, self.truncated) = (0, 0);
        if is_frequent && !self.has_failed {
            self.is_active = true;
            return true;
        }
        false
    }

    /// Returns to UDP permanently. Returns false if TCP was not preferred.
    pub(crate) fn give_up(&mut self) -> bool {
        self.has_failed |= self.is_active;
        std::mem::take(&mut self.is_active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records 64 answers; returns whether TCP is preferred after them.
    fn sample(preference: &mut TcpPreference, truncated: u32) -> bool {
        for number in 0..63 {
            assert!(!preference.record_answer(number < truncated));
        }
        preference.record_answer(truncated == 64)
    }

    #[test]
    fn a_quarter_of_truncated_answers_leads_to_tcp_until_it_fails() {
        let mut preference = TcpPreference::default();
        assert!(!preference.give_up(), "was not preferred");
        assert!(!sample(&mut preference, 15));
        assert!(!sample(&mut preference, 15), "answers count once");
        assert!(sample(&mut preference, 16));
        assert!(preference.is_active());
        assert!(preference.give_up());
        assert!(!sample(&mut preference, 64) && !preference.is_active());
    }
}

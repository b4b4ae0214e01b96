//! Which failures pass, and how long to wait for that.

use std::time::Duration;

use common::{Error, Kind};

use crate::http::date;
use crate::http::head::Head;

/// The longest pause of our own making.
const DELAY_MAX: Duration = Duration::from_secs(600);

/// What the command line says about retries.
#[derive(Clone, Debug, Default)]
pub struct RetryPolicy {
    /// Further attempts.
    pub max_retries: u32,
    /// A fixed pause instead of the doubling one.
    pub delay: Option<Duration>,
    /// No further attempt once this much time has passed.
    pub max_time: Option<Duration>,
    /// A refused connection may pass too.
    pub retry_refused: bool,
    /// Everything may pass.
    pub retry_all: bool,
}

impl RetryPolicy {
    /// Whether an error may pass. `cut` says that the connection ended within
    /// a body.
    pub fn is_retryable(&self, error: &Error, cut: bool) -> bool {
        match error.kind() {
            // Nothing of the network's making.
            Kind::Usage | Kind::Input | Kind::Permission | Kind::System => false,
            _ if self.retry_all => true,
            Kind::Timeout | Kind::Reset | Kind::Name | Kind::Unreachable => true,
            Kind::Refused => self.retry_refused,
            _ => cut,
        }
    }

    /// Whether a status may pass: those curl tries again.
    pub fn is_retryable_status(&self, status: u16) -> bool {
        matches!(status, 408 | 429 | 500 | 502 | 503 | 504 | 522 | 524)
            || (self.retry_all && status >= 400)
    }

    /// The pause before attempt `n` (from 1): one second, doubled each time,
    /// with a random part so that clients do not come back in step; what the
    /// server asks for by Retry-After counts instead. Nobody makes it longer
    /// than [`DELAY_MAX`].
    pub fn delay(&self, n: u32, head: Option<&Head>, random: u8) -> Duration {
        let own = self.delay.unwrap_or_else(|| {
            let second = Duration::from_secs(1);
            let doubled = second
                .saturating_mul(1 << n.saturating_sub(1).min(16))
                .min(DELAY_MAX);
            // Up to a quarter less.
            doubled.mul_f64(1.0 - f64::from(random) / 1024.0)
        });
        head.and_then(retry_after).unwrap_or(own).min(DELAY_MAX)
    }
}

/// The value of Retry-After, as seconds or as a date; `None` where it says
/// nothing.
pub fn retry_after(head: &Head) -> Option<Duration> {
    let value = head.get("retry-after")?;
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return value.parse().ok().map(Duration::from_secs);
    }
    let at = date::parse(value)?;
    let now = head
        .get("date")
        .and_then(date::parse)
        .unwrap_or_else(date::now);
    Some(Duration::from_secs(at.saturating_sub(now).max(0) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        Head::parse(format!("HTTP/1.1 503 S\r\n{text}\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn pauses() {
        let policy = RetryPolicy::default();
        let seconds = |n| policy.delay(n, None, 0).as_secs();
        assert_eq!([1, 2, 3, 10, 11, 99].map(seconds), [1, 2, 4, 512, 600, 600]);
        assert!(policy.delay(1, None, 255) >= Duration::from_millis(750));
        let asked = head("Retry-After: 7\r\n");
        assert_eq!(policy.delay(1, Some(&asked), 0), Duration::from_secs(7));
        let for_ever = head("Retry-After: 99999999999\r\n");
        assert_eq!(policy.delay(1, Some(&for_ever), 0), DELAY_MAX);
        let date = head(
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:57 GMT\r\n",
        );
        assert_eq!(retry_after(&date), Some(Duration::from_secs(20)));
        assert_eq!(retry_after(&head("Retry-After: soon\r\n")), None);
    }

    #[test]
    fn what_passes() {
        let policy = RetryPolicy::default();
        let error = |kind| Error::new(kind, "x");
        assert!(policy.is_retryable(&error(Kind::Timeout), false));
        assert!(policy.is_retryable(&error(Kind::Protocol), true));
        assert!(!policy.is_retryable(&error(Kind::Protocol), false));
        assert!(!policy.is_retryable(&error(Kind::Refused), false));
        assert!(!policy.is_retryable(&error(Kind::Tls), false));
        assert!(!policy.is_retryable(&error(Kind::System), true));
        assert!(policy.is_retryable_status(503) && !policy.is_retryable_status(404));
    }
}

//! Which failures are retried, and the delay before a retry.

use std::time::Duration;

use common::{Error, Kind};

use crate::http::date;
use crate::http::head::Head;

/// The maximum delay, even if the server asks for more.
const DELAY_MAX: Duration = Duration::from_secs(600);

/// The options of retries.
#[derive(Clone, Debug, Default)]
pub struct RetryPolicy {
    /// The maximum number of retries.
    pub max_retries: u32,
    /// A fixed delay instead of one that doubles.
    pub delay: Option<Duration>,
    /// The time after which nothing is retried.
    pub max_time: Option<Duration>,
    /// Whether a refused connection is retried.
    pub retry_refused: bool,
    /// Whether every failure of the network and every error status is retried.
    pub retry_all: bool,
}

impl RetryPolicy {
    /// Whether an error may be temporary. `cut` is true if the connection ended within a
    /// body.
    pub fn is_retryable(&self, error: &Error, cut: bool) -> bool {
        match error.kind() {
            // Local errors are not temporary.
            Kind::Usage | Kind::Input | Kind::Permission | Kind::System => false,
            _ if self.retry_all => true,
            Kind::Timeout | Kind::Reset | Kind::Name | Kind::Unreachable => true,
            Kind::Refused => self.retry_refused,
            _ => cut,
        }
    }

    /// Whether a status may be temporary, as in curl.
    pub fn is_retryable_status(&self, status: u16) -> bool {
        matches!(status, 408 | 429 | 500 | 502 | 503 | 504 | 522 | 524)
            || (self.retry_all && status >= 400)
    }

    /// Returns the delay before retry `n` (from 1): the Retry-After of the server, or one
    /// second, doubled each time, with random jitter. It is at most
    /// [`DELAY_MAX`].
    pub fn delay(&self, n: u32, head: Option<&Head>, random: u8) -> Duration {
        let own = self.delay.unwrap_or_else(|| {
            let second = Duration::from_secs(1);
            let doubled = second
                .saturating_mul(1 << n.saturating_sub(1).min(16))
                .min(DELAY_MAX);
            // Subtract up to a quarter.
            doubled.mul_f64(1.0 - f64::from(random) / 1024.0)
        });
        head.and_then(retry_after).unwrap_or(own).min(DELAY_MAX)
    }
}

/// Returns the delay that Retry-After asks for, in seconds or by a date.
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
    fn delays_double_up_to_a_limit() {
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
    fn temporary_failures_are_retried() {
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

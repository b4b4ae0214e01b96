//! The options that inject faults.

use clap::Args;
use common::duration;

use crate::fault::Delay;

/// Options that inject faults into the replies.
#[derive(Args, Debug)]
pub(crate) struct FaultArgs {
    /// Delay each reply by DURATION plus a random 0 to JITTER
    #[arg(
        long,
        value_name = "DURATION[:JITTER]",
        value_parser = delay
    )]
    pub(crate) delay: Option<Delay>,

    /// Send no reply, with probability P (0 to 1) per received chunk
    #[arg(long, value_name = "P", value_parser = probability)]
    pub(crate) drop: Option<f64>,

    /// Change one byte of the reply, with probability P (0 to 1)
    #[arg(long, value_name = "P", value_parser = probability)]
    pub(crate) corrupt: Option<f64>,

    /// Send only the beginning of the reply, with probability P (0 to 1)
    #[arg(long, value_name = "P", value_parser = probability)]
    pub(crate) truncate: Option<f64>,

    /// Reset the connection, with probability P (0 to 1)
    #[arg(long, value_name = "P", value_parser = probability)]
    pub(crate) reset: Option<f64>,

    /// Seed of the random faults, to reproduce them [default: a random seed,
    /// printed on standard error]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

fn probability(text: &str) -> Result<f64, String> {
    // Only digits and dots, because `f64` also parses `nan` and `1e0`.
    let is_decimal = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match text.parse() {
        Ok(p) if is_decimal && (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err("must be from 0 to 1, such as 0.05".to_owned()),
    }
}

fn delay(text: &str) -> Result<Delay, String> {
    let (base, jitter) = text.split_once(':').unwrap_or((text, "0"));
    Ok(Delay {
        base: duration::parse(base)?,
        jitter: duration::parse(jitter)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_probability_is_a_decimal_from_0_to_1() {
        assert_eq!(probability("0.25"), Ok(0.25));
        for bad in ["", ".", "1.01", "-0.1", "nan", "1e-1", "x"] {
            assert!(probability(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_delay_may_have_a_jitter() {
        let ms = Duration::from_millis;
        let with_jitter = delay("50ms:10ms").unwrap();
        assert_eq!((with_jitter.base, with_jitter.jitter), (ms(50), ms(10)));
        assert_eq!(delay("1").unwrap().jitter, ms(0));
        assert!(delay("1:").is_err() && delay(":1").is_err());
    }
}

//! The cookie at the start of a probe's data: its number, and a keyed hash
//! of it that only this process can make.
//!
//! Nothing in a reply is believed but this: a cookie that is right names the
//! probe, and everything else about the probe is kept here. Where the data is
//! too short for both halves the hash alone goes out, and the sequence number
//! names the candidates.

use std::hash::{BuildHasher, RandomState};

use crate::packet::COOKIE;

/// Makes and checks cookies. The key is new in each process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cookies(RandomState);

impl Cookies {
    /// The keyed hash of a number (SipHash, as std keys its maps).
    fn tag(&self, number: u64) -> u64 {
        self.0.hash_one(number)
    }

    /// A number between 0 and 65535 that other processes do not guess.
    pub(crate) fn identifier(&self) -> u16 {
        self.0.hash_one("identifier") as u16
    }

    /// A seed that other runs do not have.
    pub(crate) fn seed(&self) -> u64 {
        self.0.hash_one("seed")
    }

    /// The cookie of a probe with `size` bytes of data.
    pub(crate) fn make(&self, number: u64, size: usize) -> [u8; COOKIE] {
        let mut cookie = [0; COOKIE];
        let tag = self.tag(number).to_be_bytes();
        if size >= COOKIE {
            cookie[..8].copy_from_slice(&number.to_be_bytes());
            cookie[8..].copy_from_slice(&tag);
        } else {
            cookie[..8].copy_from_slice(&tag);
        }
        cookie
    }

    /// The number in the cookie at the start of some data, if the cookie is
    /// whole and ours.
    pub(crate) fn number(&self, data: &[u8]) -> Option<u64> {
        let cookie = data.get(..COOKIE)?;
        let (number, _) = cookie.split_first_chunk::<8>()?;
        let number = u64::from_be_bytes(*number);
        (cookie[8..] == self.tag(number).to_be_bytes()).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn only_our_own_are_taken(number: u64, byte in 0usize..COOKIE, flip in 1u8..=255) {
            let cookies = Cookies::default();
            let mut cookie = cookies.make(number, 56);
            prop_assert_eq!(cookies.number(&cookie), Some(number));
            prop_assert_eq!(Cookies::default().number(&cookie), None);
            cookie[byte] ^= flip;
            prop_assert_eq!(cookies.number(&cookie), None);
            prop_assert_eq!(cookies.number(&cookie[..15]), None);
        }
    }
}

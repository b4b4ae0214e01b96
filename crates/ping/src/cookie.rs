//! The cookie at the start of a probe's data: the probe's number and a keyed
//! hash of it that only this process can compute.
//!
//! The cookie is the only part of a reply that is trusted. It identifies the
//! probe, and everything else about the probe is kept in this process. If the
//! data is too short for both halves only the hash is sent, and the sequence
//! number identifies the candidates.

use std::hash::{BuildHasher, RandomState};

use crate::packet::COOKIE;

/// Makes and checks cookies with a key that is random per process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cookies(RandomState);

impl Cookies {
    /// Returns the keyed hash of a number. [`RandomState`] uses SipHash, a
    /// keyed hash function.
    fn tag(&self, number: u64) -> u64 {
        self.0.hash_one(number)
    }

    /// Returns an ICMP identifier that other processes cannot guess.
    pub(crate) fn identifier(&self) -> u16 {
        self.0.hash_one("identifier") as u16
    }

    /// Returns a random seed that is constant during the run.
    pub(crate) fn seed(&self) -> u64 {
        self.0.hash_one("seed")
    }

    /// Returns the cookie of a probe with `size` bytes of data.
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

    /// Returns the number in the cookie at the start of `data`, if the cookie is
    /// complete and its hash is correct.
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
        fn only_cookies_of_this_process_are_accepted(number: u64, byte in 0usize..COOKIE, flip in 1u8..=255) {
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

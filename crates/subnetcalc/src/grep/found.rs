//! An address that was found in a text.

/// An address and its position in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The index of its first byte.
    pub(crate) start: usize,
    /// The index after its last byte.
    pub(crate) end: usize,
    pub(crate) address: Address,
}

/// An address of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    V4(u32),
    V6(u128),
}

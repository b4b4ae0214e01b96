//! Black-box tests of `resolve`.

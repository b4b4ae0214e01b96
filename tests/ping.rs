//! Black-box tests of `ping`.

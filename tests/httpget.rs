//! Black-box tests of `httpget`.

//! Several tools together.

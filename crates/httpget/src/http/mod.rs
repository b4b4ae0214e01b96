//! HTTP/1.1 messages and the headers that a download needs, as pure functions:
//! they take bytes, return values, and do no I/O. All of them read untrusted
//! input, so each has a fuzz target or property tests.

pub mod charset;
pub mod chunked;
pub mod coding;
pub mod content_range;
pub mod date;
pub mod disposition;
pub mod framing;
pub mod head;
pub mod link;
pub mod media;

//! HTTP/1.1 on the wire and the headers a download lives by, as pure
//! functions: bytes in, values out, no I/O. Everything here reads what a
//! stranger wrote, so everything here has a fuzz target or property tests.

pub mod charset;
pub mod chunked;
pub mod coding;
pub mod content_range;
pub mod date;
pub mod disposition;
pub mod head;
pub mod link;
pub mod media;

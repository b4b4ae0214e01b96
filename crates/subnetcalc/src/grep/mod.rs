//! The search for lines by the addresses in them.
//!
//! [`scan`] and [`field`] find addresses in text, and [`suffix`] parses the text that
//! can follow one. [`select`] selects lines, and [`long`] does the same for lines that do
//! not fit in a buffer. [`pipeline`] runs the search in several threads and keeps the
//! output in order.

pub(crate) mod field;
pub(crate) mod found;
pub(crate) mod long;
pub(crate) mod pipeline;
pub(crate) mod scan;
pub(crate) mod select;
pub(crate) mod suffix;

//! JSON as text: shown, put on one line, and searched, with every number
//! keeping its digits. Values are never converted, so nothing is lost.

pub mod pointer;
pub mod pretty;
pub mod scan;
pub mod text;

//! JSON as text: indenting, compacting and searching without converting values, so that
//! numbers keep their digits and objects their order.

pub mod pointer;
pub mod pretty;
pub mod scan;
pub mod text;

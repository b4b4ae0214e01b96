//! JSON as text: shown, put on one line, and looked into, with every number
//! keeping its digits. Nothing is read into numbers, so nothing is lost.

pub mod pointer;
pub mod text;

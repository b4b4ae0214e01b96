//! Lines of text by the addresses in them: [`scan`] and [`field`] find addresses,
//! [`select`] decides about lines, [`long`] about lines too long for a piece,
//! [`pipeline`] keeps all cores at it and the output in order.

pub(crate) mod field;
pub(crate) mod long;
pub(crate) mod pipeline;
pub(crate) mod scan;
pub(crate) mod select;

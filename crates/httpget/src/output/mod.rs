//! What is shown of a transfer: the JSON record, the talk of `-v`, the view
//! on a terminal.

pub(crate) mod progress;
pub(crate) mod record;
pub(crate) mod timing;
pub(crate) mod verbose;
pub(crate) mod view;
pub(crate) mod write_out;

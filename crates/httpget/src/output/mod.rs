//! What is shown of a transfer: the JSON record, the talk of `-v`, the view
//! on a terminal.

pub(crate) mod progress;
pub(crate) mod record;
pub(crate) mod talk;
pub(crate) mod template;
pub(crate) mod timing;
pub(crate) mod view;

//! Renderers: the JSON record, `-v`, `-w`, `--time`, progress bars, and bodies on a
//! terminal.

pub(crate) mod progress;
pub(crate) mod record;
pub(crate) mod timing;
pub(crate) mod verbose;
pub(crate) mod view;
pub(crate) mod write_out;

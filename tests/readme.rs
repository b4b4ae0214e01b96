//! Every console block of README.

//! Decisions about a download, as pure functions without I/O: the content of a
//! request, which origin receives credentials, which proxy and which
//! file name are used, and when a download is retried or continued.

pub mod cookie;
pub mod digest;
pub mod filename;
pub mod limits;
pub mod md5;
pub mod netrc;
pub mod pin;
pub mod proxy;
pub mod redirect;
pub mod request;
pub mod request_url;
pub mod resume;
pub mod retry;
pub mod route;
pub mod segment_map;
pub mod state_file;
pub(crate) mod time_condition;

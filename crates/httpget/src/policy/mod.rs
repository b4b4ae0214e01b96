//! What to ask, of whom, with which credentials, and under which name to
//! keep it: pure decisions, without sockets and files.

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

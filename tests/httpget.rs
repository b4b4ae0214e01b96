//! Black box tests of `httpget`, by subject.
#![allow(
    clippy::unwrap_used,
    reason = "a failed helper is a failed test; the panic is its report"
)]

#[path = "httpget/address_race.rs"]
mod address_race;
#[path = "httpget/attacks.rs"]
mod attacks;
#[path = "httpget/auth.rs"]
mod auth;
#[path = "httpget/basics.rs"]
mod basics;
#[path = "httpget/charsets.rs"]
mod charsets;
#[path = "httpget/conditional.rs"]
mod conditional;
#[path = "httpget/cookies.rs"]
mod cookies;
#[path = "httpget/curl_options.rs"]
mod curl_options;
#[path = "httpget/edge_cases.rs"]
mod edge_cases;
#[path = "httpget/faults.rs"]
mod faults;
#[path = "httpget/limits.rs"]
mod limits;
#[path = "httpget/output.rs"]
mod output;
#[path = "httpget/proxies.rs"]
mod proxies;
#[path = "httpget/ranges.rs"]
mod ranges;
#[path = "httpget/record.rs"]
mod record;
#[path = "httpget/redirects.rs"]
mod redirects;
#[path = "httpget/resume.rs"]
mod resume;
#[path = "httpget/retries.rs"]
mod retries;
#[path = "httpget/saving.rs"]
mod saving;
#[path = "httpget/secrets.rs"]
mod secrets;
#[path = "httpget/segments.rs"]
mod segments;
#[path = "httpget/segments_resume.rs"]
mod segments_resume;
#[path = "httpget/several_urls.rs"]
mod several_urls;
#[path = "httpget/shared_directories.rs"]
mod shared_directories;
#[path = "httpget/support.rs"]
mod support;
#[path = "httpget/terminal.rs"]
mod terminal;
#[path = "httpget/tls.rs"]
mod tls;
#[path = "httpget/unusual_files.rs"]
mod unusual_files;
#[path = "httpget/wire.rs"]
mod wire;

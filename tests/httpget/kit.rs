//! What the tests share.

use testkit::Tool;
use testkit::http::{HttpServer, Reply};

/// The tool.
pub(crate) fn httpget() -> Tool {
    Tool::new(env!("CARGO_BIN_EXE_httpget"))
}

/// A server that gives every request this answer.
pub(crate) fn always(reply: Reply) -> HttpServer {
    HttpServer::start(move |_| reply.clone())
}

/// The files in a folder, by name.
pub(crate) fn files(dir: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

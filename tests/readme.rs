//! Runs the console blocks of the READMEs; see `testkit::console` for the notation.

use std::path::{Path, PathBuf};

use testkit::{bins, console, netns, privilege};

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("find the root of the workspace")
}

#[test]
fn the_blocks_of_the_workspace_readme() {
    let commands = console::check(&root().join("README.md"));
    assert!(commands > 0, "README.md has no console block");
}

#[test]
fn the_blocks_of_the_tool_readmes() {
    for name in bins::TOOLS {
        let file = root().join("crates").join(name).join("README.md");
        // Cargo.toml names the file, so packaging fails without it.
        assert!(file.exists(), "{} is missing", file.display());
        if name == "ping" && !privilege::can_ping() {
            netns::skip("no permission for ICMP sockets: the blocks of ping's README");
            continue;
        }
        console::check(&file);
    }
}

//! Every console block of the READMEs, run: see `testkit::console` for the
//! notation.

use std::path::{Path, PathBuf};

use testkit::{bins, console, netns, privilege};

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the root of the workspace")
}

#[test]
fn the_readme_tells_the_truth() {
    let commands = console::check(&root().join("README.md"));
    assert!(commands > 0, "README.md has no console block any more");
}

#[test]
fn so_do_the_tools_own() {
    for name in bins::TOOLS {
        let file = root().join("crates").join(name).join("README.md");
        // Cargo.toml names the file; packaging fails without it.
        assert!(file.exists(), "{} is missing", file.display());
        if name == "ping" && !privilege::can_ping() {
            netns::skip("no ICMP socket allowed here: the blocks of ping's README");
            continue;
        }
        console::check(&file);
    }
}

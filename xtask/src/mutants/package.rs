//! The packages to mutate.

use std::path::PathBuf;

use support::TaskResult;
use support::workspace::{metadata, root};

/// The feature for fuzz targets. No test runs its code.
pub(super) const FUZZING: &str = "fuzzing";

/// Packages without a program, each with a tool that uses them. Its black box tests
/// run for them.
const LIBRARIES: [(&str, &str); 2] = [
    ("inetkit-common", "subnetcalc"),
    ("inetkit-net", "tcpecho-client"),
];

/// A package of the workspace to mutate.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    /// The directory, relative to the root.
    pub(super) dir: PathBuf,
    /// Whether it has a library, which then contains the unit tests.
    pub(super) has_lib: bool,
    /// The package with its black box tests.
    pub(super) black_box: Option<String>,
    /// The features to build it with.
    pub(super) features: Vec<String>,
}

impl Package {
    /// Returns the root file of the crate with the code, relative to the root.
    pub(super) fn root_file(&self) -> PathBuf {
        let name = if self.has_lib { "lib.rs" } else { "main.rs" };
        self.dir.join("src").join(name)
    }
}

/// Returns the packages in `crates/`, or the named one.
pub(super) fn packages(name: Option<&str>) -> TaskResult<Vec<Package>> {
    let metadata = metadata()?;
    let root = root();
    let mut all = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        let manifest = PathBuf::from(text("manifest_path"));
        let dir = manifest.parent().unwrap_or(&root);
        let Ok(dir) = dir.strip_prefix(&root) else {
            continue;
        };
        if !dir.starts_with("crates") {
            continue;
        }
        let targets = package["targets"].as_array().into_iter().flatten();
        let kinds: Vec<&str> = targets
            .filter_map(|target| target["kind"][0].as_str())
            .collect();
        let name = text("name");
        let library = LIBRARIES.iter().find(|(library, _)| *library == name);
        let own = kinds.contains(&"test").then(|| name.clone());
        all.push(Package {
            black_box: own.or_else(|| library.map(|(_, tool)| (*tool).to_owned())),
            dir: dir.to_path_buf(),
            has_lib: kinds.contains(&"lib"),
            features: package["features"]
                .as_object()
                .into_iter()
                .flat_map(|features| features.keys().cloned())
                .filter(|feature| feature != FUZZING)
                .map(|feature| format!("{name}/{feature}"))
                .collect(),
            name,
        });
    }
    let Some(wanted) = name else {
        return Ok(all);
    };
    let names: Vec<String> = all.iter().map(|package| package.name.clone()).collect();
    let by_name = |package: &Package| package.name == wanted || package.dir.ends_with(wanted);
    all.retain(by_name);
    if all.is_empty() {
        return Err(format!(
            "unknown package; the packages are {}",
            names.join(", ")
        ));
    }
    Ok(all)
}

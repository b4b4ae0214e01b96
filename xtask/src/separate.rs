//! Tasks that are programs of their own, so that the other tasks do not compile
//! them: `bench`, `interop` and `pictures`.

use support::TaskResult;
use support::exec::run_visible;

/// Builds and runs the program of a package with these arguments, in the current
/// directory, to which paths among them are relative.
pub(crate) fn run(package: &str, args: &[String]) -> TaskResult {
    let mut command = testkit::bins::cargo();
    command.args(["run", "--quiet", "--locked", "--package", package, "--"]);
    run_visible(command.args(args))
}

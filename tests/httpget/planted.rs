//! Names and files that are not those of a download, or look like them.

use testkit::http::Reply;

use crate::kit::{always, files, httpget};

#[test]
fn a_server_does_not_name_a_part_file_or_a_record() {
    for name in [
        "f.part",
        "f.PART",
        "f.part.1",
        "f.part.state",
        "f.Part.2.State",
    ] {
        let disposition = format!("attachment; filename=\"{name}\"");
        let reply = Reply::ok("x").header("Content-Disposition", &disposition);
        let server = always(reply);
        let dir = tempfile::tempdir().unwrap();
        let tool = || httpget().cwd(dir.path());
        tool().args(["-OJ", &server.url("/a")]).run().code(0);
        assert_eq!(files(dir.path()), [format!("{name}_")]);
        // A redirect names the file as well.
        let to = format!("/{name}");
        let server = testkit::http::HttpServer::start(move |request| match request.path() {
            "/a" => Reply::new(302).header("Location", &to),
            _ => Reply::ok("x"),
        });
        let dir = tempfile::tempdir().unwrap();
        let tool = httpget().cwd(dir.path());
        tool.args(["-OJ", &server.url("/a")]).run().code(0);
        assert_eq!(files(dir.path()), [format!("{name}_")]);
    }
}

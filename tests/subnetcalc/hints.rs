//! Hints in usage errors: commands, options of other programs, files.

use super::{file, run, subnetcalc};

#[test]
fn a_mistyped_command_gets_a_suggestion() {
    subnetcalc()
        .args(["agregate", "10.0.0.0/30"])
        .run()
        .code(2)
        .stdout("")
        .stderr(
            "subnetcalc: agregate: neither a network nor a command; did you mean 'aggregate'? \
             see 'subnetcalc aggregate --help'\n",
        );
    run("splt 10.0.0.0/8").code(2).stdout("").stderr(
        "subnetcalc: splt: neither a network nor a command; did you mean 'split'? \
         see 'subnetcalc split --help'\n",
    );
    for options in ["--max-prefix 24", "-m 24", "--json --ranges", "--in @nets"] {
        let out = run(&format!("-4 agregate {options}"));
        out.code(2);
        let message = "subnetcalc: agregate: neither a network nor a command; did you mean";
        assert!(out.stderr_str().starts_with(message), "{}", out.report());
    }
    for (line, start) in [
        ("-f nets log", "subnetcalc: -f is not supported; "),
        ("-jf nets log", "subnetcalc: -f is not supported; "),
        ("--jsn nets", "subnetcalc: unknown option '--jsn'"),
    ] {
        let out = run(line);
        out.code(2);
        assert!(out.stderr_str().starts_with(start), "{}", out.report());
    }
    run("xyzzy")
        .code(2)
        .stdout("")
        .stderr("subnetcalc: xyzzy: neither a network nor a command; see 'subnetcalc --help'\n");
    subnetcalc()
        .args(["--get", "total", "hosts", "10.0.0.0/30"])
        .run()
        .code(2)
        .stderr("subnetcalc: '--get' is an option of 'info' only; see 'subnetcalc hosts --help'\n");
    subnetcalc()
        .args(["hosts", "@/nowhere/nets", "10.0.0.1"])
        .run()
        .code(2)
        .stdout("10.0.0.1\n")
        .stderr("subnetcalc: /nowhere/nets: no such file or directory\n");
    subnetcalc()
        .args(["split", "10.0.0.0/24"])
        .run()
        .code(2)
        .stderr(
            "subnetcalc: missing argument: --prefix <LEN> or --parts <N>; \
             see 'subnetcalc split --help'\n",
        );
    // The error does not suggest to use the option as an operand.
    subnetcalc()
        .args(["hosts", "--get", "total", "10.0.0.0/30"])
        .run()
        .code(2)
        .stderr("subnetcalc: unknown option '--get'; see 'subnetcalc hosts --help'\n");
}

#[test]
fn options_of_other_programs_get_the_hint_of_the_command() {
    for (args, message) in [
        (
            &["grep", "-r", "x"][..],
            "-r is not supported; use 'find DIR -type f",
        ),
        (
            &["grep", "-m", "1"],
            "-m is not supported; pipe the output to 'head -n NUM'",
        ),
        (&["grep", "-s"], "-s is not supported; add 2>/dev/null"),
        (
            &["-r"],
            "-r is not supported; use 'subnetcalc aggregate A-B'",
        ),
        (&["-m"], "-m is not supported; use --get netmask"),
        (
            &["--split", "26", "10.0.0.0/24"],
            "--split is not supported; commands have no hyphens",
        ),
        (
            &["equal", "-q"],
            "-q is not supported; 'equal' prints nothing",
        ),
        (&["hosts", "-q"], "unknown option '-q'"),
    ] {
        let out = subnetcalc().args(args).run();
        out.code(2)
            .stdout("")
            .stderr_contains(&format!("subnetcalc: {message}"));
    }
}

#[test]
fn a_file_name_in_place_of_a_network_gets_the_hint_of_at() {
    let (dir, _) = file("10.0.0.0/8\n");
    subnetcalc()
        .cwd(dir.path())
        .arg("nets")
        .run()
        .code(2)
        .stdout("")
        .stderr(
            "subnetcalc: nets: neither a network nor a command; use @nets to read the file with \
             that name\n",
        );
}

#[test]
fn usage_errors_name_the_help_of_the_command() {
    for (words, help) in [
        ("split 10.0.0.0/8", "subnetcalc split --help"),
        ("hosts --step 0 10.0.0.0/8", "subnetcalc hosts --help"),
        ("--json grep x", "subnetcalc grep --help"),
        ("match --in - -", "subnetcalc match --help"),
        ("--get x 10.0.0.0/8", "subnetcalc info --help"),
        ("--nonsense", "subnetcalc --help"),
    ] {
        let out = run(words);
        out.code(2).stderr_contains(&format!("'{help}'"));
        assert_eq!(out.stderr_str().lines().count(), 1, "{}", out.report());
    }
}

#[test]
fn help_is_a_command() {
    for (words, same) in [
        ("help", "--help"),
        ("help split", "split --help"),
        ("help match", "match --help"),
    ] {
        let expected = run(same).stdout;
        let out = run(words);
        out.code(0).stderr("");
        assert_eq!(out.stdout, expected, "{words}");
    }
}

#[test]
fn the_name_of_a_file_gets_a_hint() {
    let (_dir, path) = file("10.0.0.0/8\n");
    let hint = format!("; use @{path} to read the file with that name\n");
    for args in [
        &["grep", "--in", &path, "-"][..],
        &["match", "--in", &path, "10.0.0.1"],
        &["aggregate", &path],
        &["info", &path],
        &["hosts", &path],
    ] {
        let out = subnetcalc().args(args).run();
        out.code(2).stdout("").stderr_contains(&hint);
    }
    subnetcalc()
        .args(["grep", "-f", &path, "log"])
        .run()
        .code(2)
        .stderr_contains("@FILE");
}

#[test]
fn options_of_other_programs_get_a_hint() {
    for (words, hint) in [
        ("-b 10.0.0.0/8", "use --get broadcast"),
        (
            "-s 50 10.0.0.0/8",
            "use 'subnetcalc split' or 'subnetcalc plan'",
        ),
        ("-r 10.0.0.1-10.0.0.9", "'subnetcalc aggregate A-B'"),
        (
            "aggregate 10.0.0.0/8 --except 10.0.0.1",
            "subtract SET --minus SET",
        ),
        ("grep -f nets log", "@FILE"),
    ] {
        run(words).code(2).stdout("").stderr_contains(hint);
    }
}

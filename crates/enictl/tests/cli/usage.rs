//! What needs no daemon.

use std::process::Stdio;

use crate::{Folder, enictl, output, read};

#[test]
fn usage_errors_exit_with_2() {
    for (arguments, said) in [
        (&[][..], "Usage: enictl"),
        (&["tasks"], "unrecognized subcommand 'tasks'"),
        (&["task", "delete"], "<NAME>"),
        (&["task", "create", "web"], "--subnet <SUBNET>"),
        (&["task", "create", "web", "--subnet", "a", "--ipv4", "fd00::1"], "--ipv4 <ADDRESS>"),
        (&["task", "list", "-o", "xml"], "[possible values: table, json, yaml, csv]"),
        (&["task", "list", "-o", "csv"], "only `enictl flows` prints CSV"),
        (&["run", "web", "--class", "logs", "true"], "unexpected argument 'true'"),
        (&["run", "web", "--class", "logs", "--"], "<COMMAND>"),
    ] {
        let (code, stdout, stderr) = output(arguments);
        assert_eq!((code, &*stdout), (2, ""), "{arguments:?}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
}

#[test]
fn an_unknown_class_is_answered_with_the_classes() {
    for arguments in [&["run", "web", "--class", "log", "--", "true"][..], &["flows", "--class", "log"]] {
        let (code, _, stderr) = output(arguments);
        assert_eq!(code, 2);
        let classes = "application, image-pull, ecr-login, secrets, logs, efs, exec";
        assert!(stderr.contains(classes), "{stderr}");
    }
}

#[test]
fn a_socket_that_nobody_listens_on_is_one_sentence() {
    for arguments in
        [&["task", "list"][..], &["flows"], &["doctor"], &["run", "web", "--class", "logs", "--", "true"]]
    {
        let mut command = enictl(arguments);
        command.env("ENID_SOCKET", "/nonexistent/enid.sock");
        let (code, stdout, stderr) = read(&command.output().unwrap());
        assert_eq!((code, &*stdout), (1, ""), "{arguments:?}");
        assert_eq!(
            stderr,
            "enictl: no daemon listens on /nonexistent/enid.sock: No such file or directory (os error 2); \
             is `enid serve` running, with this run directory?\n"
        );
    }
}

#[test]
fn something_else_on_the_socket_is_one_sentence() {
    let folder = Folder::new();
    let path = folder.0.join("other.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || drop(listener.accept().unwrap()));
    let (code, _, stderr) = output(&["task", "list", "--socket", path.to_str().unwrap()]);
    server.join().unwrap();
    assert_eq!(code, 1);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("enictl: "), "{stderr}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let (code, _, stderr) = output(&["apply", "-f", "/nonexistent/network.toml"]);
    assert_eq!(code, 1);
    assert_eq!(
        stderr,
        "enictl: /nonexistent/network.toml can't be read: No such file or directory (os error 2)\n"
    );
}

#[test]
fn help_has_an_example() {
    let (code, stdout, _) = output(&["task", "create", "--help"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("Example:\n  enictl task create"), "{stdout}");
}

#[test]
fn completions_offer_commands_and_classes() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, stdout, stderr) = output(&["completions", shell]);
        assert_eq!((code, &*stderr), (0, ""));
        // The other shells' scripts offer no values.
        let values = ["bash", "fish", "zsh"].contains(&shell);
        for word in ["security-group", "flush", if values { "image-pull" } else { "run" }] {
            assert!(stdout.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn the_version_in_each_format() {
    let version = env!("CARGO_PKG_VERSION");
    for (format, expected) in [
        ("table", format!("enictl {version}\n")),
        ("json", format!("{{\n  \"version\": \"{version}\"\n}}\n")),
        ("yaml", format!("version: {version}\n")),
    ] {
        assert_eq!(output(&["version", "-o", format]), (0, expected, String::new()));
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut child =
        enictl(&["completions", "zsh"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let result = child.wait_with_output().unwrap();
    assert_eq!(read(&result), (0, String::new(), String::new()));
}

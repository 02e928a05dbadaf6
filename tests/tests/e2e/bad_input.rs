//! What is wrong with a flow log is said when it is created, as its user sees it: in one sentence, and nothing is created.

use std::fs;
use std::path::Path;

use enid_testbed::store::{CREDENTIALS, ObjectStore};
use enid_testbed::{DaemonKind, Host, HostOptions};
use rustix::mount::{MountFlags, mount};

use crate::command_line::enictl;
use crate::networks::{host, host_as};

/// Asks for a flow log that can't be, and returns what `enictl` says.
#[track_caller]
fn refused(host: &Host, options: &[&str]) -> String {
    let create = ["flow-log", "create", "all", "--vpc", "red"];
    let (code, stdout, stderr) = enictl(host, &[&create[..], options].concat());
    assert_eq!((code, &*stdout), (1, ""), "{options:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{options:?}: {stderr}");
    let said = stderr.strip_prefix("enictl: ").unwrap_or_else(|| panic!("{stderr}"));
    let (code, listed, _) = enictl(host, &["flow-log", "list", "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((code, listed["flowLogs"].as_array().map(Vec::len)), (0, Some(0)), "{options:?}");
    said.trim_end().to_owned()
}

#[test]
fn settings_that_are_none_are_named() {
    let host = host();
    let out = host.folder().join("out").display().to_string();
    for (options, said) in [
        (["--format", "${srcadr}"], "`srcadr` is not a flow log field; did you mean `srcaddr`?"),
        (
            ["--format", "${srcaddr} srcport"],
            "`${srcaddr} srcport` is not a flow log format: expected a field in the form `${srcaddr}`, at character 12",
        ),
        (["--format", "${srcaddr} ${srcaddr}"], "the field `srcaddr` is there twice"),
        (["--format", ""], "`` is not a flow log format: a format has at least one field, at character 1"),
        (["--interval", "0"], "`0` is not an aggregation interval: expected 60 or 600 seconds, or 1 to 59"),
        (["--interval", "61"], "`61` is not an aggregation interval: expected 60 or 600 seconds, or 1 to 59"),
        (["--traffic", "NONE"], "`NONE` is not a kind of traffic: expected one of ALL, ACCEPT, REJECT"),
        (["--file-format", "csv"], "`csv` is not a file format: expected one of text, parquet"),
    ] {
        assert_eq!(refused(&host, &[&["--destination", &out], &options[..]].concat()), said);
        assert!(!Path::new(&out).exists(), "the destination was touched");
    }
}

#[test]
fn destinations_that_are_none_are_named() {
    const FORMS: &str = "expected an absolute path, or file:///…, s3://bucket/…, ipfix+udp://host:port, ipfix+tcp://host:port, \
         otlp+http://host:port or otlp+https://host:port";
    const PORT: &str = "expected a host and a port from 1 to 65535, as in `127.0.0.1:4739` or `[::1]:4739`";
    let host = host();
    for (destination, reason) in [
        ("", FORMS),
        ("ftp://a", FORMS),
        ("relative/path", FORMS),
        ("s3:///a", "a bucket's name is 3 to 63 lower-case letters, digits, `-` and `.`"),
        ("s3://fl ows/a", "there is white space in it"),
        ("s3://flows/a?endpiont=http://a", "a bucket's options are `endpoint=…` and `region=…`"),
        ("ipfix+udp://127.0.0.1", PORT),
        ("ipfix+udp://127.0.0.1:99999", PORT),
    ] {
        let said = refused(&host, &["--destination", destination]);
        assert_eq!(said, format!("`{destination}` is not a destination: {reason}"));
    }
}

#[test]
fn destinations_that_take_nothing_are_named_with_their_reason() {
    let host = host();
    let read_only = host.folder().join("read-only");
    fs::create_dir(&read_only).unwrap();
    mount("tmpfs", &read_only, "tmpfs", MountFlags::RDONLY, None).unwrap();
    let file = host.folder().join("file");
    fs::write(&file, "").unwrap();
    let of = |path: &Path, reason: &str| (format!("file://{}", path.display()), reason.to_owned());
    let new = read_only.join("new");
    for (destination, reason) in [
        of(&read_only, &format!("can't make {}/.probe-*: Read-only file system", read_only.display())),
        of(&new, &format!("can't make the directory {}: Read-only file system", new.display())),
        of(&file, &format!("can't make {}/.probe-*: Not a directory", file.display())),
        ("ipfix+tcp://127.0.0.1:4739".into(), "can't connect: Connection refused".into()),
        ("ipfix+udp://nowhere.invalid:4739".into(), "`nowhere.invalid` does not resolve: ".into()),
        ("otlp+http://127.0.0.1:4318".into(), String::new()),
    ] {
        let said = refused(&host, &["--destination", &destination]);
        let reason = format!("nothing can be delivered to {destination}: {reason}");
        // The probe's name is another each time.
        let is_said = match reason.split_once('*') {
            Some((before, after)) => said.starts_with(before) && said.contains(after),
            None => said.starts_with(&reason),
        };
        assert!(is_said, "{said}: {reason}");
    }
}

/// A store that looks at credentials: it has none that the daemon has.
#[test]
fn a_bucket_that_refuses_the_credentials_says_so() {
    const CASES: [(bool, &str); 2] = [
        (true, "InvalidAccessKeyId: The AWS Access Key Id you provided does not exist in our records."),
        (
            false,
            "there are no credentials: none in the environment, and none of the instance's metadata service: Network is \
             unreachable (os error 101)",
        ),
    ];
    for (has_credentials, reason) in CASES {
        let credentials = CREDENTIALS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let host = host_as(&HostOptions {
            daemon: DaemonKind::Process,
            environment: if has_credentials { credentials.to_vec() } else { Vec::new() },
            ..HostOptions::default()
        });
        // The bucket is made by the one request that it looks at no credentials of.
        let store = ObjectStore::start(&host.namespace_path(), Some(1));
        store.create_bucket("flows");
        let place = store.place("flows", "a");
        let said = refused(&host, &["--destination", &place]);
        let begin = format!("nothing can be delivered to {place}: can't write s3://flows/a/.probe-");
        assert!(said.starts_with(&begin) && said.ends_with(&format!(": {reason}")), "{said}");
    }
}

#[test]
fn without_the_bucket_or_the_store_it_says_so() {
    let host = host_as(&HostOptions {
        daemon: DaemonKind::Process,
        environment: CREDENTIALS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        ..HostOptions::default()
    });
    let store = ObjectStore::start(&host.namespace_path(), None);
    let place = store.place("flows", "a");
    let said = refused(&host, &["--destination", &place]);
    assert!(said.contains(": NoSuchBucket: "), "{said}");
    drop(store);
    let said = refused(&host, &["--destination", &place]);
    assert!(said.ends_with(": Connection refused (os error 111)"), "{said}");
}

#[test]
fn a_file_of_prefixes_that_is_none_keeps_the_daemon_from_starting() {
    for (text, reason) in [
        ("not JSON", "expected ident at line 1 column 2"),
        ("{}", "missing field `prefixes` at line 1 column 2"),
        (r#"{"prefixes": [], "ipv6_prefixes": ["#, "EOF while parsing a list at line 1 column 35"),
        (
            r#"{"prefixes": [{"ip_prefix": "10.0.0.0/33", "service": "S3"}]}"#,
            "`10.0.0.0/33` is not an IPv4 CIDR: expected the form `10.0.0.0/16` at line 1 column 41",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ip-ranges.json");
        fs::write(&path, text).unwrap();
        let options = HostOptions { ip_ranges: Some(path.clone()), ..HostOptions::default() };
        let said = Host::make(&options).try_start_daemon().unwrap_err();
        assert_eq!(said, format!("can't use the prefixes of services in {}: {reason}", path.display()));
    }
}

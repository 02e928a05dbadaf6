//! `enictl events`.

use enid_api::v1::Event;

use crate::daemon::{Answers, Daemon};

fn daemon() -> Daemon {
    let event = Event {
        kind: "task-failed".to_owned(),
        sequence: 7,
        unix_milliseconds: 1_795_276_477_042,
        task: Some("web".to_owned()),
        eni_id: None,
        details: vec!["the subnet is full".to_owned()],
    };
    Daemon::start(Answers { events: vec![event], ..Answers::default() })
}

#[test]
fn they_are_printed_until_the_stream_ends() {
    let (code, stdout, stderr) = daemon().output(&["events"]);
    assert_eq!(
        stdout,
        "TIME (UTC)  EVENT  TASK  ENI  DETAILS\n\
         2026-11-21 15:54:37.042  task-failed  web   -    the subnet is full\n"
    );
    assert_eq!(
        (code, stderr.as_str()),
        (1, "enictl: the daemon ended the stream of events: is it stopping?\n")
    );
}

#[test]
fn json_is_a_line_each_and_conditions_are_the_daemons() {
    let (_, stdout, _) =
        daemon().output(&["events", "--task", "web", "--kind", "a", "--kind", "b", "-o", "json"]);
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains(r#""kind":"watching""#) && lines[0].contains(r#"["a","b","web"]"#), "{stdout}");
    assert!(lines[1].contains(r#""unixMilliseconds":1795276477042"#), "{stdout}");
}

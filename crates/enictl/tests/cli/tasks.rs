//! What `enictl task` says of ECS and of tags.

use crate::daemon::{Answers, Daemon};
use crate::output;

#[test]
fn ecs_fields_and_tags_are_told_and_shown() {
    let daemon = Daemon::start(Answers::default());
    let shown = daemon.stdout(&[
        "task",
        "create",
        "web",
        "--subnet",
        "a",
        "--ecs",
        "task-arn=arn:aws:ecs:eu-central-1:1:task/shop/0",
        "--ecs",
        "cluster-name=shop",
        "--tag",
        "Owner=a=b",
        "--tag",
        "Name=",
    ]);
    assert!(
        shown.ends_with(
            "ecs-cluster-name  shop\n\
             ecs-task-arn      arn:aws:ecs:eu-central-1:1:task/shop/0\n\
             tag               Name=\n\
             tag               Owner=a=b\n"
        ),
        "{shown}"
    );
    let shown = daemon.stdout(&[
        "task",
        "update",
        "web",
        "--ecs",
        "container-id=4f1c",
        "--ecs",
        "service-name=",
        "--tag",
        "Name=web",
        "--remove-tag",
        "Owner",
    ]);
    for part in ["without Owner\n", "ecs-container-id  4f1c\n", "ecs-service-name  \n", "Name=web\n"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn a_field_that_there_is_not_is_a_usage_error() {
    for (arguments, wanted) in [
        (["--ecs", "task=1"], "there is no field `task`; there is cluster-arn, cluster-name,"),
        (["--ecs", "task-id"], "expected the form KEY=VALUE"),
        (["--tag", "Name"], "expected the form KEY=VALUE"),
    ] {
        let (code, _, stderr) = output(&[&["task", "update", "web"], &arguments[..]].concat());
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(wanted), "{stderr}");
    }
}

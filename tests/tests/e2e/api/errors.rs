//! Errors that programs can read.

use enid_api::Refusal;
use enid_api::v1::{CreateTaskRequest, GetTaskRequest};
use enid_testbed::new_task;
use tonic::Code;

use crate::networks::host;

#[test]
fn they_say_which_object_and_what_to_do() {
    let host = host();
    host.create("web", "red/a");
    let differs = host.create_as(&new_task("web", "red/b")).unwrap_err();
    let gone = GetTaskRequest { name: "gone".to_owned() };
    let gone = host.call(async |client| client.tasks().get(gone).await).unwrap_err();
    let unknown = host.create_as(&new_task("other", "red/none")).unwrap_err();
    let malformed = CreateTaskRequest { mtu: Some(1), ..new_task("other", "red/a") };
    let malformed = host.create_as(&malformed).unwrap_err();
    let object = |kind: &str, name: &str| Some((kind.to_owned(), name.to_owned()));
    for (status, code, reason, about, todo) in [
        (
            differs,
            Code::AlreadyExists,
            "TASK_DIFFERS",
            object("task", "web"),
            Some("delete it first, or use another name"),
        ),
        (
            gone,
            Code::NotFound,
            "TASK_NOT_FOUND",
            object("task", "gone"),
            Some("`enictl task list` shows those there are"),
        ),
        (unknown, Code::NotFound, "OBJECT_NOT_FOUND", object("subnet", "red/none"), None),
        (malformed, Code::InvalidArgument, "VALUE_MALFORMED", None, None),
    ] {
        let refusal = Refusal::of(&status).unwrap();
        assert_eq!((status.code(), refusal.reason.as_str()), (code, reason), "{status}");
        assert_eq!(refusal.object, about, "{status}");
        if todo.is_some() {
            assert_eq!(refusal.todo.as_deref(), todo, "{status}");
        }
    }
}

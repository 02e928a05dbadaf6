//! A create that answers twice.

use enid_api::v1::{CreateTaskRequest, CreateTaskStep};
use enid_testbed::{Host, new_task};
use tonic::{Code, Status};

use crate::networks::host;

fn create(host: &Host, request: CreateTaskRequest) -> Result<Vec<CreateTaskStep>, Status> {
    host.converse(async |client| {
        let mut stream = client.tasks().create_in_steps(request).await?.into_inner();
        let mut steps = Vec::new();
        while let Some(step) = stream.message().await? {
            steps.push(step);
        }
        Ok(steps)
    })
}

#[test]
fn it_answers_for_the_platform_and_then_for_containers() {
    let host = host();
    let steps = create(&host, new_task("web", "red/a")).unwrap();
    let ready_for: Vec<&str> = steps.iter().map(|step| step.ready_for.as_str()).collect();
    assert_eq!(ready_for, ["platform", "containers"]);
    // The ENI was all there at the first.
    assert_eq!(steps[0].task, steps[1].task);
    assert_eq!(host.tasks(), [steps[1].task.clone().unwrap()]);
    // Again, and by the other method: the same.
    assert_eq!(create(&host, new_task("web", "red/a")).unwrap(), steps);
    assert_eq!(host.create("web", "red/a"), host.tasks()[0]);
}

#[test]
fn an_error_ends_it_and_nothing_is_left() {
    let host = host();
    let error = create(&host, new_task("web", "red/none")).unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error}");
    host.create("web", "red/a");
    let error = create(&host, new_task("web", "red/b")).unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists, "{error}");
    // After the name is taken by somebody else, whose file stays.
    let path = host.netns_directory().join("file");
    std::fs::write(&path, "").unwrap();
    let error = create(&host, new_task("file", "red/a")).unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists, "{error}");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(host.tasks().len(), 1);
    assert!(host.delete("web"));
}

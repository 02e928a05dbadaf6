//! A client in Python, generated from the protocol by other people's tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use enid_testbed::{Host, HostOptions};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[track_caller]
fn python(folder: &Path, arguments: &[&str]) -> String {
    let interpreter = repository().join(".cache/python/bin/python3");
    // As a person starts it, with nothing of the test's own in between.
    let output = Command::new(interpreter).current_dir(folder).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Generates the client's code as the example says.
fn generate(folder: &Path) {
    let protocol = repository().join("crates/api/proto").display().to_string();
    let arguments = [
        "-m",
        "grpc_tools.protoc",
        "-I",
        &protocol,
        "--python_out=.",
        "--grpc_python_out=.",
        "enid/v1/enid.proto",
    ];
    python(folder, &arguments);
}

#[test]
fn the_example_works() {
    let host = Host::start(&HostOptions::default());
    let folder = tempfile::tempdir().unwrap();
    generate(folder.path());
    let example = repository().join("examples/python/enid_client.py").display().to_string();
    let path = format!(
        "import sys; sys.path.insert(0, '.'); sys.argv = ['x', '{}', 'default-a']; import runpy; runpy.run_path('{example}', run_name='__main__')",
        host.socket().display()
    );
    let said = python(folder.path(), &["-c", &path]);
    for line in [
        "enid.v1 revision ",
        "ready for platform: eni-",
        "ready for containers: eni-",
        "ALREADY_EXISTS: task python exists already, with MTU 9001",
        "refused: TASK_DIFFERS delete it first, or use another name task python",
        "packets out",
        "task-created python",
        "task-ready python",
        "task-deleted python",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!(host.tasks(), []);
}

/// Reflection and health, as the tools of gRPC ask for them: nothing of enid's is needed to find out what there is.
#[test]
fn health_and_reflection_answer() {
    let host = Host::start(&HostOptions::default());
    let script = r#"
import sys, grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from google.protobuf.descriptor_pool import DescriptorPool
channel = grpc.insecure_channel("unix:" + sys.argv[1], options=[("grpc.default_authority", "enid.sock")])
health = health_pb2_grpc.HealthStub(channel)
for service in ["", "enid.v1.TaskService"]:
    status = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status
    print(repr(service), health_pb2.HealthCheckResponse.ServingStatus.Name(status))
database = ProtoReflectionDescriptorDatabase(channel)
pool = DescriptorPool(database)
for service in sorted(database.get_services()):
    print(service)
print(sorted(pool.FindMessageTypeByName("enid.v1.PrepareRunResponse").fields_by_name))
"#;
    let said = python(&repository(), &["-c", script, &host.socket().display().to_string()]);
    for line in [
        "'' SERVING",
        "'enid.v1.TaskService' SERVING",
        "enid.v1.EventService",
        "enid.v1.FlowLogService",
        "enid.v1.FlowService",
        "enid.v1.HostService",
        "enid.v1.NetworkService",
        "enid.v1.TaskService",
        "['cgroup', 'etc', 'netns']",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
}

//! The example host manager, with all that it manages: a real registry, image, secret, container and log.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use enid_flowlog::Direction;
use enid_model::TrafficClass;
use enid_testbed::namespace::inside as within;
use enid_testbed::{DEADLINE, Host, HostOptions, program, wait_until};

use crate::cni::containerd_process::Containerd;
use crate::cni::runtime::{Folders, output, run};
use crate::ledger::{assert_closed, records, total};
use crate::networks::{inside, ipv4};

/// A process in a task, until it is dropped.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // One that ended already is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a service in a task of its own, and returns where it listens.
#[track_caller]
fn service(host: &Host, name: &str, command: &mut Command) -> (Service, String) {
    let task = host.create(name, "default-a");
    let log = fs::File::create(host.folder().join(name)).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let child = within(&inside(&task), || command.spawn()).unwrap();
    let address = format!("{}:5000", ipv4(&task));
    let answers = || {
        let connect = || std::net::TcpStream::connect(&address).is_ok();
        within(&inside(&task), connect)
    };
    assert!(
        wait_until(DEADLINE * 3, answers),
        "{name}: {}",
        fs::read_to_string(host.folder().join(name)).unwrap()
    );
    (Service(child), address)
}

/// A registry whose users log in with what moto gives out as ECR's token: its password by bcrypt.
fn registry(host: &Host) -> (Service, String) {
    const USERS: &str = "AWS:$2b$05$2w2yLaSyxsAl1AcxGlfsb.DxIw8ji/G0YVIKgPi.BC1Jh34vREMAK\n";
    let folder = host.folder().join("storage");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("htpasswd"), USERS).unwrap();
    let folder = folder.display();
    let configuration = format!(
        "version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: {folder} }} }}\nhttp: {{ addr: \":5000\" }}\n\
         auth: {{ htpasswd: {{ realm: registry, path: {folder}/htpasswd }} }}\n"
    );
    let file = host.folder().join("registry.yml");
    fs::write(&file, configuration).unwrap();
    service(host, "registry", Command::new("docker-registry").arg("serve").arg(file))
}

fn aws(host: &Host) -> (Service, String) {
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/python/bin/moto_server");
    service(
        host,
        "aws",
        Command::new(server).args(["-H", "::", "-p", "5000"]).env("MOTO_ACCOUNT_ID", "123456789012"),
    )
}

/// Pushes an image of one layer, busybox and some more.
#[track_caller]
fn push(host: &Host, registry: &str) {
    let folder = host.folder().join("image");
    let image = format!("{}:demo", folder.display());
    let mut layer = fs::File::create(host.folder().join("blob")).unwrap();
    layer.write_all(&vec![0x5a; 1 << 20]).unwrap();
    let blob = host.folder().join("blob").display().to_string();
    let umoci = |arguments: &[&str]| run(host, Command::new("umoci").args(arguments));
    umoci(&["init", "--layout", &folder.display().to_string()]);
    umoci(&["new", "--image", &image]);
    umoci(&["insert", "--image", &image, "/bin/busybox", "/bin/busybox"]);
    umoci(&["insert", "--image", &image, &blob, "/blob"]);
    let mut skopeo = Command::new(program("enictl"));
    skopeo.arg("--socket").arg(host.socket()).args(["run", "registry", "--class", "application", "--"]);
    let from = format!("oci:{image}");
    let to = format!("docker://{registry}/demo:latest");
    let options = ["--insecure-policy", "--quiet", "--dest-tls-verify=false"];
    skopeo.args(["skopeo", "copy"]).args(options).args(["--dest-creds", "AWS:123456789012-auth-token"]);
    run(host, skopeo.args([&from, &to]));
}

fn aws_command(host: &Host, endpoint: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program("enictl"));
    command.arg("--socket").arg(host.socket()).args(["run", "aws", "--class", "application", "--"]);
    command.args(["aws", "--endpoint-url", endpoint, "--output", "text"]).args(arguments);
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_PAGER", ""),
        ("AWS_CONFIG_FILE", "/dev/null"),
    ] {
        command.env(name, value);
    }
    run(host, &command)
}

fn manager(
    host: &Host,
    containerd: &Containerd<'_>,
    registry: &str,
    endpoint: &str,
    more: &[&str],
) -> Command {
    let mut manager = Command::new(program("enid-host-manager"));
    manager.args(["web", "--subnet", "default-b", "--registry", registry, "--image", "demo:latest"]);
    manager.args(["--aws", endpoint, "--secret", "password", "--log-group", "web"]);
    manager.arg("--run-dir").arg(host.run_directory()).arg("--containerd").arg(containerd.socket());
    manager.args(more);
    manager
}

#[test]
fn a_task_from_its_eni_to_its_bytes_by_class() {
    let host = Host::start(&HostOptions::default());
    let folders = Folders::make(&host);
    let containerd = Containerd::start(&host, &folders);
    let ((_registry, registry), (_aws, aws)) = (registry(&host), aws(&host));
    let endpoint = format!("http://{aws}");
    push(&host, &registry);
    aws_command(
        &host,
        &endpoint,
        &["secretsmanager", "create-secret", "--name", "password", "--secret-string", "xyzzy"],
    );
    aws_command(&host, &endpoint, &["logs", "create-log-group", "--log-group-name", "web"]);

    let script = format!(
        "echo the secret is $SECRET; ip addr show eth0; wget -q -O /dev/null http://{aws}/moto-api/ && echo fetched; for i in $(seq 200); do echo line $i; done"
    );
    let command = ["--", "/bin/busybox", "sh", "-c", &script];
    let said = run(&host, &manager(&host, &containerd, &registry, &endpoint, &command));
    assert!(said.contains("the container ended with exit status: 0; "), "{said}");
    assert!(said.contains("platform version 1.4.0"), "{said}");
    let table = said.lines().skip_while(|line| !line.starts_with("CLASS")).collect::<Vec<_>>().join("\n");
    for class in ["application", "ecr-login", "image-pull", "logs", "secrets"] {
        assert_eq!(table.matches(class).count(), 2, "{class}: {said}");
    }

    // What the container printed can be read back, with what only a container in the task's namespace could know.
    let events = aws_command(
        &host,
        &endpoint,
        &[
            "logs",
            "get-log-events",
            "--log-group-name",
            "web",
            "--log-stream-name",
            "web",
            "--query",
            "events[].[message]",
        ],
    );
    assert!(events.contains("the secret is xyzzy"), "{events}");
    assert!(events.contains("inet 172.31."), "{events}");
    assert!(events.contains("fetched") && events.contains("line 200"), "{events}");

    // Nothing is left but records, and those are of the classes that they were for.
    assert_eq!(host.tasks().len(), 2);
    assert_closed(&host);
    let records = records(&host);
    let ingress =
        |class| total(&records, "web", Direction::Ingress, |record| record.traffic_class == Some(class)).1;
    assert!(ingress(TrafficClass::ImagePull) > 1000, "{said}");
    let of_platform = records.iter().filter(|record| record.task_name.as_deref() == Some("web"));
    assert!(of_platform.into_iter().all(|record| record.traffic_class.is_some() || record.srcaddr.is_none()));
    assert!(!output(&host, containerd.ctr("enid").args(["task", "list", "-q"])).stdout.contains(&b'w'));
}

/// What fails in between leaves no task, and the error says what.
#[test]
fn a_task_whose_secret_is_not_there_is_taken_away_again() {
    let host = Host::start(&HostOptions::default());
    let folders = Folders::make(&host);
    let containerd = Containerd::start(&host, &folders);
    let ((_registry, registry), (_aws, aws)) = (registry(&host), aws(&host));
    let endpoint = format!("http://{aws}");
    push(&host, &registry);
    let failed =
        output(&host, &manager(&host, &containerd, &registry, &endpoint, &["--", "/bin/busybox", "true"]));
    let said = String::from_utf8_lossy(&failed.stderr);
    assert!(!failed.status.success() && said.contains("read the secret"), "{said}");
    assert_eq!(host.tasks().iter().filter(|task| task.name == "web").count(), 0);
}

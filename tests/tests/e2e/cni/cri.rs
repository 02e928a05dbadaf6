//! Pods, through containerd's Container Runtime Interface.

use std::collections::HashMap;
use std::process::Command;

use enid_testbed::{DEADLINE, DaemonKind, Host, HostOptions, wait_until};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use tonic::Status;

use super::containerd_process::Containerd;
use super::cri_client::{
    Client, ContainerConfig, ContainerMetadata, CreateContainer, Exec, Executed, Id, Images, LinuxPod,
    Nothing, PodConfig, PodMetadata, PodNetwork, PodStatus, RunPod, RuntimeStatus,
};
use super::plugin::with;
use super::runtime::{Folders, assert_pinged, enid, run, task_of};
use crate::kernel::assert_only_listed_tasks;
use crate::ledger::{assert_closed, flush};
use crate::networks::{host, host_as, ipv4, ipv6};

const IMAGE: &str = "localhost/busybox:1";

/// A runtime that pods can be made in.
struct Pods<'h> {
    client: Client,
    containerd: Containerd<'h>,
}

impl<'h> Pods<'h> {
    #[track_caller]
    fn start(host: &'h Host, folders: &'h Folders) -> Self {
        let containerd = Containerd::start(host, folders);
        let archive = archive(host, folders);
        run(
            host,
            containerd.ctr("k8s.io").args([
                "images",
                "import",
                "--snapshotter",
                "native",
                "--base-name",
                "localhost/busybox",
                &archive,
            ]),
        );
        let pods = Self { client: Client::connect(&containerd.socket()), containerd };
        let has_image = || {
            let images: Images = pods.client.call("ImageService/ListImages", Nothing {}).unwrap();
            images.images.iter().any(|image| image.tags.iter().any(|tag| tag == IMAGE))
        };
        assert!(wait_until(DEADLINE, has_image), "{}", pods.containerd.log());
        let has_network = || {
            let status: RuntimeStatus = pods.client.call("RuntimeService/Status", Nothing {}).unwrap();
            let conditions = status.status.unwrap().conditions;
            conditions.iter().any(|condition| condition.kind == "NetworkReady" && condition.status)
        };
        assert!(wait_until(DEADLINE, has_network), "{}", pods.containerd.log());
        pods
    }

    fn configuration(&self, name: &str, annotations: &[(&str, &str)]) -> PodConfig {
        PodConfig {
            metadata: Some(PodMetadata {
                name: name.into(),
                uid: format!("uid-{name}"),
                namespace: "shop".into(),
            }),
            hostname: name.into(),
            log_directory: self.containerd.folders.root.join("logs").display().to_string(),
            annotations: annotations
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            labels: HashMap::new(),
            linux: Some(LinuxPod::default()),
        }
    }

    fn try_run(&self, configuration: PodConfig) -> Result<String, Status> {
        let pod: Id =
            self.client.call("RuntimeService/RunPodSandbox", RunPod { config: Some(configuration) })?;
        Ok(pod.id)
    }

    /// Runs a pod with one container that sleeps; returns the ids of both.
    #[track_caller]
    fn run(&self, name: &str, annotations: &[(&str, &str)]) -> (String, String) {
        let configuration = self.configuration(name, annotations);
        let pod = self
            .try_run(configuration.clone())
            .unwrap_or_else(|error| panic!("{error}: {}", self.containerd.log()));
        let create = CreateContainer {
            pod: pod.clone(),
            config: Some(ContainerConfig {
                metadata: Some(ContainerMetadata { name: "main".into() }),
                image: Some(Id { id: IMAGE.into() }),
                command: ["/bin/busybox", "sleep", "600"].map(str::to_owned).into(),
            }),
            pod_config: Some(configuration),
        };
        let container: Id = self.client.call("RuntimeService/CreateContainer", create).unwrap();
        let _: Nothing = self.client.call("RuntimeService/StartContainer", container.clone()).unwrap();
        (pod, container.id)
    }

    #[track_caller]
    fn exec(&self, container: &str, command: &[&str]) {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let exec = Exec { container: container.into(), command, timeout: 20 };
        let done: Executed = self.client.call("RuntimeService/ExecSync", exec).unwrap();
        let text = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.exit_code, 0, "{text}");
    }

    #[track_caller]
    fn network(&self, pod: &str) -> PodNetwork {
        let status: PodStatus =
            self.client.call("RuntimeService/PodSandboxStatus", Id { id: pod.into() }).unwrap();
        status.status.unwrap().network.unwrap()
    }

    fn stop(&self, pod: &str) -> Result<Nothing, Status> {
        self.client.call("RuntimeService/StopPodSandbox", Id { id: pod.into() })
    }

    fn remove(&self, pod: &str) -> Result<Nothing, Status> {
        self.client.call("RuntimeService/RemovePodSandbox", Id { id: pod.into() })
    }
}

/// An image of busybox alone, as an archive.
#[track_caller]
fn archive(host: &Host, folders: &Folders) -> String {
    let layout = folders.root.join("image");
    let image = format!("{}:1", layout.display());
    let archive = folders.root.join("image.tar").display().to_string();
    let umoci = |arguments: &[&str]| drop(run(host, Command::new("umoci").args(arguments)));
    umoci(&["init", "--layout", &layout.display().to_string()]);
    umoci(&["new", "--image", &image]);
    umoci(&["insert", "--image", &image, "/bin/busybox", "/bin/busybox"]);
    // What a pod's first process does: nothing.
    umoci(&[
        "config",
        "--image",
        &image,
        "--config.entrypoint",
        "/bin/busybox",
        "--config.cmd",
        "sleep",
        "--config.cmd",
        "600",
    ]);
    run(host, Command::new("tar").args(["-cf", &archive, "-C"]).arg(&layout).arg("."));
    archive
}

/// enid's plugin, in a list that hands annotations on.
fn annotated(host: &Host, more: &[(&str, Value)]) -> Value {
    let plugin =
        with(&enid(host, "red/a"), "capabilities", json!({"io.kubernetes.cri.pod-annotations": true}));
    more.iter().fold(plugin, |plugin, (key, value)| with(&plugin, key, value.clone()))
}

#[test]
fn pods_have_enis_and_reach_each_other() {
    let host = host();
    let folders = Folders::make(&host);
    folders.write_list("1.0.0", &annotated(&host, &[]), &[]);
    {
        let pods = Pods::start(&host, &folders);
        let (one, in_one) =
            pods.run("web-0", &[("enid/service-name", "web"), ("enid/tag.Team", "shop"), ("else", "x")]);
        let (two, in_two) = pods.run("web-1", &[("enid/subnet", "red/b")]);
        let tasks = [&one, &two].map(|pod| task_of(&host, pod));
        for (pod, task) in [&one, &two].into_iter().zip(&tasks) {
            let network = pods.network(pod);
            assert_eq!(network.ip, ipv4(task).to_string());
            assert_eq!(network.additional, [Id { id: ipv6(task).to_string() }]);
        }
        for (container, task) in [(&in_one, &tasks[1]), (&in_two, &tasks[0])] {
            pods.exec(container, &["/bin/busybox", "ping", "-c", "1", "-W", "5", &ipv4(task).to_string()]);
            pods.exec(
                container,
                &["/bin/busybox", "ping", "-6", "-c", "1", "-W", "5", &ipv6(task).to_string()],
            );
        }
        let tag = |key: &str| tasks[0].tags.get(key).map(String::as_str);
        assert_eq!(
            (tag("kubernetes:namespace"), tag("kubernetes:pod"), tag("Team")),
            (Some("shop"), Some("web-0"), Some("shop"))
        );
        assert_eq!(tag("kubernetes:pod-uid"), Some("uid-web-0"));
        assert_eq!(tasks[0].ecs.as_ref().unwrap().service_name.as_deref(), Some("web"));
        flush(&host);
        assert_pinged(&host, &tasks);
        assert_closed(&host);
        for pod in [&one, &two] {
            for _ in 0..2 {
                pods.stop(pod).unwrap();
            }
            pods.remove(pod).unwrap();
        }
        assert_eq!(host.tasks(), []);
    }
    assert_only_listed_tasks(&host);
}

#[test]
fn a_pod_is_deleted_once_a_daemon_that_hung_answers() {
    let host = host_as(&HostOptions { daemon: DaemonKind::Process, ..Default::default() });
    let folders = Folders::make(&host);
    folders.write_list("1.0.0", &annotated(&host, &[("timeoutSeconds", 1.into())]), &[]);
    let pods = Pods::start(&host, &folders);
    let (pod, _) = pods.run("web-0", &[]);
    kill_process(host.daemon_process(), Signal::STOP).unwrap();
    let stopped = pods.stop(&pod);
    let refused = pods.try_run(pods.configuration("web-1", &[]));
    kill_process(host.daemon_process(), Signal::CONT).unwrap();
    for error in [stopped.unwrap_err(), refused.unwrap_err()] {
        assert!(error.message().contains("did not answer in time"), "{error}");
    }
    pods.stop(&pod).unwrap();
    pods.remove(&pod).unwrap();
    assert!(
        !host.tasks().iter().any(|task| task.tags.get("kubernetes:pod").is_some_and(|name| name == "web-0"))
    );
}

#[test]
fn a_pod_that_can_not_have_an_eni_fails_and_leaves_nothing() {
    let host = host();
    let folders = Folders::make(&host);
    folders.write_list("1.0.0", &annotated(&host, &[]), &[]);
    let pods = Pods::start(&host, &folders);
    for (annotation, sentence) in
        [(("enid/subnet", "red/none"), "none"), (("enid/subnets", "red/a"), "did you mean `enid/subnet`?")]
    {
        let error = pods.try_run(pods.configuration("web-0", &[annotation])).unwrap_err();
        // What the plugin says arrives at whoever asked for the pod.
        assert!(error.message().contains(sentence), "{error}");
    }
    assert_eq!(host.tasks(), []);
    let (pod, _) = pods.run("web-0", &[]);
    pods.stop(&pod).unwrap();
    pods.remove(&pod).unwrap();
    drop(pods);
    assert_only_listed_tasks(&host);
}

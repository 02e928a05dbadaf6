//! A host manager: places one task on this host, and knows of enid no more than its API.
//!
//! It creates the task's ENI in two steps; logs in to a registry, pulls the image and reads a secret through the ENI while the
//! containers' step is still to come; runs the container under containerd in the task's namespace and ships what that
//! prints as log events; waits for it, deletes the task, and prints from the flow log what each traffic class has cost.
//!
//! Whatever it opens a connection for, it opens by the dialer: so every byte is the task's, in its class.

mod aws;
mod container;
mod image;
mod report;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Parser;
use enid_api::Client;
use enid_api::dial::Dialer;
use enid_api::v1::{CreateTaskRequest, CreateTaskStep, DeleteTaskRequest, Task};
use enid_model::TrafficClass;

use crate::aws::Aws;
use crate::container::Container;
use crate::image::{Pulled, Registry};

/// Places one task on this host.
#[derive(Debug, Parser)]
#[command(
    name = "enid-host-manager",
    after_help = "Example: enid-host-manager web --subnet default-a --registry 172.31.0.4:5000 --image demo --aws http://172.31.0.5:5000 \\\n  --secret password --log-group web -- /bin/busybox echo hello"
)]
struct Arguments {
    /// The task's name
    task: String,
    /// Its subnet
    #[arg(long)]
    subnet: String,
    /// Its platform version
    #[arg(long, default_value = "LATEST")]
    platform_version: String,
    /// enid's run directory
    #[arg(long, default_value = "/run/enid")]
    run_dir: PathBuf,
    /// containerd's socket
    #[arg(long, default_value = "/run/containerd/containerd.sock")]
    containerd: PathBuf,
    /// The registry, as the task reaches it
    #[arg(long, value_name = "HOST:PORT")]
    registry: String,
    /// The image there, with its tag
    #[arg(long)]
    image: String,
    /// The AWS endpoint, as the task reaches it
    #[arg(long, value_name = "URL")]
    aws: String,
    /// The secret that the container gets as the variable SECRET
    #[arg(long)]
    secret: String,
    /// The group of its log events; the stream has the task's name
    #[arg(long)]
    log_group: String,
    /// The command of the container
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let client = Client::connect(arguments.run_dir.join("enid.sock")).await?;
    let placed = place(&arguments, &client).await;
    // Whatever came of it: what is gone already is deleted.
    let deleted = client
        .tasks()
        .delete(DeleteTaskRequest { name: arguments.task.clone(), ..DeleteTaskRequest::default() })
        .await;
    placed?;
    deleted.context("delete the task")?;
    println!("task {} deleted", arguments.task);
    report::print(&client, &arguments.task).await
}

/// Does all that there is to do for a task, from its ENI to its last log event.
async fn place(arguments: &Arguments, client: &Client) -> anyhow::Result<()> {
    let dialer = Dialer::new(arguments.run_dir.join("dial.sock"), arguments.task.as_str());
    let aws = Aws::new(&arguments.aws, &dialer);

    let request = CreateTaskRequest {
        name: arguments.task.clone(),
        subnet: arguments.subnet.clone(),
        platform_version: Some(arguments.platform_version.clone()),
        ..CreateTaskRequest::default()
    };
    let mut steps = client.tasks().create_in_steps(request).await?.into_inner();
    let task = expect(steps.message().await?, "platform")?;
    println!("task {} has {}, platform version {}", task.name, eni(&task), task.platform_version);

    let (image, secret) = fetch(arguments, &dialer, &aws).await?;
    println!(
        "image {}: {} layers, {} bytes; the secret has {} bytes",
        image.name,
        image.layers,
        image.bytes,
        secret.len()
    );

    let task = expect(steps.message().await?, "containers")?;
    let container = Container {
        containerd: &arguments.containerd,
        id: &task.name,
        netns: &task.netns,
        environment: vec![format!("SECRET={secret}")],
        command: &arguments.command,
    };
    let mut running = container.start(&image).await?;
    let mut logs = aws.log_stream(&arguments.log_group, &task.name).await?;
    while let Some(line) = running.next_line().await? {
        logs.push(line).await?;
    }
    let shipped = logs.finish().await?;
    let code = running.wait().await?;
    println!("the container ended with {code}; {shipped} log events shipped");
    Ok(())
}

/// Fetches what the execution role is for.
async fn fetch(arguments: &Arguments, dialer: &Dialer, aws: &Aws) -> anyhow::Result<(Pulled, String)> {
    let login = aws.registry_login().await.context("log in to the registry")?;
    let registry = Registry::new(&arguments.registry, login, dialer.clone().class(TrafficClass::ImagePull));
    let image = registry.pull(&arguments.image).await.context("pull the image")?;
    let secret = aws.secret(&arguments.secret).await.context("read the secret")?;
    Ok((image, secret))
}

fn expect(step: Option<CreateTaskStep>, ready_for: &str) -> anyhow::Result<Task> {
    match step {
        Some(CreateTaskStep { ready_for: step, task: Some(task) }) if step == ready_for => Ok(task),
        other => bail!("the task was to be ready for {ready_for}; the daemon says {other:?}"),
    }
}

fn eni(task: &Task) -> String {
    let of = |eni: &enid_api::v1::Eni| {
        let addresses = eni.ipv4.iter().chain(&eni.ipv6).map(String::as_str);
        format!("{} ({})", eni.id, addresses.collect::<Vec<_>>().join(", "))
    };
    task.eni.as_ref().map(of).unwrap_or_default()
}

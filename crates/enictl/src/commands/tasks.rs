//! `enictl task`.

mod ecs;
mod view;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use enid_api::v1::{
    CreateTaskRequest, DeleteTaskRequest, GetTaskRequest, IdleTimeouts, ListTasksRequest, UpdateTaskRequest,
};

use super::deletions::delete_each;
use crate::failure::Failure;
use crate::session::{Session, absolute};
use ecs::{EcsOptions, key_and_value, tags};

/// What can be done with tasks.
#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    Create(Create),
    /// List the host's tasks
    #[command(after_help = "Example:\n  enictl task list")]
    List,
    /// Show a task and its ENI
    #[command(after_help = "Example:\n  enictl task show web -o json")]
    Show {
        /// The task's name
        name: String,
    },
    Update(Update),
    /// Delete tasks; one that is gone already is deleted
    #[command(after_help = "Example:\n  enictl task delete web worker")]
    Delete {
        /// The tasks' names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

/// Create a task's network namespace and its ENI
///
/// The same command again gives the same answer.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  enictl task create web --subnet default-a --security-group default")]
pub(crate) struct Create {
    /// The task's name, which is also its network namespace's
    name: String,
    /// The subnet: its id, `vpc/name`, or its name if no other VPC has one of that name
    #[arg(long)]
    subnet: String,
    /// A security group of the VPC, by id, name or `vpc/name`; repeat it for more, up to 5, the VPC's default group without it
    #[arg(long = "security-group", value_name = "GROUP")]
    security_groups: Vec<String>,
    /// The IPv4 address, a free one of the subnet without it
    #[arg(long, value_name = "ADDRESS")]
    ipv4: Option<Ipv4Addr>,
    /// The IPv6 address, a free one of the subnet without it
    #[arg(long, value_name = "ADDRESS")]
    ipv6: Option<Ipv6Addr>,
    /// The MTU in bytes, 1280 to 9001; 9001 without it
    #[arg(long, value_name = "BYTES")]
    mtu: Option<u32>,
    /// The platform version, LATEST without it
    #[arg(long, value_name = "VERSION")]
    platform_version: Option<String>,
    /// A network namespace that exists already, to adopt; it outlives the task
    #[arg(long, value_name = "PATH")]
    netns: Option<PathBuf>,
    /// How long an established TCP flow may be idle, 60 to 432000; 432000 without it
    #[arg(long, value_name = "SECONDS")]
    tcp_established_timeout: Option<u32>,
    /// How long a UDP flow of a request, or a request and its answer, may be idle, 30 to 60; 30 without it
    #[arg(long, value_name = "SECONDS")]
    udp_timeout: Option<u32>,
    /// How long a UDP flow of more than that may be idle, 60 to 180; 180 without it
    #[arg(long, value_name = "SECONDS")]
    udp_stream_timeout: Option<u32>,
    #[command(flatten)]
    ecs: EcsOptions,
    /// A tag of the ENI; repeat it for more, up to 50
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = key_and_value)]
    tags: Vec<(String, String)>,
}

/// Change what flow records say of a task
///
/// Records made from now on have the new values. What is not named stays as it is.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  enictl task update web --ecs container-id=4f1c2e --ecs service-name= --tag Name=web --remove-tag Owner"
)]
pub(crate) struct Update {
    /// The task's name
    name: String,
    #[command(flatten)]
    ecs: EcsOptions,
    /// A tag of the ENI to set; repeat it for more
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = key_and_value)]
    tags: Vec<(String, String)>,
    /// The key of a tag to take away; repeat it for more
    #[arg(long = "remove-tag", value_name = "KEY")]
    remove_tags: Vec<String>,
}

impl Update {
    fn request(self) -> Result<UpdateTaskRequest, Failure> {
        Ok(UpdateTaskRequest {
            name: self.name,
            ecs: Some(self.ecs.message()?),
            tags: tags(self.tags)?,
            remove_tags: self.remove_tags,
        })
    }
}

impl Create {
    fn request(self) -> Result<CreateTaskRequest, Failure> {
        Ok(CreateTaskRequest {
            name: self.name,
            subnet: self.subnet,
            security_groups: self.security_groups,
            ipv4: self.ipv4.map(|address| address.to_string()),
            ipv6: self.ipv6.map(|address| address.to_string()),
            mtu: self.mtu,
            platform_version: self.platform_version,
            netns: self.netns.as_deref().map(absolute).transpose()?,
            idle_timeouts: Some(IdleTimeouts {
                tcp_established: self.tcp_established_timeout,
                udp: self.udp_timeout,
                udp_stream: self.udp_stream_timeout,
            }),
            ecs: Some(self.ecs.message()?),
            tags: tags(self.tags)?,
        })
    }
}

impl TaskCommand {
    /// Creates, lists, shows, updates or deletes.
    pub(crate) fn execute(self, session: &Session) -> Result<ExitCode, Failure> {
        match self {
            Self::Create(create) => {
                let request = create.request()?;
                let task =
                    session.talk(async |client| Ok(client.tasks().create(request).await?.into_inner()))?;
                session.format.print(&task, view::task)?;
            }
            Self::List => {
                let response = session
                    .talk(async |client| Ok(client.tasks().list(ListTasksRequest {}).await?.into_inner()))?;
                session.format.print(&response, |response| view::tasks(&response.tasks))?;
            }
            Self::Show { name } => {
                let request = GetTaskRequest { name };
                let task =
                    session.talk(async |client| Ok(client.tasks().get(request).await?.into_inner()))?;
                session.format.print(&task, view::task)?;
            }
            Self::Update(update) => {
                let request = update.request()?;
                let task =
                    session.talk(async |client| Ok(client.tasks().update(request).await?.into_inner()))?;
                session.format.print(&task, view::task)?;
            }
            Self::Delete { names } => delete_each(session, "task", names, &async |client, name| {
                Ok(client
                    .tasks()
                    .delete(DeleteTaskRequest { name, ..DeleteTaskRequest::default() })
                    .await?
                    .into_inner()
                    .existed)
            })?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

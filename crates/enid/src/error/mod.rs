//! What the daemon refuses or fails at. Each sentence says what, on which object and why; what can be done comes last, behind a
//! semicolon, and is the status's detail, too.

mod status;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use enid_datapath::DatapathError;
use enid_delivery::DeliveryError;
use enid_flowlog::FlowLogError;
use enid_model::{
    AddressRefusal, ApplyError, EniId, LookupError, ModelError, Name, NetworkFileError, PlatformVersion,
    PlatformVersionRefusal, RemoveError, SubnetId, TaskName, TrafficClass, VpcId,
};
use enid_netns::NetnsError;
use enid_spool::SpoolError;
use enid_store::StoreError;

/// A request that the daemon can't fulfil.
#[derive(Debug, thiserror::Error)]
pub enum EnidError {
    /// A value of the request does not parse.
    #[error(transparent)]
    Value(#[from] ModelError),
    /// A network file is wrong.
    #[error(transparent)]
    NetworkFile(#[from] NetworkFileError),
    /// A network file asks for a change that can't be made.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The request names a VPC, subnet or security group that does not exist.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// A VPC, subnet or security group can't be removed.
    #[error(transparent)]
    Remove(#[from] RemoveError),
    /// A VPC or subnet has flow logs.
    #[error("{object} has the flow log {flow_log}; delete the flow log first")]
    HasFlowLog {
        /// What was to be removed.
        object: String,
        /// One of its flow logs.
        flow_log: Name,
    },
    /// There is no such flow log.
    #[error("there is no flow log `{0}`; `enictl flow-log list` shows those there are")]
    NoFlowLog(String),
    /// The name belongs to a flow log with other content.
    #[error("flow log {name} exists already, with {what}; delete it first, or use another name")]
    FlowLogDiffers {
        /// The name.
        name: Name,
        /// In what it differs from the request.
        what: String,
    },
    /// A format is none.
    #[error(transparent)]
    Format(FlowLogError),
    /// What a flow log is to be does not go together.
    #[error("{0}")]
    FlowLogSettings(String),
    /// There is no ENI of this identifier.
    #[error("there is no ENI {0}; `enictl task list` shows those there are")]
    NoEni(EniId),
    /// A destination takes no records.
    #[error("nothing can be delivered to {destination}: {reason}")]
    Destination {
        /// The destination.
        destination: String,
        /// Why not.
        reason: String,
    },
    /// A VPC, subnet or security group is used by tasks.
    #[error("{object} is in use by task {task}; delete the task first")]
    InUse {
        /// What was to be removed.
        object: String,
        /// One task that uses it.
        task: TaskName,
    },
    /// The request is for more security groups than an ENI may have.
    #[error("an ENI has at most {most} security groups, and {given} were given")]
    TooManySecurityGroups {
        /// The most.
        most: usize,
        /// How many were given.
        given: usize,
    },
    /// An address does not parse.
    #[error("`{value}` is not an {family} address")]
    NotAnAddress {
        /// IPv4 or IPv6.
        family: &'static str,
        /// The text as given.
        value: String,
    },
    /// What is to be explained is no packet.
    #[error("{0}")]
    NotAPacket(&'static str),
    /// An address may not be given to an ENI.
    #[error("{address} can't be an ENI's address in subnet {subnet}: {refusal}")]
    Address {
        /// The address.
        address: IpAddr,
        /// The subnet's name.
        subnet: String,
        /// Why not.
        refusal: AddressRefusal,
    },
    /// An address belongs to another ENI.
    #[error(
        "{address} of subnet {subnet} is taken by another ENI; leave the address out to be given a free one"
    )]
    AddressTaken {
        /// The address.
        address: IpAddr,
        /// The subnet's name.
        subnet: String,
    },
    /// A subnet has no address left.
    #[error(
        "subnet {subnet} is full: all {capacity} of its IPv4 addresses are taken; delete a task or use another subnet"
    )]
    SubnetFull {
        /// The subnet's name.
        subnet: String,
        /// How many ENIs fit.
        capacity: u32,
    },
    /// The host has as many ENIs as its tables have room for.
    #[error(
        "this host holds {capacity} ENIs, which is all its tables have room for; raise `capacity` under [eni] in enid.toml"
    )]
    HostFull {
        /// How many fit.
        capacity: u32,
    },
    /// The host has as many VPC routers as there are transit addresses for.
    #[error("this host has as many VPC routers as it can have; delete a VPC that no task uses")]
    TooManyRouters,
    /// More is declared than the programs' tables have room for.
    #[error("a host has room for {most} {what}; with this there would be {given}")]
    PolicyFull {
        /// What there is too much of.
        what: &'static str,
        /// The most.
        most: u32,
        /// How much there would be.
        given: usize,
    },
    /// What was declared could not be put in force.
    #[error("the change is stored, but not all of it is in force: {0}; restart enid, which tries again")]
    NotInForce(#[source] DatapathError),
    /// There is no such task.
    #[error("there is no task `{0}`; `enictl task list` shows those there are")]
    NoTask(TaskName),
    /// The name belongs to a task with other content.
    #[error("task {name} exists already, with {what}; delete it first, or use another name")]
    TaskDiffers {
        /// The name.
        name: TaskName,
        /// In what it differs from the request.
        what: String,
    },
    /// A request leaves out what it is about.
    #[error("{0}")]
    NotNamed(&'static str),
    /// As many queries are answered as may be at once.
    #[error(
        "{most} queries of flow records are being answered, which is all there may be at once; try again when one has ended"
    )]
    TooManyQueries {
        /// The most.
        most: usize,
    },
    /// No new task may have the platform version.
    #[error(transparent)]
    PlatformVersion(#[from] PlatformVersionRefusal),
    /// A platform version does not have what a traffic class is of.
    #[error(
        "task {task} has platform version {version}, which has no {class}; create it with a later version"
    )]
    NoSuchClass {
        /// The task.
        task: TaskName,
        /// Its version.
        version: PlatformVersion,
        /// The class.
        class: TrafficClass,
    },
    /// There is a namespace of the task's name that enid did not make.
    #[error(
        "the network namespace {0} exists already and is not enid's; give its path with --netns to adopt it, or use another name"
    )]
    NetnsTaken(PathBuf),
    /// The namespace to adopt belongs to another task.
    #[error("the network namespace {path} belongs to task {task} already: a task has one ENI")]
    NetnsInUse {
        /// The path as given.
        path: PathBuf,
        /// Whose it is.
        task: TaskName,
    },
    /// A task's subnet is not declared any more.
    #[error("task {task} is in subnet {subnet}, which does not exist any more; delete the task")]
    SubnetGone {
        /// The task.
        task: TaskName,
        /// Its subnet.
        subnet: SubnetId,
    },
    /// Another daemon, or a purge, is at work where this one would be.
    #[error(
        "{0} is in use by another enid: stop it, or give this one a network namespace, a `bpf` path and directories of its own"
    )]
    Claimed(String),
    /// A task is there, and its namespace is not.
    #[error("task {name} is broken: its network namespace {netns} is gone; delete it, then create it again")]
    TaskBroken {
        /// The task.
        name: TaskName,
        /// Where its namespace was.
        netns: PathBuf,
    },
    /// A VPC's router is gone, and its ENIs with it.
    #[error("the router of {0} is gone, and its ENIs with it; delete their tasks")]
    RouterGone(VpcId),
    /// The namespace to adopt is the host's own or a VPC router's.
    #[error("the network namespace {0} is the host's own or a VPC router's, and can't be a task's")]
    NetnsNotATasks(PathBuf),
    /// A task was deleted, but for what is listed.
    #[error("task {task} is deleted, but not all of it went well: {errors}")]
    Incomplete {
        /// The task.
        task: TaskName,
        /// Everything that failed.
        errors: String,
    },
    /// Something around namespaces and links failed.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The eBPF programs or maps failed.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// Records could not be written or read.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Files of records could not be made or put.
    #[error(transparent)]
    Files(#[from] FlowLogError),
    /// A collector could not be reached, or refused.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    /// A file of the daemon's own could not be used.
    #[error("can't {action} {path}: {source}")]
    File {
        /// What was to be done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The host has no cgroup2 file system.
    #[error(
        "no cgroup2 file system is mounted, which traffic classes need: `mount -t cgroup2 none /sys/fs/cgroup/unified`, or give its path in enid.toml"
    )]
    NoCgroup2,
    /// The folder for cgroups is somewhere else.
    #[error(
        "{0}, where cgroups are to be, is not in a cgroup2 file system; set `cgroup` under [paths] in enid.toml, or leave it out"
    )]
    NotCgroup2(PathBuf),
    /// The file of services' prefixes can't be used.
    #[error("can't use the prefixes of services in {path}: {reason}")]
    Services {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A program that the daemon runs failed.
    #[error("`{program}` failed: {reason}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What it said.
        reason: String,
    },
    /// Work of the daemon's was cut off.
    #[error("the daemon is stopping")]
    Stopping,
}

impl EnidError {
    /// For `map_err` on a call that names a file.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}

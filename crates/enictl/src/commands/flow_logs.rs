//! `enictl flow-log`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use enid_api::v1::create_flow_log_request::Target;
use enid_api::v1::{
    CreateFlowLogRequest, DeleteFlowLogRequest, FlowLog, FlowLogDelivery, FlowLogFiles, GetFlowLogRequest,
    ListFlowLogsRequest,
};

use super::deletions::delete_each;
use crate::failure::Failure;
use crate::session::Session;
use crate::text::Column::{Left, Right};
use crate::text::{Pairs, Table, grouped};

/// What can be done with flow logs.
#[derive(Debug, Subcommand)]
pub(crate) enum FlowLogCommand {
    Create(Box<Create>),
    /// List the host's flow logs
    #[command(after_help = "Example:\n  enictl flow-log list")]
    List,
    /// Show a flow log
    #[command(after_help = "Example:\n  enictl flow-log show all -o json")]
    Show {
        /// The flow log's name or id
        name: String,
    },
    /// Delete flow logs; one that is gone already is deleted, and what was delivered stays
    #[command(after_help = "Example:\n  enictl flow-log delete all refused")]
    Delete {
        /// The flow logs' names or ids
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

/// Create a flow log: records of a VPC, a subnet or an ENI, delivered to a destination
///
/// The same command again gives the same answer. The destination is tried before anything is created.
#[derive(Debug, Args)]
#[command(
    override_usage = "enictl flow-log create [OPTIONS] --destination <DESTINATION> <NAME> <TARGET>",
    after_help = "Example:
  enictl flow-log create all --vpc shop --destination /var/log/flows --file-format parquet --hive-partitions
  enictl flow-log create refused --task web --destination ipfix+udp://127.0.0.1:4739 --traffic REJECT --interval 10"
)]
pub(crate) struct Create {
    /// The flow log's name, unique on the host
    name: String,
    /// Where to: an absolute path, file:///…, s3://bucket/prefix?endpoint=…&region=…, ipfix+udp://host:port,
    /// ipfix+tcp://host:port, otlp+http://host:port or otlp+https://host:port
    #[arg(long, value_name = "DESTINATION")]
    destination: String,
    /// The fields of a record, as '${srcaddr} ${dstaddr} ${bytes}'; those of version 2 without it
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// The time over which a flow's packets make one record: 60 or 600, or 1 to 59; 600 without it
    #[arg(long, value_name = "SECONDS")]
    interval: Option<u32>,
    /// Which records: ALL, ACCEPT or REJECT; ALL without it
    #[arg(long, value_name = "TRAFFIC")]
    traffic: Option<String>,
    /// The key of a tag to show as ${interface-tag}; repeat it for ${interface-tag-2}
    #[arg(long = "interface-tag", value_name = "KEY")]
    interface_tags: Vec<String>,
    #[command(flatten)]
    target: TargetOptions,
    #[command(flatten)]
    files: FileOptions,
}

/// Whose records; one of these.
#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
#[group(required = true, multiple = false)]
struct TargetOptions {
    /// All ENIs of a VPC, by its name or id
    #[arg(long)]
    vpc: Option<String>,
    /// All ENIs of a subnet: its id, `vpc/name`, or its name if no other VPC has one of that name
    #[arg(long)]
    subnet: Option<String>,
    /// The ENI of a task; the flow log goes with it
    #[arg(long)]
    task: Option<String>,
    /// An ENI, by its id; the flow log goes with it
    #[arg(long)]
    eni: Option<String>,
}

/// What files are like, where the destination takes files.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files")]
struct FileOptions {
    /// What a file is: text or parquet; text without it
    #[arg(long, value_name = "FORMAT")]
    file_format: Option<String>,
    /// Name folders as Hive names partitions: year=2026/month=11/day=21/
    #[arg(long)]
    hive_partitions: bool,
    /// Make a folder for each hour
    #[arg(long)]
    hourly_partitions: bool,
}

impl Create {
    fn request(self) -> CreateFlowLogRequest {
        let TargetOptions { vpc, subnet, task, eni } = self.target;
        let FileOptions { file_format, hive_partitions, hourly_partitions } = self.files;
        CreateFlowLogRequest {
            name: self.name,
            target: vpc
                .map(Target::Vpc)
                .or(subnet.map(Target::Subnet))
                .or(task.map(Target::Task))
                .or(eni.map(Target::Eni)),
            destination: self.destination,
            format: self.format,
            interval_seconds: self.interval,
            traffic: self.traffic,
            files: Some(FlowLogFiles {
                format: file_format.unwrap_or_default(),
                hive_partitions,
                hourly_partitions,
            }),
            interface_tags: self.interface_tags,
        }
    }
}

impl FlowLogCommand {
    /// Creates, lists, shows or deletes.
    pub(crate) fn execute(self, session: &Session) -> Result<ExitCode, Failure> {
        match self {
            Self::Create(create) => {
                let request = create.request();
                let created = session
                    .talk(async |client| Ok(client.flow_logs().create(request).await?.into_inner()))?;
                session.format.print(&created, flow_log)?;
            }
            Self::List => {
                let response = session.talk(async |client| {
                    Ok(client.flow_logs().list(ListFlowLogsRequest {}).await?.into_inner())
                })?;
                session.format.print(&response, |response| flow_logs(&response.flow_logs))?;
            }
            Self::Show { name } => {
                let request = GetFlowLogRequest { flow_log: name };
                let found =
                    session.talk(async |client| Ok(client.flow_logs().get(request).await?.into_inner()))?;
                session.format.print(&found, flow_log)?;
            }
            Self::Delete { names } => delete_each(session, "flow log", names, &async |client, name| {
                let request = DeleteFlowLogRequest { flow_log: name };
                Ok(client.flow_logs().delete(request).await?.into_inner().existed)
            })?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A line for each flow log.
fn flow_logs(flow_logs: &[FlowLog]) -> String {
    let mut table = Table::new([
        Left("NAME"),
        Left("ID"),
        Left("OF"),
        Left("TRAFFIC"),
        Right("INTERVAL"),
        Left("DESTINATION"),
        Left("STATE"),
    ]);
    for flow_log in flow_logs {
        table.row([
            flow_log.name.clone(),
            flow_log.id.clone(),
            flow_log.target_name.clone(),
            flow_log.traffic.clone(),
            format!("{} s", flow_log.interval_seconds),
            flow_log.destination.clone(),
            state(flow_log.delivery.as_ref()).to_owned(),
        ]);
    }
    table.finish()
}

/// All about one flow log.
fn flow_log(flow_log: &FlowLog) -> String {
    let mut pairs = Pairs::default();
    pairs.add("flow-log", &flow_log.name);
    pairs.add("id", &flow_log.id);
    pairs.add("of", &flow_log.target_name);
    pairs.add("target", &flow_log.target);
    pairs.add("traffic", &flow_log.traffic);
    pairs.add("interval", format_args!("{} s", flow_log.interval_seconds));
    pairs.add("destination", &flow_log.destination);
    if let Some(files) = &flow_log.files {
        let hive = files.hive_partitions.then_some("Hive partitions");
        let hourly = files.hourly_partitions.then_some("hourly partitions");
        let texts: Vec<&str> = [Some(&*files.format), hive, hourly].into_iter().flatten().collect();
        pairs.add("files", texts.join(", "));
    }
    pairs.add_list("interface-tags", &flow_log.interface_tags);
    pairs.add("format", &flow_log.format);
    pairs.add("state", state(flow_log.delivery.as_ref()));
    if let Some(delivery) = &flow_log.delivery {
        if let Some(problem) = &delivery.problem {
            pairs.add("problem", problem);
        }
        pairs
            .add("records", format_args!("{} delivered since the daemon started", grouped(delivery.records)));
        if delivery.records_lost + delivery.packets_lost > 0 {
            let (records, packets, bytes) =
                (delivery.records_lost, delivery.packets_lost, delivery.bytes_lost);
            pairs.add(
                "given-up",
                format_args!(
                    "{} records of {} packets, {} bytes: the spool had no more room",
                    grouped(records),
                    grouped(packets),
                    grouped(bytes)
                ),
            );
        }
    }
    pairs.to_string()
}

fn state(delivery: Option<&FlowLogDelivery>) -> &'static str {
    match delivery {
        None => "starting",
        Some(FlowLogDelivery { problem: Some(_), .. }) => "failing",
        Some(_) => "delivering",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_log_is_a_line_for_each_property() {
        let all = FlowLog {
            id: "fl-1".into(),
            name: "all".into(),
            target: "vpc-1".into(),
            target_name: "vpc shop".into(),
            destination: "file:///var/log/flows".into(),
            format: "${srcaddr} ${interface-tag}".into(),
            interval_seconds: 600,
            traffic: "ALL".into(),
            files: Some(FlowLogFiles {
                format: "parquet".into(),
                hive_partitions: true,
                hourly_partitions: true,
            }),
            interface_tags: vec!["Name".into()],
            delivery: Some(FlowLogDelivery {
                records: 1_234,
                problem: Some("the disk is full".into()),
                records_lost: 2,
                packets_lost: 3,
                bytes_lost: 4_000,
                after_batch: 1,
                delivered_batch: 2,
            }),
        };
        assert_eq!(
            flow_log(&all),
            "flow-log        all\n\
             id              fl-1\n\
             of              vpc shop\n\
             target          vpc-1\n\
             traffic         ALL\n\
             interval        600 s\n\
             destination     file:///var/log/flows\n\
             files           parquet, Hive partitions, hourly partitions\n\
             interface-tags  Name\n\
             format          ${srcaddr} ${interface-tag}\n\
             state           failing\n\
             problem         the disk is full\n\
             records         1,234 delivered since the daemon started\n\
             given-up        2 records of 3 packets, 4,000 bytes: the spool had no more room\n"
        );
        assert_eq!(
            flow_logs(&[all]),
            "NAME  ID    OF        TRAFFIC  INTERVAL  DESTINATION            STATE\n\
             all   fl-1  vpc shop  ALL         600 s  file:///var/log/flows  failing\n"
        );
    }
}

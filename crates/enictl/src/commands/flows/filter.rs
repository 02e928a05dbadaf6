//! Which records are wanted, as options.

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use enid_flowlog::{Action, Cidr, Direction, DropReason, Filter};
use enid_model::{EniId, Protocol, TaskName, TrafficClass};

use crate::commands::run::class_parser;
use crate::text::Moment;

/// The conditions; a record must meet all that are given.
#[derive(Debug, Args)]
#[command(next_help_heading = "Conditions")]
pub(super) struct FilterArguments {
    /// The task
    #[arg(long)]
    task: Option<TaskName>,
    /// The ENI's id
    #[arg(long)]
    eni: Option<EniId>,
    /// The traffic class
    #[arg(long, value_parser = class_parser())]
    class: Option<TrafficClass>,
    /// The source address, or a block that it is in
    #[arg(long, value_name = "CIDR")]
    src: Option<Cidr>,
    /// The destination address, or a block that it is in
    #[arg(long, value_name = "CIDR")]
    dst: Option<Cidr>,
    /// The other side's address, or a block that it is in
    #[arg(long, value_name = "CIDR")]
    peer: Option<Cidr>,
    /// The port of either side
    #[arg(long)]
    port: Option<u16>,
    /// The protocol: tcp, udp, icmp, icmpv6 or a number
    #[arg(long)]
    protocol: Option<Protocol>,
    /// Whether the traffic was let through
    #[arg(long, ignore_case = true, value_parser = action_parser())]
    action: Option<Action>,
    /// Why the traffic was refused
    #[arg(long, value_parser = reason_parser())]
    reason: Option<DropReason>,
    /// The direction, as the ENI sees it
    #[arg(long, value_parser = direction_parser())]
    direction: Option<Direction>,
    /// Records that end then or later: a time ago (90s, 10m, 2h, 1d), RFC 3339 or Unix seconds
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Records that end before then
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
}

fn action_parser() -> impl TypedValueParser<Value = Action> {
    PossibleValuesParser::new(["accept", "reject"])
        .try_map(|word| Action::from_word(&word.to_ascii_uppercase()).ok_or("unknown action"))
}

fn reason_parser() -> impl TypedValueParser<Value = DropReason> {
    PossibleValuesParser::new(DropReason::ALL.iter().map(|reason| reason.as_str()))
        .try_map(|word| DropReason::from_word(&word).ok_or("unknown reason"))
}

fn direction_parser() -> impl TypedValueParser<Value = Direction> {
    PossibleValuesParser::new(["ingress", "egress"])
        .try_map(|word| Direction::from_word(&word).ok_or("unknown direction"))
}

impl FilterArguments {
    /// The conditions as the reader of records takes them.
    pub(super) fn into_filter(self) -> Filter {
        // Before 1970 there are no records: any such time is the beginning.
        let seconds = |moment: Moment| u64::try_from(moment.unix_seconds()).unwrap_or(0);
        Filter {
            since: self.since.map(seconds),
            until: self.until.map(seconds),
            eni: self.eni,
            task: self.task,
            class: self.class,
            src: self.src,
            dst: self.dst,
            peer: self.peer,
            port: self.port,
            protocol: self.protocol.and_then(|protocol| match protocol {
                Protocol::All => None,
                Protocol::Number(number) => Some(number),
            }),
            action: self.action,
            reason: self.reason,
            direction: self.direction,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        filter: FilterArguments,
    }

    fn filter(arguments: &[&str]) -> Option<Filter> {
        let arguments = std::iter::once(&"enictl").chain(arguments);
        let only = Only::try_parse_from(arguments).ok()?;
        Some(only.filter.into_filter())
    }

    #[test]
    fn options_become_conditions() {
        assert_eq!(filter(&[]), Some(Filter::default()));
        let found = filter(&[
            "--task=web",
            "--class=logs",
            "--src=10.0.0.0/8",
            "--dst=fd00::1",
            "--peer=10.1.0.0/16",
            "--port=443",
            "--protocol=tcp",
            "--action=REJECT",
            "--reason=no-rule",
            "--direction=egress",
            "--since=1000",
            "--until=1970-01-01T01:00:00Z",
        ]);
        let expected = Filter {
            since: Some(1_000),
            until: Some(3_600),
            eni: None,
            task: "web".parse().ok(),
            class: Some(TrafficClass::Logs),
            src: "10.0.0.0/8".parse().ok(),
            dst: "fd00::1/128".parse().ok(),
            peer: "10.1.0.0/16".parse().ok(),
            port: Some(443),
            protocol: Some(6),
            action: Some(Action::Reject),
            reason: Some(DropReason::NoRule),
            direction: Some(Direction::Egress),
        };
        assert_eq!(found, Some(expected));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for argument in [
            "--eni=web",
            "--class=log",
            "--src=10.0.0.1/8",
            "--port=65536",
            "--protocol=http",
            "--action=drop",
            "--reason=none",
            "--direction=in",
            "--since=yesterday",
        ] {
            assert_eq!(filter(&[argument]), None, "{argument}");
        }
    }
}

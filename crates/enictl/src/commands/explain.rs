//! `enictl explain`.

use std::net::IpAddr;
use std::process::ExitCode;

use clap::Args;
use enid_api::v1::{ExplainRequest, ExplainResponse};
use enid_model::{IcmpSelector, Protocol};

use crate::failure::Failure;
use crate::session::Session;
use crate::text::Column::Left;
use crate::text::{Pairs, Table, or_dash};

/// Say what would become of a packet, and which rule decides
///
/// The answer comes from the rules in force, and no packet is sent. It is of a new flow's first packet: one that
/// belongs to a flow already passes as that flow does.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  enictl explain web --to 10.0.0.9 --protocol tcp --port 443
  enictl explain web --from 192.0.2.7 --protocol icmp --icmp-type 8")]
pub(crate) struct Explain {
    /// The task's name
    task: String,
    /// Where the task sends the packet
    #[arg(long, value_name = "ADDRESS", required_unless_present = "from", conflicts_with = "from")]
    to: Option<IpAddr>,
    /// Who sends the task the packet
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// The protocol: a name, as tcp, or a number
    #[arg(long)]
    protocol: Protocol,
    /// The destination port, for tcp and udp
    #[arg(long)]
    port: Option<u16>,
    /// The source port, for tcp and udp; an ephemeral one without it
    #[arg(long, value_name = "PORT")]
    source_port: Option<u16>,
    /// The type of message, for icmp and icmpv6: a number, or a name as echo-request, which it is without it
    #[arg(long, value_name = "TYPE")]
    icmp_type: Option<String>,
    /// The message's code, for icmp and icmpv6; 0 without it
    #[arg(long, value_name = "CODE", requires = "icmp_type")]
    icmp_code: Option<u8>,
}

impl Explain {
    /// Asks and prints; that a packet would be refused is no failure.
    pub(crate) fn execute(self, session: &Session) -> Result<ExitCode, Failure> {
        let packet = self.packet();
        let request = self.request()?;
        let response =
            session.talk(async |client| Ok(client.tasks().explain(request).await?.into_inner()))?;
        session.format.print(&response, |response| view(&packet, response))?;
        Ok(ExitCode::SUCCESS)
    }

    fn request(self) -> Result<ExplainRequest, Failure> {
        let protocol = self.protocol;
        let usage = |reason: &str| Err(Failure::Usage(format!("{reason}, and the protocol is {protocol}")));
        if protocol == Protocol::All {
            return Err(Failure::Usage("a packet has one protocol: name it with --protocol".to_owned()));
        }
        if !protocol.has_ports() && (self.port.is_some() || self.source_port.is_some()) {
            return usage("ports are for tcp and udp");
        }
        if protocol.has_ports() && self.port.is_none() {
            return usage("tcp and udp need --port");
        }
        if !protocol.is_icmp() && self.icmp_type.is_some() {
            return usage("types and codes are for icmp and icmpv6");
        }
        let icmp = self.icmp_type.map(|text| IcmpSelector::parse(protocol, &text)).transpose();
        let icmp = icmp.map_err(|error| Failure::Usage(error.to_string()))?;
        let (direction, address) = match (self.to, self.from) {
            (Some(address), _) => ("to", address),
            (None, Some(address)) => ("from", address),
            (None, None) => return Err(Failure::Usage("--to or --from is missing".to_owned())),
        };
        Ok(ExplainRequest {
            task: self.task,
            direction: direction.to_owned(),
            address: address.to_string(),
            protocol: protocol.to_string(),
            port: self.port.map(u32::from),
            source_port: self.source_port.map(u32::from),
            icmp_type: icmp.map(|icmp| icmp.icmp_type.into()),
            icmp_code: self.icmp_code.or(icmp.and_then(|icmp| icmp.code)).map(u32::from),
        })
    }

    /// What the packet is, in a few words.
    fn packet(&self) -> String {
        let mut words = match (self.to, self.from) {
            (Some(to), _) => vec![format!("{} → {to}", self.task)],
            (None, from) => vec![format!("{} → {}", or_dash(from), self.task)],
        };
        words.push(self.protocol.to_string());
        words.extend(self.port.map(|port| format!("port {port}")));
        words.extend(self.source_port.map(|port| format!("from port {port}")));
        words.extend(self.icmp_type.as_ref().map(|icmp_type| format!("type {icmp_type}")));
        words.extend(self.icmp_code.map(|code| format!("code {code}")));
        words.join(" ")
    }
}

fn view(packet: &str, response: &ExplainResponse) -> String {
    let mut pairs = Pairs::default();
    pairs.add("packet", packet);
    pairs.add("verdict", &response.verdict);
    pairs.add("reason", &response.reason);
    let mut table = Table::new([
        Left("STEP"),
        Left("OUTCOME"),
        Left("TASK"),
        Left("ENI"),
        Left("SECURITY GROUP"),
        Left("RULE"),
        Left("DETAIL"),
    ]);
    for step in &response.steps {
        table.row([
            step.step.clone(),
            step.outcome.clone(),
            or_dash(step.task.as_ref()),
            or_dash(step.eni_id.as_ref()),
            or_dash(step.security_group.as_ref()),
            or_dash(step.rule.as_ref()),
            step.detail.clone(),
        ]);
    }
    format!("{pairs}\n{}", table.finish())
}

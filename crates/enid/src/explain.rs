//! Explains what would become of a packet: it asks, in their order, what the programs ask of a flow's first packet, of
//! the same maps and the same kernel.

use std::net::IpAddr;

use enid_datapath::{Direction, FiveTuple, PolicyQuestion};
use enid_model::{Eni, Protocol, SecurityGroupId, TaskName, Uplink};
use enid_netns::{Namespace, Way};
use enid_store::TaskRecord;
use tokio::runtime::Handle;

use crate::EnidError;
use crate::router::Router;
use crate::tasks::Tasks;
use crate::uplink;

/// Which way a packet goes, as the task sees it, and its other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OtherEnd {
    /// The task sends it there.
    To(IpAddr),
    /// It is sent to the task from there.
    From(IpAddr),
}

/// A flow's first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    /// The task that sends or receives it.
    pub(crate) task: TaskName,
    pub(crate) other_end: OtherEnd,
    /// Its number (IANA).
    pub(crate) protocol: u8,
    /// Of TCP and UDP the destination port, of ICMP type × 256 + code, else 0.
    pub(crate) selector: u16,
    /// Of TCP and UDP, if it matters: an ephemeral one else.
    pub(crate) source_port: Option<u16>,
}

/// What becomes of a packet.
#[derive(Debug)]
pub(crate) struct Explanation {
    /// Why it is refused; nothing if it is allowed.
    pub(crate) refusal: Option<String>,
    /// What it passes, up to what refuses it.
    pub(crate) steps: Vec<Step>,
}

/// Something that a packet passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// What, in the words of the protocol.
    pub(crate) what: &'static str,
    /// With what outcome, in the words of the protocol.
    pub(crate) outcome: &'static str,
    /// The ENI that is asked, or that a route leads to.
    pub(crate) eni: Option<Box<Eni>>,
    /// Its task.
    pub(crate) task: Option<TaskName>,
    /// The rule that allows it.
    pub(crate) rule: Option<NamedRule>,
    pub(crate) detail: String,
}

/// A rule in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedRule {
    pub(crate) group: SecurityGroupId,
    pub(crate) group_name: String,
    pub(crate) text: String,
}

const ALLOWED: &str = "allowed";
const REFUSED: &str = "refused";

/// Explains what would become of a packet. It blocks, beside a runtime.
pub(crate) fn explain(tasks: &Tasks, runtime: &Handle, packet: &Packet) -> Result<Explanation, EnidError> {
    let task = tasks.get(&packet.task)?;
    let mut walk = Walk { tasks, runtime, packet, steps: Vec::new() };
    let refusal = match packet.other_end {
        OtherEnd::To(to) => walk.send(&task, own_address(&task, to), to),
        OtherEnd::From(from) => walk.receive(&task, from),
    };
    Ok(Explanation { refusal: refusal?.err(), steps: walk.steps })
}

/// The task's address in the family of another.
fn own_address(task: &TaskRecord, other: IpAddr) -> Option<IpAddr> {
    task.task.eni.addresses.iter().find(|own| own.is_ipv4() == other.is_ipv4())
}

/// Whether a packet goes on, or why not.
type Passes = Result<(), String>;

/// A packet on its way.
struct Walk<'a> {
    tasks: &'a Tasks,
    runtime: &'a Handle,
    packet: &'a Packet,
    steps: Vec<Step>,
}

impl Walk<'_> {
    /// A task sends it.
    fn send(&mut self, sender: &TaskRecord, source: Option<IpAddr>, to: IpAddr) -> Result<Passes, EnidError> {
        let name = &sender.task.name;
        let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
        let Some(source) = source else {
            self.add("source check", REFUSED, Some(sender), format!("the ENI has no {family} address"));
            return Ok(Err(format!("{name} has no {family} address to send from")));
        };
        if source == to {
            self.add("source check", ALLOWED, Some(sender), "it does not leave the task".to_owned());
            return Ok(Ok(()));
        }
        if !self.tasks.datapath.owns_address(sender.task.eni.number, source)? {
            self.add("source check", REFUSED, Some(sender), format!("{source} is not the ENI's"));
            return Ok(Err(format!("{source} is not an address of {name}'s ENI")));
        }
        self.add("source check", ALLOWED, Some(sender), String::new());
        if let Some(refused) = never_routed(to) {
            self.add("route", "none", None, refused.to_owned());
            return Ok(Err(format!("{to}: {refused}")));
        }
        let way = self.way(sender, source, to)?;
        let receiver = match way {
            Way::Link(index) => self.tasks.by_number(index),
            Way::Own | Way::None => None,
        };
        let flow = self.flow(source, to);
        let rules = self.rules(sender, receiver.as_ref(), Direction::Egress, &flow)?;
        let Ok(egress) = rules else { return Ok(rules.map(drop)) };
        match (&receiver, way) {
            (Some(receiver), _) => {
                self.add("route", "eni", Some(receiver), String::new());
                let rules = self.rules(receiver, Some(sender), Direction::Ingress, &flow)?;
                let Ok(ingress) = rules else { return Ok(rules.map(drop)) };
                self.add_tracking(sender, egress);
                self.add_tracking(receiver, ingress);
                Ok(Ok(()))
            }
            (None, Way::Link(uplink::ROUTER_INDEX))
                if !self.is_echo_request(to) && Way::is_own(&Namespace::own()?, self.runtime, to)? =>
            {
                self.add("route", "uplink", None, "the host itself lets ICMP echo through".to_owned());
                Ok(Err(format!("{to} is the host's own, which answers nothing but ICMP echo")))
            }
            (None, Way::Link(uplink::ROUTER_INDEX)) => {
                self.add("route", "uplink", None, "out of the VPC".to_owned());
                self.add_tracking(sender, egress);
                Ok(Ok(()))
            }
            (None, Way::Own) if self.is_echo_request(to) => {
                self.add("route", "router", None, "the VPC's router answers".to_owned());
                self.add_tracking(sender, egress);
                Ok(Ok(()))
            }
            (None, Way::Own) => {
                let why = format!("{to} is the VPC's router, which answers nothing but ICMP echo");
                self.add("route", "router", None, "it answers nothing but ICMP echo".to_owned());
                Ok(Err(why))
            }
            (None, Way::Link(_) | Way::None) => {
                self.add("route", "none", None, format!("the VPC has no route to {to}"));
                Ok(Err(format!("the VPC has no route to {to}")))
            }
        }
    }

    /// It is sent to a task.
    fn receive(&mut self, receiver: &TaskRecord, from: IpAddr) -> Result<Passes, EnidError> {
        let name = &receiver.task.name;
        let Some(own) = own_address(receiver, from) else {
            let family = if from.is_ipv4() { "IPv4" } else { "IPv6" };
            self.add("route", "none", None, format!("{name} has no {family} address"));
            return Ok(Err(format!("{name} has no {family} address to be sent to")));
        };
        if let Some(sender) = self.tasks.by_address(receiver.task.eni.vpc, from) {
            return self.send(&sender, Some(from), own);
        }
        let vpc = receiver.task.eni.vpc;
        let current = self.tasks.networks.current();
        let uplink = current.vpc_by_id(vpc).map_or(Uplink::None, |vpc| vpc.uplink);
        let why = match (self.way(receiver, own, from)?, uplink) {
            (Way::Own, _) => format!("{from} is the VPC's router, which begins nothing"),
            (Way::Link(uplink::ROUTER_INDEX), Uplink::Nat) => {
                "the uplink `nat` lets in what answers, and nobody outside begins".to_owned()
            }
            _ => format!("no ENI of this host has {from}, and nothing comes in from outside the VPC"),
        };
        self.add("route", "none", None, why.clone());
        // All the same: whoever asks wants to know his rules.
        let flow = self.flow(from, own);
        let rules = self.rules(receiver, None, Direction::Ingress, &flow)?;
        Ok(rules.and(Err(why)))
    }

    fn flow(&self, source: IpAddr, destination: IpAddr) -> FiveTuple {
        let has_ports = Protocol::Number(self.packet.protocol).has_ports();
        FiveTuple {
            source,
            destination,
            source_port: self.packet.source_port.filter(|_| has_ports).unwrap_or(0),
            destination_port: if has_ports { self.packet.selector } else { 0 },
            protocol: self.packet.protocol,
        }
    }

    fn is_echo_request(&self, to: IpAddr) -> bool {
        let (protocol, selector) =
            if to.is_ipv4() { (Protocol::ICMP, 8 << 8) } else { (Protocol::ICMPV6, 128 << 8) };
        Protocol::Number(self.packet.protocol) == protocol && self.packet.selector == selector
    }

    /// The route that the kernel of the VPC's router has for it.
    fn way(&self, sender: &TaskRecord, source: IpAddr, to: IpAddr) -> Result<Way, EnidError> {
        if is_multicast(to) {
            return Ok(Way::None);
        }
        let eni = &sender.task.eni;
        let router = self.tasks.routers.get(eni.vpc).ok_or(EnidError::RouterGone(eni.vpc))?;
        let router: &Router = &router;
        Ok(Way::find(router.namespace(), self.runtime, eni.number.get(), source, to)?)
    }

    /// Asks the rules of a task's groups. Whether the flow is tracked, if it may pass.
    fn rules(
        &mut self,
        task: &TaskRecord,
        other: Option<&TaskRecord>,
        direction: Direction,
        flow: &FiveTuple,
    ) -> Result<Result<&'static str, String>, EnidError> {
        let eni = &task.task.eni;
        let (step, peer) = match direction {
            Direction::Egress => ("egress rules", flow.destination),
            Direction::Ingress => ("ingress rules", flow.source),
        };
        let question = PolicyQuestion {
            direction,
            peer,
            protocol: self.packet.protocol,
            selector: Some(self.packet.selector),
        };
        let answer = self.tasks.datapath.judge(eni.number, &question)?;
        if let Some(rule) = answer.rule {
            let rule = self.named(rule.group, direction, rule.index);
            self.add(step, ALLOWED, Some(task), String::new());
            if let Some(last) = self.steps.last_mut() {
                last.rule = Some(rule);
            }
            return Ok(Ok(if answer.untracked { "untracked" } else { "tracked" }));
        }
        let groups = self.group_names(eni);
        let mut detail = format!("no rule of {groups} allows it");
        let other = other.map(|other| other.task.eni.number);
        if self.could_be_tracked() && self.tasks.datapath.is_tracked(eni.number, direction, flow, other)? {
            detail.push_str(", but the flow is tracked");
            if Protocol::Number(self.packet.protocol) == Protocol::TCP {
                detail.push_str("; a new connection on its ports would be refused");
            }
            self.add(step, ALLOWED, Some(task), detail);
            return Ok(Ok("tracked"));
        }
        if self.is_icmp_error() {
            detail.push_str("; it passes if it is about a packet of a tracked flow");
        }
        self.add(step, REFUSED, Some(task), detail);
        let direction = direction.as_str();
        Ok(Err(format!("no {direction} rule of {}'s security groups allows it", task.task.name)))
    }

    /// Whether it may belong to a flow that there is: its ports are known, and it is no ICMP request.
    fn could_be_tracked(&self) -> bool {
        let protocol = Protocol::Number(self.packet.protocol);
        !protocol.is_icmp() && (!protocol.has_ports() || self.packet.source_port.is_some())
    }

    /// Whether it tells the sender of a packet what became of that (RFC 792, RFC 4443).
    fn is_icmp_error(&self) -> bool {
        let kind = self.packet.selector >> 8;
        match Protocol::Number(self.packet.protocol) {
            Protocol::ICMP => matches!(kind, 3 | 11 | 12),
            Protocol::ICMPV6 => matches!(kind, 1..=4),
            _ => false,
        }
    }

    fn named(&self, group: SecurityGroupId, direction: Direction, index: usize) -> NamedRule {
        let current = self.tasks.networks.current();
        let declared = current.security_group_by_id(group);
        let rule = declared.and_then(|(vpc, group)| {
            let rules = if direction == Direction::Egress { &group.egress } else { &group.ingress };
            Some(vpc.rule_text(rules.get(index)?))
        });
        NamedRule {
            group,
            group_name: declared.map_or_else(|| group.to_string(), |(_, group)| group.name.to_string()),
            text: rule.unwrap_or_else(|| format!("rule {}", index + 1)),
        }
    }

    fn group_names(&self, eni: &Eni) -> String {
        let current = self.tasks.networks.current();
        let name = |id: &SecurityGroupId| {
            current
                .security_group_by_id(*id)
                .map_or_else(|| id.to_string(), |(_, group)| group.name.to_string())
        };
        eni.security_groups.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    fn add(&mut self, step: &'static str, outcome: &'static str, task: Option<&TaskRecord>, detail: String) {
        self.steps.push(Step {
            what: step,
            outcome,
            eni: task.map(|record| Box::new(record.task.eni.clone())),
            task: task.map(|record| record.task.name.clone()),
            rule: None,
            detail,
        });
    }

    fn add_tracking(&mut self, task: &TaskRecord, outcome: &'static str) {
        self.add("tracking", outcome, Some(task), String::new());
    }
}

/// What the programs drop before they look at rules or routes.
fn never_routed(to: IpAddr) -> Option<&'static str> {
    match to {
        IpAddr::V4(to) if to.octets() == [169, 254, 169, 254] => Some("tasks have no instance metadata"),
        IpAddr::V6(to) if to.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => {
            Some("tasks have no instance metadata")
        }
        IpAddr::V4(to) if to.is_link_local() => Some("link-local addresses are not routed"),
        _ => None,
    }
}

/// Multicast or broadcast, which a VPC does not have.
fn is_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] >= 224,
        IpAddr::V6(address) => address.is_multicast(),
    }
}

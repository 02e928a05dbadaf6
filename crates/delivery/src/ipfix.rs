//! Flow records as IPFIX (RFC 7011): flows as data records, what is in none of them as options.

mod domain;
mod element;
mod message;
mod tcp;
mod udp;

use std::time::{SystemTime, UNIX_EPOCH};

use enid_flowlog::{FlowRecord, Observation};

use self::domain::{Domain, Domains};
use self::element::Template;
use self::message::Message;
use self::tcp::Tcp;
use self::udp::Udp;
pub(crate) use self::udp::probe as probe_udp;
use crate::destination::{Destination, Endpoint, Transport};
use crate::error::DeliveryError;
use crate::sink::Parcel;

/// The ids of the sets that hold templates and options templates.
const TEMPLATE_SET: u16 = 2;
const OPTIONS_TEMPLATE_SET: u16 = 3;

/// Over UDP, templates go out at the beginning of each parcel and again after so many messages: a collector that was
/// away knows them soon.
const TEMPLATES_EVERY: u32 = 32;

/// An IPFIX exporting process for one collector.
///
/// Each ENI is an observation domain. Over TCP a message that fails ends the connection, and the parcel is sent again in
/// the next; over UDP what is lost on the way is lost, and the gap in the sequence tells.
#[derive(Debug)]
pub struct IpfixSink {
    link: Link,
    domains: Domains,
    message: Message,
    /// The data record at hand.
    record: Vec<u8>,
    common: Common,
}

/// What every domain begins with.
#[derive(Debug)]
struct Common {
    templates: Vec<u8>,
    options_templates: Vec<u8>,
    /// After how many messages the templates go out again; none if a collector can't miss them.
    every: Option<u32>,
}

#[derive(Debug)]
enum Link {
    Udp(Udp),
    Tcp(Tcp),
}

impl IpfixSink {
    /// A sink that has not sent anything yet.
    pub fn new(transport: Transport, endpoint: Endpoint) -> Self {
        let destination = Destination::Ipfix(transport, endpoint.clone()).to_string();
        let (link, limit) = match transport {
            Transport::Udp => (Link::Udp(Udp::new(destination, endpoint)), udp::MESSAGE_LIMIT),
            Transport::Tcp => (Link::Tcp(Tcp::new(destination, endpoint)), tcp::MESSAGE_LIMIT),
        };
        Self {
            link,
            domains: Domains::default(),
            message: Message::new(limit),
            record: Vec::new(),
            common: Common {
                templates: element::templates(),
                options_templates: element::options_templates(),
                every: (transport == Transport::Udp).then_some(TEMPLATES_EVERY),
            },
        }
    }

    /// Delivers a parcel. Records without traffic are no flows, and left out; the format is of no account.
    ///
    /// # Errors
    /// The collector's name does not resolve, nobody listens, or a connection breaks or stalls.
    pub async fn deliver(&mut self, parcel: &Parcel<'_>) -> Result<(), DeliveryError> {
        self.domains.begin();
        self.message.clear();
        if self.link.open().await? {
            self.domains.restart();
        }
        for records in parcel.by_interface().chunk_by(|one, next| one.interface.eni == next.interface.eni) {
            self.deliver_interface(records).await?;
        }
        self.link.settle().await?;
        self.domains.commit();
        Ok(())
    }

    /// Delivers the records of one ENI.
    async fn deliver_interface(&mut self, records: &[&FlowRecord]) -> Result<(), DeliveryError> {
        let Some(first) = records.first() else { return Ok(()) };
        let domain = self.domains.of(first.interface.eni);
        if self.common.every.is_some() {
            domain.templates_in = Some(0);
        }
        for record in records {
            self.record.clear();
            let template = match &record.observation {
                Observation::NoData => continue,
                Observation::Traffic(traffic) => element::flow(&mut self.record, record, traffic),
                Observation::SkipData(loss) => {
                    let totals = domain.add_loss(loss);
                    element::loss(&mut self.record, domain.id, &totals, record.start, record.end);
                    Template::Loss
                }
            };
            if self.message.is_empty() {
                self.common.begin(&mut self.message, domain);
            }
            if !self.message.put_record(template.id(), &self.record) {
                send(&mut self.link, &mut self.message, domain).await?;
                self.common.begin(&mut self.message, domain);
                self.message.put_record(template.id(), &self.record);
            }
        }
        send(&mut self.link, &mut self.message, domain).await
    }
}

impl Common {
    /// Begins a message: with templates, if they are due.
    fn begin(&self, message: &mut Message, domain: &mut Domain) {
        if domain.is_template_due() {
            message.put_templates(TEMPLATE_SET, &self.templates);
            message.put_templates(OPTIONS_TEMPLATE_SET, &self.options_templates);
            domain.templates_in = self.every;
        }
    }
}

/// Sends the message if there is anything in it, and empties it.
async fn send(link: &mut Link, message: &mut Message, domain: &mut Domain) -> Result<(), DeliveryError> {
    if message.is_empty() {
        return Ok(());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let export_time = u32::try_from(now).unwrap_or(u32::MAX);
    link.send(message.finish(domain.id, export_time, domain.sequence)).await?;
    domain.sequence = domain.sequence.wrapping_add(message.records());
    domain.templates_in = domain.templates_in.map(|messages| messages.saturating_sub(1));
    message.clear();
    Ok(())
}

impl Link {
    /// Is ready to send, and says whether to a collector that has seen nothing yet.
    async fn open(&mut self) -> Result<bool, DeliveryError> {
        match self {
            Self::Udp(udp) => udp.open().await.map(|()| false),
            Self::Tcp(tcp) => tcp.open().await,
        }
    }

    async fn send(&mut self, message: &[u8]) -> Result<(), DeliveryError> {
        match self {
            Self::Udp(udp) => udp.send(message).await,
            Self::Tcp(tcp) => tcp.send(message).await,
        }
    }

    async fn settle(&mut self) -> Result<(), DeliveryError> {
        match self {
            Self::Udp(udp) => udp.settle().await,
            Self::Tcp(tcp) => tcp.settle().await,
        }
    }
}

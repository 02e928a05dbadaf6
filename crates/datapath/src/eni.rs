//! ENIs: their slots, their ledgers, and the classes of what sends through them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;
use std::sync::PoisonError;
use std::time::Duration;

use enid_abi::{
    Address, ClassTag, Count, Direction, EniSlot, EniState, FlowCount, Ledger, MAX_GROUPS, ObjectId, Phase,
    Tick, slot_of,
};
use enid_model::{EniNumber, IdleTimeouts, MacAddress, Mtu, SecurityGroupId, TrafficClass};

use crate::Datapath;
use crate::clock::Ticks;
use crate::error::DatapathError;
use crate::policy::MapId as _;
use crate::sys;

/// What the programs are told of an ENI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EniSettings {
    /// Its number.
    pub number: EniNumber,
    /// Its MAC.
    pub mac: MacAddress,
    /// Its MTU.
    pub mtu: Mtu,
    /// Its IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// Its security groups, at most [`MAX_GROUPS`]; further ones are left out.
    pub groups: Vec<SecurityGroupId>,
    /// How long a tracked TCP connection may be idle.
    pub tcp_established: Duration,
    /// How long UDP may be idle that was answered at most once.
    pub udp: Duration,
    /// How long UDP may be idle that has had more than one request and response.
    pub udp_stream: Duration,
    /// How long TCP may be idle before both sides were seen established.
    pub tcp_opening: Duration,
    /// How long TCP may be idle after a reset, or after both sides have finished.
    pub tcp_closing: Duration,
    /// How long any other protocol may be idle.
    pub other: Duration,
    /// The most flow entries that it may have.
    pub flow_limit: u32,
}

impl EniSettings {
    /// An ENI without groups, so that nothing may pass, with idle times as VPCs have them by default
    /// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security-group-connection-tracking.html>; those before and
    /// after a TCP connection are not documented there) and no limit of its own.
    pub const fn new(number: EniNumber, mac: MacAddress, mtu: Mtu) -> Self {
        Self {
            number,
            mac,
            mtu,
            ipv4: None,
            ipv6: None,
            groups: Vec::new(),
            tcp_established: Duration::from_hours(120),
            udp: Duration::from_secs(30),
            udp_stream: Duration::from_mins(3),
            tcp_opening: Duration::from_mins(1),
            tcp_closing: Duration::from_secs(10),
            other: Duration::from_mins(10),
            flow_limit: u32::MAX,
        }
    }

    /// The same, but for how long flows of the kinds that can be set for an ENI may be idle.
    #[must_use]
    pub fn with_idle_timeouts(self, timeouts: &IdleTimeouts) -> Self {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Self {
            tcp_established: seconds(timeouts.tcp_established.seconds()),
            udp: seconds(timeouts.udp.seconds()),
            udp_stream: seconds(timeouts.udp_stream.seconds()),
            ..self
        }
    }

    fn slot(&self, ticks: &Ticks) -> EniSlot {
        let mut groups = [ObjectId::default(); MAX_GROUPS];
        for (place, group) in groups.iter_mut().zip(&self.groups) {
            *place = group.object_id();
        }
        let mut mac = [0; 8];
        for (place, octet) in mac.iter_mut().zip(self.mac.octets()) {
            *place = octet;
        }
        EniSlot {
            number: self.number.get(),
            state: EniState::Open as u32,
            mac,
            mtu: self.mtu.get(),
            ipv4: self.ipv4.map_or(EniSlot::NO_ADDRESS, |address| words(address.to_ipv6_mapped())),
            ipv6: self.ipv6.map_or(EniSlot::NO_ADDRESS, words),
            idle: Phase::ALL.map(|phase| self.idle(phase, ticks)),
            flow_limit: self.flow_limit,
            #[allow(clippy::cast_possible_truncation, reason = "at most 5")]
            group_count: self.groups.len().min(MAX_GROUPS) as u32,
            groups,
            ..EniSlot::default()
        }
    }

    fn idle(&self, phase: Phase, ticks: &Ticks) -> Tick {
        ticks.ticks_of(match phase {
            Phase::Opening => self.tcp_opening,
            Phase::Established => self.tcp_established,
            Phase::Closing => self.tcp_closing,
            Phase::Udp | Phase::UdpAnswered | Phase::UdpAskedAgain => self.udp,
            Phase::UdpStream => self.udp_stream,
            Phase::Other => self.other,
        })
    }
}

/// An address in the words of flow keys: its octets as they are in memory.
pub(crate) fn words(address: Ipv6Addr) -> Address {
    let bits = u128::from_be_bytes(address.octets());
    #[allow(clippy::cast_possible_truncation, reason = "the halves are meant")]
    [((bits >> 64) as u64).to_be(), (bits as u64).to_be()]
}

/// The ledgers of an ENI, summed over the CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledgers {
    /// What the task sent.
    pub egress: Ledger,
    /// What arrived for it.
    pub ingress: Ledger,
}

impl Ledgers {
    /// The ledger of a direction.
    pub const fn of(&self, direction: Direction) -> &Ledger {
        match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        }
    }

    /// Ledger (b) of both directions.
    pub const fn wire(&self) -> Count {
        let mut sum = self.egress.wire();
        sum.add(self.ingress.wire());
        sum
    }
}

impl Datapath {
    /// Whether an ENI with this number could be opened: its slot is free, or its own.
    pub fn is_free(&self, number: EniNumber) -> Result<bool, DatapathError> {
        let slot = self.slot(number)?;
        Ok(slot.state == EniState::Unused as u32 || slot.holds(number.get()))
    }

    /// Opens an ENI, or sets an open one anew: packets of it are counted and passed on. A new ENI begins with ledgers of zero; one that was
    /// open or closed before keeps its own. Fails if its slot is another's.
    pub fn open_eni(&self, settings: &EniSettings) -> Result<(), DatapathError> {
        let _one_at_a_time = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let number = settings.number;
        let slot = self.slot(number)?;
        if !slot.holds(number.get()) {
            if slot.state != EniState::Unused as u32 {
                return Err(DatapathError::SlotTaken { number, holder: slot.number });
            }
            // Now and not when the slot was left, as a program may then still have been adding.
            self.ledgers.clear(self.ledger_index(number, Direction::Egress))?;
            self.ledgers.clear(self.ledger_index(number, Direction::Ingress))?;
            let index = slot_of(number.get(), self.eni_mask);
            self.flow_counts.set(&index, &FlowCount::default())?;
            self.flows_deleted.set(&index, &[0; 2])?;
        }
        self.write(number, settings.slot(&self.ticks))
    }

    /// Closes an ENI: packets of it are counted in the bucket `closed` and dropped. Its flows get no more packets.
    pub fn close_eni(&self, number: EniNumber) -> Result<(), DatapathError> {
        let _one_at_a_time = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = self.own_slot(number)?;
        self.write(number, EniSlot { state: EniState::Closed as u32, ..slot })
    }

    /// Gives up the slot of an ENI, and with it the ledgers. Nothing happens if it has none.
    pub fn remove_eni(&self, number: EniNumber) -> Result<(), DatapathError> {
        let _one_at_a_time = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        match self.own_slot(number) {
            Ok(_) => self.write(number, EniSlot::default()),
            Err(DatapathError::UnknownEni(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The numbers of the ENIs that are open or closed.
    pub fn enis(&self) -> Result<Vec<EniNumber>, DatapathError> {
        let mut numbers = Vec::new();
        for index in 0..=self.eni_mask {
            let slot = self.enis.get(&index)?.unwrap_or_default();
            if slot.state != EniState::Unused as u32 {
                let corrupt = |_| DatapathError::Corrupt { what: "an ENI number of", value: slot.number };
                numbers.push(EniNumber::try_from(slot.number).map_err(corrupt)?);
            }
        }
        Ok(numbers)
    }

    /// The ledgers of an ENI that is open or closed.
    pub fn ledgers(&self, number: EniNumber) -> Result<Ledgers, DatapathError> {
        self.own_slot(number)?;
        Ok(Ledgers {
            egress: self.ledger(number, Direction::Egress)?,
            ingress: self.ledger(number, Direction::Ingress)?,
        })
    }

    /// Tags what the sockets of a cgroup send through an ENI. The id is the cgroup directory's inode (cgroup v2).
    pub fn set_class(
        &self,
        cgroup: u64,
        number: EniNumber,
        class: TrafficClass,
    ) -> Result<(), DatapathError> {
        let tag = ClassTag { eni: number.get(), class: class.number(), ..ClassTag::default() };
        self.classes.set(&cgroup, &tag)
    }

    /// Takes a cgroup's tag away. Flows that have it keep it. Nothing happens if there is none.
    pub fn remove_class(&self, cgroup: u64) -> Result<(), DatapathError> {
        self.classes.remove(&cgroup).map(drop)
    }

    /// Tags what a socket sends through an ENI, before its cgroup's tag. It has to be done before the socket sends; the
    /// tag goes with the socket.
    pub fn set_socket_class(
        &self,
        socket: BorrowedFd<'_>,
        number: EniNumber,
        class: TrafficClass,
    ) -> Result<(), DatapathError> {
        let tag = ClassTag { eni: number.get(), class: class.number(), ..ClassTag::default() };
        self.socket_classes.set(&sys::number(socket), &tag)
    }

    /// The cgroups whose sockets are tagged, each with the ENI.
    pub fn classes(&self) -> Result<Vec<(u64, u32)>, DatapathError> {
        let mut classes = Vec::new();
        self.classes.for_each(&mut |cgroup, tag| classes.push((*cgroup, tag.eni)))?;
        Ok(classes)
    }

    fn ledger(&self, number: EniNumber, direction: Direction) -> Result<Ledger, DatapathError> {
        let mut sum = Ledger::default();
        for of_cpu in self.ledgers.get(self.ledger_index(number, direction))? {
            sum.add(&of_cpu);
        }
        Ok(sum)
    }

    fn slot(&self, number: EniNumber) -> Result<EniSlot, DatapathError> {
        let index = slot_of(number.get(), self.eni_mask);
        Ok(self.enis.get(&index)?.unwrap_or_default())
    }

    pub(crate) fn own_slot(&self, number: EniNumber) -> Result<EniSlot, DatapathError> {
        let slot = self.slot(number)?;
        if slot.holds(number.get()) { Ok(slot) } else { Err(DatapathError::UnknownEni(number)) }
    }

    fn write(&self, number: EniNumber, slot: EniSlot) -> Result<(), DatapathError> {
        self.enis.set(&slot_of(number.get(), self.eni_mask), &slot)
    }

    fn ledger_index(&self, number: EniNumber, direction: Direction) -> u32 {
        direction.ledger_of(slot_of(number.get(), self.eni_mask))
    }
}

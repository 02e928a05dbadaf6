//! `[[vpc.subnet]]`.

use crate::{Ipv4Cidr, Ipv6Cidr, Name};

use super::block::{self, Block};
use super::problem::{Place, Placed, Report};
use super::spec::SubnetSpec;
use super::table::Table;

const FIELDS: [&str; 4] = ["name", "zone", "ipv4_cidr", "ipv6_cidr"];

/// What could be read of a subnet.
pub(super) struct SubnetDraft {
    place: Place,
    pub(super) name: Option<Placed<Name>>,
    zone: Option<Placed<Name>>,
    pub(super) ipv4: Option<Placed<Ipv4Cidr>>,
    pub(super) ipv6: Option<Placed<Ipv6Cidr>>,
}

impl SubnetDraft {
    /// The whole, if no required field is missing or refused.
    pub(super) fn spec(self) -> Option<SubnetSpec> {
        Some(SubnetSpec {
            name: self.name?.value,
            zone: self.zone?.value,
            ipv4_cidr: self.ipv4.map(|block| block.value),
            ipv6_cidr: self.ipv6.map(|block| block.value),
        })
    }

    /// The name, or failing that the path.
    fn label(&self) -> &str {
        self.name.as_ref().map_or(&self.place.field, |name| name.value.as_str())
    }
}

pub(super) fn read(table: &Table<'_>, report: &mut Report<'_>) -> SubnetDraft {
    table.refuse_unknown(&FIELDS, report);
    let draft = SubnetDraft {
        place: table.place.clone(),
        name: table.require("name", "the subnet's name, unique in its VPC, as `name = \"a\"`", report),
        zone: table.require("zone", "the availability zone, as `zone = \"local-a\"`", report),
        ipv4: block::read(table, "a subnet", &Ipv4Cidr::SUBNET_PREFIXES, report),
        ipv6: block::read(table, "a subnet", &Ipv6Cidr::SUBNET_PREFIXES, report),
    };
    block::require_one(table, "a subnet", report);
    draft
}

/// Refuses blocks outside the VPC's and blocks that overlap. Whether the VPC has the field tells a family that it
/// lacks from one whose block was refused already.
pub(super) fn check_blocks<'d, B: Block + 'd>(
    subnets: impl Iterator<Item = (&'d SubnetDraft, Option<&'d Placed<B>>)>,
    vpc: Option<&Placed<B>>,
    vpc_has_field: bool,
    report: &mut Report<'_>,
) {
    let mut earlier: Vec<(&SubnetDraft, &Placed<B>)> = Vec::new();
    for (subnet, block) in subnets {
        let Some(block) = block else { continue };
        let cidr = block.value;
        match vpc {
            Some(vpc) if !vpc.value.covers(cidr) => {
                let (whole, line) = (vpc.value, report.line(&vpc.place));
                report.add(&block.place, format!("{cidr} is outside the VPC's block {whole} (line {line})"));
            }
            None if !vpc_has_field => {
                let (family, field) = (B::FAMILY, B::FIELD);
                report.add(&block.place, format!("the VPC has no {family} block: give it {field} first"));
            }
            _ => {}
        }
        // The first is enough: a block that is everywhere would be reported once for every pair.
        let taken = earlier.iter().find(|(_, taken)| taken.value.overlaps(cidr));
        if let Some((other, taken)) = taken {
            let (label, line) = (other.label(), report.line(&taken.place));
            let reason = format!("{cidr} overlaps {} of subnet {label} (line {line})", taken.value);
            report.add(&block.place, reason);
        }
        earlier.push((subnet, block));
    }
}

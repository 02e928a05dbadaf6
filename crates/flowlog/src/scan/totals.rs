//! Adding up the records of a row group, column by column: each distinct key is looked up once.

use crate::field::Field;
use crate::record::Direction;
use crate::scan::column::Column;
use crate::scan::parquet::Rows;
use crate::summary::{GroupBy, Summary, Totals};
use crate::value::Value;

/// A column of keys, and what the records of each have together; the last are those without a key.
struct Keys<'a> {
    column: &'a Column,
    totals: Vec<Totals>,
}

impl<'a> Keys<'a> {
    fn new(column: &'a Column) -> Self {
        Self { column, totals: vec![Totals::default(); column.distinct() + 1] }
    }

    fn add(&mut self, row: usize, packets: u64, bytes: u64) {
        let index = self.column.index(row).min(self.column.distinct());
        if let Some(totals) = self.totals.get_mut(index) {
            totals.add(packets, bytes);
        }
    }

    fn add_to(self, summary: &mut Summary) {
        for (index, totals) in self.totals.into_iter().enumerate().filter(|(_, totals)| totals.flows > 0) {
            summary.add_totals(self.column.value_at(index), totals);
        }
    }
}

/// Adds the records up; none where that takes record by record.
pub(crate) fn add(rows: &Rows, summary: &mut Summary) -> Option<()> {
    if rows.has_bad() {
        return None;
    }
    let (packets, bytes) = (rows.column(Field::Packets)?, rows.column(Field::Bytes)?);
    let counted = |row: &u32| {
        let row = *row as usize;
        Some((row, packets.number(row)?, bytes.number(row)?))
    };
    let counted = rows.selected().iter().filter_map(counted);
    let group_by = summary.group_by();
    let one_side = match group_by {
        GroupBy::Class => Some(Field::TrafficClass),
        GroupBy::Task => Some(Field::TaskName),
        GroupBy::Eni => Some(Field::InterfaceId),
        GroupBy::Reason => Some(Field::DropReason),
        GroupBy::Peer | GroupBy::Service | GroupBy::Port => None,
    };
    if let Some(field) = one_side {
        let mut keys = Keys::new(rows.column(field)?);
        for (row, packets, bytes) in counted {
            keys.add(row, packets, bytes);
        }
        keys.add_to(summary);
        return Some(());
    }
    let (ingress, egress) = match group_by {
        GroupBy::Peer => (Field::SrcAddr, Field::DstAddr),
        GroupBy::Service => (Field::PktSrcAwsService, Field::PktDstAwsService),
        _ => return None,
    };
    let direction = rows.column(Field::FlowDirection)?;
    let egress_word = Some(Value::Text(Direction::Egress.as_str()));
    let is_egress: Vec<_> =
        (0..direction.distinct()).map(|index| direction.value_at(index) == egress_word).collect();
    let (mut ingress, mut egress) = (Keys::new(rows.column(ingress)?), Keys::new(rows.column(egress)?));
    let mut unknown = Totals::default();
    for (row, packets, bytes) in counted {
        match is_egress.get(direction.index(row)) {
            Some(true) => egress.add(row, packets, bytes),
            Some(false) => ingress.add(row, packets, bytes),
            None => unknown.add(packets, bytes),
        }
    }
    ingress.add_to(summary);
    egress.add_to(summary);
    if unknown.flows > 0 {
        summary.add_totals(None, unknown);
    }
    Some(())
}

//! A column of a row group: its distinct values, checked once each, and which of them each row has.

use std::collections::BTreeMap;
use std::net::IpAddr;

use enid_model::{EniId, SubnetId, VpcId};

use crate::error::LineError;
use crate::field::{Field, FieldKind};
use crate::parse::check_value;
use crate::value::{Fields as _, Value};

/// The index of rows without a value.
pub(crate) const NULL: u32 = u32::MAX;

/// The rows that room is made for at once: how many there are is a file's word, which may be corrupt.
const ROOM_FOR_ROWS: usize = 1 << 20;

/// A column in memory.
#[derive(Debug)]
pub(crate) struct Column {
    field: Field,
    indices: Vec<u32>,
    values: Values,
    /// The values that are not of their field's form, by their indices.
    bad: BTreeMap<u32, LineError>,
    largest: u64,
}

#[derive(Debug)]
enum Values {
    Numbers(Vec<u64>),
    Addresses(Vec<IpAddr>),
    Enis(Vec<EniId>),
    Vpcs(Vec<VpcId>),
    Subnets(Vec<SubnetId>),
    Texts(Vec<Box<str>>),
}

impl Column {
    /// An empty column, with room for so many rows.
    pub(crate) fn new(field: Field, rows: usize) -> Self {
        let values = match field {
            Field::InterfaceId | Field::NextHopInterfaceId => Values::Enis(Vec::new()),
            Field::VpcId | Field::NextHopVpcId => Values::Vpcs(Vec::new()),
            Field::SubnetId | Field::NextHopSubnetId => Values::Subnets(Vec::new()),
            _ => match field.kind() {
                FieldKind::Small | FieldKind::Count => Values::Numbers(Vec::new()),
                FieldKind::Address => Values::Addresses(Vec::new()),
                FieldKind::Text => Values::Texts(Vec::new()),
            },
        };
        let largest = match field {
            Field::SrcPort | Field::DstPort => u16::MAX.into(),
            _ if field.kind() == FieldKind::Small => u8::MAX.into(),
            _ => u64::MAX,
        };
        Self {
            field,
            indices: Vec::with_capacity(rows.min(ROOM_FOR_ROWS)),
            values,
            bad: BTreeMap::new(),
            largest,
        }
    }

    pub(crate) const fn field(&self) -> Field {
        self.field
    }

    /// The rows that there are so far, as indices of values or [`NULL`]; readers append theirs.
    pub(crate) const fn indices(&mut self) -> &mut Vec<u32> {
        &mut self.indices
    }

    /// How many rows there are so far.
    pub(crate) const fn rows(&self) -> usize {
        self.indices.len()
    }

    fn next_index(&self) -> u32 {
        let length = match &self.values {
            Values::Numbers(values) => values.len(),
            Values::Addresses(values) => values.len(),
            Values::Enis(values) => values.len(),
            Values::Vpcs(values) => values.len(),
            Values::Subnets(values) => values.len(),
            Values::Texts(values) => values.len(),
        };
        // A row group has fewer rows than that: see the limit where it is read.
        u32::try_from(length).unwrap_or(NULL)
    }

    /// Adds a number to the values, and returns its index.
    pub(crate) fn push_number(&mut self, number: i64) -> u32 {
        match (&mut self.values, u64::try_from(number)) {
            (Values::Numbers(values), Ok(number)) if number <= self.largest => {
                values.push(number);
                self.next_index() - 1
            }
            _ => self.push_text(number.to_string().as_bytes()),
        }
    }

    /// Adds a text to the values, in the form of its field, and returns its index: [`NULL`] for `-`, which some
    /// writers put where others put nothing.
    pub(crate) fn push_text(&mut self, text: &[u8]) -> u32 {
        if text == b"-" {
            return NULL;
        }
        let index = self.next_index();
        match std::str::from_utf8(text)
            .map_err(|_| LineError::NotText)
            .and_then(|text| self.push_checked(text))
        {
            Ok(()) => {}
            Err(reason) => {
                self.bad.insert(index, reason);
                self.push_placeholder();
            }
        }
        index
    }

    fn push_checked(&mut self, text: &str) -> Result<(), LineError> {
        if let Values::Addresses(values) = &mut self.values
            && let Ok(address) = text.parse()
        {
            values.push(address);
            return Ok(());
        }
        let record = check_value(self.field, text)?;
        match (&mut self.values, record.value(self.field)) {
            (Values::Numbers(values), Some(Value::Number(number))) => values.push(number),
            (Values::Enis(values), Some(Value::Eni(id))) => values.push(id),
            (Values::Vpcs(values), Some(Value::Vpc(id))) => values.push(id),
            (Values::Subnets(values), Some(Value::Subnet(id))) => values.push(id),
            (Values::Texts(values), Some(Value::Text(text))) => values.push(text.into()),
            // The version, which is checked and not kept.
            _ => self.push_placeholder(),
        }
        Ok(())
    }

    /// Takes the place of a value that is not shown.
    fn push_placeholder(&mut self) {
        match &mut self.values {
            Values::Numbers(values) => values.push(0),
            Values::Addresses(values) => values.push(IpAddr::from([0; 4])),
            Values::Enis(values) => values.extend("eni-00000000000000000".parse::<EniId>()),
            Values::Vpcs(values) => values.extend("vpc-00000000000000000".parse::<VpcId>()),
            Values::Subnets(values) => values.extend("subnet-00000000000000000".parse::<SubnetId>()),
            Values::Texts(values) => values.push("".into()),
        }
    }

    /// How many values there are to choose from.
    pub(crate) fn distinct(&self) -> usize {
        self.next_index() as usize
    }

    /// Which of the values the row has; none of them where it has none.
    pub(crate) fn index(&self, row: usize) -> usize {
        self.indices.get(row).map_or(NULL as usize, |index| *index as usize)
    }

    /// The row's number, in a column of numbers.
    pub(crate) fn number(&self, row: usize) -> Option<u64> {
        match &self.values {
            Values::Numbers(values) => values.get(self.index(row)).copied(),
            _ => None,
        }
    }

    /// The row's value.
    pub(crate) fn value(&self, row: usize) -> Option<Value<'_>> {
        self.value_at(self.index(row))
    }

    /// One of the values.
    pub(crate) fn value_at(&self, index: usize) -> Option<Value<'_>> {
        match &self.values {
            Values::Numbers(values) => values.get(index).map(|number| Value::Number(*number)),
            Values::Addresses(values) => values.get(index).map(|address| Value::Address(*address)),
            Values::Enis(values) => values.get(index).map(|id| Value::Eni(*id)),
            Values::Vpcs(values) => values.get(index).map(|id| Value::Vpc(*id)),
            Values::Subnets(values) => values.get(index).map(|id| Value::Subnet(*id)),
            Values::Texts(values) => values.get(index).map(|text| Value::Text(text)),
        }
    }

    /// Whether any value is not of its field's form.
    pub(crate) fn has_bad(&self) -> bool {
        !self.bad.is_empty()
    }

    /// What is wrong with the row's value.
    pub(crate) fn bad(&self, row: usize) -> Option<&LineError> {
        self.bad.get(self.indices.get(row)?)
    }
}

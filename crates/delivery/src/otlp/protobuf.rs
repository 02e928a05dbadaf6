//! Protobuf's wire format, as far as log records need it: messages within messages, written in one pass.
//!
//! Generated types hold each attribute's name as text of its own, and so allocate some fifty times a record; these
//! functions don't.

/// A message being written; fields in the order of the calls.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) octets: Vec<u8>,
}

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;

impl Writer {
    /// A field of type int64 or bool.
    pub(super) fn varint(&mut self, field: u32, value: u64) {
        self.key(field, VARINT);
        self.raw_varint(value);
    }

    /// A field of type fixed64.
    pub(super) fn fixed64(&mut self, field: u32, value: u64) {
        self.key(field, FIXED64);
        self.octets.extend(value.to_le_bytes());
    }

    /// A field of type string or bytes, or a message that is written already.
    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        self.key(field, LENGTH_DELIMITED);
        self.raw_varint(value.len() as u64);
        self.octets.extend_from_slice(value);
    }

    /// A field that is a message.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        self.key(field, LENGTH_DELIMITED);
        // Most messages here are shorter than 128 octets, and their length takes one; the others are moved.
        let at = self.octets.len();
        self.octets.push(0);
        write(self);
        let length = self.octets.len() - at - 1;
        if let (Ok(length @ 0..0x80), Some(place)) = (u8::try_from(length), self.octets.get_mut(at)) {
            *place = length;
            return;
        }
        let mut prefix = Self::default();
        prefix.raw_varint(length as u64);
        self.octets.splice(at..=at, prefix.octets);
    }

    fn key(&mut self, field: u32, wire_type: u32) {
        self.raw_varint(u64::from(field << 3 | wire_type));
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.octets.push(low(value) | 0x80);
            value >>= 7;
        }
        self.octets.push(low(value));
    }
}

/// The lowest octet.
const fn low(value: u64) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_right_whatever_octets_they_take() {
        for length in [0, 1, 127, 128, 129, 16_383, 16_384, 3_000_000] {
            let mut direct = Writer::default();
            direct.bytes(3, &vec![7; length]);
            let mut nested = Writer::default();
            nested.message(3, |message| message.octets.extend(vec![7; length]));
            assert_eq!(nested.octets, direct.octets, "{length}");
        }
    }
}

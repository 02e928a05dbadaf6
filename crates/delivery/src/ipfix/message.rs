//! One IPFIX message (RFC 7011, 3.1): a header, and sets of templates and records.

const VERSION: u16 = 10;
const HEADER: usize = 16;
const SET_HEADER: usize = 4;

/// A message on the make.
#[derive(Debug)]
pub(super) struct Message {
    octets: Vec<u8>,
    /// The most octets that it may have.
    limit: usize,
    /// The id of the set at the end and where it begins.
    set: Option<(u16, usize)>,
    /// Data records in it, those of options among them: what the sequence number counts.
    records: u32,
}

impl Message {
    /// An empty message of at most so many octets, 65,535 at most.
    pub(super) fn new(limit: usize) -> Self {
        Self { octets: vec![0; HEADER], limit: limit.min(usize::from(u16::MAX)), set: None, records: 0 }
    }

    /// Adds a set of templates.
    pub(super) fn put_templates(&mut self, set: u16, templates: &[u8]) {
        self.open(set);
        self.octets.extend_from_slice(templates);
    }

    /// Adds a data record to its set, if there is room for it.
    pub(super) fn put_record(&mut self, set: u16, record: &[u8]) -> bool {
        let is_open = self.set.is_some_and(|(id, _)| id == set);
        let more = record.len() + if is_open { 0 } else { SET_HEADER };
        if self.octets.len() + more > self.limit {
            return false;
        }
        if !is_open {
            self.open(set);
        }
        self.octets.extend_from_slice(record);
        self.records += 1;
        true
    }

    fn open(&mut self, set: u16) {
        self.close();
        self.set = Some((set, self.octets.len()));
        self.octets.extend(set.to_be_bytes());
        self.octets.extend([0; 2]);
    }

    /// Writes the length of the set at the end.
    fn close(&mut self) {
        if let Some((_, start)) = self.set.take() {
            let length = self.octets.len() - start;
            self.overwrite(start + 2, &short(length));
        }
    }

    fn overwrite(&mut self, at: usize, with: &[u8]) {
        if let Some(place) = self.octets.get_mut(at..at + with.len()) {
            place.copy_from_slice(with);
        }
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.octets.len() == HEADER
    }

    /// How many data records it has.
    pub(super) const fn records(&self) -> u32 {
        self.records
    }

    /// The octets to send: from this observation domain, now, after so many of its data records.
    pub(super) fn finish(&mut self, domain: u32, export_time: u32, sequence: u32) -> &[u8] {
        self.close();
        let length = short(self.octets.len());
        self.overwrite(0, &VERSION.to_be_bytes());
        self.overwrite(2, &length);
        self.overwrite(4, &export_time.to_be_bytes());
        self.overwrite(8, &sequence.to_be_bytes());
        self.overwrite(12, &domain.to_be_bytes());
        &self.octets
    }

    /// Makes it empty.
    pub(super) fn clear(&mut self) {
        self.octets.truncate(HEADER);
        self.set = None;
        self.records = 0;
    }
}

/// A length, which the limit keeps within 16 bits.
fn short(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_one_kind_share_a_set() {
        let mut message = Message::new(100);
        message.put_templates(2, &[7; 8]);
        assert!(message.put_record(256, &[1; 10]));
        assert!(message.put_record(256, &[2; 10]));
        assert!(message.put_record(257, &[3; 6]));
        assert_eq!(message.records(), 3);
        let expected: Vec<u8> = [
            [0, 10, 0, 16 + 12 + 24 + 10].as_slice(),
            &[0, 0, 0, 5, 0, 0, 0, 9, 0, 0, 0, 8],
            &[0, 2, 0, 12, 7, 7, 7, 7, 7, 7, 7, 7],
            &[1, 0, 0, 24],
            &[1; 10],
            &[2; 10],
            &[1, 1, 0, 10, 3, 3, 3, 3, 3, 3],
        ]
        .concat();
        assert_eq!(message.finish(8, 5, 9), expected);
    }

    #[test]
    fn a_record_that_does_not_fit_is_left_for_the_next() {
        let mut message = Message::new(16 + 4 + 20);
        assert!(message.is_empty());
        assert!(message.put_record(256, &[1; 20]));
        assert!(!message.put_record(256, &[1; 1]));
        assert_eq!(message.finish(0, 0, 0).len(), 40);
        message.clear();
        assert!(message.is_empty() && message.records() == 0);
        assert!(message.put_record(257, &[1; 20]));
    }
}

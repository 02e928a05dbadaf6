//! Says when the flow table is about to be full.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::accounting::{Accounting, FlowTable};
use crate::events::{EventKind, Events};

/// Whether the flow table was filling when it was looked at last.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    is_filling: AtomicBool,
}

impl Filling {
    /// Looks how full the table is, and tells once if that is much. It blocks.
    pub(crate) fn look(&self, accounting: &Accounting, events: &Events) {
        match accounting.flow_table() {
            Ok(table) => self.note(&table, events),
            Err(error) => tracing::warn!(%error, "how full the flow table is can't be told"),
        }
    }

    fn note(&self, &FlowTable { entries, capacity }: &FlowTable, events: &Events) {
        let capacity = u64::from(capacity);
        let was_filling = self.is_filling.load(Ordering::Relaxed);
        // From three quarters on, and until it is half empty: not each time it wavers.
        let is_filling = if was_filling { entries * 2 > capacity } else { entries * 4 >= capacity * 3 };
        self.is_filling.store(is_filling, Ordering::Relaxed);
        if is_filling && !was_filling {
            tracing::warn!(entries, capacity, "the flow table is filling");
            events.host(EventKind::FlowTableFilling, vec![format!("{entries} of {capacity} entries in use")]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_until_there_is_room_again() {
        let (events, filling) = (Events::default(), Filling::default());
        let (mut receiver, _) = events.watch();
        let mut told = |entries| {
            filling.note(&FlowTable { entries, capacity: 1000 }, &events);
            receiver.try_recv().ok().map(|event| event.details)
        };
        assert_eq!(told(749), None);
        assert_eq!(told(750), Some(vec!["750 of 1000 entries in use".to_owned()]));
        assert_eq!(told(1000), None);
        assert_eq!(told(501), None);
        assert_eq!(told(800), None);
        assert_eq!(told(500), None);
        assert!(told(750).is_some());
    }
}

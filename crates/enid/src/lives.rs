//! The lives of tasks: whoever works for one learns that it is over.

use std::collections::HashMap;

use enid_model::EniId;
use tokio::sync::watch;

/// The lives that somebody looks at.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    /// Of which nothing is ever sent: dropping one ends the life.
    ends: HashMap<EniId, watch::Sender<()>>,
}

impl Lives {
    /// The life of a task that is there, by its ENI: a name may be another task's later.
    pub(crate) fn of(&mut self, eni: EniId) -> Life {
        Life(self.ends.entry(eni).or_insert_with(|| watch::Sender::new(())).subscribe())
    }

    /// Ends one.
    pub(crate) fn end(&mut self, eni: EniId) {
        self.ends.remove(&eni);
    }
}

/// The life of a task.
#[derive(Debug, Clone)]
pub(crate) struct Life(watch::Receiver<()>);

impl Life {
    /// Until the task is deleted.
    pub(crate) async fn ended(&mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_life_ends_for_all_who_look_and_for_nobody_else() {
        let (one, other) = (EniId::random(), EniId::random());
        let mut lives = Lives::default();
        let (mut first, mut second, mut third) = (lives.of(one), lives.of(one), lives.of(other));
        assert!(first.ended().now_or_never().is_none());
        lives.end(one);
        first.ended().await;
        second.ended().await;
        assert!(third.ended().now_or_never().is_none());
        // Another of the same ENI would be another life.
        assert!(lives.of(one).ended().now_or_never().is_none());
    }
}

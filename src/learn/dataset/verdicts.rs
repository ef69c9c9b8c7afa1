//! What people said of frames, as labels.

use std::collections::BTreeMap;

use super::DatasetError;
use crate::evidence::{Judgement, VERDICT_SCHEMA, Verdict};
use crate::ship::Store;

/// The verdicts of a store that count, by the frame's id.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    by_frame: BTreeMap<String, Verdict>,
    /// Verdicts in the store that are none.
    pub(super) unreadable: usize,
}

impl Verdicts {
    /// Reads all: of those on a frame the last counts.
    pub(super) async fn read(store: &Store) -> Result<Self, DatasetError> {
        let mut verdicts = Self::default();
        for name in store.verdicts().await? {
            let content = store.read(&name).await?;
            match serde_json::from_slice::<Verdict>(&content) {
                Ok(verdict) if verdict.schema == VERDICT_SCHEMA => verdicts.add(verdict),
                _ => verdicts.unreadable += 1,
            }
        }
        Ok(verdicts)
    }

    fn add(&mut self, verdict: Verdict) {
        let order = |verdict: &Verdict| (verdict.revision, verdict.at, verdict.id.clone());
        if self.by_frame.get(&verdict.frame).is_none_or(|known| order(known) < order(&verdict)) {
            self.by_frame.insert(verdict.frame.clone(), verdict);
        }
    }

    pub(super) fn take(&mut self, frame: &str) -> Option<Verdict> {
        self.by_frame.remove(frame)
    }
}

/// The word for what was said of a frame, or that nothing was.
pub(super) fn word(judgement: Option<Judgement>) -> &'static str {
    judgement.map_or("none", Judgement::name)
}

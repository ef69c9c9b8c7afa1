//! Running counts beyond the life of a scene: what they were, so that another scene goes on from there.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Scene;
use crate::event::Counted;

/// A count and when it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// When counting began.
    pub since: DateTime<Utc>,
    /// What was counted.
    pub counted: Counted,
}

impl Scene {
    /// Goes on from earlier counts, by rule. A rule that did not count before begins at nothing.
    pub fn resume(&mut self, earlier: &BTreeMap<String, Kept>) {
        for zone in &mut self.zones {
            if let Some(kept) = earlier.get(&zone.scope.name) {
                zone.resume(kept.since, &kept.counted);
            }
        }
        for line in &mut self.lines {
            if let Some(kept) = earlier.get(&line.scope.name) {
                line.resume(kept.since, &kept.counted);
            }
        }
    }

    /// Begins all counts anew, and gives them.
    pub fn reset(&mut self, now: DateTime<Utc>) -> Vec<(String, Counted)> {
        self.zones.iter_mut().for_each(|zone| zone.reset(now));
        self.lines.iter_mut().for_each(|line| line.reset(now));
        self.counted()
    }

    /// All counts, by rule.
    fn counted(&self) -> Vec<(String, Counted)> {
        let zones = self.zones.iter().map(|zone| (zone.scope.name.clone(), zone.counted()));
        zones.chain(self.lines.iter().map(|line| (line.scope.name.clone(), line.counted()))).collect()
    }
}

//! The running counts of all cameras, as they survive a restart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::event::Count;
use crate::scene::Kept;

/// What was counted, by camera and rule.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Counts {
    cameras: BTreeMap<String, BTreeMap<String, Kept>>,
    /// Whether something changed since it was written.
    #[serde(skip)]
    changed: bool,
    /// Whether it was said that they can't be written.
    #[serde(skip)]
    trouble: bool,
}

impl Counts {
    /// Notes a count.
    pub(super) fn note(&mut self, count: &Count) {
        let rules = self.cameras.entry(count.camera.clone()).or_default();
        rules.insert(count.rule.clone(), Kept { since: count.since, counted: count.counted.clone() });
        self.changed = true;
    }

    /// A camera's counts.
    pub(super) fn of(&self, camera: &str) -> BTreeMap<String, Kept> {
        self.cameras.get(camera).cloned().unwrap_or_default()
    }

    /// Forgets the counts of cameras and rules that are no more.
    pub(super) fn settle(&mut self, config: &Config) {
        let before: usize = self.cameras.values().map(BTreeMap::len).sum();
        for (name, rules) in &mut self.cameras {
            let camera = config.cameras.get(name.as_str());
            rules.retain(|rule, _| camera.is_some_and(|camera| camera.rules().any(|name| **name == **rule)));
        }
        self.cameras.retain(|_, rules| !rules.is_empty());
        self.changed |= self.cameras.values().map(BTreeMap::len).sum::<usize>() != before;
    }

    /// The counts as they are to be written, where they changed since the last call.
    pub(super) fn news(&mut self) -> Option<serde_json::Value> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        serde_json::to_value(&*self).ok()
    }

    /// Whether what [`Counts::news`] gave was written: else it is still to be. Says whether a failure is a new one.
    pub(super) fn written(&mut self, done: bool) -> bool {
        self.changed |= !done;
        !std::mem::replace(&mut self.trouble, !done) && !done
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::config::Name;
    use crate::event::{COUNT_SCHEMA, Counted, Direction, Tally};

    fn count(camera: &str, total: u64) -> Count {
        let tally = Tally { total, labels: [("bolt".to_owned(), total)].into(), ..Tally::default() };
        Count {
            schema: COUNT_SCHEMA.to_owned(),
            site: "plant-7".to_owned(),
            node: "edge-01".to_owned(),
            camera: camera.to_owned(),
            rule: "exit".to_owned(),
            since: DateTime::from_timestamp(5, 0).unwrap(),
            at: DateTime::from_timestamp(9, 0).unwrap(),
            counted: Counted::Line { crossed: [(Direction::Right, tally)].into() },
        }
    }

    fn config(rules: &str) -> Config {
        let mut config = crate::config::parse("").unwrap();
        let camera = toml::from_str(&format!("source = \"sim:conveyor\"\n{rules}")).unwrap();
        config.cameras.insert(Name::near("line3"), camera);
        config
    }

    #[test]
    fn counts_are_written_when_they_change_and_read_again() {
        let mut counts = Counts::default();
        assert!(counts.news().is_none());
        counts.note(&count("line3", 16));
        counts.note(&count("line3", 17));
        let text = counts.news().expect("it changed");
        assert!(counts.news().is_none());
        // A disk in trouble is news once.
        assert_eq!([counts.written(false), counts.written(false)], [true, false]);
        assert_eq!(counts.news(), Some(text.clone()));
        assert!(!counts.written(true) && counts.news().is_none());
        let again: Counts = serde_json::from_value(text).unwrap();
        let kept = again.of("line3")["exit"].clone();
        assert_eq!((kept.counted, kept.since), (count("line3", 17).counted, count("line3", 17).since));
        assert!(again.of("line4").is_empty());
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let mut counts = Counts::default();
        counts.note(&count("line3", 17));
        counts.note(&count("line4", 1));
        counts.news();
        counts.settle(&config("[[lines]]\nname = \"exit\"\npoints = [[0, 0], [0, 1]]\n"));
        assert_eq!((counts.of("line3").len(), counts.of("line4").len()), (1, 0));
        assert!(counts.news().is_some());
        counts.settle(&config("[[lines]]\nname = \"exit\"\npoints = [[0, 0], [0, 1]]\n"));
        assert!(counts.news().is_none(), "nothing is gone");
        counts.settle(&config(""));
        assert_eq!(counts.of("line3").len(), 0);
    }
}

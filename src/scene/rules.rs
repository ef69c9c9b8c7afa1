//! Zones and lines with what they count, and which detections are tracked: the configuration, ready for use.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::geometry::{Point, Polygon};
use super::line::LineRule;
use super::tracker::Strength;
use super::zone::{MAX_INERTIA, ZoneRule};
use crate::config::{Anchor, FilterConfig, LineConfig, Name, TrackConfig, ZoneConfig};
use crate::detection::{Object, Rect};
use crate::event::{Counted, Direction, Tally};

/// What zones and lines have in common.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) name: String,
    labels: Option<Vec<String>>,
    anchor: Anchor,
    groups: BTreeMap<Name, Vec<String>>,
}

impl Scope {
    fn new(name: &Name, labels: Option<&Vec<String>>, anchor: Anchor, groups: &BTreeMap<Name, Vec<String>>) -> Self {
        Self { name: name.to_string(), labels: labels.cloned(), anchor, groups: groups.clone() }
    }

    /// Whether things with this label count.
    pub(super) fn covers(&self, label: &str) -> bool {
        self.labels.as_ref().is_none_or(|labels| labels.iter().any(|l| l == label))
    }

    /// Where a box is, in heights of the frame.
    pub(super) fn point(&self, rect: &Rect, aspect: f64) -> Point {
        let [x, y, w, h] = [rect.x, rect.y, rect.w, rect.h].map(f64::from);
        let down = match self.anchor {
            Anchor::Center => 0.5,
            Anchor::Bottom => 1.0,
        };
        [(x + w / 2.0) * aspect, y + h * down]
    }

    /// The group that a label is in.
    pub(super) fn group(&self, label: &str) -> Option<&Name> {
        self.groups.iter().find(|(_, labels)| labels.iter().any(|l| l == label)).map(|(name, _)| name)
    }

    fn tally(&self) -> Tally {
        let groups = self.groups.keys().map(|name| (name.to_string(), 0));
        Tally { groups: groups.collect(), ..Tally::default() }
    }

    fn count(&self, tally: &mut Tally, label: &str) {
        self.add(tally, label, 1);
    }

    fn add(&self, tally: &mut Tally, label: &str, times: u64) {
        tally.total += times;
        *tally.labels.entry(label.to_owned()).or_default() += times;
        if let Some(group) = self.group(label) {
            *tally.groups.entry(group.to_string()).or_default() += times;
        }
    }

    /// A tally that goes on from an earlier one, its labels in the groups that there are now.
    fn resumed(&self, earlier: &Tally) -> Tally {
        let mut tally = self.tally();
        for (label, times) in &earlier.labels {
            self.add(&mut tally, label, *times);
        }
        tally
    }
}

/// A zone.
#[derive(Debug)]
pub(super) struct Zone {
    pub(super) scope: Scope,
    config: ZoneConfig,
    /// When counting began.
    pub(super) since: Option<DateTime<Utc>>,
    pub(super) present: u64,
    pub(super) entered: Tally,
}

impl Zone {
    pub(super) fn new(config: &ZoneConfig) -> Self {
        let scope = Scope::new(&config.name, config.labels.as_ref(), config.anchor, &config.groups);
        Self { entered: scope.tally(), scope, config: config.clone(), since: None, present: 0 }
    }

    /// The rule for frames of this shape.
    pub(super) fn rule(&self, aspect: f64) -> ZoneRule {
        let [needed, of] = self.config.inertia;
        ZoneRule {
            polygon: Polygon::new(&scaled(&self.config.points, aspect)),
            needed,
            of: of.clamp(1, MAX_INERTIA),
            dwell: self.config.dwell_s.and_then(|s| Duration::try_from_secs_f64(s).ok()),
        }
    }

    pub(super) fn enter(&mut self, label: &str) {
        self.present += 1;
        self.scope.count(&mut self.entered, label);
    }

    pub(super) fn leave(&mut self) {
        self.present = self.present.saturating_sub(1);
    }

    pub(super) fn counted(&self) -> Counted {
        Counted::Zone { present: self.present, entered: self.entered.clone() }
    }

    /// Goes on from an earlier count, unless that is a line's. Nothing is inside yet.
    pub(super) fn resume(&mut self, since: DateTime<Utc>, counted: &Counted) {
        if let Counted::Zone { entered, .. } = counted {
            (self.since, self.entered) = (Some(since), self.scope.resumed(entered));
        }
    }

    /// Begins counting anew. What is inside stays inside.
    pub(super) fn reset(&mut self, now: DateTime<Utc>) {
        (self.since, self.entered) = (Some(now), self.scope.tally());
    }
}

/// A line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) scope: Scope,
    config: LineConfig,
    /// When counting began.
    pub(super) since: Option<DateTime<Utc>>,
    crossed: BTreeMap<Direction, Tally>,
}

impl Line {
    /// A line of a configuration that was checked: it has two ends.
    pub(super) fn new(config: &LineConfig) -> Self {
        let scope = Scope::new(&config.name, config.labels.as_ref(), config.anchor, &config.groups);
        let mut line = Self { scope, config: config.clone(), since: None, crossed: BTreeMap::new() };
        line.crossed = line.rule(1.0).counted().map(|direction| (direction, line.scope.tally())).collect();
        line
    }

    /// The rule for frames of this shape.
    pub(super) fn rule(&self, aspect: f64) -> LineRule {
        let [from, to] = match self.config.points[..] {
            [from, to] => [from, to],
            _ => [[0.0; 2]; 2],
        };
        LineRule::new(from, to, self.config.direction).stretched(aspect)
    }

    /// Counts a crossing; says how many there are now.
    pub(super) fn cross(&mut self, direction: Direction, label: &str) -> u64 {
        let Some(tally) = self.crossed.get_mut(&direction) else { return 0 };
        self.scope.count(tally, label);
        tally.total
    }

    pub(super) fn counted(&self) -> Counted {
        Counted::Line { crossed: self.crossed.clone() }
    }

    /// Goes on from an earlier count, unless that is a zone's, in the directions that count now.
    pub(super) fn resume(&mut self, since: DateTime<Utc>, counted: &Counted) {
        let Counted::Line { crossed } = counted else { return };
        self.since = Some(since);
        for (direction, tally) in &mut self.crossed {
            if let Some(earlier) = crossed.get(direction) {
                *tally = self.scope.resumed(earlier);
            }
        }
    }

    /// Begins counting anew.
    pub(super) fn reset(&mut self, now: DateTime<Utc>) {
        self.since = Some(now);
        for tally in self.crossed.values_mut() {
            *tally = self.scope.tally();
        }
    }
}

fn scaled(points: &[Point], aspect: f64) -> Vec<Point> {
    points.iter().map(|[x, y]| [x * aspect, *y]).collect()
}

/// Which detections are tracked, and which tracks are believed.
#[derive(Debug)]
pub(super) struct Filter(TrackConfig);

impl Filter {
    pub(super) fn new(config: &TrackConfig) -> Self {
        Self(config.clone())
    }

    fn of(&self, label: &str) -> FilterConfig {
        self.0.filters.get(label).copied().unwrap_or_default()
    }

    /// What a detection may do.
    pub(super) fn strength(&self, object: &Object) -> Strength {
        let (all, own) = (&self.0, self.of(&object.label));
        let area = object.rect.w * object.rect.h;
        let fits = own.min_area.unwrap_or(all.min_area) <= area && area <= own.max_area.unwrap_or(all.max_area);
        let wanted = all.labels.as_ref().is_none_or(|labels| labels.iter().any(|l| **l == *object.label));
        if !fits || !wanted {
            Strength::None
        } else if own.min_score.or(all.min_score).is_some_and(|least| object.score < least) {
            Strength::Weak
        } else {
            Strength::Good
        }
    }

    /// Whether a track of this label with this mean score is believed.
    pub(super) fn believes(&self, label: &str, mean: f32) -> bool {
        mean >= self.of(label).threshold.unwrap_or(self.0.threshold)
    }
}

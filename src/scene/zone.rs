//! Parts of the picture: what is inside, since when.

use std::time::Duration;

use super::geometry::{Point, Polygon};
use crate::event::ZoneChange;

/// Most frames that are looked back at.
pub(crate) const MAX_INERTIA: u32 = 64;

/// When a thing counts as inside.
#[derive(Debug, Clone)]
pub(super) struct ZoneRule {
    pub(super) polygon: Polygon,
    /// Inside once it was in `needed` of the last `of` frames, outside likewise.
    pub(super) needed: u32,
    pub(super) of: u32,
    /// How long it must stay for that to be news.
    pub(super) dwell: Option<Duration>,
}

/// One track and one zone.
#[derive(Debug, Clone, Default)]
pub(super) struct Visit {
    /// The last frames in which the track was seen, the newest in the lowest bit: whether it was in the polygon.
    history: u64,
    frames: u32,
    /// When it was in the polygon first, since it was last outside.
    came: Option<Duration>,
    /// When it came in, while it counts as inside.
    pub(super) inside: Option<Duration>,
    told_dwell: bool,
    /// Whether it ever counted as inside.
    pub(super) ever: bool,
}

impl Visit {
    /// The track was seen at `point`. What changes is told only of tracks that are believed.
    pub(super) fn seen(&mut self, rule: &ZoneRule, point: Point, at: Duration, believed: bool) -> Option<ZoneChange> {
        let within = rule.polygon.contains(point);
        self.history = (self.history << 1) | u64::from(within);
        self.frames = (self.frames + 1).min(rule.of);
        if within {
            self.came.get_or_insert(at);
        } else if self.inside.is_none() {
            self.came = None;
        }
        if !believed {
            return None;
        }
        let mask = u64::MAX >> (64 - rule.of.clamp(1, MAX_INERTIA));
        let times_in = (self.history & mask).count_ones();
        let times_out = self.frames.saturating_sub(times_in);
        match self.inside {
            None if times_in >= rule.needed => {
                self.inside = Some(self.came.unwrap_or(at));
                (self.ever, self.told_dwell) = (true, false);
                Some(ZoneChange::Entered)
            }
            Some(_) if times_out >= rule.needed && !within => Some(ZoneChange::Left),
            Some(since) => {
                let long = rule.dwell.is_some_and(|dwell| at.saturating_sub(since) >= dwell);
                let news = long && !self.told_dwell;
                self.told_dwell |= long;
                news.then_some(ZoneChange::Dwelt)
            }
            None => None,
        }
    }

    /// How long it has been inside.
    pub(super) fn dwell(&self, at: Duration) -> Duration {
        self.inside.map_or(Duration::ZERO, |since| at.saturating_sub(since))
    }

    /// It counts as outside from now on.
    pub(super) fn leave(&mut self) {
        (self.inside, self.came) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(needed: u32, of: u32, dwell: Option<u64>) -> ZoneRule {
        let polygon = Polygon::new(&[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]);
        ZoneRule { polygon, needed, of, dwell: dwell.map(Duration::from_secs) }
    }

    /// What a track does that is inside (`#`) and outside (`.`) in frames a second apart.
    fn story(rule: &ZoneRule, frames: &str) -> Vec<(u64, ZoneChange, u64)> {
        let mut visit = Visit::default();
        let mut told = Vec::new();
        for (second, frame) in (0..).zip(frames.chars()) {
            let point = if frame == '#' { [0.5, 0.5] } else { [1.5, 0.5] };
            let at = Duration::from_secs(second);
            if let Some(change) = visit.seen(rule, point, at, true) {
                told.push((second, change, visit.dwell(at).as_secs()));
                if change == ZoneChange::Left {
                    visit.leave();
                }
            }
        }
        told
    }

    #[test]
    fn it_takes_some_of_the_last_frames() {
        use ZoneChange::{Entered, Left};
        assert_eq!(story(&rule(1, 1, None), ".#.#"), [(1, Entered, 0), (2, Left, 1), (3, Entered, 0)]);
        assert_eq!(story(&rule(3, 4, None), ".#.#.##.#...."), [(6, Entered, 1), (10, Left, 5)]);
        assert_eq!(story(&rule(3, 3, None), "##.###..#..."), [(5, Entered, 2), (11, Left, 8)]);
        assert_eq!(story(&rule(3, 3, None), "##.##.##.##"), []);
    }

    #[test]
    fn a_long_stay_is_told_once_and_again_after_coming_back() {
        use ZoneChange::{Dwelt, Entered, Left};
        let told = story(&rule(1, 1, Some(3)), "#######..####");
        assert_eq!(told, [(0, Entered, 0), (3, Dwelt, 3), (7, Left, 7), (9, Entered, 0), (12, Dwelt, 3)]);
    }

    #[test]
    fn what_is_not_believed_is_not_told_of_but_remembered() {
        let (rule, mut visit) = (rule(2, 3, None), Visit::default());
        for second in 0..3 {
            assert_eq!(visit.seen(&rule, [0.5, 0.5], Duration::from_secs(second), false), None);
        }
        assert_eq!(visit.seen(&rule, [0.5, 0.5], Duration::from_secs(3), true), Some(ZoneChange::Entered));
        assert_eq!(visit.dwell(Duration::from_secs(3)).as_secs(), 3);
    }
}

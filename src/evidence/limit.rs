//! How many frames are kept in a minute, an hour or a day.
//!
//! Two limits together: never more than so many in any span of that length, and a token bucket that holds a quarter of
//! that, so that one burst leaves room for what the rest of the span brings. Times are milliseconds on a clock that goes
//! on over restarts.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// A span is counted in so many parts. A part counts until all of it is past.
const PARTS: u64 = 60;

/// A span of time for which there is a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) u64);

impl Span {
    pub(super) const MINUTE: Self = Self(60_000);
    pub(super) const HOUR: Self = Self(3_600_000);
    pub(super) const DAY: Self = Self(86_400_000);

    /// The number of the part that a moment is in.
    fn part(self, now: u64) -> u64 {
        now / (self.0 / PARTS)
    }
}

/// How often something happened lately, by parts of a span; oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally(VecDeque<(u64, u32)>);

impl Tally {
    pub(super) fn add(&mut self, span: Span, now: u64) {
        let part = span.part(now);
        self.forget(part);
        match self.0.back_mut() {
            Some((last, count)) if *last >= part => *count = count.saturating_add(1),
            _ => self.0.push_back((part, 1)),
        }
    }

    /// How often it happened within the span that ends now, or within a sixtieth of it before.
    pub(super) fn sum(&self, span: Span, now: u64) -> u32 {
        let part = span.part(now);
        let recent = self.0.iter().filter(|(at, _)| at.saturating_add(PARTS) >= part);
        recent.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    fn forget(&mut self, part: u64) {
        while self.0.front().is_some_and(|(at, _)| at.saturating_add(PARTS) < part) {
            self.0.pop_front();
        }
    }

    /// Makes sense of what was read: what lies ahead, because the clock was set back, happened just now.
    pub(super) fn settle(&mut self, span: Span, now: u64) {
        let part = span.part(now);
        let ahead =
            self.0.iter().filter(|(at, _)| *at >= part).fold(0, |sum: u32, (_, count)| sum.saturating_add(*count));
        self.0.retain(|(at, _)| *at < part);
        self.0.make_contiguous().sort_unstable();
        if ahead > 0 {
            self.0.push_back((part, ahead));
        }
        self.forget(part);
        let surplus = self.0.len().saturating_sub(usize::try_from(PARTS).unwrap_or(0) + 1);
        self.0.drain(..surplus);
    }
}

/// What was kept within a span.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Window {
    /// What the bucket lacks of being full: nothing at first.
    spent: f64,
    /// When that was so.
    at: u64,
    pub(super) taken: Tally,
}

impl Window {
    /// Whether one more may be kept now, of at most so many. `spare` is the share of the bucket, 0..=1, that is to be there
    /// besides, for what is worth more.
    pub(super) fn has_room(&mut self, span: Span, most: u32, spare: f64, now: u64) -> bool {
        let burst = f64::from(most.div_ceil(4));
        let share = f64::from(most) / span.0 as f64;
        self.spent = (self.spent - now.saturating_sub(self.at) as f64 * share).clamp(0.0, burst);
        self.at = now;
        // A hair less than a whole token, since tokens come in fractions.
        burst - self.spent >= 1.0 + spare * (burst - 1.0).max(0.0) - 1e-9 && self.taken.sum(span, now) < most
    }

    /// Notes that one was kept.
    pub(super) fn take(&mut self, span: Span, now: u64) {
        self.spent += 1.0;
        self.taken.add(span, now);
    }

    /// Makes sense of what was read.
    pub(super) fn settle(&mut self, span: Span, now: u64) {
        self.at = self.at.min(now);
        self.taken.settle(span, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks ten times a second for `seconds` and returns when it was allowed, in tenths of a second.
    fn run(per_minute: u32, seconds: u64) -> Vec<u64> {
        let mut window = Window::default();
        let start = 1_234_567;
        let allowed = |tenth: &u64| {
            let now = start + 100 * tenth;
            let room = window.has_room(Span::MINUTE, per_minute, 0.0, now);
            if room {
                window.take(Span::MINUTE, now);
            }
            room
        };
        (0..seconds * 10).filter(allowed).collect()
    }

    #[test]
    fn no_minute_has_more_than_its_share() {
        for per_minute in [1, 2, 6, 60, 500] {
            let taken = run(per_minute, 600);
            for from in &taken {
                let inside = taken.iter().filter(|at| (*from..*from + 600).contains(*at)).count();
                assert!(inside <= per_minute as usize, "{inside} of {per_minute}");
            }
            let full = (per_minute * 10).min(6000) as usize;
            assert!(taken.len() * 10 >= full * 8, "{} of {full} were used", taken.len());
        }
    }

    #[test]
    fn a_burst_does_not_take_all() {
        let taken = run(8, 60);
        assert_eq!(taken.iter().filter(|at| **at < 10).count(), 2, "{taken:?}");
        assert_eq!(taken.len(), 8, "{taken:?}");
        assert!(taken.iter().any(|at| *at > 300), "{taken:?}");
    }

    #[test]
    fn what_is_worth_less_leaves_room_and_is_not_shut_out() {
        let take = |window: &mut Window, spare, now| {
            let room = window.has_room(Span::MINUTE, 20, spare, now);
            if room {
                window.take(Span::MINUTE, now);
            }
            room
        };
        // The bucket holds five.
        for (spare, taken) in [(0.0, 5), (0.5, 3), (1.0, 1)] {
            let mut window = Window::default();
            assert_eq!((0..9).filter(|_| take(&mut window, spare, 0)).count(), taken, "{spare}");
            assert_eq!((0..9).filter(|_| take(&mut window, 0.0, 0)).count(), 5 - taken, "{spare}");
            // It is full again in a quarter of a minute.
            assert!(take(&mut window, spare, 15_000));
        }
        // One that holds a single frame is for whoever comes.
        assert!(Window::default().has_room(Span::MINUTE, 4, 1.0, 0));
    }

    #[test]
    fn none_means_none_and_time_may_stand_still() {
        assert!(run(0, 10).is_empty());
        let mut window = Window::default();
        assert!(window.has_room(Span::MINUTE, 4, 0.0, 7));
        window.take(Span::MINUTE, 7);
        assert!(!window.has_room(Span::MINUTE, 4, 0.0, 7));
    }

    #[test]
    fn a_clock_that_was_set_back_frees_nothing_and_blocks_nothing_for_longer_than_the_span() {
        let mut window = Window::default();
        let late = 1_000 * Span::MINUTE.0;
        for _ in 0..6 {
            window.take(Span::MINUTE, late);
        }
        let early = late / 2;
        window.settle(Span::MINUTE, early);
        assert!(!window.has_room(Span::MINUTE, 6, 0.0, early));
        assert!(!window.has_room(Span::MINUTE, 6, 0.0, early + Span::MINUTE.0 - 1));
        assert!(window.has_room(Span::MINUTE, 6, 0.0, early + Span::MINUTE.0 + 2_000));
    }
}

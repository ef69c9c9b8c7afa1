//! How many frames of one camera are kept.
//!
//! Two limits together: never more than `per_minute` in any minute, and a token bucket that holds a quarter of
//! that, so that one burst leaves room for what the rest of the minute brings.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Limiter {
    per_minute: u32,
    burst: f64,
    tokens: f64,
    refilled: Instant,
    /// When the last ones were taken, oldest first; at most `per_minute`.
    taken: VecDeque<Instant>,
}

impl Limiter {
    pub(super) fn new(per_minute: u32, now: Instant) -> Self {
        let burst = f64::from(per_minute.div_ceil(4));
        Self { per_minute, burst, tokens: burst, refilled: now, taken: VecDeque::new() }
    }

    /// Whether one more may be kept now; if so, it counts.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.refilled);
        self.refilled = now;
        let fresh = passed.as_secs_f64() * f64::from(self.per_minute) / MINUTE.as_secs_f64();
        self.tokens = (self.tokens + fresh).min(self.burst);
        while self.taken.front().is_some_and(|at| now.saturating_duration_since(*at) >= MINUTE) {
            self.taken.pop_front();
        }
        // A hair less than a whole token, since tokens come in fractions.
        let allowed = self.tokens >= 1.0 - 1e-9 && self.taken.len() < self.per_minute as usize;
        if allowed {
            self.tokens -= 1.0;
            self.taken.push_back(now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks ten times a second for `seconds` and returns when it was allowed, in tenths of a second.
    fn run(per_minute: u32, seconds: u32) -> Vec<u32> {
        let start = Instant::now();
        let mut limiter = Limiter::new(per_minute, start);
        (0..seconds * 10).filter(|tenth| limiter.take(start + Duration::from_millis(100) * *tenth)).collect()
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
    fn none_means_none_and_time_may_stand_still() {
        assert!(run(0, 10).is_empty());
        let now = Instant::now();
        let mut limiter = Limiter::new(4, now);
        assert!(limiter.take(now));
        assert!(!limiter.take(now));
    }
}

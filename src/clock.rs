//! Time as a dependency.
//!
//! Wall time only labels what happened; every duration is measured on the monotonic clock.
//! Rooms that need time take a [`Clock`], so that tests can hold it still.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// A source of wall and monotonic time.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// The calendar time, for labels. It may jump.
    fn wall(&self) -> DateTime<Utc>;
    /// The monotonic time, for durations. It never goes back.
    fn monotonic(&self) -> Instant;
}

/// The clocks of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that stands still until it is moved, for tests and exact replay.
#[derive(Debug, Clone)]
pub struct ManualClock {
    started: (DateTime<Utc>, Instant),
    elapsed: Arc<Mutex<Duration>>,
}

impl ManualClock {
    /// A clock that shows `wall` and stands still.
    #[must_use]
    pub fn new(wall: DateTime<Utc>) -> Self {
        Self { started: (wall, Instant::now()), elapsed: Arc::default() }
    }

    /// Moves both times forward.
    pub fn advance(&self, by: Duration) {
        *self.elapsed.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    fn elapsed(&self) -> Duration {
        *self.elapsed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> DateTime<Utc> {
        self.started.0 + self.elapsed()
    }

    fn monotonic(&self) -> Instant {
        self.started.1 + self.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(DateTime::UNIX_EPOCH);
        let started = clock.monotonic();
        assert_eq!(clock.monotonic(), started);
        clock.advance(Duration::from_millis(1500));
        assert_eq!(clock.monotonic() - started, Duration::from_millis(1500));
        assert_eq!(clock.wall().timestamp_millis(), 1500);
    }
}

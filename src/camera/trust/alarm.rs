//! A condition that counts once it has held for a while.

use std::time::Duration;

/// Raised after the condition has held for one time, and taken back after it has not for another.
#[derive(Debug)]
pub(super) struct Alarm {
    raise: Duration,
    clear: Duration,
    raised: bool,
    /// Since when the condition has differed from what is raised.
    since: Option<Duration>,
}

impl Alarm {
    pub fn new(raise: Duration, clear: Duration) -> Self {
        Self { raise, clear, raised: false, since: None }
    }

    /// Hears whether the condition holds at a time.
    pub fn hear(&mut self, at: Duration, holds: bool) {
        if holds == self.raised {
            self.since = None;
            return;
        }
        let since = self.since.filter(|since| *since <= at).unwrap_or(at);
        let patience = if holds { self.raise } else { self.clear };
        if at - since >= patience {
            self.raised = holds;
            self.since = None;
        } else {
            self.since = Some(since);
        }
    }

    pub fn is_raised(&self) -> bool {
        self.raised
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moments_trouble_does_not_count() {
        let mut alarm = Alarm::new(Duration::from_secs(2), Duration::from_secs(3));
        let mut hear = |at: u64, holds: bool| {
            alarm.hear(Duration::from_secs(at), holds);
            alarm.is_raised()
        };
        let heard = [(0, true), (1, true), (2, false), (3, true), (4, true), (5, true), (6, false), (8, false)];
        assert_eq!(heard.map(|(at, holds)| hear(at, holds)), [false, false, false, false, false, true, true, true]);
        assert!(!hear(9, false));
    }
}

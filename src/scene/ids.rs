//! Ids of events and tracks: ULIDs that ascend.

use chrono::{DateTime, Utc};
use ulid::Ulid;

use crate::random::Random;

/// Makes ids.
#[derive(Debug)]
pub struct Ids {
    last: Ulid,
    /// The state of the generator where ids are to be the same in every run.
    seeded: Option<Random>,
}

impl Ids {
    /// Ids that nobody else ever makes.
    #[must_use]
    pub fn fresh() -> Self {
        Self { last: Ulid::nil(), seeded: None }
    }

    /// The same ids in every run, for replay.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { last: Ulid::nil(), seeded: Some(Random(seed)) }
    }

    /// An id for something that happened at this time; greater than all before it.
    #[must_use]
    pub fn next(&mut self, at: DateTime<Utc>) -> Ulid {
        let random = match &mut self.seeded {
            None => Ulid::generate().random(),
            Some(random) => u128::from(random.bits()) << 64 | u128::from(random.bits()),
        };
        let drawn = Ulid::from_parts(u64::try_from(at.timestamp_millis()).unwrap_or(0), random);
        // At the end of all ULIDs, in the year 10889, none is greater.
        self.last = if drawn > self.last { drawn } else { self.last.increment().unwrap_or(drawn) };
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_whatever_the_clock_does() {
        let times =
            [5, 5, 5, 9, 3, -7, i64::MAX / 1000, 0].map(|ms| DateTime::from_timestamp_millis(ms).unwrap_or_default());
        for mut ids in [Ids::fresh(), Ids::seeded(1)] {
            let made: Vec<Ulid> = times.iter().map(|at| ids.next(*at)).collect();
            assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");
            assert_eq!(made[0].timestamp_ms(), 5);
        }
    }

    #[test]
    fn seeded_ids_are_the_same_each_time_and_fresh_ones_never() {
        let two = |mut ids: Ids| [ids.next(DateTime::UNIX_EPOCH), ids.next(DateTime::UNIX_EPOCH)];
        assert_eq!(two(Ids::seeded(7)), two(Ids::seeded(7)));
        assert_ne!(two(Ids::seeded(7)), two(Ids::seeded(8)));
        assert_ne!(two(Ids::fresh()), two(Ids::fresh()));
    }
}

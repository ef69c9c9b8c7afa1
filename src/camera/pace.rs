//! When a picture is due, and which pictures are left out to keep under a rate.

use std::time::{Duration, Instant};

/// How far behind its pace a source may fall before the pace starts afresh, instead of being caught up with.
const LATE: Duration = Duration::from_millis(500);

/// Keeps to the pace that a source's pictures claim.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    /// When the next picture is due; `None` before the first, which is due at once.
    due: Option<Instant>,
}

impl Pacer {
    /// How long to wait at `now` before a picture is shown that then `lasts` so long.
    pub fn wait(&mut self, now: Instant, lasts: Duration) -> Duration {
        let due = self.due.filter(|due| *due + LATE > now).unwrap_or(now);
        self.due = Some(due + lasts);
        due.saturating_duration_since(now)
    }
}

/// Leaves out pictures so that no more than a rate are left.
#[derive(Debug)]
pub(super) struct Thinner {
    period: Duration,
    due: Duration,
}

impl Thinner {
    /// At most `fps` pictures a second; a rate that is none leaves everything in.
    pub fn new(fps: f32) -> Self {
        let period = Duration::try_from_secs_f32(1.0 / fps).unwrap_or_default();
        Self { period, due: Duration::ZERO }
    }

    /// Whether the picture at `at`, since the start, stays in. Pictures come unevenly: one that is a little early
    /// stays in too, and the next is due none the earlier, so that the rate holds on average. A
    /// pause is not made up for.
    pub fn keeps(&mut self, at: Duration) -> bool {
        if at + self.period / 4 < self.due {
            return false;
        }
        let paused = at > self.due + self.period;
        self.due = self.period + if paused { at } else { self.due };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// What a pacer lets wait when pictures come at these times and last 100 ms each.
    fn waits(at: &[u64]) -> Vec<u128> {
        let (began, mut pacer) = (Instant::now(), Pacer::default());
        at.iter().map(|&at| pacer.wait(began + ms(at), ms(100)).as_millis()).collect()
    }

    #[test]
    fn pictures_wait_until_they_are_due() {
        assert_eq!(waits(&[0, 10, 110, 200]), [0, 90, 90, 100]);
    }

    #[test]
    fn a_small_delay_is_caught_up_with_and_a_large_one_is_not() {
        assert_eq!(waits(&[0, 300, 300, 300, 300]), [0, 0, 0, 0, 100]);
        assert_eq!(waits(&[0, 5000, 5000, 5000]), [0, 0, 100, 200]);
    }

    #[test]
    fn a_gifs_own_delays_count() {
        let (now, mut pacer) = (Instant::now(), Pacer::default());
        let waits = [30, 500, 70].map(|lasts| pacer.wait(now, ms(lasts)).as_millis());
        assert_eq!(waits, [0, 30, 530]);
    }

    /// How many of a second's pictures stay in, of `every` a millisecond with up to `jitter` added.
    fn kept(fps: f32, every: u64, jitter: u64) -> usize {
        let mut thinner = Thinner::new(fps);
        (0..10_000 / every).filter(|i| thinner.keeps(ms(i * every + i * 7919 % (jitter + 1)))).count()
    }

    #[test]
    fn the_rate_holds_on_average() {
        for (fps, every, jitter, wanted) in
            [(10.0, 10, 0, 100), (12.0, 33, 0, 120), (25.0, 33, 0, 250), (10.0, 20, 15, 100)]
        {
            let kept = kept(fps, every, jitter);
            assert!(kept.abs_diff(wanted) <= 1, "{kept} instead of {wanted}");
        }
    }

    #[test]
    fn a_camera_at_its_rate_keeps_all_its_pictures_though_they_come_unevenly() {
        assert_eq!(kept(10.0, 100, 20), 100);
        assert_eq!(kept(50.0, 100, 20), 100);
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut thinner = Thinner::new(10.0);
        assert!(thinner.keeps(ms(0)));
        let after = (0..100).filter(|i| thinner.keeps(ms(60_000 + i * 10))).count();
        assert!((10..=11).contains(&after), "{after}");
    }

    #[test]
    fn a_rate_that_is_none_leaves_everything_in() {
        for fps in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-30] {
            let mut thinner = Thinner::new(fps);
            assert!((0..10).all(|i| thinner.keeps(ms(i))), "{fps}");
        }
    }
}

//! Whether the threads that must get on do: each beats its pulse as it works, and the watchdog looks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// One thread's sign of life. A thread that ends takes its pulse with it, and is missed no longer.
#[derive(Debug, Default)]
pub(super) struct Pulse(AtomicBool);

impl Pulse {
    /// Says that the thread got on.
    pub(super) fn beat(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The pulses of all threads that must get on.
#[derive(Debug, Default)]
pub(super) struct Pulses(Mutex<Vec<(String, Weak<Pulse>)>>);

impl Pulses {
    /// A pulse for a thread that starts, which has beaten once.
    pub(super) fn add(&self, name: &str) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse(AtomicBool::new(true)));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, pulse)| pulse.strong_count() > 0);
        all.push((name.to_owned(), Arc::downgrade(&pulse)));
        pulse
    }

    /// The names of those that have not beaten since this last said that all had.
    pub(super) fn missing(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alive: Vec<_> = all.iter().filter_map(|(name, pulse)| Some((name, pulse.upgrade()?))).collect();
        let missing: Vec<String> = alive
            .iter()
            .filter(|(_, pulse)| !pulse.0.load(Ordering::Relaxed))
            .map(|(name, _)| (*name).clone())
            .collect();
        if missing.is_empty() {
            alive.iter().for_each(|(_, pulse)| pulse.0.store(false, Ordering::Relaxed));
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_must_beat_again_and_the_one_that_does_not_is_named() {
        let pulses = Pulses::default();
        assert!(pulses.missing().is_empty(), "nothing runs");
        let (a, b) = (pulses.add("a"), pulses.add("b"));
        assert!(pulses.missing().is_empty(), "both have just begun");
        assert_eq!(pulses.missing(), ["a", "b"]);
        a.beat();
        assert_eq!(pulses.missing(), ["b"]);
        // What has beaten need not do so again while another is waited for.
        b.beat();
        assert!(pulses.missing().is_empty());
        assert_eq!(pulses.missing(), ["a", "b"]);
    }

    #[test]
    fn a_thread_that_ended_is_not_missed() {
        let pulses = Pulses::default();
        let (kept, ended) = (pulses.add("kept"), pulses.add("ended"));
        assert!(pulses.missing().is_empty());
        drop(ended);
        kept.beat();
        assert!(pulses.missing().is_empty());
    }
}

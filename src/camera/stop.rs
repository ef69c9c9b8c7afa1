//! The signal that ends a camera, whatever it is waiting for.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a wait on something that can't be interrupted may last before the signal is looked at again.
pub(crate) const GLANCE: Duration = Duration::from_millis(50);

/// A signal that is given once and stays given. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// A signal that nobody has given yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the signal and wakes everyone who waits for it.
    pub fn set(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether it was given.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps for `time` or until the signal; says whether it was given.
    #[must_use]
    pub fn wait(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut given = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*given {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            given = self.0.1.wait_timeout(given, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_ends_a_wait_early() {
        let stop = Stop::new();
        assert!(!stop.wait(Duration::from_millis(1)));
        let other = stop.clone();
        let sleeper = std::thread::spawn(move || other.wait(Duration::from_secs(3600)));
        stop.set();
        assert!(sleeper.join().unwrap());
        assert!(stop.is_set());
    }
}

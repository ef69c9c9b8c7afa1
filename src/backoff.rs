//! How long to wait before the next try.

use std::time::Duration;

use ulid::Ulid;

/// Waits that double from `first` up to `cap`, each shortened at random by up to a half, so that many
/// that fail together do not come back together.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    next: Duration,
}

impl Default for Backoff {
    /// From half a second up to 30 s, which is how long a peer that comes back may go unnoticed.
    fn default() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(30))
    }
}

impl Backoff {
    /// The first wait is at most `first`, none is longer than `cap`.
    #[must_use]
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, next: first.min(cap) }
    }

    /// The next wait.
    pub fn wait(&mut self) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(self.cap);
        full.mul_f64(0.5 + 0.5 * fraction())
    }

    /// Takes the longest wait next: for peers that mind being asked often.
    pub fn slow_down(&mut self) {
        self.next = self.cap;
    }

    /// Starts again from the first wait, since it worked.
    pub fn reset(&mut self) {
        self.next = self.first.min(self.cap);
    }
}

/// A random number in 0..1, from a ULID's random bits.
fn fraction() -> f64 {
    // 16 bits are plenty for a jitter, and the mask makes the conversion lossless.
    let bits = u16::try_from(Ulid::generate().random() & 0xffff).unwrap_or(0);
    f64::from(bits) / 65_536.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_start_again() {
        let (first, cap) = (Duration::from_millis(500), Duration::from_secs(30));
        let mut backoff = Backoff::new(first, cap);
        let mut full = first;
        for _ in 0..20 {
            let wait = backoff.wait();
            assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
            full = (full * 2).min(cap);
        }
        assert!(backoff.wait() >= cap / 2);
        backoff.reset();
        assert!(backoff.wait() <= first);
        backoff.slow_down();
        assert!(backoff.wait() >= cap / 2);
    }

    #[test]
    fn waits_differ() {
        let mut backoff = Backoff::new(Duration::from_secs(30), Duration::from_secs(30));
        let waits: std::collections::BTreeSet<_> = (0..10).map(|_| backoff.wait()).collect();
        assert!(waits.len() > 1);
    }
}

//! Why a peer is away, and whether that is news.
//!
//! An outage is told when it begins, when its reason changes, and when it ends; not at every try.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The reason, while there is an outage.
#[derive(Debug, Default)]
pub(crate) struct Outage(Mutex<Option<String>>);

impl Outage {
    /// Why the peer is away; none where it is there.
    pub(crate) fn reason(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Notes that the peer is away, and says whether that, or the reason, is new.
    pub(crate) fn begin(&self, reason: &str) -> bool {
        let before = self.lock().replace(reason.to_owned());
        before.as_deref() != Some(reason)
    }

    /// Notes that the peer is there, and says whether it was away.
    pub(crate) fn end(&self) -> bool {
        self.lock().take().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_news() {
        let outage = Outage::default();
        assert!(!outage.end());
        assert_eq!(["a", "a", "b"].map(|reason| outage.begin(reason)), [true, false, true]);
        assert_eq!(outage.reason().as_deref(), Some("b"));
        assert_eq!([outage.end(), outage.end()], [true, false]);
        assert_eq!(outage.reason(), None);
    }
}

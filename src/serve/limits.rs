//! What requests may take together: places and memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::Refused;

/// Memory is handed out in pieces of this size.
const PIECE: u64 = 64 * 1024;
/// Pieces of a MiB.
const PIECES: u32 = 16;

/// The memory that all requests share: their bodies and their pictures.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    free: Arc<Semaphore>,
    mib: u32,
}

/// Memory that is held as long as this lives.
#[derive(Debug)]
pub(super) struct Held {
    _pieces: OwnedSemaphorePermit,
}

impl Memory {
    pub(super) fn new(mib: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(mib.saturating_mul(PIECES) as usize)), mib }
    }

    /// Takes memory, if there is some; nothing waits for it.
    pub(super) fn hold(&self, bytes: u64) -> Result<Held, Refused> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX).max(1);
        if pieces > self.mib.saturating_mul(PIECES) {
            let wanted = bytes.div_ceil(1 << 20);
            let message = format!("this takes {wanted} MiB, and all requests together may take {}", self.mib);
            return Err(Refused::too_large(format!("{message} (`memory_mib` in the [serve] table)")));
        }
        let taken = Arc::clone(&self.free).try_acquire_many_owned(pieces);
        taken.map(|pieces| Held { _pieces: pieces }).map_err(|_| {
            Refused::not_now("other requests take the memory that there is (`memory_mib` in the [serve] table)")
        })
    }
}

/// Places of requests that are dealt with at one time.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Semaphore>);

impl Places {
    pub(super) fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }

    /// Takes a place, if one is free.
    pub(super) fn take(&self) -> Result<OwnedSemaphorePermit, Refused> {
        Arc::clone(&self.0).try_acquire_owned().map_err(|_| {
            Refused::not_now(
                "as many requests as may be at a time are being dealt with (`concurrent` in the [serve] table)",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_and_given_back() {
        let memory = Memory::new(2);
        let first = memory.hold(1 << 20).expect("half");
        let second = memory.hold(1 << 20).expect("the other half");
        assert_eq!(memory.hold(1).expect_err("nothing left").status, 503);
        drop((first, second));
        assert!(memory.hold(2 << 20).is_ok());
        for never in [(2 << 20) + 1, u64::MAX] {
            assert_eq!(memory.hold(never).expect_err("more than all").status, 413);
        }
    }

    #[test]
    fn places_are_given_back() {
        let places = Places::new(1);
        let taken = places.take().expect("a place");
        assert_eq!(places.take().expect_err("none").status, 503);
        drop(taken);
        assert!(places.take().is_ok());
    }
}

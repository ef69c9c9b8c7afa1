//! What is known of the frames that were kept, over restarts.
//!
//! Two small files. What the quota rests on is written before a frame that it let pass is kept, so that it holds however
//! the daemon ends. What kept frames looked like is larger and matters less: it is written once a minute, and at the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::novelty::Kept;
use super::quota::Accounts;
use super::rare::Census;
use super::select::Selector;
use crate::clock::Clock;
use crate::config::EvidenceConfig;
use crate::state::StateFile;

/// How often at most it is written what kept frames looked like.
const LOOKS_EVERY: Duration = Duration::from_secs(60);
/// Bytes that may take; a state file may have 4 MiB.
const LOOKS_BYTES: usize = 3 << 20;

/// What was kept lately, and what each camera usually shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    pub(super) quota: Accounts,
    pub(super) census: BTreeMap<String, Census>,
}

/// What kept frames looked like, by camera.
pub(super) type Looks = BTreeMap<String, Kept>;

/// Where both are kept.
#[derive(Debug, Default)]
pub struct Notebook {
    memory: StateFile,
    looks: StateFile,
    /// Whether the last attempt to write failed, and so was said.
    failed: AtomicBool,
}

impl Notebook {
    /// Two files in a folder, or nothing that lasts.
    #[must_use]
    pub fn of(folder: Option<&Path>) -> Self {
        let file = |name| StateFile::of(folder, name);
        Self { memory: file("evidence.json"), looks: file("evidence-looks.json"), failed: AtomicBool::new(false) }
    }

    /// A selector that goes on from what is written here.
    #[must_use]
    pub fn selector(&self, config: &EvidenceConfig, clock: Arc<dyn Clock>) -> Selector {
        Selector::resume(config, clock, self.memory.read(), self.looks.read())
    }

    /// Writes what the quota rests on. Where that fails it is said once, and the frame is kept all the same.
    pub(super) fn write(&self, memory: &Memory) {
        self.note(self.memory.write(memory), "How many frames were kept can't be written: a restart may allow more.");
    }

    /// Writes what kept frames looked like; of cameras that take too much room, nothing.
    pub(super) fn write_looks(&self, looks: &Looks) {
        let mut left = LOOKS_BYTES;
        let fits = |(_, kept): &(&String, &Kept)| {
            let weight = kept.weight();
            let fits = weight <= left;
            left = left.saturating_sub(if fits { weight } else { 0 });
            fits
        };
        let looks: BTreeMap<_, _> = looks.iter().filter(fits).collect();
        self.note(self.looks.write(&looks), "What kept frames look like can't be written: one may be kept again.");
    }

    fn note(&self, written: std::io::Result<()>, message: &str) {
        let failed = written.as_ref().is_err();
        let before = self.failed.swap(failed, Ordering::Relaxed);
        if let Err(error) = written
            && !before
        {
            tracing::warn!(%error, "{message}");
        }
    }
}

/// When it is time to write what kept frames looked like.
#[derive(Debug)]
pub(super) struct Due(Instant);

impl Due {
    pub(super) fn new(now: Instant) -> Self {
        Self(now)
    }

    pub(super) fn is_now(&mut self, now: Instant) -> bool {
        let due = now.saturating_duration_since(self.0) >= LOOKS_EVERY;
        if due {
            self.0 = now;
        }
        due
    }
}

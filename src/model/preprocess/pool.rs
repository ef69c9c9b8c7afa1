//! CPU stages between two calls: shared by all threads, each lent to one at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{CpuStage, InputSpec};
use crate::frame::Image;

/// Stages kept. A node has a few cameras and models and a few threads for each; a stage takes some 100 KiB.
const KEPT: usize = 32;

/// The stage used last is last.
static STAGES: Mutex<Vec<CpuStage>> = Mutex::new(Vec::new());

fn stages() -> MutexGuard<'static, Vec<CpuStage>> {
    // Nothing that runs under the lock leaves the list half done.
    STAGES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a stage for pictures like `image` out of the pool.
pub(super) fn take(image: &Image, spec: &InputSpec) -> Option<CpuStage> {
    let mut stages = stages();
    let at = stages.iter().rposition(|stage| stage.fits(image, spec))?;
    Some(stages.remove(at))
}

/// Gives a stage back; the one that was not used for longest makes room.
pub(super) fn put(stage: CpuStage) {
    let mut stages = stages();
    if stages.len() >= KEPT {
        stages.remove(0);
    }
    stages.push(stage);
}

//! Where tests find sample models, pictures, clips and reference tensors. Every test of the workspace asks here.

use std::path::{Path, PathBuf};

/// A file or folder of the sample data, which lies in `shared/data` beside the checkout, or in `$OCELLUS_SAMPLES`.
///
/// Where the data is absent the test that asks is skipped, and says so; with `CI=true` that is a failure.
///
/// # Panics
/// With `CI=true`, when the sample is absent.
#[must_use]
pub fn path(name: &str) -> Option<PathBuf> {
    let beside = |folder: &Path| folder.join("../shared/data");
    let root = std::env::var_os("OCELLUS_SAMPLES").map_or_else(
        // The checkout is the package's own folder, or one around it.
        || Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(beside).find(|data| data.is_dir()).unwrap_or_default(),
        PathBuf::from,
    );
    let file = root.join(name);
    if file.exists() {
        return Some(file);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "the sample {name} is absent, and CI must have it");
    eprintln!("skipped: the sample {name} is absent");
    None
}

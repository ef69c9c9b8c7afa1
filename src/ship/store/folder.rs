//! A folder as a store.
//!
//! A file is written and synced in the hidden folder `.partial`, then linked to its name, then forgotten there. Whoever
//! reads a folder of the store, as Spark reads all files of a table, finds whole files under their own names only, even
//! when we are killed between any two of these steps. The retry uses the same place again; what nobody came back for
//! goes when the store is opened a day later.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, RenameOptions, RenameTargetMode};

use super::{ShipError, Store, open_error};
use crate::digest::sha256;

/// Hidden from those who list the store's tables.
const PARTIAL: &str = ".partial";
/// Nobody writes one file for so long.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// Opens a folder, made where it is absent.
pub(super) fn open(path: &FilePath) -> Result<Store, ShipError> {
    let unusable = |source| ShipError::Folder { path: path.to_owned(), source };
    std::fs::create_dir_all(path).map_err(unusable)?;
    let path = path.canonicalize().map_err(unusable)?;
    let name = path.display().to_string();
    let store = LocalFileSystem::new_with_prefix(&path).map_err(|source| open_error(&name, source))?;
    clear(&path.join(PARTIAL));
    let store = Arc::new(store.with_fsync(true));
    Ok(Store { store, base: Path::default(), name, is_folder: true, blocks: None, queue: None })
}

/// Writes a file, if there is none of that name.
pub(super) async fn create(store: &dyn ObjectStore, name: &Path, content: Bytes) -> Result<(), object_store::Error> {
    let partial = Path::from_iter([PARTIAL, &sha256(name.as_ref())]);
    store.put(&partial, content.into()).await?;
    let options = RenameOptions::new().with_target_mode(RenameTargetMode::Create);
    let named = store.rename_opts(&partial, name, options).await;
    if named.is_err() {
        // Nobody needs it, whether the file is there already or can't be: the retry writes it anew.
        store.delete(&partial).await.ok();
    }
    named
}

/// Removes what was left by those who were killed and never came back.
fn clear(partial: &FilePath) {
    for entry in std::fs::read_dir(partial).into_iter().flatten().flatten() {
        let written = entry.metadata().and_then(|file| file.modified());
        let age = written.ok().and_then(|written| SystemTime::now().duration_since(written).ok());
        if age.is_some_and(|age| age > ABANDONED)
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            tracing::warn!(file = %entry.path().display(), %error, "A file that was never finished can't be removed.");
        }
    }
}

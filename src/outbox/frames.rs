//! Frames as files: a name appears only once its bytes are on the disk.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ulid::Ulid;

use super::item::{Destination, Item, Stored, StoredFrame};

/// The end of a file's name while it is being written.
const PART: &str = "part";

/// The folder of frames.
#[derive(Debug)]
pub(super) struct Frames {
    folder: PathBuf,
}

impl Frames {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Makes the folder. It is there after a power cut once its parent is synced.
    pub(super) fn create(&self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)
    }

    pub(super) fn path(&self, id: Ulid, destination: Destination) -> PathBuf {
        self.folder.join(format!("{id}.{}.jpg", destination.name()))
    }

    /// An item as it is taken out, now that it is on the disk.
    pub(super) fn stored(&self, seq: u64, item: &Item) -> Stored {
        let frame = match item.frame {
            Some(_) => StoredFrame::File(self.path(item.id, item.destination)),
            None => StoredFrame::None,
        };
        // Cloning shares the bytes.
        Stored { seq, item: Item { frame: None, ..item.clone() }, frame }
    }

    /// Writes a frame and syncs it. It survives a power cut once [`Frames::sync`] has returned.
    pub(super) fn write(&self, id: Ulid, destination: Destination, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(id, destination);
        let part = path.with_extension(PART);
        let written = write_synced(&part, bytes).and_then(|()| fs::rename(&part, &path));
        if written.is_err() {
            // Half a file is of no use to anybody, and may be what fills the disk.
            let _ = fs::remove_file(&part);
        }
        written
    }

    /// Syncs the names of all frames that were written.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_folder(&self.folder)
    }

    /// Removes a frame whose row is gone. A file that stays behind is swept at the next start.
    pub(super) fn remove(&self, id: Ulid, destination: Destination) {
        let path = self.path(id, destination);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(path = %path.display(), %error, "A delivered frame can't be removed yet.");
        }
    }

    /// Removes every file that no row speaks of, and says how many those were.
    pub(super) fn sweep(&self, known: &HashSet<PathBuf>) -> io::Result<usize> {
        let mut swept = 0;
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if !known.contains(&path) {
                fs::remove_file(&path)?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Syncs the names in a folder.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

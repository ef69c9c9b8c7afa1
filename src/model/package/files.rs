//! Reads a package's files without trusting them: bounded, UTF-8 where text, never outside the package.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;

use super::{PackageError, SIGNATURE};

/// The largest text file (description, labels).
const MAX_TEXT: u64 = 1024 * 1024;
/// The largest weights: what a protobuf message can hold.
const MAX_WEIGHTS: u64 = 2 * 1024 * 1024 * 1024;
/// Most files in a package.
const MAX_FILES: usize = 4096;
/// Most folders inside each other.
const MAX_DEPTH: usize = 8;

/// Reads a small text file.
pub(super) fn read_text(path: &Path) -> Result<String, PackageError> {
    String::from_utf8(read(path, MAX_TEXT)?)
        .map_err(|e| PackageError::NotText { path: path.to_owned(), offset: e.utf8_error().valid_up_to() })
}

/// Reads the weights.
pub(super) fn read_weights(path: &Path) -> Result<Bytes, PackageError> {
    read(path, MAX_WEIGHTS).map(Bytes::from)
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, PackageError> {
    let failed = |source| PackageError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    // Known to be too large, or found to be while reading.
    if file.metadata().map_err(failed)?.len() <= limit {
        file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 <= limit {
            return Ok(bytes);
        }
    }
    Err(PackageError::TooLarge { path: path.to_owned(), limit: limit / 1024 / 1024 })
}

/// The path of a file that a description names, if it is in the package.
pub(super) fn inside(package: &Path, name: &str) -> Result<PathBuf, PackageError> {
    let plain = !name.is_empty() && Path::new(name).components().all(|c| matches!(c, Component::Normal(_)));
    if plain {
        Ok(package.join(name))
    } else {
        Err(PackageError::Outside { package: package.to_owned(), name: name.to_owned() })
    }
}

/// All files of a package that its digest covers, by relative name with `/`. There are no links to follow:
/// a package with links is refused, so that what is hashed is what is there.
pub(super) fn list(package: &Path) -> Result<BTreeMap<String, PathBuf>, PackageError> {
    let mut files = BTreeMap::new();
    let mut folders = vec![(package.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        let failed = |source| PackageError::Read { path: folder.clone(), source };
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
            let odd = |reason| PackageError::Odd { path: path.clone(), reason };
            let name = entry.file_name();
            let name = name.to_str().ok_or_else(|| odd("its name is not UTF-8"))?;
            let name = format!("{prefix}{name}");
            if kind.is_dir() {
                if depth + 1 >= MAX_DEPTH {
                    return Err(odd("its folders are nested too deeply"));
                }
                folders.push((path, format!("{name}/"), depth + 1));
            } else if kind.is_file() {
                if name != SIGNATURE {
                    files.insert(name, path);
                }
            } else {
                return Err(odd("it is a link or a device; a package has plain files only"));
            }
            if files.len() + folders.len() > MAX_FILES {
                return Err(PackageError::Odd { path: package.to_owned(), reason: "it has more than 4096 files" });
            }
        }
    }
    Ok(files)
}

//! A package's identity: SHA-256 over its content.
//!
//! Hashed are the line `ocellus.package/1`, and then for every file, sorted by its relative name: length of
//! the name (8 bytes, little endian), the name, length of the content (8 bytes, little endian), the content.
//! A bare `.onnx` file counts as the package that it stands for: `model.onnx`, the effective `model.toml`, and
//! `labels.txt` where it has labels.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::PackageError;
use crate::digest::hexadecimal;

const MAGIC: &[u8] = b"ocellus.package/1\n";

/// Where a file's content is.
pub(super) enum Content<'a> {
    File(PathBuf),
    Bytes(&'a [u8]),
}

/// `sha256:…` over the files, by relative name.
pub(super) fn of(files: &BTreeMap<String, Content<'_>>) -> Result<String, PackageError> {
    let mut hash = Sha256::new();
    hash.update(MAGIC);
    for (name, content) in files {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        match content {
            Content::Bytes(bytes) => {
                hash.update((bytes.len() as u64).to_le_bytes());
                hash.update(bytes);
            }
            Content::File(path) => {
                let failed = |source| PackageError::Read { path: path.clone(), source };
                let mut file = File::open(path).map_err(failed)?;
                let length = file.metadata().map_err(failed)?.len();
                hash.update(length.to_le_bytes());
                let read = feed(&mut hash, &mut file).map_err(failed)?;
                if read != length {
                    return Err(PackageError::Odd {
                        path: path.clone(),
                        reason: "it changed while it was read; try again",
                    });
                }
            }
        }
    }
    Ok(format!("sha256:{}", hexadecimal(&hash.finalize())))
}

fn feed(hash: &mut Sha256, file: &mut File) -> std::io::Result<u64> {
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0;
    loop {
        let n = match file.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        hash.update(buffer.get(..n).unwrap_or_default());
        total += n as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(files: &[(&str, &[u8])]) -> String {
        of(&files.iter().map(|(name, bytes)| ((*name).to_owned(), Content::Bytes(bytes))).collect()).unwrap()
    }

    #[test]
    fn the_digest_never_changes_between_versions() {
        // printf 'ocellus.package/1\n\1\0\0\0\0\0\0\0a\2\0\0\0\0\0\0\0bc' | sha256sum
        assert_eq!(digest(&[("a", b"bc")]), "sha256:52a6c8c8e817b61415c12872b7c0e09aef7bc7d53ee3f66d0dbc257a97bda213");
    }

    #[test]
    fn names_and_contents_can_t_be_shifted_into_each_other() {
        let all = [digest(&[("a", b"bc")]), digest(&[("ab", b"c")]), digest(&[("a", b""), ("bc", b"")]), digest(&[])];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b));
        }
    }
}

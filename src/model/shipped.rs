//! The model that ships inside the binary, so that the demo needs nothing else.

use std::path::{Path, PathBuf};

/// The package's name, and its folder's.
const NAME: &str = "conveyor";
/// A file of the package by its relative name.
macro_rules! file {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../models/conveyor/", $name)))
    };
}

/// The package's files: all of them, since its digest covers them all.
const FILES: [(&str, &[u8]); 10] = [
    file!("LICENSE"),
    file!("golden/s09102_f000000.jpg"),
    file!("golden/s09102_f000000.json"),
    file!("golden/s09103_f000000.jpg"),
    file!("golden/s09103_f000000.json"),
    file!("golden/s09108_f000000.jpg"),
    file!("golden/s09108_f000000.json"),
    file!("labels.txt"),
    file!("model.onnx"),
    file!("model.toml"),
];

/// Why the shipped model can't be unpacked.
#[derive(Debug, thiserror::Error)]
#[error("the shipped model can't be written to {}: {reason}; name another folder with --dir", path.display())]
pub struct UnpackError {
    path: PathBuf,
    reason: String,
}

/// Writes the package below `models`, over whatever an older version left there, and says where.
///
/// # Errors
/// When the folder can't be written to.
pub fn unpack(models: &Path) -> Result<PathBuf, UnpackError> {
    let dir = models.join(NAME);
    let wrong = |e: std::io::Error| UnpackError { path: dir.clone(), reason: e.to_string() };
    std::fs::create_dir_all(dir.join("golden")).map_err(wrong)?;
    for (name, content) in FILES {
        std::fs::write(dir.join(name), content).map_err(wrong)?;
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::package::Package;

    #[test]
    fn what_is_unpacked_is_the_package_of_the_source_tree() {
        let folder = tempfile::tempdir().unwrap();
        let unpacked = unpack(folder.path()).unwrap();
        let again = unpack(folder.path()).unwrap();
        assert_eq!(unpacked, again);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(NAME);
        let content = |path: &Path| {
            let package = Package::open(path, None, None).unwrap();
            (package.weights().clone(), format!("{:?}", package.spec()))
        };
        assert_eq!(content(&unpacked), content(&source));
    }

    #[test]
    fn a_folder_that_cant_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("models");
        std::fs::write(&taken, b"a file").unwrap();
        let said = unpack(&taken).unwrap_err().to_string();
        assert!(said.contains("models") && said.contains("--dir"), "{said}");
    }
}

//! Model packages: a directory with `model.toml`, weights and labels, or a bare `.onnx` file with a profile.
//!
//! Opening reads the description and checks all that can be checked without the network. Once the network is
//! loaded, [`Package::resolve`] checks the description against its inputs and outputs; what comes out,
//! [`Resolved`], knows everything to run it. A package that is wrong in any way is refused with the reason.

mod digest;
mod files;
mod golden;
mod labels;
pub(in crate::model) mod manifest;
mod resolve;
mod spec;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use self::golden::{GoldenObject, GoldenPicture};
pub use self::labels::Labels;
pub use self::manifest::Mistake;
pub use self::resolve::{Found, Resolved};
pub use self::spec::{EvaluationThresholds, Golden, Input, Provenance, Spec, Task, Thresholds};

use bytes::Bytes;

use self::digest::Content;
use self::labels::LabelFile;
use self::spec::{DEFAULT_LABELS, DEFAULT_WEIGHTS, name_of};
use crate::model::heads::HeadError;
use crate::model::profiles::{self, ProfileError};

/// The description's file name.
pub const MANIFEST: &str = "model.toml";
/// The signature's file name: the only file that the digest does not cover.
pub const SIGNATURE: &str = "signature.json";
/// The version of a bare file, which has none.
const NO_VERSION: &str = "0.0.0";
/// What labels that come with Ocellus start with, in a description.
const BUILTIN: &str = "builtin:";

/// Why a model can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// Nothing there.
    #[error("there is no model {}", .path.display())]
    Absent {
        /// What was asked for.
        path: PathBuf,
    },
    /// Nothing there that could be a model.
    #[error("{} is neither a package (a directory with {MANIFEST}) nor an .onnx file", .path.display())]
    NoModel {
        /// What was asked for.
        path: PathBuf,
    },
    /// A file can't be read.
    #[error("can't read {}: {source}", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is larger than any of its kind.
    #[error("{} is larger than {limit} MiB", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read, in MiB.
        limit: u64,
    },
    /// A text file is not text.
    #[error("{} is not UTF-8 text from byte {offset} on", .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The first byte that is wrong.
        offset: usize,
    },
    /// The description is wrong.
    #[error("{}: {}", .path.display(), .mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Manifest {
        /// The `model.toml`.
        path: PathBuf,
        /// All that is wrong with it.
        mistakes: Vec<Mistake>,
    },
    /// The description names a file that is not in the package.
    #[error("{}: {MANIFEST} names the file \"{name}\"; it takes a relative name inside the package, without `..`", .package.display())]
    Outside {
        /// The package.
        package: PathBuf,
        /// The name.
        name: String,
    },
    /// Something that has no place in a package.
    #[error("{} can't be part of a package: {reason}", .path.display())]
    Odd {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// The labels are wrong.
    #[error("the labels {}: {reason}", .path.display())]
    Labels {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The description names labels that do not come with Ocellus.
    #[error("model `{model}`: there are no labels `builtin:{name}`; there are {}", labels::builtin_list())]
    NoSuchLabels {
        /// The model.
        model: String,
        /// The name asked for.
        name: String,
    },
    /// There are more or fewer labels than classes.
    #[error("model `{model}` tells {classes} classes apart, but the labels it has ({origin}) name {labels}")]
    LabelCount {
        /// The model.
        model: String,
        /// Classes of the network.
        classes: usize,
        /// Labels there are.
        labels: usize,
        /// Where they are from.
        origin: String,
    },
    /// A profile or labels were given for a package, which has its own.
    #[error("{} is a package with its own description and labels; a profile and labels go with bare .onnx files only", .path.display())]
    OwnDescription {
        /// The package.
        path: PathBuf,
    },
    /// No profile, or not which.
    #[error("{}: {source}", .path.display())]
    Profile {
        /// The model.
        path: PathBuf,
        /// Why.
        source: ProfileError,
    },
    /// The golden set is wrong.
    #[error("the golden set's {}: {reason}", .path.display())]
    Golden {
        /// The list of what is in a picture.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The network's input is not a picture, or not of the size described.
    #[error("model `{model}`: {reason}")]
    Input {
        /// The model.
        model: String,
        /// What is wrong.
        reason: String,
    },
    /// The network's outputs are not what the head reads.
    #[error("model `{model}`: {source} ({choices})")]
    Head {
        /// The model.
        model: String,
        /// What is wrong.
        source: Box<HeadError>,
        /// The outputs, and the heads that would fit, for people.
        choices: Box<str>,
    },
}

/// A model as read from disk, each file once: what the digest covers is what is used.
#[derive(Debug, Clone)]
pub struct Package {
    path: PathBuf,
    weights: Bytes,
    spec: Option<Spec>,
    origin: Origin,
}

/// Directory or bare file.
#[derive(Debug, Clone)]
enum Origin {
    /// A directory; with its labels and the digest over it.
    Directory { labels: Option<LabelFile>, digest: String },
    /// A bare file; with the labels asked for.
    Bare { labels: Option<LabelFile> },
}

impl Package {
    /// Opens a package directory, or a bare `.onnx` file with a profile and labels (both may be left out:
    /// the profile is then recognised by [`Package::resolve`]).
    ///
    /// # Errors
    /// [`PackageError`], when anything about it is wrong.
    pub fn open(path: &Path, profile: Option<&str>, labels: Option<&Path>) -> Result<Self, PackageError> {
        if path.is_dir() {
            if profile.is_some() || labels.is_some() {
                return Err(PackageError::OwnDescription { path: path.to_owned() });
            }
            Self::open_directory(path)
        } else if path.is_file() && path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx")) {
            Self::open_bare(path, profile, labels)
        } else if matches!(path.try_exists(), Ok(false)) {
            Err(PackageError::Absent { path: path.to_owned() })
        } else {
            Err(PackageError::NoModel { path: path.to_owned() })
        }
    }

    fn open_directory(path: &Path) -> Result<Self, PackageError> {
        let manifest = path.join(MANIFEST);
        if !manifest.is_file() {
            return Err(PackageError::NoModel { path: path.to_owned() });
        }
        // Refuses links, so the files named are inside in fact as well as in name.
        let mut files = files::list(path)?;
        let text = files::read_text(&manifest)?;
        let mut spec =
            manifest::parse(&text).map_err(|mistakes| PackageError::Manifest { path: manifest, mistakes })?;
        if spec.labels.is_none() && files.contains_key(DEFAULT_LABELS) {
            spec.labels = Some(DEFAULT_LABELS.to_owned());
        }
        // Only files that the digest covers: the signature is none of them.
        let mut take = |name: &str| {
            let path = files::inside(path, name)?;
            let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
            files.remove(name).ok_or_else(|| PackageError::Read { path, source: missing() })
        };
        take(MANIFEST)?;
        let weights = files::read_weights(&take(&spec.weights)?)?;
        let labels = match spec.labels.as_deref() {
            Some(name) if !name.starts_with(BUILTIN) => Some(LabelFile::read(take(name)?)?),
            _ => None,
        };
        let mut contents: BTreeMap<String, Content> =
            files.into_iter().map(|(name, path)| (name, Content::File(path))).collect();
        contents.insert(MANIFEST.to_owned(), Content::Bytes(text.as_bytes()));
        contents.insert(spec.weights.clone(), Content::Bytes(&weights));
        if let (Some(name), Some(file)) = (&spec.labels, &labels) {
            contents.insert(name.clone(), Content::Bytes(file.text.as_bytes()));
        }
        let digest = digest::of(&contents)?;
        Ok(Self { path: path.to_owned(), weights, spec: Some(spec), origin: Origin::Directory { labels, digest } })
    }

    fn open_bare(path: &Path, profile: Option<&str>, labels: Option<&Path>) -> Result<Self, PackageError> {
        let labels = labels.map(|path| LabelFile::read(path.to_owned())).transpose()?;
        let spec = profile.map(|profile| bare_spec(path, profile)).transpose()?;
        let weights = files::read_weights(path)?;
        Ok(Self { path: path.to_owned(), weights, spec, origin: Origin::Bare { labels } })
    }

    /// The directory or file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The weights' bytes, as they are in the file.
    #[must_use]
    pub fn weights(&self) -> &Bytes {
        &self.weights
    }

    /// The description; none yet for a bare file without a profile.
    #[must_use]
    pub fn spec(&self) -> Option<&Spec> {
        self.spec.as_ref()
    }

    /// Labels that lie beside a bare file: `<stem>.labels.txt`, else `labels.txt`.
    fn labels_beside(&self) -> Option<PathBuf> {
        let stem = self.path.file_stem()?.to_str()?;
        let own = self.path.with_file_name(format!("{stem}.labels.txt"));
        let shared = self.path.with_file_name(DEFAULT_LABELS);
        [own, shared].into_iter().find(|p| p.is_file())
    }

    /// A digest over the files that it was read from, and over labels that lie beside: with another one it is another model.
    ///
    /// # Errors
    /// When labels that lie beside can't be read.
    pub fn content(&self) -> Result<String, PackageError> {
        let given = match &self.origin {
            Origin::Directory { digest, .. } => return Ok(digest.clone()),
            Origin::Bare { labels } => labels,
        };
        let labels = match given {
            Some(file) => Some(Content::Bytes(file.text.as_bytes())),
            None => self.labels_beside().map(Content::File),
        };
        let weights = (DEFAULT_WEIGHTS.to_owned(), Content::Bytes(&self.weights));
        let labels = labels.map(|labels| (DEFAULT_LABELS.to_owned(), labels));
        digest::of(&[weights].into_iter().chain(labels).collect())
    }

    /// The digest of a bare file: that of the package it stands for.
    fn bare_digest(&self, spec: &Spec, labels: Option<&LabelFile>) -> Result<String, PackageError> {
        let manifest = spec.to_toml()?;
        let mut files = BTreeMap::from([
            (DEFAULT_WEIGHTS.to_owned(), Content::Bytes(&self.weights)),
            (MANIFEST.to_owned(), Content::Bytes(manifest.as_bytes())),
        ]);
        if let Some(labels) = labels {
            files.insert(DEFAULT_LABELS.to_owned(), Content::Bytes(labels.text.as_bytes()));
        }
        digest::of(&files)
    }
}

/// A bare file's description after a profile.
fn bare_spec(path: &Path, profile: &str) -> Result<Spec, PackageError> {
    let spec = profiles::get(profile).map_err(|source| PackageError::Profile { path: path.to_owned(), source })?;
    Ok(Spec { name: name_of(path), version: NO_VERSION.to_owned(), weights: DEFAULT_WEIGHTS.to_owned(), ..spec })
}

#[cfg(test)]
mod tests;

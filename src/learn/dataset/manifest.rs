//! What is in a data set, and where it comes from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::verdicts::word;
use super::{Files, Sample, Set};
use crate::ship::Store;

/// The `schema` field of [`Manifest`].
const SCHEMA: &str = "ocellus.dataset/1";

/// What is in a data set, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always `ocellus.dataset/1`.
    pub schema: String,
    /// The store.
    pub store: String,
    /// Under which licence its pictures are.
    pub licence: Option<String>,
    /// The classes, in the order of their numbers.
    pub classes: Vec<String>,
    /// By split.
    pub splits: BTreeMap<String, Count>,
    /// All together.
    pub total: Count,
    /// Pictures of the store that are not in it, since people said that the model is wrong and no more, or since only those
    /// are wanted of which they said something.
    #[serde(default)]
    pub left_out: u64,
    /// SHA-256 of each picture by its path in the data set, in hexadecimal.
    pub pictures: BTreeMap<String, String>,
    /// SHA-256 of each other file.
    pub files: BTreeMap<String, String>,
}

/// What a part of a data set has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Count {
    /// Pictures.
    pub pictures: u64,
    /// Boxes by label.
    pub labels: BTreeMap<String, u64>,
    /// Pictures by the reason that they were kept for.
    pub reasons: BTreeMap<String, u64>,
    /// Pictures by what people said of them: `right`, `wrong`, `corrected`, or `none` where nobody has.
    #[serde(default)]
    pub verdicts: BTreeMap<String, u64>,
    /// Pictures by camera.
    pub cameras: BTreeMap<String, u64>,
    /// Pictures by day.
    pub days: BTreeMap<String, u64>,
    /// Pictures by the digest of the model that saw the labels.
    pub models: BTreeMap<String, u64>,
    /// Pictures by the digest of the configuration.
    pub configs: BTreeMap<String, u64>,
}

impl Count {
    /// What some samples have.
    #[must_use]
    pub fn of<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Self {
        let mut count = Self::default();
        for sample in samples {
            count.pictures += 1;
            let one = |map: &mut BTreeMap<String, u64>, key: &str| *map.entry(key.to_owned()).or_default() += 1;
            for label in sample.boxes() {
                one(&mut count.labels, &label.name);
            }
            one(&mut count.reasons, sample.reason.kind());
            one(&mut count.verdicts, word(sample.verdict));
            one(&mut count.cameras, &format!("{}/{}", sample.site, sample.camera));
            one(&mut count.days, &sample.day.to_string());
            one(&mut count.models, &sample.model.0);
            one(&mut count.configs, &sample.config);
        }
        count
    }
}

impl Manifest {
    pub(super) fn of(store: &Store, set: &Set<'_>, files: &Files) -> Self {
        let digest = |text: &str| crate::config::digest(text).trim_start_matches("sha256:").to_owned();
        let parts = || set.parts.iter();
        Self {
            schema: SCHEMA.to_owned(),
            store: store.to_string(),
            licence: set.wanted.licence.clone(),
            classes: set.names.clone(),
            splits: parts()
                .map(|(split, samples)| (split.name().to_owned(), Count::of(samples.iter().copied())))
                .collect(),
            total: Count::of(parts().flat_map(|(_, samples)| samples.iter().copied())),
            left_out: set.left_out as u64,
            pictures: parts()
                .flat_map(|(split, samples)| samples.iter().map(|s| (set.image(*split, s), s.sha256.clone())))
                .collect(),
            files: files.iter().map(|(name, text)| (name.clone(), digest(text))).collect(),
        }
    }
}

//! Data sets from a store of evidence, in the formats that labelling and training tools read.
//!
//! What the model saw are the labels, unless people have said what there is. A picture of which they said that the model is
//! wrong, and no more, has no labels that anybody should learn from: it is left out, but for Label Studio, where it is a task
//! without predictions. One of which they said that nothing is in it is a picture of nothing. Pictures of one camera and day go into the same split,
//! so that no test picture has a twin in training; which one is by a hash of camera and day, so that it stays the same
//! when more evidence comes.

mod azureml;
mod coco;
mod labelstudio;
mod manifest;
mod sample;
mod split;
mod verdicts;
mod yolo;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

pub use self::manifest::{Count, Manifest};
pub use self::sample::{Label, Sample};
pub use self::split::{Split, SplitError, Splits};

use self::verdicts::Verdicts;
use crate::evidence::Record;
use crate::ship::{ShipError, Store};

/// The file that says what is in a data set.
pub const MANIFEST: &str = "manifest.json";
/// The folder of the pictures.
const IMAGES: &str = "images";

/// A format of data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub enum Format {
    /// COCO JSON, a file for each split
    Coco,
    /// JSON lines for AutoML for images in Azure Machine Learning, with an `MLTable`
    AzureMl,
    /// Tasks for Label Studio, with what the model saw as predictions
    LabelStudio,
    /// A text file for each picture, and a `data.yaml`
    Yolo,
}

/// What is wanted of a data set.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The format.
    pub format: Format,
    /// How pictures are divided.
    pub splits: Splits,
    /// The lowest score of a label, 0..=1.
    pub min_score: f32,
    /// What stands before a picture's name where it is spoken of by an address; a relative path otherwise.
    pub url: Option<String>,
    /// Under which licence the pictures are.
    pub licence: Option<String>,
    /// Only pictures of which people have said something.
    pub judged: bool,
}

impl Wanted {
    fn takes(&self, sample: &Sample) -> bool {
        let judged = !self.judged || sample.verdict.is_some();
        judged && (!sample.is_refuted() || self.format == Format::LabelStudio)
    }
}

/// Why there is no data set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] ShipError),
    /// A file can't be written.
    #[error("{} can't be written: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is something where the data set is to go.
    #[error("{} is not empty: a data set takes a folder of its own", path.display())]
    Occupied {
        /// Where.
        path: PathBuf,
    },
    /// The store has no pictures with records.
    #[error("the store {store} holds no evidence with pictures")]
    Empty {
        /// Which.
        store: String,
    },
    /// Nobody has said anything of its pictures that could be learnt from.
    #[error("the store {store} holds no pictures with verdicts that say what there is")]
    Unjudged {
        /// Which.
        store: String,
    },
    /// A picture is not what its record says.
    #[error("the picture {name} in the store {store} is not the one of its record: its SHA-256 is another")]
    Changed {
        /// The store.
        store: String,
        /// The picture.
        name: String,
    },
}

/// Reads the records of a store, oldest first; `tell` is told how many were read, and of how many. Records that are none
/// and those without a picture are left out, and counted, and so are verdicts that are none.
///
/// # Errors
/// When the store can't be read.
pub async fn read(store: &Store, mut tell: impl FnMut(usize, usize)) -> Result<(Vec<Sample>, usize), DatasetError> {
    let names = store.records().await?;
    let mut verdicts = Verdicts::read(store).await?;
    let (mut samples, mut left_out) = (Vec::new(), verdicts.unreadable);
    for (done, name) in names.iter().enumerate() {
        tell(done, names.len());
        let content = store.read(name).await?;
        let record = serde_json::from_slice::<Record>(&content).ok();
        match record.and_then(|record| {
            let verdict = verdicts.take(&record.id);
            Sample::of(name, record, verdict.as_ref())
        }) {
            Some(sample) => samples.push(sample),
            None => left_out += 1,
        }
    }
    samples.sort_by(|a, b| a.id.cmp(&b.id));
    Ok((samples, left_out))
}

/// Writes a data set of a store into an empty or new folder, and says what is in it.
///
/// # Errors
/// When the store has nothing or can't be read, or the folder can't be written.
pub async fn export(
    store: &Store,
    wanted: &Wanted,
    folder: &Path,
    mut tell: impl FnMut(usize, usize),
) -> Result<Manifest, DatasetError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| DatasetError::Write { path, source }
    };
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(DatasetError::Occupied { path: folder.to_owned() });
    }
    let (mut samples, _) = read(store, |_, _| ()).await?;
    if samples.is_empty() {
        return Err(DatasetError::Empty { store: store.to_string() });
    }
    let all = samples.len();
    samples.retain(|sample| wanted.takes(sample));
    if samples.is_empty() {
        return Err(DatasetError::Unjudged { store: store.to_string() });
    }
    for sample in &mut samples {
        sample.labels.retain(|label| label.score >= wanted.min_score);
        if sample.is_refuted() {
            sample.labels.clear();
        }
    }
    let names: BTreeSet<&str> = samples.iter().flat_map(Sample::boxes).map(|label| &*label.name).collect();
    let set = Set {
        names: names.into_iter().map(str::to_owned).collect(),
        parts: Split::ALL.map(|split| (split, samples.iter().filter(|s| wanted.splits.of(s) == split).collect())),
        left_out: all - samples.len(),
        wanted,
    };
    let mut done = 0;
    for (split, part) in &set.parts {
        for sample in part {
            tell(done, samples.len());
            let jpeg = store.read(&sample.picture).await?;
            if !sample.is(&jpeg) {
                return Err(DatasetError::Changed { store: store.to_string(), name: sample.picture.clone() });
            }
            let path = folder.join(set.image(*split, sample));
            std::fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(at(folder))?;
            std::fs::write(&path, jpeg).map_err(at(&path))?;
            done += 1;
        }
    }
    let files = match wanted.format {
        Format::Coco => coco::files(&set),
        Format::AzureMl => azureml::files(&set),
        Format::LabelStudio => labelstudio::files(&set),
        Format::Yolo => yolo::files(&set),
    };
    let manifest = Manifest::of(store, &set, &files);
    let text = serde_json::to_string_pretty(&manifest).map_err(|error| at(&folder.join(MANIFEST))(error.into()))?;
    for (name, content) in files.iter().chain([&(MANIFEST.to_owned(), text + "\n")]) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(at(&path))?;
        std::fs::write(&path, content).map_err(at(&path))?;
    }
    Ok(manifest)
}

/// What formats are written from.
struct Set<'a> {
    /// Of classes, sorted; their places are their numbers.
    names: Vec<String>,
    parts: [(Split, Vec<&'a Sample>); 3],
    /// Pictures that are not taken, for what people said of them or for want of it.
    left_out: usize,
    wanted: &'a Wanted,
}

impl Set<'_> {
    /// A picture's path in the data set.
    fn image(&self, split: Split, sample: &Sample) -> String {
        format!("{IMAGES}/{}/{}.jpg", split.name(), sample.id)
    }

    /// How a picture is spoken of.
    fn address(&self, split: Split, sample: &Sample) -> String {
        let image = self.image(split, sample);
        match &self.wanted.url {
            Some(url) => format!("{}/{image}", url.trim_end_matches('/')),
            None => image,
        }
    }

    fn class(&self, name: &str) -> usize {
        self.names.iter().position(|known| known == name).unwrap_or_default()
    }
}

/// Files of a data set: names and texts.
type Files = Vec<(String, String)>;

#[cfg(test)]
mod tests;

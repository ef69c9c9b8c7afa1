//! `ocellus dataset`: what a store of evidence holds, as a data set for labelling and training.

mod chart;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::detect::fraction;
use super::{Failure, print, progress};
use crate::learn::dataset::{Count, Format, MANIFEST, Splits, Wanted, export, read};
use crate::ship::Store;

#[derive(Debug, Subcommand)]
pub(super) enum Dataset {
    /// Write a data set: pictures, labels and a manifest
    Export(Export),
    /// Count pictures, labels and reasons
    Stats(Stats),
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// Where the evidence is: a directory, az://container/path or s3://bucket/path, as in the configuration
    #[arg(long, value_name = "STORE")]
    store: String,
    /// The format
    #[arg(long, value_enum)]
    format: Format,
    /// A new or empty directory
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Shares of train, val and test; all pictures of a camera and day are in one of them
    #[arg(long, value_name = "SHARES", default_value = "80,10,10")]
    split: Splits,
    /// Lowest score of a label
    #[arg(long, value_parser = fraction, default_value_t = 0.0)]
    min_score: f32,
    /// What stands before a picture's path in azureml and labelstudio, where the directory will be
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Under which licence the pictures are
    #[arg(long, value_name = "TEXT")]
    licence: Option<String>,
    /// Only pictures of which people have said whether the model was right
    #[arg(long)]
    judged: bool,
}

#[derive(Debug, Args)]
pub(super) struct Stats {
    /// Where the evidence is, as above
    #[arg(long, value_name = "STORE")]
    store: String,
    /// As one JSON object
    #[arg(long)]
    json: bool,
    /// Write a chart, as SVG
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

impl Dataset {
    pub(super) fn run(self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        match self {
            Self::Export(export) => runtime.block_on(export.run()),
            Self::Stats(stats) => runtime.block_on(stats.run()),
        }
    }
}

/// Opens a store to read: a directory that is not there would be made.
fn open(store: &str) -> Result<Store, Failure> {
    if !store.contains("://") && !Path::new(store).is_dir() {
        return Err(Failure::new(format!("there is no directory {store}")));
    }
    Ok(Store::open(store)?)
}

impl Export {
    async fn run(self) -> Result<(), Failure> {
        let store = open(&self.store)?;
        let Self { format, out, split, min_score, url, licence, judged, .. } = self;
        let wanted = Wanted { format, splits: split, min_score, url, licence, judged };
        let progress = progress::bar(0);
        let exported = export(&store, &wanted, &out, |done, all| {
            progress.set_length(all as u64);
            progress.set_position(done as u64);
        });
        let manifest = exported.await;
        progress.finish_and_clear();
        let manifest = manifest?;
        for (split, count) in &manifest.splits {
            let boxes: u64 = count.labels.values().sum();
            print(&format!("{split}\t{} pictures\t{boxes} boxes", count.pictures))?;
            if count.pictures == 0 {
                eprintln!("note: no camera and day fell into {split}; with more of them, or other --split, some will");
            }
        }
        if manifest.left_out > 0 {
            eprintln!("note: {} pictures are left out, for what was said of them or for want of it", manifest.left_out);
        }
        print(&format!("{}", out.join(MANIFEST).display()))
    }
}

impl Stats {
    async fn run(self) -> Result<(), Failure> {
        let store = open(&self.store)?;
        let progress = progress::bar(0);
        let samples = read(&store, |done, all| {
            progress.set_length(all as u64);
            progress.set_position(done as u64);
        });
        let samples = samples.await;
        progress.finish_and_clear();
        let (samples, left_out) = samples?;
        let count = Count::of(&samples);
        if let Some(path) = &self.picture {
            std::fs::write(path, chart::svg(&count))
                .map_err(|error| Failure::new(format!("{} can't be written: {error}", path.display())))?;
        }
        if self.json {
            let mut value = serde_json::to_value(&count)?;
            value["left_out"] = left_out.into();
            return print(&value.to_string());
        }
        print(&format!("{} pictures, {left_out} records left out", count.pictures))?;
        for (title, counts) in chart::sections(&count) {
            print(&format!("\n{title}"))?;
            for (name, number) in counts {
                print(&format!("{number:>8}  {name}"))?;
            }
        }
        Ok(())
    }
}

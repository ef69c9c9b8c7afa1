//! `ocellus check`: validate a configuration.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::config::{self, CameraConfig, ModelConfig, Name};
use crate::daemon;
use crate::model::engine::{self, EngineError};
use crate::model::package::Labels;
use crate::scene::unknown_labels;

/// Where the daemon's configuration is unless told otherwise.
pub(super) const DEFAULT_CONFIG: &str = "/etc/ocellus/ocellus.toml";

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

impl Check {
    pub(super) fn run(self) -> Result<(), Failure> {
        let config = config::load(&self.config)?.config;
        // A model that can't be opened is a mistake in the configuration too.
        let mut wrong = Vec::new();
        for (name, model) in &config.models {
            match open(name, model) {
                Ok(opened) => {
                    eprintln!("[models.{name}]: {}", opened.memory);
                    let cameras =
                        config.cameras.iter().filter(|(_, camera)| daemon::model_of(&config, camera) == Some(name));
                    for (camera, mistake) in cameras.flat_map(|(camera, settings)| opened.mistakes(camera, settings)) {
                        wrong.push(format!("{}: [cameras.{camera}]: {mistake}", self.config.display()));
                    }
                }
                Err(mistake) => wrong.push(format!("{}: [models.{name}]: {mistake}", self.config.display())),
            }
        }
        if !wrong.is_empty() {
            return Err(Failure::new(wrong.join("\n")));
        }
        let (cameras, models) = (config.cameras.len(), config.models.len());
        eprintln!("{}: ok ({}, {})", self.config.display(), count(cameras, "camera"), count(models, "model"));
        Ok(())
    }
}

/// A model, opened as far as no device is needed.
struct Opened {
    /// What a run takes.
    memory: String,
    labels: Labels,
}

impl Opened {
    /// What is wrong with the labels that a camera's tracks, zones and lines name.
    fn mistakes<'a>(&self, camera: &'a Name, settings: &CameraConfig) -> impl Iterator<Item = (&'a Name, String)> {
        let labels: Vec<&str> = self.labels.iter().map(|label| &**label).collect();
        unknown_labels(settings, &labels).into_iter().map(move |mistake| (camera, mistake))
    }
}

fn open(name: &Name, model: &ModelConfig) -> Result<Opened, EngineError> {
    let package = daemon::open_package(name, model)?;
    let graph = engine::load(&package, model.memory_mib)?;
    let labels = package.resolve(graph.inputs(), graph.outputs())?.labels;
    let limit = model.memory_mib.unwrap_or_else(engine::memory::default_mib);
    let memory = format!("{} MiB of memory a run, of {limit} allowed", graph.memory().total().div_ceil(1 << 20));
    Ok(Opened { memory, labels })
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

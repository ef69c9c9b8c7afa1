//! `ocellus check`: validate a configuration.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::config::{self, Mistake, ModelConfig, Name};
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
        let loaded = config::load(&self.config)?;
        let config = &loaded.config;
        for Mistake { line, column, message } in loaded.file.advice(config) {
            eprintln!("warning: {}:{line}:{column}: {message}", self.config.display());
        }
        // A model that can't be opened is a mistake in the configuration too.
        let (mut wrong, mut unknown) = (Vec::new(), Vec::new());
        for (name, model) in &config.models {
            match open(name, model) {
                Ok(opened) => {
                    eprintln!("[models.{name}]: {}", opened.memory);
                    let labels: Vec<&str> = opened.labels.iter().map(|label| &**label).collect();
                    let cameras =
                        config.cameras.iter().filter(|(_, camera)| daemon::model_of(config, camera) == Some(name));
                    for (camera, settings) in cameras {
                        let mistakes = unknown_labels(settings, &labels).into_iter();
                        unknown.extend(mistakes.map(|label| label.below(camera)));
                    }
                }
                Err(mistake) => wrong.push(format!("{}: [models.{name}]: {mistake}", self.config.display())),
            }
        }
        if !unknown.is_empty() {
            wrong.push(loaded.file.mistakes(unknown).to_string());
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

fn open(name: &Name, model: &ModelConfig) -> Result<Opened, EngineError> {
    let package = daemon::open_package(name, model)?;
    let graph = engine::load(&package, model.memory_mib)?;
    let labels = package.resolve(graph.inputs(), graph.outputs())?.labels;
    let limit = model.memory_mib.unwrap_or_else(engine::memory::default_mib);
    let memory = format!("{} MiB of memory a run, of {limit} allowed", graph.memory().total().div_ceil(1 << 20));
    Ok(Opened { memory, labels })
}

pub(super) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

//! `ocellus check`: validate a configuration.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::config::{self, ModelConfig, Name};
use crate::daemon;
use crate::model::engine::{self, EngineError};

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
                Ok(memory) => eprintln!("[models.{name}]: {memory}"),
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

/// Opens a model as far as no device is needed; says what a run takes.
fn open(name: &Name, model: &ModelConfig) -> Result<String, EngineError> {
    let package = daemon::open_package(name, model)?;
    let graph = engine::load(&package, model.memory_mib)?;
    package.resolve(graph.inputs(), graph.outputs())?;
    let limit = model.memory_mib.unwrap_or_else(engine::memory::default_mib);
    Ok(format!("{} MiB of memory a run, of {limit} allowed", graph.memory().total().div_ceil(1 << 20)))
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

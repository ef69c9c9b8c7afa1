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
        let wrong: Vec<String> = config
            .models
            .iter()
            .filter_map(|(name, model)| Some(format!("[models.{name}]: {}", open(name, model).err()?)))
            .map(|mistake| format!("{}: {mistake}", self.config.display()))
            .collect();
        if !wrong.is_empty() {
            return Err(Failure::new(wrong.join("\n")));
        }
        let (cameras, models) = (config.cameras.len(), config.models.len());
        eprintln!("{}: ok ({}, {})", self.config.display(), count(cameras, "camera"), count(models, "model"));
        Ok(())
    }
}

/// Opens a model as far as no device is needed.
fn open(name: &Name, model: &ModelConfig) -> Result<(), EngineError> {
    let package = daemon::open_package(name, model)?;
    let graph = engine::load(&package)?;
    package.resolve(graph.inputs(), graph.outputs())?;
    Ok(())
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

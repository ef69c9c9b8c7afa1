//! `ocellus run`: the daemon.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::check::DEFAULT_CONFIG;
use crate::config;
use crate::daemon::{self, Daemon};

#[derive(Debug, Args)]
pub(super) struct Run {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

impl Run {
    pub(super) fn run(self) -> Result<(), Failure> {
        let loaded = config::load(&self.config)?;
        if loaded.config.cameras.is_empty() && loaded.config.serve.is_none() {
            tracing::warn!(config = %self.config.display(), "No camera is configured: add a table [cameras.NAME].");
        }
        daemon::runtime()?.block_on(async {
            let daemon = Daemon::start(loaded).await?;
            daemon.run_reloading(&self.config, daemon::signal()).await;
            Ok(())
        })
    }
}

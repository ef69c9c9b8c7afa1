//! `ocellus config`: what a configuration may have.

use clap::Subcommand;

use super::Failure;
use crate::config::schema;

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Print the JSON Schema of the configuration, with which editors complete and check it
    Schema,
}

impl Config {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Schema => super::print(&serde_json::to_string_pretty(&schema())?),
        }
    }
}

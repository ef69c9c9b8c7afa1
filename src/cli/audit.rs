//! `ocellus audit`: whether the log of what left, and of what stayed, is what was written.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::check::DEFAULT_CONFIG;
use super::{Failure, print};
use crate::config;
use crate::privacy::audit::verify;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check the whole log: no entry changed, added or taken away
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The log's folder, instead of the configuration's
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// An entry that must be in it, by its hash: `privacy.audit` in a record of evidence, or the last hash of an earlier run
    #[arg(long, value_name = "HASH")]
    holds: Vec<String>,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

impl Audit {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Verify(verify) => verify.run(),
        }
    }
}

impl Verify {
    fn run(self) -> Result<(), Failure> {
        let folder = match self.path {
            Some(path) => path,
            None => config::load(&self.config)?.config.audit_folder()?,
        };
        let report = verify(&folder, &self.holds)?;
        if self.json {
            return print(&serde_json::to_string(&report)?);
        }
        print(&format!("{}: whole, entries {} to {}", folder.display(), report.first, report.last))?;
        print(&format!("{} times a frame was let go, {} times one stayed", report.released, report.withheld))?;
        if report.messages + report.messages_withheld > 0 {
            print(&format!("{} messages were let go, {} stayed", report.messages, report.messages_withheld))?;
        }
        if report.discarded > 0 {
            print(&format!("{} that stayed had to make room", report.discarded))?;
        }
        if report.told > 0 {
            print(&format!("{} files of insights were let go", report.told))?;
        }
        print(&format!("the last hash is {}", report.head))
    }
}

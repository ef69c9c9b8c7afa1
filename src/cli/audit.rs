//! `ocellus audit`: whether the log of what left, and of what stayed, is what was written.

use clap::{Args, Subcommand};

use super::place::Place;
use super::{Failure, print};
use crate::config::Config;
use crate::privacy::audit::verify;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check the whole log: no entry changed, added or taken away
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    place: Place,
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
        let folder = self.place.folder(Config::audit_folder)?;
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
        if report.verdicts > 0 {
            print(&format!("{} verdicts on frames were let go", report.verdicts))?;
        }
        if report.told > 0 {
            print(&format!("{} files of insights were let go", report.told))?;
        }
        print(&format!("the last hash is {}", report.head))
    }
}

//! `ocellus man`: the manual pages, for packages.

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::{Cli, Failure};

#[derive(Debug, Args)]
pub(super) struct Pages {
    /// The folder that they are written to
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Pages {
    pub(super) fn run(self) -> Result<(), Failure> {
        let wrong = |e: std::io::Error| {
            Failure::new(format!("manual pages can't be written to {}: {e}", self.folder.display()))
        };
        std::fs::create_dir_all(&self.folder).map_err(wrong)?;
        let mut cli = Cli::command();
        cli.build();
        self.write(&cli).map_err(wrong)
    }

    /// A page of the command, and one of each that is below it.
    fn write(&self, command: &Command) -> std::io::Result<()> {
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            self.write(below)?;
        }
        let page = Man::new(command.clone()).manual("Ocellus").source(format!("ocellus {}", env!("CARGO_PKG_VERSION")));
        page.generate_to(&self.folder).map(drop)
    }
}

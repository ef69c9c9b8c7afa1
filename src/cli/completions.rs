//! `ocellus completions`: what a shell needs to complete the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Failure};

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Which shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), Failure> {
        // Made in memory: the generator does not expect a reader that goes away.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "ocellus", &mut script);
        super::print(String::from_utf8_lossy(&script).trim_end())
    }
}

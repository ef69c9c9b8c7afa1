//! The command line: one file per subcommand.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 the task failed, 2 wrong use.

mod audit;
mod bench;
mod cameras;
mod check;
mod completions;
mod config;
mod dataset;
mod demo;
mod detect;
mod doctor;
mod eval;
mod man;
mod model;
mod outbox;
mod place;
mod progress;
mod replay;
mod run;
mod withheld;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::causes::with_causes;
use crate::config::{DeviceChoice, PrecisionChoice};
use crate::logs;
use crate::model::engine::{Engine, EngineOptions};
use crate::model::package::{Labels, Package, PackageError};

/// Turns a GPU edge node into a vision appliance: cameras in, detections out over MQTT.
#[derive(Debug, Parser)]
#[command(name = "ocellus", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The whole loop on this machine with nothing to configure; prints where to look
    Demo(demo::Demo),
    /// The daemon
    Run(run::Run),
    /// Validate a configuration: every mistake with file, line and what would be right
    Check(check::Check),
    /// What a configuration may have
    #[command(subcommand)]
    Config(config::Config),
    /// What this machine has and lacks: GPU and driver, cameras, broker, store, disk, clock; with what to do about it
    Doctor(doctor::Doctor),
    /// The cameras at this machine, with their formats, rates and controls
    Cameras(cameras::Cameras),
    /// Detect objects in images, clips and directories
    Detect(detect::Detect),
    /// Run recorded frames through a camera's tracks, zones and lines, frame by frame; prints events and counts
    Replay(replay::Replay),
    /// Score a model against COCO ground truth
    Eval(eval::Eval),
    /// Measure latency and throughput of a model, stage by stage
    Bench(bench::Bench),
    /// Look into model packages
    #[command(subcommand)]
    Model(model::Model),
    /// Look into the outbox
    #[command(subcommand)]
    Outbox(outbox::Outbox),
    /// Print what a shell needs to complete the command line
    Completions(completions::Completions),
    /// Write the manual pages, for packages
    #[command(hide = true)]
    Man(man::Pages),
    /// Data sets from a store of evidence
    #[command(subcommand)]
    Dataset(dataset::Dataset),
    /// The log of what left the site, and of what stayed
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Frames that stay here, and why; let them go
    #[command(subcommand)]
    Withheld(withheld::Withheld),
}

/// Which model, and how it is read.
#[derive(Debug, Args)]
struct ModelArgs {
    /// A model package (directory) or a bare .onnx file
    #[arg(long, value_name = "FILE|DIR")]
    model: PathBuf,
    /// What a bare .onnx file needs to know: see `ocellus model profiles`
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Labels of a bare .onnx file, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Where the model runs
    #[arg(long, value_enum, default_value_t)]
    device: DeviceChoice,
    /// Floats on a GPU, instead of the package's choice
    #[arg(long, value_enum)]
    precision: Option<PrecisionChoice>,
    /// Most memory that a run of the model may take, MiB; half of the machine's by default
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..))]
    memory_mib: Option<u64>,
}

impl ModelArgs {
    fn engine(&self, options: &EngineOptions) -> Result<Engine, Failure> {
        let package = open_package(&self.model, self.profile.as_deref(), self.labels.as_deref())?;
        let options =
            EngineOptions { precision: self.precision.or(options.precision), memory_mib: self.memory_mib, ..*options };
        let progress = progress::steps();
        let opened = Engine::open_watched(package, self.device, &options, &mut |warm_up| {
            progress.set_length(warm_up.steps as u64);
            progress.set_position(warm_up.step as u64 - 1);
            progress.set_message(warm_up.to_string());
        });
        progress.finish_and_clear();
        Ok(opened?)
    }
}

fn open_package(model: &Path, profile: Option<&str>, labels: Option<&Path>) -> Result<Package, Failure> {
    Package::open(model, profile, labels).map_err(|error| match error {
        PackageError::OwnDescription { .. } => Failure::usage(error.to_string()),
        other => other.into(),
    })
}

/// Says so where results will carry numbers instead of names.
fn note_missing_names(labels: &Labels) {
    if !labels.named() {
        eprintln!("note: nothing names the model's classes; give their names, one a line, with --labels FILE");
    }
}

/// Why a command failed, as one text for people.
#[derive(Debug)]
struct Failure {
    text: String,
    /// The command line itself is wrong.
    usage: bool,
}

impl Failure {
    /// The task failed.
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), usage: false }
    }

    /// The command line is wrong.
    fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), usage: true }
    }

    /// The task failed, and people were told so already.
    fn said() -> Self {
        Self::new("")
    }

    fn say(&self) {
        if !self.text.is_empty() {
            eprintln!("error: {}", self.text);
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(with_causes(&error))
    }
}

/// Parses the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let daemon = matches!(cli.command, Command::Run(_) | Command::Demo(_));
    logs::start(if daemon { "ocellus=info,warn" } else { "ocellus=warn,error" }, daemon);
    if let Some(directory) = crate::gpu::usual_directory() {
        crate::gpu::keep_in(directory);
    }
    let outcome = match cli.command {
        Command::Demo(c) => c.run(),
        Command::Run(c) => c.run(),
        Command::Check(c) => c.run(),
        Command::Config(c) => c.run(),
        Command::Doctor(c) => c.run(),
        Command::Cameras(c) => c.run(),
        Command::Detect(c) => c.run(),
        Command::Replay(c) => c.run(),
        Command::Eval(c) => c.run(),
        Command::Bench(c) => c.run(),
        Command::Model(c) => c.run(),
        Command::Outbox(c) => c.run(),
        Command::Completions(c) => c.run(),
        Command::Man(c) => c.run(),
        Command::Dataset(c) => c.run(),
        Command::Audit(c) => c.run(),
        Command::Withheld(c) => c.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.say();
            if failure.usage { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// A line of data on stdout. A reader that has gone away (`| head`) ends the command in good order.
fn print(line: &str) -> Result<(), Failure> {
    use std::io::Write;
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}

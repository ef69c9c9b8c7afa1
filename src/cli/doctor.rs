//! `ocellus doctor`: what this machine lacks, and what to do about it.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::Failure;
use super::check::{DEFAULT_CONFIG, count as count_of};
use crate::config::{self, Config, ConfigError, DeviceChoice};
use crate::daemon;
use crate::doctor::{self, Finding, Machine, Verdict};

/// The `schema` field of what `--json` prints.
const SCHEMA: &str = "ocellus.doctor/1";
const CHECK: &str = "configuration";

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The configuration; what it says of broker, cameras and store is tried out. None is needed
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Look at the GPU only, in this process
    #[arg(long, value_enum, value_name = "DEVICE", hide = true)]
    only_gpu: Option<DeviceChoice>,
}

#[derive(Serialize)]
struct Report {
    schema: &'static str,
    errors: usize,
    warnings: usize,
    findings: Vec<Finding>,
}

impl Doctor {
    pub(super) fn run(self) -> Result<(), Failure> {
        if let Some(device) = self.only_gpu {
            return super::print(&serde_json::to_string(&doctor::examine_gpu(device))?);
        }
        let machine = Machine::this()?;
        let (config, first) = configuration(&self.config)?;
        let mut findings = Vec::new();
        let mut printed = Ok(());
        let mut tell = |finding: Finding| {
            if !self.json && printed.is_ok() {
                printed = show(&finding);
            }
            findings.push(finding);
        };
        tell(first);
        daemon::runtime()?.block_on(doctor::examine(&machine, &config, &mut tell));
        printed?;
        let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
        let (errors, warnings) = (count(Verdict::Error), count(Verdict::Warning));
        if self.json {
            super::print(&serde_json::to_string(&Report { schema: SCHEMA, errors, warnings, findings })?)?;
        } else {
            eprintln!("{}, {}", count_of(errors, "error"), count_of(warnings, "warning"));
        }
        if errors > 0 { Err(Failure::said()) } else { Ok(()) }
    }
}

fn show(finding: &Finding) -> Result<(), Failure> {
    let verdict = match finding.verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Error => "error",
    };
    super::print(&format!("{verdict:8} {:14} {}", finding.check, finding.said))?;
    finding.fix.iter().try_for_each(|fix| super::print(&format!("{:23}→ {fix}", "")))
}

/// What is known of the configuration: all of it, or the defaults where it can't be used.
fn configuration(path: &Path) -> Result<(Config, Finding), Failure> {
    let finding = |verdict, said, fix: Option<String>| Finding { check: CHECK.to_owned(), verdict, said, fix };
    let at = path.display();
    let wrong = match config::load(path) {
        Ok(loaded) => return Ok((loaded.config, finding(Verdict::Ok, format!("{at} is fine"), None))),
        Err(ConfigError::Mistakes { mistakes, .. }) => Finding::error(
            CHECK,
            format!("{at} has {}; the defaults are examined", count_of(mistakes.len(), "mistake")),
            format!("ocellus check --config {at}"),
        ),
        Err(error) if path.exists() => Finding::error(
            CHECK,
            format!("{error}; the defaults are examined"),
            "run this as root, or as the daemon's user",
        ),
        Err(_) => {
            let fix = "the package brings one with comments; docs/reference/config.md explains every key".to_owned();
            finding(Verdict::Warning, format!("there is no {at}; the defaults are examined"), Some(fix))
        }
    };
    let defaults = config::parse("").map_err(|_| Failure::new("the default configuration is not usable"))?;
    Ok((defaults, wrong))
}

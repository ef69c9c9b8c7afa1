//! What this machine has and lacks, for whoever sets it up: each thing looked at in the order in which one needs the
//! other, and what to do about what is wrong.
//!
//! Nothing here needs a configuration that works, and nothing that is found wrong ends the examination. What the GPU's
//! driver might do, crash or never answer, happens to a child process.

mod broker;
mod cameras;
mod clock;
mod disk;
mod gpu;
mod hub;
mod sas;
mod store;
mod vulkan;
mod web;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::{Config, DeviceChoice};

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but less well than it could.
    Warning,
    /// It does not work.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at: `vulkan`, `gpu`, `broker` and so on.
    pub check: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found, in a line.
    pub said: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    fn ok(check: &str, said: impl Into<String>) -> Self {
        Self { check: check.to_owned(), verdict: Verdict::Ok, said: said.into(), fix: None }
    }

    fn warning(check: &str, said: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check: check.to_owned(), verdict: Verdict::Warning, said: said.into(), fix: Some(fix.into()) }
    }

    /// What does not work.
    pub fn error(check: &str, said: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check: check.to_owned(), verdict: Verdict::Error, said: said.into(), fix: Some(fix.into()) }
    }
}

/// The machine that is examined.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What its files lie under.
    root: PathBuf,
    variables: BTreeMap<String, String>,
    /// This program, for what a child has to do.
    program: PathBuf,
}

impl Machine {
    /// The one that this process runs on.
    ///
    /// # Errors
    /// When the system does not say which program this is.
    pub fn this() -> std::io::Result<Self> {
        let variables = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Ok(Self { root: "/".into(), variables: variables.collect(), program: std::env::current_exe()? })
    }

    fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let path = absolute.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Its variables, as those take them who ask for several.
    fn environment(&self) -> Vec<(String, String)> {
        self.variables.clone().into_iter().collect()
    }

    fn is_container(&self) -> bool {
        let marks = ["/.dockerenv", "/run/.containerenv"];
        marks.iter().any(|mark| self.path(mark).exists())
            || ["container", "KUBERNETES_SERVICE_HOST"].iter().any(|name| self.variable(name).is_some())
    }
}

/// Looks at everything, telling what is found as it is found. `config` is what is known of the configuration.
pub async fn examine(machine: &Machine, config: &Config, mut tell: impl FnMut(Finding)) {
    vulkan::examine(machine).into_iter().for_each(&mut tell);
    gpu::examine(machine, config.device).into_iter().for_each(&mut tell);
    cameras::examine(config).await.into_iter().for_each(&mut tell);
    tell(cameras::ffmpeg(machine));
    disk::examine(machine, config).into_iter().for_each(&mut tell);
    // Certificates, tokens and signatures are only good with a clock that is right.
    tell(clock::examine(machine, chrono::Utc::now()));
    let stores = store::stores(machine, config).await;
    let clock = match store::clock(&stores) {
        Some(clock) => Some(clock),
        None => hub::clock(config).await,
    };
    clock.iter().map(|(server, ahead)| clock::compare(server, *ahead)).for_each(&mut tell);
    let ahead = clock.map(|(_, ahead)| ahead);
    broker::examine(config).await.into_iter().for_each(&mut tell);
    hub::examine(config, ahead).await.into_iter().for_each(&mut tell);
    for store in stores {
        store.examine(machine, ahead).await.into_iter().for_each(&mut tell);
    }
}

/// The part that a child process does: opens the GPU, and has it find what it must.
#[must_use]
pub fn examine_gpu(device: DeviceChoice) -> Vec<Finding> {
    gpu::here(device)
}

#[cfg(test)]
mod testing {
    use super::*;

    /// A machine of files in a folder.
    pub(super) fn machine(root: &Path, variables: &[(&str, &str)]) -> Machine {
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Machine { root: root.to_owned(), variables, program: "/bin/false".into() }
    }

    pub(super) fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

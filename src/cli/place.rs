//! Where a folder of the daemon's is: as it was given, or as the configuration says.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::check::DEFAULT_CONFIG;
use crate::config::{self, Config};
use crate::outbox::OutboxError;

/// Where the packaged unit has the outbox (systemd's `StateDirectory=`), which only the daemon is told. Its other folders
/// are beside it.
const PACKAGED: &str = "/var/lib/ocellus/outbox";

/// Where a folder of the daemon's is.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The folder, instead of the configuration's
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

impl Place {
    /// Whether the folder was given.
    pub(super) fn is_given(&self) -> bool {
        self.path.is_some()
    }

    /// The folder that was given, or the one of the configuration.
    pub(super) fn folder(&self, of: impl FnOnce(&Config) -> Result<PathBuf, OutboxError>) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.path {
            return Ok(path.clone());
        }
        let mut config = config::load(&self.config)?.config;
        if self.config == Path::new(DEFAULT_CONFIG) {
            as_packaged(&mut config, Path::new(PACKAGED));
        }
        Ok(of(&config)?)
    }
}

/// What the service's configuration leaves open is where the service has it, if it has run.
fn as_packaged(config: &mut Config, outbox: &Path) {
    if config.outbox.path.is_none() && outbox.is_dir() {
        config.outbox.path = Some(outbox.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_service_has_is_found_beside_its_outbox() {
        let folder = tempfile::tempdir().expect("a folder");
        let outbox = folder.path().join("outbox");
        let mut config = config::parse("").expect("defaults");
        as_packaged(&mut config, &outbox);
        assert_eq!(config.outbox.path, None, "it has not run");
        std::fs::create_dir(&outbox).expect("made");
        as_packaged(&mut config, &outbox);
        let found = [config.outbox.folder(), config.withheld_folder(), config.audit_folder()];
        let wanted = ["outbox", "withheld", "audit"].map(|name| folder.path().join(name));
        assert_eq!(found.map(|found| found.expect("a place")), wanted);
        let given = PathBuf::from("/srv/outbox");
        config.outbox.path = Some(given.clone());
        as_packaged(&mut config, &outbox);
        assert_eq!(config.outbox.path, Some(given));
    }
}

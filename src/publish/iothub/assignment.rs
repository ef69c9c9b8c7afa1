//! What provisioning has said, kept for the next start: the service need not be asked each time.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::connection_string::{check_device, check_host};
use super::error::IotHubError;
use super::identity::Device;
use crate::config::DpsConfig;
use crate::outbox::state_folder;
use crate::state::StateFile;

/// The `schema` field of the file.
const SCHEMA: &str = "ocellus.iothub-assignment/1";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    schema: String,
    id_scope: String,
    registration_id: String,
    hub: String,
    device: String,
}

/// The file.
#[derive(Debug)]
pub(super) struct Assignment {
    path: PathBuf,
    file: StateFile,
    id_scope: String,
    registration_id: String,
}

impl Assignment {
    pub(super) fn of(config: &DpsConfig) -> Result<Self, IotHubError> {
        let usual = || Some(state_folder()?.join("iothub.json"));
        let path = config.assignment.clone().or_else(usual).ok_or(IotHubError::NoPlace)?;
        let name = path.file_name().and_then(OsStr::to_str).ok_or(IotHubError::NoPlace)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = StateFile::of(Some(folder), name);
        let (id_scope, registration_id) = (config.id_scope.clone(), config.registration_id.clone());
        Ok(Self { path, file, id_scope, registration_id })
    }

    /// The device that this registration was assigned; none where that isn't known.
    pub(super) fn load(&self) -> Option<Device> {
        let content: Content = self.file.read();
        let ours = content.id_scope == self.id_scope && content.registration_id == self.registration_id;
        if content.schema != SCHEMA || !ours {
            return None;
        }
        let (hub, id) = (check_host(&content.hub).ok()?, check_device(&content.device).ok()?);
        Some(Device { hub, id })
    }

    /// Keeps what was assigned. When this returns it is on the disk.
    pub(super) fn keep(&self, device: &Device) -> Result<(), IotHubError> {
        let content = Content {
            schema: SCHEMA.to_owned(),
            id_scope: self.id_scope.clone(),
            registration_id: self.registration_id.clone(),
            hub: device.hub.clone(),
            device: device.id.clone(),
        };
        self.file.write(&content).map_err(|source| IotHubError::Assignment { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn config(path: &Path, registration: &str) -> DpsConfig {
        let text = format!("id_scope = \"0ne1\"\nregistration_id = {registration:?}\nassignment = {path:?}");
        toml::from_str(&text).expect("good")
    }

    #[test]
    fn what_was_assigned_is_known_at_the_next_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/iothub.json");
        let device = Device { hub: "h.example".to_owned(), id: "edge".to_owned() };
        let of = |registration| Assignment::of(&config(&path, registration)).expect("a place");
        assert_eq!(of("a").load(), None);
        of("a").keep(&device).expect("written");
        assert_eq!(of("a").load(), Some(device));
        assert_eq!(of("b").load(), None, "another registration is another device");
    }

    #[test]
    fn what_can_not_be_read_is_asked_for_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("iothub.json");
        let assignment = Assignment::of(&config(&path, "a")).expect("a place");
        for text in [
            "",
            "{}",
            "[1]",
            "{\"schema\":\"x\",\"id_scope\":\"\",\"registration_id\":\"\",\"hub\":\"\",\"device\":\"\"}",
        ] {
            fs::write(&path, text).expect("written");
            assert_eq!(assignment.load(), None, "{text}");
        }
        let odd = Content {
            schema: SCHEMA.to_owned(),
            id_scope: "0ne1".to_owned(),
            registration_id: "a".to_owned(),
            hub: "a/b".to_owned(),
            device: "d".to_owned(),
        };
        fs::write(&path, serde_json::to_vec(&odd).expect("JSON")).expect("written");
        assert_eq!(assignment.load(), None);
        let nowhere = Assignment::of(&config(Path::new("/proc/no/iothub.json"), "a")).expect("a place");
        let device = Device { hub: "h".to_owned(), id: "d".to_owned() };
        assert!(nowhere.keep(&device).expect_err("read-only").to_string().contains("/proc/no/iothub.json"));
    }
}

//! What is in force: the configuration, and over it what was commanded.

use chrono::{DateTime, Utc};

use crate::command::{Book, configured_value};
use crate::config::{Config, Loaded, Name, digest};
use crate::status::{CAMERA_SCHEMA, CameraState, CameraStatus};

/// Why a camera is off.
const COMMANDED: &str = "paused by command";
const CONFIGURED: &str = "switched off in the configuration";

/// The configuration and what was commanded.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    /// As the file says.
    file: Loaded,
    /// As commanded.
    book: Book,
    /// Both together.
    config: Config,
}

impl Standing {
    pub(super) fn new(file: Loaded, book: Book) -> Self {
        let config = book.over(&file.config);
        Self { file, book, config }
    }

    /// The same configuration with other commands.
    pub(super) fn with(&self, book: Book) -> Self {
        Self::new(self.file.clone(), book)
    }

    /// What is in force.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// What the file says.
    pub(super) fn file(&self) -> &Config {
        &self.file.config
    }

    /// The file itself.
    pub(super) fn loaded(&self) -> &Loaded {
        &self.file
    }

    pub(super) fn book(&self) -> &Book {
        &self.book
    }

    /// What messages say of what is in force: the file's digest, or one of the file and what was commanded.
    pub(super) fn digest(&self) -> String {
        if self.book.is_empty() {
            self.file.digest.clone()
        } else {
            digest(&format!("{}\n{}", self.file.digest, self.book.text()))
        }
    }

    /// How a camera is that is not to run; none where it is.
    pub(super) fn off(&self, camera: &Name, now: DateTime<Utc>) -> Option<CameraStatus> {
        if self.config.cameras.get(camera)?.is_enabled() {
            return None;
        }
        let commanded = self.book.get(camera, "enabled");
        let reason = if commanded.is_some() { COMMANDED } else { CONFIGURED };
        let since = commanded.map_or(now, |commanded| commanded.since);
        Some(CameraStatus {
            schema: CAMERA_SCHEMA.to_owned(),
            state: CameraState::Off,
            reason: reason.to_owned(),
            since,
        })
    }

    /// A setting of a camera: what is in force, and what the configuration says. Null where neither says anything.
    pub(super) fn values(&self, camera: &Name, setting: &str) -> Option<[serde_json::Value; 2]> {
        let [now, file] = [&self.config, &self.file.config].map(|config| config.cameras.get(camera));
        Some([configured_value(setting, now?), configured_value(setting, file?)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Setting;
    use crate::config::{ConfigFile, parse};

    fn standing(camera: &str) -> Standing {
        let mut config = parse("").unwrap();
        let camera = toml::from_str(&format!("source = \"sim:conveyor\"\n{camera}")).unwrap();
        config.cameras.insert(Name::near("line"), camera);
        Standing::new(Loaded { config, digest: digest(""), file: ConfigFile::default() }, Book::default())
    }

    fn with(standing: &Standing, setting: Setting, at: DateTime<Utc>) -> Standing {
        let mut book = standing.book().clone();
        book.set("line", &standing.file().cameras["line"], setting, at);
        standing.with(book)
    }

    #[test]
    fn a_camera_that_is_off_says_who_switched_it_off_and_when() {
        let [then, now] = [100, 200].map(|at| DateTime::from_timestamp(at, 0).unwrap());
        let line = Name::near("line");
        let on = standing("");
        assert_eq!(on.off(&line, now), None);
        let paused = with(&on, Setting::Enabled(Some(false)), then).off(&line, now).unwrap();
        assert_eq!((paused.reason.as_str(), paused.since), (COMMANDED, then));
        let file = standing("enabled = false");
        let off = file.off(&line, now).unwrap();
        assert_eq!((off.reason.as_str(), off.since), (CONFIGURED, now));
        // A command may also switch on what the file has switched off.
        assert_eq!(with(&file, Setting::Enabled(Some(true)), then).off(&line, now), None);
    }

    #[test]
    fn the_digest_tells_what_is_in_force() {
        let at = DateTime::UNIX_EPOCH;
        let plain = standing("");
        assert_eq!(plain.digest(), digest(""));
        let low = with(&plain, Setting::Score(Some(0.1)), at);
        assert_ne!(low.digest(), plain.digest());
        assert_ne!(with(&plain, Setting::Score(Some(0.2)), at).digest(), low.digest());
        assert_eq!(
            with(&plain, Setting::Score(Some(0.1)), DateTime::from_timestamp(9, 0).unwrap()).digest(),
            low.digest()
        );
        assert_eq!(with(&low, Setting::Score(None), at).digest(), plain.digest());
    }
}

//! What was commanded and is in force, and how it lies over the configuration.
//!
//! The last word counts. A command holds, over restarts as well, until it is taken back, or until somebody edits that
//! key of the configuration: then what is written there counts again. To see that, each command remembers what the
//! configuration said when it was given.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::request::{Request, Setting};
use crate::config::{CameraConfig, Config};

/// All that was commanded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Book {
    /// By camera, then by setting.
    cameras: BTreeMap<String, BTreeMap<String, Commanded>>,
}

/// One setting that was commanded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Commanded {
    /// What it was set to.
    pub value: Value,
    /// What the configuration said then.
    pub over: Value,
    /// When.
    pub since: DateTime<Utc>,
}

impl Book {
    /// Notes a command. One that says what the configuration says anyway needs no note.
    pub fn set(&mut self, camera: &str, configured: &CameraConfig, setting: Setting, now: DateTime<Utc>) {
        let (name, over) = (setting.name(), configured_value(setting.name(), configured));
        let commanded = self.cameras.entry(camera.to_owned()).or_default();
        match setting.value().filter(|value| *value != over) {
            Some(value) => {
                commanded.insert(name.to_owned(), Commanded { value, over, since: now });
            }
            None => {
                commanded.remove(name);
            }
        }
        self.cameras.retain(|_, commanded| !commanded.is_empty());
    }

    /// Forgets what a configuration makes void: commands to cameras that are gone, and those whose key says something
    /// else than it did. Gives camera and setting of each.
    pub fn settle(&mut self, config: &Config) -> Vec<(String, String)> {
        let mut void = Vec::new();
        for (camera, commanded) in &mut self.cameras {
            let configured = config.cameras.get(camera.as_str());
            commanded.retain(|setting, commanded| {
                let holds = configured.is_some_and(|configured| {
                    configured_value(setting, configured) == commanded.over && read(setting, &commanded.value).is_some()
                });
                if !holds {
                    void.push((camera.clone(), setting.clone()));
                }
                holds
            });
        }
        self.cameras.retain(|_, commanded| !commanded.is_empty());
        void
    }

    /// The configuration with what was commanded.
    #[must_use]
    pub fn over(&self, config: &Config) -> Config {
        let mut config = config.clone();
        for (camera, commanded) in &self.cameras {
            let Some(camera) = config.cameras.get_mut(camera.as_str()) else { continue };
            for (setting, commanded) in commanded {
                if let Some(setting) = read(setting, &commanded.value) {
                    apply(setting, camera);
                }
            }
        }
        config
    }

    /// A setting as it was commanded, if it was.
    #[must_use]
    pub fn get(&self, camera: &str, setting: &str) -> Option<&Commanded> {
        self.cameras.get(camera)?.get(setting)
    }

    /// Whether nothing is commanded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cameras.is_empty()
    }

    /// What is commanded, without when: the same text for the same settings.
    #[must_use]
    pub fn text(&self) -> String {
        let settings = self.cameras.iter().flat_map(|(camera, commanded)| {
            commanded.iter().map(move |(setting, commanded)| format!("{camera}.{setting} = {}\n", commanded.value))
        });
        settings.collect()
    }
}

fn read(setting: &str, value: &Value) -> Option<Setting> {
    Request::setting(setting, value).ok().flatten()
}

/// What a camera's configuration says of a setting.
#[must_use]
pub fn configured_value(setting: &str, camera: &CameraConfig) -> Value {
    match setting {
        "enabled" => camera.is_enabled().into(),
        "score" => number(camera.score),
        "fps" => number(camera.fps),
        "motion" => number(camera.motion),
        _ => Value::Null,
    }
}

fn apply(setting: Setting, camera: &mut CameraConfig) {
    match setting {
        Setting::Enabled(Some(on)) => camera.enabled = Some(on),
        Setting::Score(Some(score)) => camera.score = Some(score),
        Setting::Fps(Some(fps)) => camera.fps = Some(fps),
        Setting::Motion(Some(level)) => camera.motion = Some(level).filter(|level| *level > 0.0),
        Setting::Enabled(None) | Setting::Score(None) | Setting::Fps(None) | Setting::Motion(None) => {}
    }
}

/// As people wrote it: 0.3, not what 32 bits make of it.
pub(crate) fn number(value: Option<f32>) -> Value {
    value.and_then(|value| value.to_string().parse::<f64>().ok()).map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Name;

    fn config(rest: &str) -> Config {
        let mut config = crate::config::parse("").unwrap();
        let camera = toml::from_str(&format!("source = \"sim:conveyor\"\n{rest}")).unwrap();
        config.cameras.insert(Name::near("line"), camera);
        config
    }

    fn commanded(config: &Config, settings: &[Setting]) -> Book {
        let mut book = Book::default();
        for setting in settings {
            book.set("line", &config.cameras["line"], *setting, DateTime::UNIX_EPOCH);
        }
        book
    }

    #[test]
    fn commands_lie_over_the_configuration() {
        let before = config("fps = 5\nmotion = 4");
        let all = [
            Setting::Enabled(Some(false)),
            Setting::Score(Some(0.3)),
            Setting::Fps(Some(2.5)),
            Setting::Motion(Some(0.0)),
        ];
        let book = commanded(&before, &all);
        let camera = &book.over(&before).cameras["line"];
        assert_eq!((camera.is_enabled(), camera.score, camera.fps, camera.motion), (false, Some(0.3), Some(2.5), None));
        let Some(Commanded { value, over, .. }) = book.get("line", "fps") else { panic!("it was commanded") };
        assert_eq!((value, over), (&2.5.into(), &5.0.into()));
        assert_eq!(book.text(), "line.enabled = false\nline.fps = 2.5\nline.motion = 0.0\nline.score = 0.3\n");
    }

    #[test]
    fn what_is_taken_back_or_said_anyway_is_no_command() {
        let before = config("fps = 5");
        let mut book = commanded(&before, &[Setting::Fps(Some(2.0)), Setting::Score(Some(0.5))]);
        book.set("line", &before.cameras["line"], Setting::Fps(None), DateTime::UNIX_EPOCH);
        assert!(book.get("line", "fps").is_none() && book.get("line", "score").is_some());
        book.set("line", &before.cameras["line"], Setting::Score(None), DateTime::UNIX_EPOCH);
        assert!(book.is_empty());
        let same = [Setting::Fps(Some(5.0)), Setting::Enabled(Some(true))];
        assert!(commanded(&before, &same).is_empty());
        assert_eq!(book.over(&before), before);
    }

    #[test]
    fn a_command_holds_until_that_key_is_edited() {
        let before = config("fps = 5");
        let settings = [Setting::Fps(Some(2.0)), Setting::Enabled(Some(false))];
        let mut book = commanded(&before, &settings);
        // Another key, and nothing at all.
        for other in [config("fps = 5\nmotion = 3"), before.clone()] {
            assert_eq!(book.settle(&other), []);
        }
        let edited = config("fps = 6");
        assert_eq!(book.settle(&edited), [("line".to_owned(), "fps".to_owned())]);
        let camera = &book.over(&edited).cameras["line"];
        assert_eq!((camera.fps, camera.is_enabled()), (Some(6.0), false));
        // A camera that is gone takes its commands with it.
        let none = crate::config::parse("").unwrap();
        assert_eq!(book.settle(&none), [("line".to_owned(), "enabled".to_owned())]);
        assert!(book.is_empty());
    }

    #[test]
    fn it_is_the_same_after_a_restart() {
        let before = config("");
        let book = commanded(&before, &[Setting::Score(Some(0.1)), Setting::Enabled(Some(false))]);
        let text = serde_json::to_string(&book).unwrap();
        let mut again: Book = serde_json::from_str(&text).unwrap();
        assert_eq!(again.settle(&before), []);
        assert_eq!((again.over(&before), &again), (book.over(&before), &book));
    }

    #[test]
    fn nonsense_in_the_file_is_dropped() {
        let before = config("");
        let entry = |value: &str| format!(r#"{{"value": {value}, "over": null, "since": "2026-01-01T00:00:00Z"}}"#);
        let text = format!(r#"{{"cameras": {{"line": {{"score": {}, "colour": {}}}}}}}"#, entry("7"), entry("1"));
        let mut book: Book = serde_json::from_str(&text).unwrap();
        assert_eq!(book.over(&before), before);
        assert_eq!(book.settle(&before).len(), 2);
        assert!(book.is_empty());
    }
}

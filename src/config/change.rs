//! What it takes to put a changed configuration in force, key by key.
//!
//! One table says it, [`Reload::of`]: the daemon goes by it, and `docs/reference/reload.md` is written from it.

use serde_json::Value;

use super::Config;

/// What a reload does about a key that changed, the mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reload {
    /// It is in force at once, and nothing is started anew.
    AtOnce,
    /// The camera's tracks begin anew; its pictures go on.
    Scene,
    /// The camera is opened again.
    Camera,
    /// The model is opened beside the one that runs and then takes its place; its cameras are opened again.
    Model,
    /// It can't be changed in a daemon that runs: the reload is refused.
    Restart,
}

impl Reload {
    /// What a reload does about a key, named by the keys that lead to it.
    #[must_use]
    pub fn of(key: &[&str]) -> Self {
        match key {
            ["evidence", "store" | "ship", ..] => Self::Restart,
            ["cameras", _, "score"] | ["evidence", _, ..] | ["mqtt", "home_assistant"] => Self::AtOnce,
            ["cameras", _, "track" | "zones" | "lines", ..] => Self::Scene,
            ["cameras", ..] => Self::Camera,
            ["models", ..] => Self::Model,
            _ => Self::Restart,
        }
    }

    /// The same in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::AtOnce => "in force at once",
            Self::Scene => "tracks of the camera begin anew, its pictures and counts go on",
            Self::Camera => "the camera is opened again",
            Self::Model => {
                "the model is opened beside the one that runs, then replaces it; its cameras are opened again"
            }
            Self::Restart => "**needs a restart**: the reload is refused",
        }
    }
}

/// A key that differs between two configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The keys that lead to it.
    pub key: Vec<String>,
    /// What it takes to put it in force.
    pub reload: Reload,
}

impl Change {
    fn of(key: Vec<String>) -> Self {
        let parts: Vec<&str> = key.iter().map(String::as_str).collect();
        let reload = Reload::of(&parts);
        Self { key, reload }
    }
}

impl std::fmt::Display for Change {
    /// As it is written in TOML: `mqtt.url`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bare = |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        for (i, part) in self.key.iter().enumerate() {
            let dot = if i == 0 { "" } else { "." };
            if bare(part) { write!(f, "{dot}{part}")? } else { write!(f, "{dot}\"{part}\"")? }
        }
        Ok(())
    }
}

/// The keys that differ, each as deep as both have the tables that lead to it. Lists differ as a whole.
///
/// # Errors
/// When a configuration can't be written down to be compared.
pub fn changes(old: &Config, new: &Config) -> Result<Vec<Change>, serde_json::Error> {
    let mut found = Vec::new();
    compare(&serde_json::to_value(old)?, &serde_json::to_value(new)?, &mut Vec::new(), &mut found);
    Ok(found.into_iter().map(Change::of).collect())
}

fn compare(old: &Value, new: &Value, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let (Value::Object(before), Value::Object(now)) = (old, new) else {
        if old != new {
            found.push(at.clone());
        }
        return;
    };
    let added = now.iter().filter(|(key, _)| !before.contains_key(*key)).map(|(key, _)| key);
    for key in before.keys().chain(added) {
        at.push(key.clone());
        match (before.get(key), now.get(key)) {
            (Some(old), Some(new)) => compare(old, new, at, found),
            _ => found.push(at.clone()),
        }
        at.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn named(old: &str, new: &str) -> Vec<String> {
        let [old, new] = [old, new].map(|text| toml::from_str::<Config>(text).unwrap());
        changes(&old, &new).unwrap().iter().map(|change| format!("{change}: {:?}", change.reload)).collect()
    }

    #[test]
    fn every_key_that_differs_is_named() {
        let camera = "[cameras.a]\nsource = \"sim:conveyor\"\n";
        for (old, new, wanted) in [
            ("", "", vec![]),
            // What is written out as it was by default is no change.
            ("", "device = \"auto\"\n[mqtt]\nqueue = 256\n", vec![]),
            ("", "site = \"b\"\n[mqtt]\nurl = \"mqtt://b\"\n", vec!["mqtt.url: Restart", "site: Restart"]),
            ("", "[web]\n", vec!["web: Restart"]),
            ("[web]\n", "[web]\nlisten = \"127.0.0.1:1\"\n", vec!["web.listen: Restart"]),
            ("", camera, vec!["cameras.a: Camera"]),
            (
                camera,
                &format!("{camera}score = 0.5\nfps = 1\n"),
                vec!["cameras.a.fps: Camera", "cameras.a.score: AtOnce"],
            ),
            (
                camera,
                &format!("{camera}[[cameras.a.zones]]\nname = \"z\"\npoints = [[0, 0], [1, 0], [0, 1]]\n"),
                vec!["cameras.a.zones: Scene"],
            ),
            (
                "[models.\"a.b\"]\npath = \"/a\"\n",
                "[models.\"a.b\"]\npath = \"/b\"\n",
                vec!["models.\"a.b\".path: Model"],
            ),
            (
                "[evidence]\nstore = \"/a\"\n",
                "[evidence]\nstore = \"/b\"\nper_minute = 1\n",
                vec!["evidence.per_minute: AtOnce", "evidence.store: Restart"],
            ),
        ] {
            let mut found = named(old, new);
            found.sort();
            assert_eq!(found, wanted, "{new}");
        }
    }

    #[test]
    fn a_key_that_nobody_thought_of_needs_a_restart() {
        assert_eq!(Reload::of(&["colour"]), Reload::Restart);
        assert_eq!(Reload::of(&[]), Reload::Restart);
    }

    #[test]
    fn hours_are_compared_by_what_they_mean() {
        let rule = |hours: &str| format!("[[privacy.store]]\nname = \"r\"\nallow = \"frame\"\nhours = [\"{hours}\"]\n");
        assert_eq!(named(&rule("mon-sun 06:00-18:00"), &rule("06:00-18:00")), Vec::<String>::new());
        assert_eq!(named(&rule("06:00-18:00"), &rule("06:00-19:00")), ["privacy.store: Restart"]);
        assert!(parse("").is_ok());
    }
}

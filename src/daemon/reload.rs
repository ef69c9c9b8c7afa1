//! What a changed configuration changes while the daemon runs.

use crate::config::{Change, Config, Name, Reload, changes};

use super::models::model_of;

/// What is touched, by name; all else runs on as if nothing were.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Plan {
    pub(super) added: Vec<Name>,
    /// Cameras that are opened anew.
    pub(super) changed: Vec<Name>,
    /// Cameras that are changed without being opened anew.
    pub(super) tuned: Vec<Name>,
    /// Those among them whose tracks begin anew.
    pub(super) scenes: Vec<Name>,
    pub(super) removed: Vec<Name>,
    /// Models that are opened anew.
    pub(super) models: Vec<Name>,
    /// Whether other frames are worth keeping.
    pub(super) evidence: bool,
    /// Whether Home Assistant is to be told, or to forget, what there is.
    pub(super) announced: bool,
}

impl Plan {
    /// What it takes to get from one configuration to another.
    ///
    /// # Errors
    /// When something changed that needs a restart, in words.
    pub(super) fn of(old: &Config, new: &Config) -> Result<Self, String> {
        let changes =
            changes(old, new).map_err(|error| format!("it can't be compared with what is in force: {error}"))?;
        let fixed: Vec<String> = changes
            .iter()
            .filter(|change| change.reload == Reload::Restart)
            .map(|change| format!("{change} needs a restart"))
            .collect();
        if !fixed.is_empty() {
            return Err(format!("{}; nothing was changed: restart the daemon, or take that back", fixed.join(", ")));
        }
        let in_table =
            |table: &str| changes.iter().any(|change| change.key.first().is_some_and(|first| first == table));
        let mut plan = Self { evidence: in_table("evidence"), announced: in_table("mqtt"), ..Self::default() };
        let models = new.models.keys().filter(|name| old.models.contains_key(*name));
        plan.models = models.filter(|name| worst(&changes, "models", name).is_some()).cloned().collect();
        for (name, camera) in &new.cameras {
            let model = model_of(new, camera);
            let Some(before) = old.cameras.get(name) else {
                plan.added.push(name.clone());
                continue;
            };
            // The only model need not be named: whether it is, is no change of what the camera does.
            let named = ["cameras".to_owned(), name.to_string(), "model".to_owned()];
            let own = changes.iter().filter(|change| change.key != named);
            let anew = model_of(old, before) != model || model.is_some_and(|model| plan.models.contains(model));
            match worst(own, "cameras", name) {
                _ if anew => plan.changed.push(name.clone()),
                None => {}
                Some(Reload::AtOnce) => plan.tuned.push(name.clone()),
                Some(Reload::Scene) => {
                    plan.tuned.push(name.clone());
                    plan.scenes.push(name.clone());
                }
                Some(_) => plan.changed.push(name.clone()),
            }
        }
        plan.removed = old.cameras.keys().filter(|name| !new.cameras.contains_key(*name)).cloned().collect();
        Ok(plan)
    }

    /// The same, where these models are opened anew as well: other files are where theirs were.
    pub(super) fn with_models(mut self, models: Vec<Name>, config: &Config) -> Self {
        for model in models.into_iter().filter(|model| config.models.contains_key(model)) {
            if !self.models.contains(&model) {
                self.models.push(model);
            }
        }
        for (name, camera) in &config.cameras {
            let anew = model_of(config, camera).is_some_and(|model| self.models.contains(model));
            if anew && !self.added.contains(name) && !self.changed.contains(name) {
                self.changed.push(name.clone());
            }
        }
        let Self { changed, tuned, scenes, .. } = &mut self;
        tuned.retain(|name| !changed.contains(name));
        scenes.retain(|name| !changed.contains(name));
        self
    }

    /// Whether nothing is to be done.
    pub(super) fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

/// The most that a change of something in a table of names takes; none where nothing changed.
fn worst<'a>(changes: impl IntoIterator<Item = &'a Change>, table: &str, name: &Name) -> Option<Reload> {
    let within =
        |change: &&Change| matches!(&change.key[..], [first, second, ..] if first == table && **second == **name);
    changes.into_iter().filter(within).map(|change| change.reload).max()
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { added, changed, tuned, scenes: _, removed, models, evidence, announced } = self;
        write!(f, "{} added, {} changed, {} removed", added.len(), changed.len() + tuned.len(), removed.len())?;
        let names: Vec<&str> = models.iter().map(|name| &**name).collect();
        if !names.is_empty() {
            write!(f, "; models opened anew: {}", names.join(", "))?;
        }
        for (also, what) in [(evidence, "limits of evidence"), (announced, "Home Assistant's discovery")] {
            if *also {
                write!(f, "; {what} changed")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ModelConfig, parse};

    /// A configuration with models that need not be there.
    fn config(rest: &str) -> Config {
        let mut config = parse(rest).unwrap();
        let folder = std::env::temp_dir().display().to_string();
        let model: ModelConfig = toml::from_str(&format!("path = {folder:?}")).unwrap();
        config.models = ["a", "b"].map(|name| (Name::near(name), model.clone())).into();
        config
    }

    fn cameras(lines: &[(&str, &str)]) -> Config {
        let mut config = config("");
        for (name, rest) in lines {
            let text = format!("source = \"sim:conveyor?{rest}\"\nmodel = \"a\"");
            config.cameras.insert(Name::near(name), toml::from_str(&text).unwrap());
        }
        config
    }

    fn plan(old: &Config, new: &Config) -> [Vec<String>; 3] {
        let Plan { added, changed, removed, tuned, .. } = Plan::of(old, new).unwrap();
        assert_eq!(tuned, []);
        [added, changed, removed].map(|names| names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn only_what_changed_is_touched() {
        let old = cameras(&[("one", "seed=1"), ("two", "seed=2"), ("three", "seed=3")]);
        let new = cameras(&[("one", "seed=1"), ("two", "seed=9"), ("four", "seed=4")]);
        let names = |name: &str| vec![name.to_owned()];
        assert_eq!(plan(&old, &new), [names("four"), names("two"), names("three")]);
        assert!(Plan::of(&old, &old).unwrap().is_empty());
    }

    #[test]
    fn another_threshold_starts_nothing_anew() {
        let old = cameras(&[("one", "seed=1"), ("two", "seed=2"), ("three", "seed=3")]);
        let mut new = old.clone();
        new.cameras.get_mut("one").unwrap().score = Some(0.2);
        new.cameras.get_mut("two").unwrap().score = Some(0.2);
        new.cameras.get_mut("two").unwrap().fps = Some(1.0);
        new.cameras.get_mut("three").unwrap().enabled = Some(false);
        let plan = Plan::of(&old, &new).unwrap();
        assert_eq!(
            (plan.tuned, plan.changed.len(), plan.added, plan.removed),
            (vec![Name::near("one")], 2, vec![], vec![])
        );
    }

    #[test]
    fn another_model_is_a_change_and_a_new_one_is_none() {
        let old = cameras(&[("one", "seed=1")]);
        let mut new = old.clone();
        new.cameras.get_mut("one").unwrap().model = Some(Name::near("b"));
        assert_eq!(plan(&old, &new)[1], ["one"]);
        // The only model need not be named; that it is, is no change of what the camera does.
        let mut more = old.clone();
        more.models.insert(Name::near("c"), old.models["a"].clone());
        more.models.remove("b");
        assert!(Plan::of(&old, &more).unwrap().is_empty());
    }

    #[test]
    fn zones_change_before_a_camera_that_goes_on() {
        let old = cameras(&[("one", "seed=1"), ("two", "seed=2")]);
        let mut new = old.clone();
        let zone = toml::from_str("name = \"z\"\npoints = [[0, 0], [1, 0], [0, 1]]").unwrap();
        new.cameras.get_mut("one").unwrap().zones.push(zone);
        let plan = Plan::of(&old, &new).unwrap();
        let one = vec![Name::near("one")];
        assert_eq!((&plan.tuned, &plan.scenes, plan.changed.len()), (&one, &one, 0));
    }

    #[test]
    fn a_changed_model_is_opened_anew_with_its_cameras() {
        let mut old = cameras(&[("one", "seed=1"), ("two", "seed=2")]);
        old.cameras.get_mut("two").unwrap().model = Some(Name::near("b"));
        let mut new = old.clone();
        new.models.get_mut("b").unwrap().score = Some(0.5);
        let plan = Plan::of(&old, &new).unwrap();
        assert_eq!((&plan.models, &plan.changed), (&vec![Name::near("b")], &vec![Name::near("two")]));
        assert_eq!(plan.to_string(), "0 added, 1 changed, 0 removed; models opened anew: b");
    }

    #[test]
    fn a_model_with_other_files_is_opened_anew_with_its_cameras() {
        let mut old = cameras(&[("one", "seed=1"), ("two", "seed=2"), ("three", "seed=3")]);
        old.cameras.get_mut("two").unwrap().model = Some(Name::near("b"));
        let mut new = old.clone();
        new.cameras.get_mut("one").unwrap().score = Some(0.2);
        new.cameras.get_mut("two").unwrap().score = Some(0.2);
        let plan = Plan::of(&old, &new).unwrap().with_models(vec![Name::near("b"), Name::near("gone")], &new);
        let names = |names: &[&str]| names.iter().map(|name| Name::near(name)).collect::<Vec<_>>();
        assert_eq!((plan.models, plan.changed, plan.tuned), (names(&["b"]), names(&["two"]), names(&["one"])));
    }

    #[test]
    fn what_takes_a_restart_is_named_by_its_key() {
        let old = config("[web]\n");
        let mut new = config("site = \"other\"\ndevice = \"cpu\"\n[mqtt]\nqueue = 3\nhome_assistant = true\n");
        new.models.get_mut("b").unwrap().score = Some(0.5);
        let error = Plan::of(&old, &new).unwrap_err();
        for key in ["device", "mqtt.queue", "site", "web"] {
            assert!(error.contains(&format!("{key} needs a restart")), "{error}");
        }
        assert_eq!(error.matches("needs a restart").count(), 4, "{error}");
        assert!(error.ends_with("; nothing was changed: restart the daemon, or take that back"), "{error}");
    }
}

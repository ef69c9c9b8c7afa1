//! What a changed configuration changes while the daemon runs.

use crate::config::{CameraConfig, Config, Name};

use super::models::model_of;

/// The cameras that are touched, by name; all others run on as if nothing were.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Plan {
    pub(super) added: Vec<Name>,
    /// Started anew.
    pub(super) changed: Vec<Name>,
    /// Changed without being started anew.
    pub(super) tuned: Vec<Name>,
    pub(super) removed: Vec<Name>,
}

impl Plan {
    /// What it takes to get from one configuration to another.
    ///
    /// # Errors
    /// When something else than cameras changed, in words.
    pub(super) fn of(old: &Config, new: &Config) -> Result<Self, String> {
        let fixed = restart(old, new);
        if !fixed.is_empty() {
            let list = fixed.join(", ");
            return Err(format!(
                "{list} changed, which takes a restart; only cameras, and models for them, can change"
            ));
        }
        let mut plan = Self::default();
        for (name, camera) in &new.cameras {
            match old.cameras.get(name) {
                None => plan.added.push(name.clone()),
                Some(before) if model_of(old, before) != model_of(new, camera) => plan.changed.push(name.clone()),
                Some(before) if before == camera => {}
                Some(before) if is_tuned(before, camera) => plan.tuned.push(name.clone()),
                Some(_) => plan.changed.push(name.clone()),
            }
        }
        plan.removed = old.cameras.keys().filter(|name| !new.cameras.contains_key(*name)).cloned().collect();
        Ok(plan)
    }

    /// Whether nothing is to be done.
    pub(super) fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { added, changed, tuned, removed } = self;
        write!(f, "{} added, {} changed, {} removed", added.len(), changed.len() + tuned.len(), removed.len())
    }
}

/// Whether two configurations of a camera differ in nothing but what can change while it runs.
fn is_tuned(old: &CameraConfig, new: &CameraConfig) -> bool {
    CameraConfig { score: None, ..old.clone() } == CameraConfig { score: None, ..new.clone() }
}

/// The keys and tables that differ and can't be changed in a daemon that runs. A model may be added.
fn restart(old: &Config, new: &Config) -> Vec<String> {
    let Config { site, node, device, cache, mqtt, iothub, web, serve, models, cameras: _, evidence, privacy, outbox } =
        old;
    let mut fixed: Vec<String> = [
        ("`site`", *site != new.site),
        ("`node`", *node != new.node),
        ("`device`", *device != new.device),
        ("`cache`", *cache != new.cache),
        ("[mqtt]", *mqtt != new.mqtt),
        ("[iothub]", *iothub != new.iothub),
        ("[web]", *web != new.web),
        ("[serve]", *serve != new.serve),
        ("[evidence]", *evidence != new.evidence),
        ("[privacy]", *privacy != new.privacy),
        ("[outbox]", *outbox != new.outbox),
    ]
    .into_iter()
    .filter(|(_, differs)| *differs)
    .map(|(what, _)| what.to_owned())
    .collect();
    let changed = models.iter().filter(|(name, model)| new.models.get(*name).is_some_and(|now| now != *model));
    fixed.extend(changed.map(|(name, _)| format!("[models.{name}]")));
    fixed
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
        let Plan { added, changed, removed, tuned } = Plan::of(old, new).unwrap();
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
    fn what_takes_a_restart_is_named() {
        let old = config("[web]\n");
        let mut new = config("site = \"other\"\ndevice = \"cpu\"\n[mqtt]\nqueue = 3\n");
        let folder = std::env::temp_dir();
        new.models.get_mut("b").unwrap().score = Some(0.5);
        new.models.get_mut("b").unwrap().path = folder;
        let error = Plan::of(&old, &new).unwrap_err();
        assert!(
            error.starts_with("`site`, `device`, [mqtt], [web], [models.b] changed, which takes a restart"),
            "{error}"
        );
    }
}

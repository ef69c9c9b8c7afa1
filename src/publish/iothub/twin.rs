//! The device twin, as far as it needs no network: what the hub wants, what it was told, and what it is to be told.
//!
//! Desired properties are settings of cameras, by the names that they have in commands:
//! `{"cameras": {"line3": {"score": 0.5, "enabled": true}}}`. Each is answered in the same place of the reported
//! properties, as IoT Plug and Play has it: `{"value": 0.5, "ac": 200, "av": 4, "ad": ""}`, with the version of the desired
//! properties that it answers. Beside them are reported the node (`node`) and the states of cameras (`states`).
//!
//! Changes are not delivered while a device is away: so the whole twin is asked for after each connect, and again where
//! a version is missing. What is reported is the difference to what the hub has, so that a restart leaves nothing behind.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::encode::of_bag;
use crate::command::{Refusal, RefusalKind};

/// Where answers to what was asked come.
const ANSWERS: &str = "$iothub/twin/res/";
/// Where changes of desired properties come.
const CHANGES: &str = "$iothub/twin/PATCH/properties/desired/";
/// The key below which the settings of cameras are.
const CAMERAS: &str = "cameras";
/// The key below which desired properties are answered that are no settings.
const REFUSED: &str = "refused";
/// Names of what was refused are cut to this length, and as many are reported.
const SHOWN: (usize, usize) = (40, 16);
/// Longest reason that is reported, in characters.
const REASON: usize = 256;

/// What is subscribed to.
pub(super) const FILTERS: [&str; 2] = ["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#"];

/// A setting of a camera, by their names.
pub(super) type Key = (String, String);

/// A setting that is to have a value; null takes it back to what the configuration says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) key: Key,
    pub(super) value: Value,
    pub(super) version: u64,
}

/// A message to the hub.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ask {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
}

/// What follows from a message of the hub.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Step {
    /// Settings that are to be changed.
    pub(super) changes: Vec<Change>,
    /// Why the hub does not take something, for the log.
    pub(super) trouble: Option<String>,
    /// Whether it is to be asked again later.
    pub(super) retry: bool,
}

/// What the hub was asked and has not answered.
#[derive(Debug, Clone, PartialEq)]
enum Waiting {
    /// The whole twin.
    Whole,
    /// To take a change of reported properties.
    Report(Value),
}

#[derive(Debug, Default)]
pub(super) struct Twin {
    rid: u64,
    waiting: Option<(u64, Waiting)>,
    /// Whether this connection has brought the whole twin.
    whole: bool,
    /// The version of the desired properties that is known.
    version: u64,
    /// Settings as desired.
    desired: BTreeMap<Key, Value>,
    /// Reported properties, as the hub has them, and as it is to have them.
    there: Value,
    wanted: Map<String, Value>,
}

impl Twin {
    /// A new connection: what was asked over the one before is not answered any more. Asks for the whole twin.
    pub(super) fn begin(&mut self) -> Ask {
        self.whole = false;
        self.ask_whole()
    }

    fn ask_whole(&mut self) -> Ask {
        let rid = self.wait(Waiting::Whole);
        Ask { topic: format!("$iothub/twin/GET/?$rid={rid}"), payload: Vec::new() }
    }

    fn wait(&mut self, what: Waiting) -> u64 {
        self.rid += 1;
        self.waiting = Some((self.rid, what));
        self.rid
    }

    /// No answer came, or a bad one: what there is to ask is asked again.
    pub(super) fn again(&mut self) -> Option<Ask> {
        self.waiting = None;
        if self.whole { self.report() } else { Some(self.ask_whole()) }
    }

    /// Has a property below another reported; none to forget it.
    pub(super) fn tell_of(&mut self, key: &str, name: &str, value: Option<Value>) {
        let below = self.wanted.entry(key).or_insert_with(|| json!({}));
        let Value::Object(below) = below else { return };
        match value {
            Some(value) => below.insert(escape(name), value),
            None => below.remove(&escape(name)),
        };
    }

    /// What is to be reported now, where the hub can take it.
    pub(super) fn report(&mut self) -> Option<Ask> {
        if !self.whole || self.waiting.is_some() {
            return None;
        }
        let change = difference(&self.there, &Value::Object(self.wanted.clone()))?;
        let payload = change.to_string().into_bytes();
        let rid = self.wait(Waiting::Report(change));
        Some(Ask { topic: format!("$iothub/twin/PATCH/properties/reported/?$rid={rid}"), payload })
    }

    /// A message on one of [`FILTERS`].
    pub(super) fn received(&mut self, topic: &str, payload: &[u8]) -> Step {
        if let Some(bag) = topic.strip_prefix(CHANGES) {
            return self.changed(bag, payload);
        }
        match topic.strip_prefix(ANSWERS).and_then(|rest| rest.split_once('/')) {
            Some((status, bag)) => self.answered_by_hub(status, bag, payload),
            None => Step::default(),
        }
    }

    fn answered_by_hub(&mut self, status: &str, bag: &str, payload: &[u8]) -> Step {
        let rid = of_bag(bag, "$rid").and_then(|rid| rid.parse().ok());
        let Some((_, waiting)) = self.waiting.take_if(|(asked, _)| Some(*asked) == rid) else {
            return Step::default();
        };
        let status: u16 = status.parse().unwrap_or(0);
        match (status, waiting) {
            (200, Waiting::Whole) => self.take_whole(payload),
            (200 | 204, Waiting::Report(change)) => {
                merge(&mut self.there, &change);
                Step::default()
            }
            (status, waiting) => {
                let what = if waiting == Waiting::Whole { "to give the twin" } else { "reported properties" };
                let said = String::from_utf8_lossy(payload);
                let said: String = said.chars().filter(|c| !c.is_control()).take(REASON).collect();
                // Throttling and faults of the hub pass; what it never takes is left until something else changes.
                let retry = status == 429 || status >= 500 || waiting == Waiting::Whole;
                Step { trouble: Some(format!("it refuses {what}: {status} {said}")), retry, ..Step::default() }
            }
        }
    }

    fn take_whole(&mut self, payload: &[u8]) -> Step {
        let twin = serde_json::from_slice(payload).unwrap_or(Value::Null);
        let Some(desired) = twin.get("desired").and_then(Value::as_object) else {
            let trouble = Some("the twin that it gives is none".to_owned());
            return Step { trouble, retry: true, ..Step::default() };
        };
        self.whole = true;
        self.there = without_numbers(twin.get("reported"));
        self.adopt_answers();
        self.version = desired.get("$version").and_then(Value::as_u64).unwrap_or(0);
        let (settings, others) = settings_of(desired);
        self.wanted.remove(REFUSED);
        self.refuse(&others);
        // What was desired once and is no more is taken back.
        let known = self.desired.keys().cloned().chain(self.answered_keys());
        let gone: Vec<Key> = known.filter(|key| !settings.contains_key(key)).collect();
        let changes = settings.into_iter().chain(gone.into_iter().map(|key| (key, Value::Null))).collect();
        Step { changes: self.take(changes), ..Step::default() }
    }

    fn changed(&mut self, bag: &str, payload: &[u8]) -> Step {
        let Some(version) = of_bag(bag, "$version").and_then(|version| version.parse().ok()) else {
            return Step::default();
        };
        // Until the whole twin is here it will have this change too; one that is older than what is known is none.
        if !self.whole || version <= self.version {
            return Step::default();
        }
        if version > self.version + 1 {
            self.whole = false;
            return Step { retry: true, ..Step::default() };
        }
        self.version = version;
        let patch = serde_json::from_slice(payload).unwrap_or(Value::Null);
        let (mut settings, others) = patch.as_object().map(settings_of).unwrap_or_default();
        self.refuse(&others);
        // A camera that is deleted takes its settings along.
        let cameras = patch.get(CAMERAS);
        let all = cameras.is_some_and(Value::is_null);
        for key in self.desired.keys() {
            let camera = cameras.and_then(|cameras| cameras.get(escape(&key.0)));
            if all || camera.is_some_and(Value::is_null) {
                settings.insert(key.clone(), Value::Null);
            }
        }
        Step { changes: self.take(settings), ..Step::default() }
    }

    /// Notes what is desired, and says what of it is new.
    fn take(&mut self, settings: BTreeMap<Key, Value>) -> Vec<Change> {
        let version = self.version;
        let mut changes = Vec::new();
        for (key, value) in settings {
            let before = self.desired.get(&key);
            if before == Some(&value) {
                continue;
            }
            if value.is_null() {
                self.desired.remove(&key);
            } else {
                self.desired.insert(key.clone(), value.clone());
            }
            changes.push(Change { key, value, version });
        }
        changes
    }

    /// What became of a change.
    pub(super) fn answered(&mut self, change: &Change, answer: &Result<Value, Refusal>) {
        let (camera, setting) = (&change.key.0, &change.key.1);
        let below = self.wanted.entry(CAMERAS).or_insert_with(|| json!({}));
        let Value::Object(cameras) = below else { return };
        let known = cameras.entry(escape(camera)).or_insert_with(|| json!({}));
        let Value::Object(known) = known else { return };
        // What nobody desires needs no answer, whether there was something to take back or not.
        if change.value.is_null() {
            known.remove(setting);
            if known.is_empty() {
                cameras.remove(&escape(camera));
            }
            return;
        }
        let (code, words) = match answer {
            Ok(_) => (200, String::new()),
            Err(refusal) => (status_of(refusal), refusal.reason.chars().take(REASON).collect()),
        };
        known.insert(setting.clone(), json!({ "value": change.value, "ac": code, "av": change.version, "ad": words }));
    }

    /// Says of desired properties that they are no settings.
    fn refuse(&mut self, names: &[String]) {
        for name in names.iter().take(SHOWN.1) {
            let answer = json!({ "ac": 404, "av": self.version, "ad": "only settings below `cameras` can be desired" });
            self.tell_of(REFUSED, name, Some(answer));
        }
    }

    /// After a restart the hub still has the answers to what was desired before.
    fn adopt_answers(&mut self) {
        if let (false, Some(cameras)) = (self.wanted.contains_key(CAMERAS), self.there.get(CAMERAS)) {
            self.wanted.insert(CAMERAS.to_owned(), cameras.clone());
        }
    }

    fn answered_keys(&self) -> impl Iterator<Item = Key> + '_ {
        let cameras = self.wanted.get(CAMERAS).and_then(Value::as_object).into_iter().flatten();
        cameras.flat_map(|(camera, settings)| {
            let settings = settings.as_object().into_iter().flatten();
            settings.map(move |(setting, _)| (unescape(camera), setting.clone()))
        })
    }
}

/// The status by which hubs and their methods know a refusal, as in HTTP.
pub(super) fn status_of(refusal: &Refusal) -> u16 {
    match refusal.kind {
        RefusalKind::UnknownCamera | RefusalKind::UnknownSetting => 404,
        RefusalKind::BadValue => 400,
        RefusalKind::NotNow => 409,
    }
}

/// The settings among desired properties, and the names of what is none.
fn settings_of(desired: &Map<String, Value>) -> (BTreeMap<Key, Value>, Vec<String>) {
    let (mut settings, mut others) = (BTreeMap::new(), Vec::new());
    let shown = |name: &str| name.chars().take(SHOWN.0).collect::<String>();
    for (name, value) in desired.iter().filter(|(name, value)| !name.starts_with('$') && !value.is_null()) {
        match value {
            Value::Object(cameras) if name == CAMERAS => {
                for (camera, named) in cameras {
                    match named {
                        Value::Object(named) => settings.extend(
                            named.iter().map(|(name, value)| ((unescape(camera), name.clone()), value.clone())),
                        ),
                        Value::Null => {}
                        _ => others.push(shown(camera)),
                    }
                }
            }
            _ => others.push(shown(name)),
        }
    }
    (settings, others)
}

/// Keys of twins have no dots, names of cameras may.
fn escape(name: &str) -> String {
    name.replace('.', "%2E")
}

fn unescape(key: &str) -> String {
    key.replace("%2E", ".")
}

/// Properties without what the hub adds to number them.
fn without_numbers(properties: Option<&Value>) -> Value {
    let mut properties = properties.cloned().unwrap_or_else(|| json!({}));
    if let Value::Object(map) = &mut properties {
        map.retain(|key, _| !key.starts_with('$'));
    }
    properties
}

/// The change that makes `there` what is `wanted` (RFC 7396). None where they are the same.
fn difference(there: &Value, wanted: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (there, wanted) else {
        return (there != wanted).then(|| wanted.clone());
    };
    let mut change = Map::new();
    for (key, value) in new {
        match old.get(key) {
            Some(before) => {
                if let Some(below) = difference(before, value) {
                    change.insert(key.clone(), below);
                }
            }
            None => {
                change.insert(key.clone(), value.clone());
            }
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        change.insert(key.clone(), Value::Null);
    }
    (!change.is_empty()).then_some(Value::Object(change))
}

/// Makes a change (RFC 7396).
fn merge(there: &mut Value, change: &Value) {
    let Value::Object(change) = change else {
        *there = change.clone();
        return;
    };
    if !there.is_object() {
        *there = json!({});
    }
    let Value::Object(there) = there else { return };
    for (key, value) in change {
        if value.is_null() {
            there.remove(key);
        } else {
            merge(there.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests;

//! What may leave the site.

use std::collections::BTreeSet;

use super::{is_absent, list, profile_mistake};
use crate::config::load::nearest;
use crate::config::{Allow, Config, FinderConfig, Name, Redact, RuleConfig};
use crate::scene::geometry::Polygon;

/// Most rules, and most masks.
const MAX_RULES: usize = 256;
/// Most corners of a mask.
const MAX_POINTS: usize = 256;
/// A mask smaller than this is none, as a fraction of the frame.
const MIN_AREA: f64 = 1e-6;
/// The most parts across and down.
const MAX_TILES: u32 = 8;
/// The largest audit log, MiB: a petabyte.
const MAX_AUDIT_MIB: u64 = 1 << 30;

/// Takes a mistake with the place of its entry.
type Wrong<'a> = &'a mut dyn FnMut(&[&str], String);

pub(super) fn check(config: &Config, wrong: Wrong<'_>) {
    let privacy = &config.privacy;
    if !(1..=MAX_AUDIT_MIB).contains(&privacy.audit_mib) {
        wrong(&["privacy", "audit_mib"], format!("`audit_mib` is from 1 to {MAX_AUDIT_MIB}"));
    }
    if let Some(path) = privacy.audit.as_deref().filter(|path| path.is_file()) {
        wrong(&["privacy", "audit"], format!("{} is a file: the audit log is a folder", path.display()));
    }
    if privacy.withheld_mib > MAX_AUDIT_MIB {
        wrong(&["privacy", "withheld_mib"], format!("`withheld_mib` is at most {MAX_AUDIT_MIB}; 0 keeps none"));
    }
    if let Some(path) = privacy.withheld.as_deref().filter(|path| path.is_file()) {
        let message = format!("{} is a file: withheld frames are kept in a folder", path.display());
        wrong(&["privacy", "withheld"], message);
    }
    for (key, finder) in [("persons", &privacy.persons), ("faces", &privacy.faces)] {
        if let Some(finder) = finder {
            check_finder(finder, &mut |entry, message| wrong(&["privacy", key, entry], message));
        }
    }
    check_masks(config, wrong);
    check_messages(config, wrong);
    if privacy.store.len() > MAX_RULES {
        wrong(&["privacy", "store"], format!("there are at most {MAX_RULES} rules"));
    }
    let mut names = BTreeSet::new();
    for (i, rule) in privacy.store.iter().enumerate() {
        let at = i.to_string();
        let mut wrong = |key: &str, message: String| wrong(&["privacy", "store", &at, key], message);
        if !names.insert(&rule.name) {
            wrong("name", format!("there is another rule `{}`: the audit log could not tell them apart", rule.name));
        }
        check_rule(config, rule, &mut wrong);
    }
    let off_site = config.evidence.as_ref().filter(|evidence| crate::ship::store::is_off_site(&evidence.store));
    if off_site.is_some() && privacy.store.is_empty() {
        let message = "this store is elsewhere, and nothing says what may leave for it: add a table \
                       [[privacy.store]] with a `name` and `allow = \"frame\"`, \"crop\" or \"metadata\"";
        wrong(&["evidence", "store"], message.to_owned());
    }
}

/// What may leave by MQTT.
fn check_messages(config: &Config, wrong: Wrong<'_>) {
    let privacy = &config.privacy;
    for (table, rules) in [("mqtt", &privacy.mqtt), ("iothub", &privacy.iothub)] {
        if rules.len() > MAX_RULES {
            wrong(&["privacy", table], format!("there are at most {MAX_RULES} rules"));
        }
        let mut names = BTreeSet::new();
        for (i, rule) in rules.iter().enumerate() {
            let at = i.to_string();
            let mut wrong = |key: &str, message: String| wrong(&["privacy", table, &at, key], message);
            if !names.insert(&rule.name) {
                wrong(
                    "name",
                    format!("there is another rule `{}`: the audit log could not tell them apart", rule.name),
                );
            }
            if rule.messages.as_ref().is_some_and(Vec::is_empty) {
                wrong(
                    "messages",
                    "`messages` is empty, so that the rule holds for none: leave it out for all".to_owned(),
                );
            }
            check_places(config, rule.cameras.as_deref(), rule.zones.as_deref(), true, &mut wrong);
        }
    }
    if config.mqtt.off_site && privacy.mqtt.is_empty() {
        let message = "this broker is elsewhere, and nothing says what may leave for it: add a table [[privacy.mqtt]] \
                       with a `name` and `allow = \"all\"`, \"labels\" or \"nothing\"";
        wrong(&["mqtt", "off_site"], message.to_owned());
    }
    if config.iothub.is_none() && !privacy.iothub.is_empty() {
        let message = "there is no [iothub] that these rules could be for: leave them out, or add it";
        wrong(&["privacy", "iothub"], message.to_owned());
    }
}

/// The cameras and zones that a rule names. Counts are also of lines.
fn check_places(
    config: &Config,
    cameras: Option<&[Name]>,
    zones: Option<&[Name]>,
    lines: bool,
    wrong: &mut dyn FnMut(&str, String),
) {
    for camera in cameras.into_iter().flatten() {
        if let Some(message) = unknown("camera", camera, config.cameras.keys()) {
            wrong("cameras", message);
        }
    }
    let covered = || config.cameras.iter().filter(|(name, _)| cameras.is_none_or(|all| all.contains(name)));
    for zone in zones.into_iter().flatten() {
        let zones = covered().flat_map(|(_, camera)| camera.zones.iter().map(|zone| &zone.name));
        let of_lines = covered().flat_map(|(_, camera)| camera.lines.iter().map(|line| &line.name));
        let known = zones.chain(of_lines.filter(|_| lines));
        if let Some(message) = unknown("zone", zone, known) {
            wrong("zones", message);
        }
    }
}

fn check_finder(finder: &FinderConfig, wrong: &mut dyn FnMut(&str, String)) {
    if is_absent(&finder.path) {
        let path = finder.path.display();
        wrong("path", format!("there is no file or directory {path}: name a model package or an .onnx file"));
    }
    if let Some(names) = finder.names.as_deref().filter(|path| is_absent(path)) {
        wrong("names", format!("there is no file {}", names.display()));
    }
    if let Some(message) = finder.profile.as_deref().and_then(profile_mistake) {
        wrong("profile", message);
    }
    for (key, value) in [("score", finder.score.unwrap_or_default()), ("margin", finder.margin)] {
        if !(0.0..=1.0).contains(&value) {
            wrong(key, format!("`{key}` is a fraction from 0 to 1"));
        }
    }
    if finder.tiles.is_some_and(|tiles| !(1..=MAX_TILES).contains(&tiles)) {
        wrong("tiles", format!("`tiles` is from 1 to {MAX_TILES}"));
    }
    if finder.labels.as_ref().is_some_and(Vec::is_empty) {
        wrong("labels", "`labels` is empty, so that nothing would be found: leave it out for all".to_owned());
    }
}

fn check_masks(config: &Config, wrong: Wrong<'_>) {
    let masks = &config.privacy.masks;
    if masks.len() > MAX_RULES {
        wrong(&["privacy", "masks"], format!("there are at most {MAX_RULES} masks"));
    }
    for (i, mask) in masks.iter().enumerate() {
        let at = i.to_string();
        let mut wrong = |key: &str, message: String| wrong(&["privacy", "masks", &at, key], message);
        if let Some(message) = unknown("camera", &mask.camera, config.cameras.keys()) {
            wrong("camera", message);
        }
        let count = mask.points.len();
        if !(3..=MAX_POINTS).contains(&count) {
            wrong("points", format!("a mask has at least three `points` and at most {MAX_POINTS}, not {count}"));
        } else if mask.points.iter().flatten().any(|v| !(0.0..=1.0).contains(v)) {
            wrong("points", "`points` are fractions of the frame, from 0 to 1".to_owned());
        } else if Polygon::new(&mask.points).area() < MIN_AREA {
            wrong("points", "the mask has no area: its `points` lie on one line, or its edges cross".to_owned());
        }
    }
}

fn check_rule(config: &Config, rule: &RuleConfig, wrong: &mut dyn FnMut(&str, String)) {
    let privacy = &config.privacy;
    check_places(config, rule.cameras.as_deref(), rule.zones.as_deref(), false, wrong);
    let covers = |name: &Name| rule.cameras.as_ref().is_none_or(|all| all.contains(name));
    let covered = || config.cameras.iter().filter(|(name, _)| covers(name));
    if rule.on_request && rule.allow == Allow::Nothing {
        wrong("on_request", "this rule lets nothing go, whoever asks: say in `allow` what may leave then".to_owned());
    }
    if rule.redact.is_empty() {
        return;
    }
    if matches!(rule.allow, Allow::Metadata | Allow::Nothing) {
        wrong("redact", "no picture leaves by this rule: there is nothing to `redact`".to_owned());
    }
    for (what, key, there) in
        [(Redact::Persons, "persons", privacy.persons.is_some()), (Redact::Faces, "faces", privacy.faces.is_some())]
    {
        if rule.redact.contains(&what) && !there {
            wrong("redact", format!("nothing finds {key}: add a table [privacy.{key}] with the `path` of a model"));
        }
    }
    let bare = covered().map(|(name, _)| name).find(|name| privacy.masks.iter().all(|mask| mask.camera != **name));
    if let Some(name) = bare.filter(|_| rule.redact.contains(&Redact::Masks)) {
        let message = format!("`{name}` has no mask: add one to [[privacy.masks]], or say which `cameras` are meant");
        wrong("redact", message);
    }
}

fn unknown<'a>(kind: &str, name: &Name, known: impl Iterator<Item = &'a Name>) -> Option<String> {
    let known: Vec<&str> = known.map(|name| &**name).collect();
    if known.contains(&&**name) {
        return None;
    }
    Some(match nearest(name, &known) {
        Some(near) => format!("there is no {kind} `{name}`: did you mean `{near}`?"),
        None if known.is_empty() => format!("there is no {kind} `{name}`"),
        None => format!("there is no {kind} `{name}`: there are {}", list(&known)),
    })
}

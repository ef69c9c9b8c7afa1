//! Which frames are kept.

use crate::config::load::nearest;
use crate::config::{Config, EvidenceConfig, Name};

/// The most frames that may be kept a minute, an hour and a day.
const MOST: [(&str, u32); 3] = [("per_minute", 6_000), ("per_hour", 360_000), ("per_day", 8_640_000)];

pub(super) fn check(config: &Config, wrong: &mut dyn FnMut(&[&str], String)) {
    let Some(evidence) = &config.evidence else { return };
    let [low, high] = evidence.band;
    if !(0.0 <= low && low <= high && high <= 1.0) {
        wrong(&["evidence", "band"], "`band` is [low, high], both from 0 to 1, low first".to_owned());
    }
    for (key, value) in [("margin", evidence.margin), ("rare", evidence.rare)] {
        if !(0.0..=1.0).contains(&value) {
            wrong(&["evidence", key], format!("`{key}` is from 0 (off) to 1"));
        }
    }
    if !(0.0..=1.0).contains(&evidence.random) {
        wrong(&["evidence", "random"], "`random` is a share of all frames, from 0 to 1".to_owned());
    }
    if let Some(message) = rule_mistake(config, &evidence.rules) {
        wrong(&["evidence", "rules"], message);
    }
    check_quotas(evidence, wrong);
    if let Err(error) = crate::ship::store::check(&evidence.store) {
        wrong(&["evidence", "store"], error.to_string());
    }
}

fn check_quotas(evidence: &EvidenceConfig, wrong: &mut dyn FnMut(&[&str], String)) {
    let own = [Some(evidence.per_minute), evidence.per_hour, evidence.per_day];
    let all = [evidence.node.per_minute, evidence.node.per_hour, evidence.node.per_day];
    for (table, given) in [(&["evidence"][..], own), (&["evidence", "node"], all)] {
        for ((key, most), value) in MOST.into_iter().zip(given) {
            if value.is_some_and(|value| !(1..=most).contains(&value)) {
                wrong(&[table, &[key]].concat(), format!("`{key}` is from 1 to {most}"));
            }
        }
    }
}

/// The first name that no camera has a zone or line of.
fn rule_mistake(config: &Config, rules: &[Name]) -> Option<String> {
    let cameras = config.cameras.values();
    let zones = cameras.clone().flat_map(|camera| camera.zones.iter().map(|zone| &*zone.name));
    let known: Vec<&str> =
        cameras.flat_map(|camera| camera.lines.iter().map(|line| &*line.name)).chain(zones).collect();
    let absent = rules.iter().find(|rule| !known.contains(&&***rule))?;
    Some(match nearest(absent, &known) {
        Some(near) => format!("no camera has a zone or line `{absent}`: did you mean `{near}`?"),
        None => format!("no camera has a zone or line `{absent}`"),
    })
}

//! Whether the labels that a configuration names are among those that a model has.

use std::collections::BTreeMap;

use crate::config::{CameraConfig, Name, nearest};

/// Labels listed to whoever names another.
const SHOWN: usize = 20;

/// A label that a configuration names and the model does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownLabel {
    /// Where it stands below its camera: keys, and numbers of entries in lists.
    pub path: Vec<String>,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl UnknownLabel {
    /// Where it stands in the configuration of which this is a camera, and what is wrong.
    #[must_use]
    pub fn below(self, camera: &Name) -> (Vec<String>, String) {
        ([path(&["cameras", camera]), self.path].concat(), self.message)
    }
}

/// The labels that a camera's tracks, zones and lines name and that are not among those `known`.
#[must_use]
pub fn unknown_labels(camera: &CameraConfig, known: &[&str]) -> Vec<UnknownLabel> {
    let mut named: Vec<(Vec<String>, &str)> = Vec::new();
    if let Some(track) = &camera.track {
        named.extend(of_list(&["track", "labels"], track.labels.as_deref().unwrap_or_default()));
        named.extend(track.filters.keys().map(|label| (path(&["track", "filters", label]), label.as_str())));
    }
    for (i, zone) in camera.zones.iter().enumerate() {
        named.extend(of_rule("zones", i, zone.labels.as_deref(), &zone.groups));
    }
    for (i, line) in camera.lines.iter().enumerate() {
        named.extend(of_rule("lines", i, line.labels.as_deref(), &line.groups));
    }
    let unknown = named.into_iter().filter(|(_, label)| !known.contains(label));
    unknown.map(|(path, label)| UnknownLabel { path, message: mistake(label, known) }).collect()
}

fn path(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

fn of_list<'a>(place: &[&str], labels: &'a [String]) -> Vec<(Vec<String>, &'a str)> {
    let entry = |i: usize| path(&[place, &[&*i.to_string()]].concat());
    labels.iter().enumerate().map(|(i, label)| (entry(i), label.as_str())).collect()
}

fn of_rule<'a>(
    kind: &str,
    number: usize,
    labels: Option<&'a [String]>,
    groups: &'a BTreeMap<Name, Vec<String>>,
) -> Vec<(Vec<String>, &'a str)> {
    let number = number.to_string();
    let mut named = of_list(&[kind, &number, "labels"], labels.unwrap_or_default());
    for (group, labels) in groups {
        named.extend(of_list(&[kind, &number, "groups", group], labels));
    }
    named
}

fn mistake(label: &str, known: &[&str]) -> String {
    match nearest(label, known) {
        Some(near) => format!("the model has no label `{label}`: did you mean `{near}`?"),
        None => {
            let more = if known.len() > SHOWN { ", …" } else { "" };
            let list = known.iter().take(SHOWN).copied().collect::<Vec<_>>().join("`, `");
            format!("the model has no label `{label}`: it has `{list}`{more}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unknown_label_is_named_with_its_place() {
        let text = "source = \"sim:conveyor\"\n[track]\nlabels = [\"bolt\", \"nuts\"]\nfilters.xyz = {}\n\
            [[zones]]\nname = \"belt\"\npoints = [[0, 0], [1, 0], [1, 1]]\nlabels = [\"blot\"]\n\
            [[lines]]\nname = \"exit\"\npoints = [[0, 0], [1, 0]]\ngroups = { ok = [\"bolt\"], ng = [\"q\"] }\n";
        let camera: CameraConfig = toml::from_str(text).expect("it fits");
        let found = unknown_labels(&camera, &["bolt", "nut"]);
        let found: Vec<_> = found.iter().map(|wrong| (wrong.path.join("."), wrong.message.as_str())).collect();
        let wanted = [
            ("track.labels.1", "the model has no label `nuts`: did you mean `nut`?"),
            ("track.filters.xyz", "the model has no label `xyz`: it has `bolt`, `nut`"),
            ("zones.0.labels.0", "the model has no label `blot`: did you mean `bolt`?"),
            ("lines.0.groups.ng.0", "the model has no label `q`: it has `bolt`, `nut`"),
        ];
        assert_eq!(found, wanted.map(|(path, message)| (path.to_owned(), message)));
    }
}

//! Whether the labels that a configuration names are among those that a model has.

use std::collections::BTreeMap;

use crate::config::{CameraConfig, Name, nearest};

/// Labels listed to whoever names another.
const SHOWN: usize = 20;

/// What is wrong with the labels that a camera's tracks, zones and lines name, each with its place below the camera.
#[must_use]
pub fn unknown_labels(camera: &CameraConfig, known: &[&str]) -> Vec<String> {
    let mut named: Vec<(String, &str)> = Vec::new();
    if let Some(track) = &camera.track {
        named.extend(of_list("track: labels", track.labels.as_deref()));
        named.extend(track.filters.keys().map(|label| ("track: filters".to_owned(), label.as_str())));
    }
    for zone in &camera.zones {
        named.extend(of_rule("zone", &zone.name, zone.labels.as_deref(), &zone.groups));
    }
    for line in &camera.lines {
        named.extend(of_rule("line", &line.name, line.labels.as_deref(), &line.groups));
    }
    let unknown = named.into_iter().filter(|(_, label)| !known.contains(label));
    unknown.map(|(place, label)| format!("{place}: {}", mistake(label, known))).collect()
}

fn of_list<'a>(place: &str, labels: Option<&'a [String]>) -> impl Iterator<Item = (String, &'a str)> {
    let place = place.to_owned();
    labels.into_iter().flatten().map(move |label| (place.clone(), label.as_str()))
}

fn of_rule<'a>(
    kind: &str,
    name: &Name,
    labels: Option<&'a [String]>,
    groups: &'a BTreeMap<Name, Vec<String>>,
) -> Vec<(String, &'a str)> {
    let place = format!("{kind} `{name}`");
    let grouped = groups.values().flatten().map(|label| (place.clone(), label.as_str()));
    of_list(&place, labels).chain(grouped).collect()
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
        let wanted = [
            "track: labels: the model has no label `nuts`: did you mean `nut`?",
            "track: filters: the model has no label `xyz`: it has `bolt`, `nut`",
            "zone `belt`: the model has no label `blot`: did you mean `bolt`?",
            "line `exit`: the model has no label `q`: it has `bolt`, `nut`",
        ];
        assert_eq!(found, wanted);
    }
}

//! Tracks, zones and lines.

use std::collections::{BTreeMap, BTreeSet};

use super::list;
use crate::config::{CameraConfig, LineConfig, Name, TrackConfig, ZoneConfig};
use crate::scene::geometry::Polygon;
use crate::scene::line::directions;
use crate::scene::zone::MAX_INERTIA;

/// Most zones, and most lines, of a camera.
const MAX_RULES: usize = 64;
/// Most corners of a zone.
const MAX_POINTS: usize = 256;
/// Most frames until a track is believed.
const MAX_CONFIRM: u32 = 100;
/// The longest time that a thing out of sight may be waited for, and until a stay is news, seconds.
const MAX_KEEP_S: f64 = 600.0;
const MAX_DWELL_S: f64 = 86_400.0;
/// A zone smaller than this is none, as a fraction of the frame.
const MIN_AREA: f64 = 1e-6;

/// Takes a mistake with the place of its entry below the camera.
type Wrong<'a> = &'a mut dyn FnMut(&[&str], String);

pub(super) fn check(camera: &CameraConfig, wrong: Wrong<'_>) {
    if let Some(track) = &camera.track {
        check_track(track, &mut |key, message| wrong(&[&["track"], key].concat(), message));
    }
    for (kind, count) in [("zones", camera.zones.len()), ("lines", camera.lines.len())] {
        if count > MAX_RULES {
            wrong(&[kind], format!("a camera has at most {MAX_RULES} {kind}"));
        }
    }
    let mut names = BTreeSet::new();
    let mut unique = |name: &Name, kind: &str, at: &str, wrong: Wrong<'_>| {
        if !names.insert(name.clone()) {
            let message = format!("there is another `{name}`: the zones and lines of a camera share no name");
            wrong(&[kind, at, "name"], message);
        }
    };
    for (i, zone) in camera.zones.iter().enumerate() {
        let at = i.to_string();
        unique(&zone.name, "zones", &at, wrong);
        check_zone(zone, &mut |key, message| wrong(&[&["zones", &*at], key].concat(), message));
    }
    for (i, line) in camera.lines.iter().enumerate() {
        let at = i.to_string();
        unique(&line.name, "lines", &at, wrong);
        check_line(line, &mut |key, message| wrong(&[&["lines", &*at], key].concat(), message));
    }
}

fn check_track(track: &TrackConfig, wrong: Wrong<'_>) {
    let own = track
        .filters
        .iter()
        .map(|(label, f)| (vec!["filters", label.as_str()], [f.min_score, f.threshold, f.min_area, f.max_area]));
    let all = [track.min_score, Some(track.threshold), Some(track.min_area), Some(track.max_area)];
    for (place, values) in std::iter::once((Vec::new(), all)).chain(own) {
        for (key, value) in ["min_score", "threshold", "min_area", "max_area"].into_iter().zip(values) {
            if value.is_some_and(|v| !(0.0..=1.0).contains(&v)) {
                wrong(&[&place[..], &[key]].concat(), format!("`{key}` is a fraction from 0 to 1"));
            }
        }
        let [.., least, most] = values;
        let (least, most) = (least.unwrap_or(track.min_area), most.unwrap_or(track.max_area));
        if least > most {
            wrong(&[&place[..], &["min_area"]].concat(), format!("`min_area`, {least}, is above `max_area`, {most}"));
        }
    }
    if !(1..=MAX_CONFIRM).contains(&track.confirm) {
        wrong(&["confirm"], format!("`confirm` is from 1 to {MAX_CONFIRM}"));
    }
    if !(0.0..=MAX_KEEP_S).contains(&track.keep_s) {
        wrong(&["keep_s"], format!("`keep_s` is from 0 to {MAX_KEEP_S}"));
    }
    check_labels(track.labels.as_deref(), wrong);
}

fn check_zone(zone: &ZoneConfig, wrong: Wrong<'_>) {
    let count = zone.points.len();
    if !(3..=MAX_POINTS).contains(&count) {
        let message = format!("a zone has at least three `points` and at most {MAX_POINTS}, not {count}");
        wrong(&["points"], message);
    } else if let Some(message) = outside(&zone.points) {
        wrong(&["points"], message);
    } else if Polygon::new(&zone.points).area() < MIN_AREA {
        wrong(&["points"], "the zone has no area: its `points` lie on one line, or its edges cross".to_owned());
    }
    let [needed, of] = zone.inertia;
    if !(1..=MAX_INERTIA).contains(&of) || needed > of || needed * 2 <= of {
        let message =
            format!("`inertia` is [n, m]: n of the last m frames, m at most {MAX_INERTIA} and n more than half of m");
        wrong(&["inertia"], message);
    }
    if zone.dwell_s.is_some_and(|s| !(s > 0.0 && s <= MAX_DWELL_S)) {
        wrong(&["dwell_s"], format!("`dwell_s` is above 0 and at most {MAX_DWELL_S}"));
    }
    check_labels(zone.labels.as_deref(), wrong);
    check_groups(&zone.groups, wrong);
}

fn check_line(line: &LineConfig, wrong: Wrong<'_>) {
    match line.points[..] {
        _ if outside(&line.points).is_some() => wrong(&["points"], outside(&line.points).unwrap_or_default()),
        [from, to] if from == to => wrong(&["points"], "the two ends of the line are the same point".to_owned()),
        [from, to] => {
            let crossed = directions(from, to);
            if line.direction.is_some_and(|only| !crossed.contains(&only)) {
                let [one, other] = crossed.map(|direction| format!("{direction:?}").to_lowercase());
                let message = format!("this line is crossed to the other side by going `{one}` or `{other}`");
                wrong(&["direction"], message);
            }
        }
        _ => wrong(&["points"], format!("a line has two `points`, not {}", line.points.len())),
    }
    check_labels(line.labels.as_deref(), wrong);
    check_groups(&line.groups, wrong);
}

/// What is wrong where a point lies outside the picture.
fn outside(points: &[[f64; 2]]) -> Option<String> {
    let [x, y] = points.iter().find(|point| !point.iter().all(|v| (0.0..=1.0).contains(v)))?;
    Some(format!("[{x}, {y}] is outside the picture: `points` are fractions of the frame, from 0 to 1"))
}

fn check_labels(labels: Option<&[String]>, wrong: Wrong<'_>) {
    if labels.is_some_and(<[String]>::is_empty) {
        wrong(&["labels"], "`labels` is empty: leave it out to take all".to_owned());
    }
}

fn check_groups(groups: &BTreeMap<Name, Vec<String>>, wrong: Wrong<'_>) {
    let mut seen = BTreeMap::new();
    for (group, labels) in groups {
        if labels.is_empty() {
            wrong(&["groups"], format!("the group `{group}` has no labels"));
        }
        for label in labels {
            if let Some(other) = seen.insert(label, group) {
                let both = if other == group {
                    format!("twice in `{group}`")
                } else {
                    format!("in {}", list(&[&**other, &**group]))
                };
                wrong(&["groups"], format!("the label `{label}` is {both}: a label is in one group"));
            }
        }
    }
}

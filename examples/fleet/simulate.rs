//! The insights of a fleet of nodes, written by the code that a node writes its own with.

use std::error::Error;
use std::fs;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use ocellus::config::Global;
use ocellus::insights::{BINS, Files, Key, Origin, Part, Policy, Sums};
use ocellus::random::Random;
use serde_json::{Value, json};
use ulid::Ulid;

/// Nodes of a site.
const NODES: u32 = 5;
const CAMERAS: u32 = 4;
const LABELS: [&str; 3] = ["bolt", "gear", "nut"];
/// Of so many cameras one drifts.
const DRIFTS: u32 = 8;
/// How far the scores of a camera that drifts fall.
const FALL: f64 = 0.12;

/// A fleet.
#[derive(Debug, Clone, Copy)]
pub struct Fleet {
    pub nodes: u32,
    pub days: u32,
    pub hours_per_file: u32,
    /// The day from which some cameras drift, from 0; none never do.
    pub drift_from: Option<u32>,
}

impl Fleet {
    /// When it begins.
    fn start() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_454)
    }

    /// Writes the fleet's files into a folder, and gives what a report must find: how many files, rows, frames and
    /// detections there are, and the cameras that drift, with the day from which they do.
    pub fn write(&self, folder: &Path) -> Result<Value, Box<dyn Error>> {
        let (mut files, mut count, mut frames, mut detections, mut drifts) = (0_u64, 0_usize, 0_u64, 0_u64, Vec::new());
        for node in 0..self.nodes {
            let origin = Origin { site: format!("plant-{:02}", node / NODES), node: format!("edge-{node:03}") };
            let drifting: Vec<u32> = (0..CAMERAS)
                .filter(|camera| (node * CAMERAS + camera) % DRIFTS == 3 && self.drift_from.is_some())
                .collect();
            for camera in &drifting {
                let day = Self::start() + TimeDelta::days(self.drift_from.unwrap_or(0).into());
                drifts.push(json!({"site": origin.site, "node": origin.node, "camera": format!("line-{camera}"),
                                    "day": day.format("%Y-%m-%d").to_string()}));
            }
            for span in 0..self.days * 24 / self.hours_per_file {
                let first = span * self.hours_per_file;
                let rows: Vec<_> =
                    (first..first + self.hours_per_file).flat_map(|hour| self.hour(node, hour, &drifting)).collect();
                count += rows.len();
                frames += rows.iter().map(|(_, sums)| sums.frames).sum::<u64>();
                detections += rows.iter().map(|(_, sums)| sums.detections).sum::<u64>();
                let seed = u128::from(node) << 64 | u128::from(first) << 8;
                let part = Part {
                    number: 1,
                    from: Self::start() + TimeDelta::hours(first.into()),
                    origin: origin.clone(),
                    hours_id: Ulid::from_parts(u64::from(first), seed),
                    events_id: Ulid::from_parts(u64::from(first), seed + 1),
                };
                for made in Files::of(&part, (rows, Vec::new()), &Policy::of(Global::ALL))?.all() {
                    let path = folder.join(&made.name);
                    fs::create_dir_all(path.parent().unwrap_or(folder))?;
                    fs::write(path, &made.content)?;
                    files += 1;
                }
            }
        }
        Ok(json!({"files": files, "rows": count, "frames": frames, "detections": detections, "drifts": drifts}))
    }

    /// A node's rows of one hour. A shift begins at six and ends at ten in the evening.
    fn hour(&self, node: u32, hour: u32, drifting: &[u32]) -> Vec<(Key, Sums)> {
        let (day, busy) = (hour / 24, (6..22).contains(&(hour % 24)));
        let start = (Self::start() + TimeDelta::hours(hour.into())).timestamp() / 3600;
        let mut rows = Vec::new();
        for camera in 0..CAMERAS {
            let mut random = Random(u64::from(node) << 40 | u64::from(camera) << 32 | u64::from(hour));
            // What is the camera's own, and what is the day's.
            let own = 0.04 * Random(u64::from(node * CAMERAS + camera)).normal();
            let weather = 0.006 * Random(u64::from(node * CAMERAS + camera) << 20 | u64::from(day) << 1 | 1).normal();
            let fallen = self.drift_from.is_some_and(|from| day >= from) && drifting.contains(&camera);
            let mean = 0.78 + own + weather - if fallen { FALL } else { 0.0 };
            let key = Key::new(start, &format!("line-{camera}"));
            let model = ("parts".to_owned(), "1.2.0".to_owned(), "sha256:5d41402abc4b2a76b9719d911017c592".to_owned());
            let of_model = Key { model: Some(model), ..key.clone() };
            rows.push((key, Sums { states: [3_590_000_000, 10_000_000, 0, 0, 0], dropped: 2, ..Sums::default() }));
            let mut frames = Sums { frames: 3600, ..Sums::default() };
            for label in LABELS {
                let mut sums = Sums::default();
                for _ in 0..if busy { 150 } else { 10 } {
                    let score = (mean + 0.08 * random.normal()).clamp(0.0, 1.0);
                    let steps = (score * 1e4).round() as u64;
                    sums.detections += 1;
                    sums.score += steps;
                    sums.scores[((steps * BINS as u64 / 10_000) as usize).min(BINS - 1)] += 1;
                    frames.uncertain += u64::from((0.3..=0.6).contains(&score));
                }
                rows.push((of_model.clone().of(label), sums));
            }
            rows.push((of_model, frames));
        }
        rows
    }
}

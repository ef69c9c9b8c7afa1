//! Follows things from frame to frame: ByteTrack (Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every
//! Detection Box", ECCV 2022), with what frames of a factory allow for on top:
//!
//! - Frames may come unevenly: motion is in seconds, not in frames.
//! - Where things move alike, as on a belt, a new track starts out with their velocity ([`Flow`]).
//! - A detection of a label that a track has no votes for is a poorer match, but one: labels flicker. Boxes of two labels
//!   on the same thing are one detection.
//! - What overlap does not bring together may still be where it is expected: the last round goes by the filter's own
//!   deviations.
//!
//! Nothing in a message can make it fail or grow without bounds: at most [`MAX_OBJECTS`] objects a frame are tracked, the
//! best ones, in at most [`MAX_TRACKS`] tracks.

use std::time::Duration;

use super::assign::best_pairs;
use super::motion::{Flow, Motion, Place};
use super::track::Track;
use crate::detection::{Detections, FrameRef, Object, Rect};

/// Objects of a frame that are tracked.
pub(super) const MAX_OBJECTS: usize = 256;
/// Tracks at a time.
pub(super) const MAX_TRACKS: usize = 512;
/// Boxes of different labels that overlap this much are one thing.
const SAME: f64 = 0.8;
/// How much worse a match is where the track has no votes for the label.
const OTHER_LABEL: f64 = 0.3;
/// Lowest similarity of a match, in the round for good detections and in the one for weak ones.
const SIMILAR: f64 = 0.2;
const SIMILAR_WEAK: f64 = 0.5;
/// Furthest off its expected position that a match may be, squared, in deviations: 99 % of a chi-squared distribution
/// with two degrees of freedom.
const FURTHEST: f64 = 9.21;
/// A match has at most this many times the size of the track, and at least its inverse.
const RESIZED: f64 = 1.6;
/// Frames in a row that a track which is not yet believed may miss.
const MAY_MISS: u32 = 1;
/// Frames in which a thing was seen before its velocity says anything about others.
const SETTLED: u64 = 5;

/// How a tracker decides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Frames in which a thing must be seen before it is believed.
    pub(super) confirm: u64,
    /// How long a thing which is out of sight is waited for.
    pub(super) keep: Duration,
}

/// What a filter says of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strength {
    /// It may begin a track.
    Good,
    /// It may only go on with one.
    Weak,
    /// It is not tracked.
    None,
}

/// An object that is tracked.
struct Sighting {
    /// Its index in the message.
    index: usize,
    place: Place,
    strength: Strength,
    /// Indices of objects that show the same thing under another label.
    also: Vec<usize>,
    /// The track that it belongs to, by index.
    track: Option<usize>,
}

/// Follows the things of one camera.
#[derive(Debug)]
pub(super) struct Tracker {
    rules: Rules,
    tracks: Vec<Track>,
    flow: Flow,
    next: u64,
    last: Option<Duration>,
}

/// What a frame did to the tracks.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// For each object of the message the number of its track, if it has one.
    pub(super) of_objects: Vec<Option<u64>>,
    /// Tracks that were believed and are gone.
    pub(super) ended: Vec<Track>,
    /// Numbers of tracks that were not believed and are gone.
    pub(super) dropped: Vec<u64>,
}

impl Tracker {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, tracks: Vec::new(), flow: Flow::default(), next: 1, last: None }
    }

    /// The tracks, in the order in which they began.
    pub(super) fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Takes the tracks to mark them as believed.
    pub(super) fn tracks_mut(&mut self) -> &mut [Track] {
        &mut self.tracks
    }

    /// Whether it was seen in enough frames to be believed.
    pub(super) fn is_long_enough(&self, track: &Track) -> bool {
        track.frames >= self.rules.confirm
    }

    /// Follows things into the next frame, captured `at` on a clock that only goes forward.
    pub(super) fn step(
        &mut self,
        detections: &Detections,
        at: Duration,
        strength: impl Fn(&Object) -> Strength,
    ) -> Followed {
        let frame = &detections.frame;
        let passed = self.last.map_or(Duration::ZERO, |last| at.saturating_sub(last));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        let mut followed = Followed { of_objects: vec![None; detections.objects.len()], ..Followed::default() };
        for track in &mut self.tracks {
            track.motion.predict(passed.as_secs_f64());
        }
        self.retire(at, frame, &mut followed);
        let mut sightings = sightings(&detections.objects, aspect(frame), strength);
        self.associate(&mut sightings, &detections.objects);
        self.update(&mut sightings, &detections.objects, at, frame);
        for sighting in &sightings {
            let number = sighting.track.and_then(|track| self.tracks.get(track)).map(|track| track.number);
            for index in sighting.also.iter().chain([&sighting.index]) {
                if let Some(of_object) = followed.of_objects.get_mut(*index) {
                    *of_object = number;
                }
            }
        }
        followed
    }

    /// Ends all tracks.
    pub(super) fn finish(&mut self) -> Followed {
        let mut followed = Followed::default();
        for track in self.tracks.drain(..) {
            end(track, &mut followed);
        }
        followed
    }

    /// Ends tracks that were out of sight too long, or went out of the picture.
    fn retire(&mut self, at: Duration, frame: &FrameRef, followed: &mut Followed) {
        let width = aspect(frame);
        let stays = |track: &Track| {
            let place = track.motion.place();
            let inside = (0.0..=width).contains(&place.x) && (0.0..=1.0).contains(&place.y);
            let patient = at.saturating_sub(track.last.0) <= self.rules.keep;
            let believed = track.confirmed || track.missed <= MAY_MISS;
            patient && (track.missed == 0 || (inside && believed))
        };
        let (kept, gone) = self.tracks.drain(..).partition(stays);
        self.tracks = kept;
        for track in gone {
            end(track, followed);
        }
    }

    /// ByteTrack's rounds, and one more by expected position.
    fn associate(&self, sightings: &mut [Sighting], objects: &[Object]) {
        let mut free: Vec<usize> = (0..self.tracks.len()).collect();
        let similar = |track: &Track, sighting: &Sighting| similarity(track, sighting, objects);
        let above = |least: f64| move |value: f64| if value >= least { value } else { 0.0 };
        let round = |sightings: &mut [Sighting],
                     free: &mut Vec<usize>,
                     tracks: &dyn Fn(&Track) -> bool,
                     strength,
                     gain: &dyn Fn(&Track, &Sighting) -> f64| {
            let rows: Vec<usize> = free.iter().copied().filter(|track| tracks(&self.tracks[*track])).collect();
            let open = |s: &Sighting| s.track.is_none() && s.strength == strength;
            let columns: Vec<usize> = (0..sightings.len()).filter(|i| open(&sightings[*i])).collect();
            let pairs = best_pairs(rows.len(), columns.len(), &|row, column| {
                gain(&self.tracks[rows[row]], &sightings[columns[column]])
            });
            for (row, column) in pairs {
                sightings[columns[column]].track = Some(rows[row]);
                free.retain(|track| *track != rows[row]);
            }
        };
        let strong = |t: &Track, s: &Sighting| above(SIMILAR)(similar(t, s));
        let weak = |t: &Track, s: &Sighting| above(SIMILAR_WEAK)(similar(t, s));
        round(sightings, &mut free, &|t| t.confirmed, Strength::Good, &strong);
        round(sightings, &mut free, &|t| !t.confirmed, Strength::Good, &strong);
        round(sightings, &mut free, &|t| t.missed == 0, Strength::Weak, &weak);
        round(sightings, &mut free, &|_| true, Strength::Good, &expected);
    }

    fn update(&mut self, sightings: &mut [Sighting], objects: &[Object], at: Duration, frame: &FrameRef) {
        for track in &mut self.tracks {
            track.missed = track.missed.saturating_add(1);
        }
        for sighting in &*sightings {
            let track = sighting.track.and_then(|track| self.tracks.get_mut(track));
            if let (Some(track), Some(object)) = (track, objects.get(sighting.index)) {
                track.seen(object, &sighting.place, at, frame);
                for other in sighting.also.iter().filter_map(|index| objects.get(*index)) {
                    track.votes.add(other);
                }
                if track.frames >= SETTLED {
                    self.flow.learn(track.motion.velocity());
                }
            }
        }
        for sighting in sightings.iter_mut().filter(|s| s.track.is_none() && s.strength == Strength::Good) {
            let covered = |track: &Track| track.missed == 0 && track.motion.place().iou(&sighting.place) >= SAME;
            let Some(object) = objects.get(sighting.index) else { continue };
            if self.tracks.len() < MAX_TRACKS && !self.tracks.iter().any(covered) {
                let motion = Motion::new(&sighting.place, &self.flow);
                sighting.track = Some(self.tracks.len());
                self.tracks.push(Track::new(self.next, motion, object, at, frame));
                self.next += 1;
            }
        }
    }
}

fn end(track: Track, followed: &mut Followed) {
    if track.confirmed {
        followed.ended.push(track);
    } else {
        followed.dropped.push(track.number);
    }
}

/// Width of a frame in its heights.
pub(super) fn aspect(frame: &FrameRef) -> f64 {
    f64::from(frame.width.max(1)) / f64::from(frame.height.max(1))
}

/// A box in heights of the frame; nothing where it is not one that a thing can have.
pub(super) fn place(rect: &Rect, aspect: f64) -> Option<Place> {
    let Rect { x, y, w, h } = *rect;
    let sane = [x, y, w, h].iter().all(|v| v.is_finite() && v.abs() <= 4.0) && w > 0.0 && h > 0.0;
    let [x, y, w, h] = [x, y, w, h].map(f64::from);
    sane.then_some(Place { x: (x + w / 2.0) * aspect, y: y + h / 2.0, w: w * aspect, h })
}

/// The objects that are tracked, best first. What a classifier says of the whole frame is no thing in it.
fn sightings(objects: &[Object], aspect: f64, strength: impl Fn(&Object) -> Strength) -> Vec<Sighting> {
    let mut order: Vec<usize> = (0..objects.len()).collect();
    order.sort_by(|a, b| objects[*b].score.total_cmp(&objects[*a].score));
    let mut list: Vec<Sighting> = Vec::new();
    for index in order {
        let object = &objects[index];
        let strength = if object.score.is_finite() { strength(object) } else { Strength::None };
        let Some(place) = place(&object.rect, aspect).filter(|_| object.rect != Rect::FULL) else { continue };
        if strength == Strength::None {
            continue;
        }
        let same = |s: &&mut Sighting| s.place.iou(&place) >= SAME && objects[s.index].label != object.label;
        if let Some(better) = list.iter_mut().find(same) {
            better.also.push(index);
        } else if list.len() < MAX_OBJECTS {
            list.push(Sighting { index, place, strength, also: Vec::new(), track: None });
        }
    }
    list
}

/// How alike a track and a sighting are, 0..=1.
fn similarity(track: &Track, sighting: &Sighting, objects: &[Object]) -> f64 {
    let label = objects.get(sighting.index).map_or("", |object| &*object.label);
    track.motion.place().iou(&sighting.place) * (1.0 - OTHER_LABEL * (1.0 - track.votes.share(label)))
}

/// How well a sighting is where the track is expected, 0..=1.
fn expected(track: &Track, sighting: &Sighting) -> f64 {
    let (known, seen) = (track.motion.place(), &sighting.place);
    let alike = |a: f64, b: f64| a <= b * RESIZED && b <= a * RESIZED;
    let surprise = track.motion.surprise(seen);
    if alike(known.w, seen.w) && alike(known.h, seen.h) && surprise < FURTHEST {
        1.0 - surprise / FURTHEST
    } else {
        0.0
    }
}

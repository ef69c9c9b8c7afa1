//! From what a model saw in each frame to what happened: tracks, zones, lines and counts.
//!
//! Pure bookkeeping. Time comes with the frames, ids from a generator that is handed in, and the same frames give the
//! same events. Whatever a message holds, a step ends with a message, and what is remembered is bounded: the tracker
//! bounds its tracks, and everything else hangs on a track or on a rule of the configuration.
//!
//! ## The life of a track
//! A thing is believed once it was seen in enough frames with a high enough mean score: `new`. Then come `update`s: it
//! enters, stays in or leaves a zone, crosses a line, or turns out to be something else. Out of sight for too long, or
//! out of the picture, it is gone: `end`. What it did with lines before it was believed counts from then on.

mod assign;
mod counts;
pub(crate) mod geometry;
mod ids;
mod labels;
pub(crate) mod line;
mod motion;
mod report;
mod rules;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod track;
mod tracker;
pub(crate) mod zone;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

pub use self::counts::Kept;
pub use self::ids::Ids;
pub use self::labels::{UnknownLabel, unknown_labels};
use self::line::{LineRule, Passage};
use self::report::{Header, Life};
use self::rules::{Filter, Line, Zone};
use self::track::Track;
use self::tracker::{Followed, Tracker, aspect};
use self::zone::{Visit, ZoneRule};
use crate::config::{EventChoice, LineConfig, TrackConfig, ZoneConfig};
use crate::detection::Detections;
use crate::event::{Count, Counted, Event, EventType, LineEvent, ZoneChange, ZoneEvent};

/// What a frame brought about.
#[derive(Debug)]
pub struct Step {
    /// The message, its objects with their tracks and zones.
    pub detections: Detections,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The counts that changed; at the first frame all of them.
    pub counts: Vec<Count>,
}

/// What one camera looks at, over time.
#[derive(Debug)]
pub struct Scene {
    tracker: Tracker,
    filter: Filter,
    choice: EventChoice,
    zones: Vec<Zone>,
    lines: Vec<Line>,
    shape: Shape,
    /// By track number: those that are believed, and those that may be.
    watched: BTreeMap<u64, Watched>,
    ids: Ids,
    /// Whether a frame came.
    begun: bool,
    /// Who the last message was from.
    header: Option<Header>,
    /// The time of the last frame.
    last: Duration,
}

/// The rules for frames of one shape.
#[derive(Debug, Default)]
struct Shape {
    aspect: f64,
    zones: Vec<ZoneRule>,
    lines: Vec<LineRule>,
}

/// What a track does with the zones and lines.
#[derive(Debug)]
struct Watched {
    visits: Vec<Visit>,
    passages: Vec<Passage>,
    /// Once it is believed: its id, and the label that was told last.
    told: Option<(String, String)>,
}

impl Scene {
    /// A scene with this configuration, which was checked; none where it has neither tracks, zones nor lines.
    #[must_use]
    pub fn new(track: Option<&TrackConfig>, zones: &[ZoneConfig], lines: &[LineConfig], ids: Ids) -> Option<Self> {
        if track.is_none() && zones.is_empty() && lines.is_empty() {
            return None;
        }
        let track = track.cloned().unwrap_or_default();
        let keep = Duration::try_from_secs_f64(track.keep_s).unwrap_or_default();
        Some(Self {
            tracker: Tracker::new(tracker::Rules { confirm: track.confirm.into(), keep }),
            filter: Filter::new(&track),
            choice: track.events,
            zones: zones.iter().map(Zone::new).collect(),
            lines: lines.iter().map(Line::new).collect(),
            shape: Shape::default(),
            watched: BTreeMap::new(),
            ids,
            begun: false,
            header: None,
            last: Duration::ZERO,
        })
    }

    /// Takes the next frame of the camera, captured `at` on a clock that only goes forward.
    pub fn step(&mut self, mut detections: Detections, at: Duration) -> Step {
        let now = detections.frame.captured_at;
        let mut news = News { header: Header::of(&detections), at: now, ..News::default() };
        if !self.begun {
            self.begun = true;
            news.all_counts = true;
            self.zones.iter_mut().for_each(|zone| _ = zone.since.get_or_insert(now));
            self.lines.iter_mut().for_each(|line| _ = line.since.get_or_insert(now));
        }
        self.header = Some(news.header.clone());
        self.last = at.max(self.last);
        self.fit(aspect(&detections.frame));
        let filter = &self.filter;
        let followed = self.tracker.step(&detections, at, |object| filter.strength(object));
        self.bury(&followed, &mut news);
        for index in 0..self.tracker.tracks().len() {
            self.watch(index, at, &mut news);
        }
        for (object, number) in detections.objects.iter_mut().zip(&followed.of_objects) {
            let watched = number.and_then(|number| Some((number, self.watched.get(&number)?)));
            if let Some((number, watched)) = watched.filter(|(_, watched)| watched.told.is_some()) {
                object.track = Some(number.to_string());
                object.zones = self.zones_of(watched, |visit| visit.inside.is_some());
            }
        }
        let (events, counts) = self.tell(news);
        Step { detections, events, counts }
    }

    /// Ends all tracks: the camera was switched off, or lost.
    pub fn finish(&mut self) -> (Vec<Event>, Vec<Count>) {
        let Some(header) = self.header.clone() else { return (Vec::new(), Vec::new()) };
        let followed = self.tracker.finish();
        let Some(at) = followed.ended.iter().map(|track| track.last.1.captured_at).max() else {
            self.watched.clear();
            return (Vec::new(), Vec::new());
        };
        let mut news = News { header, at, ..News::default() };
        self.bury(&followed, &mut news);
        self.tell(news)
    }

    /// Adapts the rules to the frames' shape.
    fn fit(&mut self, aspect: f64) {
        if (self.shape.aspect - aspect).abs() > f64::EPSILON {
            let zones = self.zones.iter().map(|zone| zone.rule(aspect)).collect();
            let lines = self.lines.iter().map(|line| line.rule(aspect)).collect();
            self.shape = Shape { aspect, zones, lines };
        }
    }

    /// Tells of tracks that are gone.
    fn bury(&mut self, followed: &Followed, news: &mut News) {
        for number in &followed.dropped {
            self.watched.remove(number);
        }
        for track in &followed.ended {
            let Some(mut watched) = self.watched.remove(&track.number) else { continue };
            let Some((id, _)) = watched.told.clone() else { continue };
            let left: Vec<usize> =
                (0..watched.visits.len()).filter(|zone| watched.visits[*zone].inside.is_some()).collect();
            for zone in left {
                self.leave(zone, track, &mut watched, track.last.0, news);
            }
            let zones = self.zones_of(&watched, |visit| visit.ever);
            news.push(
                EventType::End,
                &Life { track, id: &id, zones, at: track.last.0, frame: &track.last.1 },
                None,
                None,
            );
        }
    }

    /// Sees what a track does with the zones and lines.
    fn watch(&mut self, index: usize, at: Duration, news: &mut News) {
        let (zones, lines) = (self.zones.len(), self.lines.len());
        let Some(track) = self.tracker.tracks().get(index) else { return };
        // Out of sight nothing is known of it.
        if track.missed > 0 {
            return;
        }
        let Some(label) = track.votes.winner().map(|vote| vote.label.to_string()) else { return };
        let believed =
            track.confirmed || (self.tracker.is_long_enough(track) && self.filter.believes(&label, track.votes.mean()));
        let track = track.clone();
        if let (Some(track), true) = (self.tracker.tracks_mut().get_mut(index), believed) {
            track.confirmed = true;
        }
        let mut watched = self.watched.remove(&track.number).unwrap_or_else(|| Watched {
            visits: vec![Visit::default(); zones],
            passages: vec![Passage::default(); lines],
            told: None,
        });
        if believed {
            self.introduce(&track, &label, &mut watched, at, news);
        }
        for zone in 0..zones {
            self.visit(zone, &track, &label, &mut watched, at, news);
        }
        for line in 0..lines {
            self.pass(line, &track, &label, &mut watched, at, news);
        }
        self.watched.insert(track.number, watched);
    }

    /// Tells that a track is believed, or is something else than was told.
    fn introduce(&mut self, track: &Track, label: &str, watched: &mut Watched, at: Duration, news: &mut News) {
        let kind = match &mut watched.told {
            None => {
                let id = self.ids.next(track.last.1.captured_at).to_string();
                watched.told = Some((id, label.to_owned()));
                EventType::New
            }
            Some((_, told)) if told != label => {
                label.clone_into(told);
                EventType::Update
            }
            Some(_) => return,
        };
        self.push(kind, track, watched, at, news, None, None);
    }

    fn visit(&mut self, zone: usize, track: &Track, label: &str, watched: &mut Watched, at: Duration, news: &mut News) {
        let (Some(rule), Some(at_zone)) = (self.shape.zones.get(zone), self.zones.get_mut(zone)) else { return };
        let Some(visit) = watched.visits.get_mut(zone) else { return };
        let point = if at_zone.scope.covers(label) {
            at_zone.scope.point(&track.rect, self.shape.aspect)
        } else {
            // What does not count is nowhere.
            [f64::NAN; 2]
        };
        match visit.seen(rule, point, at, watched.told.is_some()) {
            None => {}
            Some(ZoneChange::Left) => self.leave(zone, track, watched, at, news),
            Some(change) => {
                if change == ZoneChange::Entered {
                    at_zone.enter(label);
                    news.zones.push(zone);
                }
                let event = zone_event(at_zone, change, visit.dwell(at));
                self.push(EventType::Update, track, watched, at, news, Some(event), None);
            }
        }
    }

    /// A track counts as outside of a zone from now on.
    fn leave(&mut self, zone: usize, track: &Track, watched: &mut Watched, at: Duration, news: &mut News) {
        let (Some(left), Some(visit)) = (self.zones.get_mut(zone), watched.visits.get_mut(zone)) else { return };
        let dwell = visit.dwell(at);
        visit.leave();
        left.leave();
        news.zones.push(zone);
        let event = zone_event(left, ZoneChange::Left, dwell);
        self.push(EventType::Update, track, watched, at, news, Some(event), None);
    }

    fn pass(&mut self, line: usize, track: &Track, label: &str, watched: &mut Watched, at: Duration, news: &mut News) {
        let (Some(rule), Some(at_line)) = (self.shape.lines.get(line), self.lines.get_mut(line)) else { return };
        let Some(passage) = watched.passages.get_mut(line) else { return };
        let point = at_line.scope.point(&track.rect, self.shape.aspect);
        let size = track.motion.place().size();
        let believed = watched.told.is_some();
        let Some(direction) = passage.seen(rule, point, size, believed).filter(|_| at_line.scope.covers(label)) else {
            return;
        };
        let count = at_line.cross(direction, label);
        news.lines.push(line);
        let group = at_line.scope.group(label).map(ToString::to_string);
        let event = LineEvent { name: at_line.scope.name.clone(), direction, group, count };
        self.push(EventType::Update, track, watched, at, news, None, Some(event));
    }

    #[allow(clippy::too_many_arguments)] // two of them say what it is about
    fn push(
        &self,
        kind: EventType,
        track: &Track,
        watched: &Watched,
        at: Duration,
        news: &mut News,
        zone: Option<ZoneEvent>,
        line: Option<LineEvent>,
    ) {
        let Some((id, _)) = &watched.told else { return };
        let zones = self.zones_of(watched, |visit| visit.inside.is_some());
        news.push(kind, &Life { track, id, zones, at, frame: &track.last.1 }, zone, line);
    }

    fn zones_of(&self, watched: &Watched, which: impl Fn(&Visit) -> bool) -> Vec<String> {
        let zones = self.zones.iter().zip(&watched.visits).filter(|(_, visit)| which(visit));
        zones.map(|(zone, _)| zone.scope.name.clone()).collect()
    }

    /// The events that are wanted, with their ids, and the counts that changed.
    fn tell(&mut self, news: News) -> (Vec<Event>, Vec<Count>) {
        let choice = self.choice;
        let wanted = |event: &Event| match choice {
            EventChoice::All => true,
            EventChoice::Rules => event.zone.is_some() || event.line.is_some(),
            EventChoice::None => false,
        };
        let mut events: Vec<Event> = news.events.into_iter().filter(wanted).collect();
        for event in &mut events {
            event.id = self.ids.next(event.frame.captured_at).to_string();
        }
        let changed = |changed: &[usize], index: usize| news.all_counts || changed.contains(&index);
        let zones = self.zones.iter().enumerate().filter(|(i, _)| changed(&news.zones, *i));
        let lines = self.lines.iter().enumerate().filter(|(i, _)| changed(&news.lines, *i));
        let counted = zones
            .map(|(_, zone)| (&zone.scope.name, zone.since, zone.counted()))
            .chain(lines.map(|(_, line)| (&line.scope.name, line.since, line.counted())));
        let count = |(rule, since, counted): (&String, Option<DateTime<Utc>>, Counted)| {
            news.header.count(rule, counted, since.unwrap_or(news.at), news.at)
        };
        let counts = counted.map(count).collect();
        (events, counts)
    }
}

/// What a frame brings about, while it is worked out.
#[derive(Debug, Default)]
struct News {
    header: Header,
    at: DateTime<Utc>,
    events: Vec<Event>,
    /// Zones and lines whose counts changed.
    zones: Vec<usize>,
    lines: Vec<usize>,
    all_counts: bool,
}

impl News {
    fn push(&mut self, kind: EventType, life: &Life<'_>, zone: Option<ZoneEvent>, line: Option<LineEvent>) {
        self.events.extend(self.header.event(kind, life, zone, line));
    }
}

fn zone_event(zone: &Zone, change: ZoneChange, dwell: Duration) -> ZoneEvent {
    let (name, present, count) = (zone.scope.name.clone(), zone.present, zone.entered.total);
    ZoneEvent { name, change, dwell_s: dwell.as_secs_f64(), present, count }
}

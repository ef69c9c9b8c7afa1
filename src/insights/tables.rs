//! Closed hours as files: two tables, whose columns docs/reference/insights.md explains.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ulid::Ulid;

use super::ledger::{Held, Part};
use super::parquet::{Column, Type, Value, file};
use super::row::{Happening, Key, Occurrence, Sums, start_of};
use crate::config::Global;
use crate::digest::sha256;
use crate::event::Direction;
use crate::status::CameraState;

/// `ocellus.schema` in the metadata of a file of sums.
pub const HOURS_SCHEMA: &str = "ocellus.insights.hours/1";
/// `ocellus.schema` in the metadata of a file of events.
pub const EVENTS_SCHEMA: &str = "ocellus.insights.events/1";

/// What may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy(BTreeSet<Global>);

impl Policy {
    /// A policy that lets these leave.
    #[must_use]
    pub fn of(global: impl IntoIterator<Item = Global>) -> Self {
        Self(global.into_iter().collect())
    }

    fn allows(&self, field: Option<Global>) -> bool {
        field.is_none_or(|field| self.0.contains(&field))
    }

    /// The names of what may leave.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|field| field.name()).collect()
    }

    /// What a row is about, as far as it may be told.
    fn mask(&self, key: &Key) -> Key {
        let Key { hour, camera, model, label } = key.clone();
        Key {
            hour,
            camera: camera.filter(|_| self.allows(Some(Global::Camera))),
            model: model.filter(|_| self.allows(Some(Global::Model))),
            label: label.filter(|_| self.allows(Some(Global::Label))),
        }
    }
}

/// A column: what it is called, what it holds, which part of the policy lets it leave, and how it comes from a row.
struct Field<R> {
    name: &'static str,
    kind: Type,
    global: Option<Global>,
    cell: Box<dyn Fn(&R) -> Value + Send + Sync>,
}

impl<R> Field<R> {
    fn new(
        name: &'static str,
        kind: Type,
        global: Option<Global>,
        cell: impl Fn(&R) -> Value + Send + Sync + 'static,
    ) -> Self {
        Self { name, kind, global, cell: Box::new(cell) }
    }
}

/// A row of sums, with its node.
type Hour = (String, Key, Sums);
/// An event, with its node.
type Happened = (String, Occurrence);
type HourField = Field<Hour>;
type EventField = Field<Happened>;

fn count(number: u64) -> Value {
    Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

fn word(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| Value::Text(text.to_owned()))
}

#[allow(clippy::cast_precision_loss)]
fn over(number: u64, unit: f64) -> Value {
    Value::Real(number as f64 / unit)
}

fn hours() -> Vec<Field<Hour>> {
    use Type::{Number, Numbers, Real, Text, Time};
    let mut fields = vec![
        HourField::new("hour", Time, None, |(_, key, _)| Value::Number(start_of(key.hour).timestamp_micros())),
        HourField::new("node", Text, None, |(node, ..)| Value::Text(node.clone())),
        HourField::new("camera", Text, Some(Global::Camera), |(_, key, _)| word(key.camera.as_deref())),
        HourField::new("model", Text, Some(Global::Model), |(_, key, _)| word(key.model.as_ref().map(|m| &*m.0))),
        HourField::new("model_version", Text, Some(Global::Model), |(_, key, _)| {
            word(key.model.as_ref().map(|m| &*m.1))
        }),
        HourField::new("model_digest", Text, Some(Global::Model), |(_, key, _)| {
            word(key.model.as_ref().map(|m| &*m.2))
        }),
        HourField::new("label", Text, Some(Global::Label), |(_, key, _)| word(key.label.as_deref())),
        HourField::new("frames", Number, Some(Global::Frames), |(.., sums)| count(sums.frames)),
        HourField::new("dropped", Number, Some(Global::Frames), |(.., sums)| count(sums.dropped)),
        HourField::new("uncertain", Number, Some(Global::Frames), |(.., sums)| count(sums.uncertain)),
        HourField::new("detections", Number, Some(Global::Detections), |(.., sums)| count(sums.detections)),
        HourField::new("score_sum", Real, Some(Global::Confidence), |(.., sums)| over(sums.score, 1e4)),
        HourField::new("scores", Numbers, Some(Global::Confidence), |(.., sums)| {
            Value::Numbers(sums.scores.iter().map(|number| i64::try_from(*number).unwrap_or(i64::MAX)).collect())
        }),
    ];
    // In the order of `Happening::ALL` and `CameraState::ALL`.
    let kinds: [&str; Happening::ALL.len()] = [
        "events_new",
        "events_entered",
        "events_dwelt",
        "events_left",
        "events_crossed",
        "events_relabelled",
        "events_end",
    ];
    let states: [&str; CameraState::ALL.len()] = ["ok_s", "connecting_s", "frozen_s", "blind_s", "off_s"];
    for (index, name) in kinds.into_iter().enumerate() {
        fields.push(HourField::new(name, Number, Some(Global::EventCounts), move |(.., sums)| {
            count(sums.events.get(index).copied().unwrap_or(0))
        }));
    }
    for (index, name) in states.into_iter().enumerate() {
        fields.push(HourField::new(name, Real, Some(Global::States), move |(.., sums)| {
            over(sums.states.get(index).copied().unwrap_or(0), 1e6)
        }));
    }
    fields
}

fn events() -> Vec<Field<Happened>> {
    use Type::{Text, Time};
    vec![
        EventField::new("id", Text, None, |(_, event)| Value::Text(event.id.clone())),
        EventField::new("at", Time, None, |(_, event)| Value::Number(event.at.timestamp_micros())),
        EventField::new("node", Text, None, |(node, _)| Value::Text(node.clone())),
        EventField::new("camera", Text, Some(Global::Camera), |(_, event)| word(Some(&event.camera))),
        EventField::new("kind", Text, None, |(_, event)| word(Some(event.kind.name()))),
        EventField::new("model", Text, Some(Global::Model), |(_, event)| word(Some(&event.model.0))),
        EventField::new("model_digest", Text, Some(Global::Model), |(_, event)| word(Some(&event.model.1))),
        EventField::new("label", Text, Some(Global::Label), |(_, event)| word(Some(&event.label))),
        EventField::new("zone", Text, Some(Global::Rule), |(_, event)| word(event.zone.as_deref())),
        EventField::new("line", Text, Some(Global::Rule), |(_, event)| word(event.line.as_deref())),
        EventField::new("direction", Text, Some(Global::Rule), |(_, event)| word(event.direction.map(direction))),
        EventField::new("track", Text, Some(Global::Track), |(_, event)| word(Some(&event.track))),
    ]
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Left => "left",
        Direction::Right => "right",
        Direction::Up => "up",
        Direction::Down => "down",
    }
}

/// The files of a closed span.
#[derive(Debug)]
pub struct Files {
    /// Sums by the hour; none where there is nothing.
    pub hours: Option<Made>,
    /// Events; none where there were none, or where they may not leave.
    pub events: Option<Made>,
}

/// A file.
#[derive(Debug)]
pub struct Made {
    /// What it is named by.
    pub id: Ulid,
    /// Its name in the store.
    pub name: String,
    /// Its rows.
    pub rows: usize,
    /// Its bytes.
    pub content: Bytes,
}

impl Made {
    /// SHA-256 of it, in hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> String {
        sha256(&self.content)
    }
}

impl Files {
    /// Makes them of what a closed span holds: always the same ones of the same span.
    ///
    /// # Errors
    /// When there is more than a file may hold.
    pub fn of(part: &Part, (sums, occurrences): Held, policy: &Policy) -> std::io::Result<Self> {
        let mut masked = BTreeMap::<Key, Sums>::new();
        for (key, sums) in sums {
            masked.entry(policy.mask(&key)).or_default().add(&sums);
        }
        let node = &part.origin.node;
        let rows: Vec<Hour> = masked.into_iter().map(|(key, sums)| (node.clone(), key, sums)).collect();
        let hours = make(part, "insights", part.hours_id, HOURS_SCHEMA, (&hours(), &rows), policy)?;
        let told = if policy.allows(Some(Global::Events)) { occurrences } else { Vec::new() };
        let rows: Vec<Happened> = told.into_iter().map(|event| (node.clone(), event)).collect();
        let events = make(part, "events", part.events_id, EVENTS_SCHEMA, (&events(), &rows), policy)?;
        Ok(Self { hours, events })
    }

    /// Both, as far as they are there.
    pub fn all(self) -> impl Iterator<Item = Made> {
        self.hours.into_iter().chain(self.events)
    }
}

/// The file of a table, in its folder.
fn make<R>(
    part: &Part,
    table: &str,
    id: Ulid,
    schema: &str,
    (fields, rows): (&[Field<R>], &[R]),
    policy: &Policy,
) -> std::io::Result<Option<Made>> {
    if rows.is_empty() {
        return Ok(None);
    }
    let columns: Vec<Column> = fields
        .iter()
        .map(|field| {
            let told = policy.allows(field.global);
            let cells = rows.iter().map(|row| if told { (field.cell)(row) } else { Value::Null });
            Column { name: field.name, kind: field.kind, cells: cells.collect() }
        })
        .collect();
    let global = policy.names().join(" ");
    let said = [("ocellus.schema", schema), ("ocellus.global", &*global)];
    let (day, site) = (part.from.format("%Y-%m-%d"), &part.origin.site);
    let name = format!("{table}/dt={day}/site={site}/{id}.parquet");
    Ok(Some(Made { id, name, rows: rows.len(), content: file(&columns, &said)?.into() }))
}

/// The columns of both tables, as the reference lists them: name, type, and what lets them leave.
#[cfg(test)]
pub(super) fn columns() -> [Vec<(&'static str, &'static str, Option<&'static str>)>; 2] {
    fn of<R>(fields: Vec<Field<R>>) -> Vec<(&'static str, &'static str, Option<&'static str>)> {
        fields.iter().map(|field| (field.name, field.kind.name(), field.global.map(Global::name))).collect()
    }
    [of(hours()), of(events())]
}

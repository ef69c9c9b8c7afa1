//! What was counted, on the disk, until the outbox has it: an SQLite database of its own.
//!
//! `sums` and `events` hold rows by hour; those of part 0 may still change. A row of `parts` is a span of hours that is
//! closed, with the ids that its files are named by. `meta` holds the number of the batch that was added last, so that one
//! whose commit was reported as failed, though it was none, is not added again.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ulid::Ulid;

use super::row::{Key, Occurrence, Sums, hour_of, start_of};
use super::tally::Batch;
use crate::sqlite::{Schema, Unfit, open_or_begin};

/// Seconds after its end at which an hour is closed: what is scored late is in time then.
const GRACE: i64 = 120;
/// With so many events a span is closed early, so that no file grows without limit. What follows opens it anew.
const MANY_EVENTS: i64 = 50_000;
/// Spans that may wait for the outbox; then the oldest is given up.
const MAX_PARTS: i64 = 1000;

const SCHEMA: Schema = Schema { sql: SQL, application: None, version: 1 };

const SQL: &str = "
CREATE TABLE sums (part INTEGER NOT NULL, hour INTEGER NOT NULL, key TEXT NOT NULL, sums TEXT NOT NULL,
                   PRIMARY KEY (part, key)) STRICT;
CREATE TABLE events (part INTEGER NOT NULL, hour INTEGER NOT NULL, event TEXT NOT NULL) STRICT;
CREATE INDEX events_by_part ON events (part, hour);
CREATE TABLE parts (part INTEGER PRIMARY KEY AUTOINCREMENT, hour INTEGER NOT NULL, site TEXT NOT NULL,
                    node TEXT NOT NULL, hours_id TEXT NOT NULL, events_id TEXT NOT NULL) STRICT;
CREATE TABLE meta (batch INTEGER NOT NULL, site TEXT NOT NULL, node TEXT NOT NULL) STRICT;
INSERT INTO meta VALUES (0, '', '');
";

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the ledger can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the ledger of insights {} can't be used: {source}", path.display())]
pub struct LedgerError {
    path: PathBuf,
    source: Source,
}

/// Whose hours these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The site, as configured.
    pub site: String,
    /// The node, as configured.
    pub node: String,
}

/// A span of hours that is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number in the ledger.
    pub number: i64,
    /// When its first hour begins.
    pub from: DateTime<Utc>,
    /// Whose hours these are.
    pub origin: Origin,
    /// What the file of sums is named by.
    pub hours_id: Ulid,
    /// What the file of events is named by.
    pub events_id: Ulid,
}

/// What a closed span holds: sums by what they are about, and what happened.
pub type Held = (Vec<(Key, Sums)>, Vec<Occurrence>);

/// The ledger.
#[derive(Debug)]
pub struct Ledger {
    database: Connection,
    path: PathBuf,
    origin: Origin,
    /// Hours that a part spans; parts begin at midnight, UTC, and at every so many hours from there.
    span: i64,
}

impl Ledger {
    /// Opens the ledger in a folder, or one in memory. What it has of another site or node is closed. One that is corrupt
    /// is put aside.
    ///
    /// # Errors
    /// When the disk does not take it, or when a later version of Ocellus made it.
    pub fn open(folder: Option<&Path>, origin: Origin, span: u32, now: DateTime<Utc>) -> Result<Self, LedgerError> {
        let path = folder.map_or_else(|| PathBuf::from(":memory:"), |folder| folder.join("insights.db"));
        let failed = |source| LedgerError { path: path.clone(), source };
        if let Some(folder) = folder {
            fs::create_dir_all(folder).map_err(|error| failed(error.into()))?;
        }
        let database = open_or_begin("The ledger of insights", &path, connect, Unfit::is_corrupt);
        let database = database.map_err(|error| failed(error.into()))?;
        let mut ledger = Self { database, path, origin, span: span.max(1).into() };
        ledger.settle(now)?;
        Ok(ledger)
    }

    /// Closes what is somebody else's, and notes whose hours follow.
    fn settle(&mut self, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let (origin, span) = (self.origin.clone(), self.span);
        self.change(|transaction| {
            let before = transaction.query_row("SELECT site, node FROM meta", [], |row| {
                Ok(Origin { site: row.get(0)?, node: row.get(1)? })
            })?;
            if before != origin {
                for first in open_spans(transaction, span)? {
                    close_span(transaction, first, span, &before, now)?;
                }
                transaction.execute("UPDATE meta SET site = ?1, node = ?2", params![origin.site, origin.node])?;
            }
            Ok(())
        })
    }

    /// The number of the batch that was added last.
    ///
    /// # Errors
    /// When the disk gives nothing.
    pub fn last_batch(&self) -> Result<i64, LedgerError> {
        let found = self.database.query_row("SELECT batch FROM meta", [], |row| row.get(0));
        found.map_err(|error| self.failed(error.into()))
    }

    /// Adds what was counted. When this returns it is on the disk; a batch whose number is no higher than the last is there
    /// already.
    ///
    /// # Errors
    /// When the disk does not take it; then it is to be added again, under its number.
    pub fn add(&mut self, number: i64, batch: &Batch) -> Result<(), LedgerError> {
        self.change(|transaction| {
            if transaction.execute("UPDATE meta SET batch = ?1 WHERE batch < ?1", [number])? == 0 {
                return Ok(());
            }
            for (key, sums) in &batch.sums {
                let (hour, key) = (key.hour, text(key)?);
                let found = "SELECT sums FROM sums WHERE part = 0 AND key = ?1";
                let found: Option<String> =
                    transaction.prepare_cached(found)?.query_row([&key], |row| row.get(0)).optional()?;
                let mut all: Sums = found.map(|found| value(&found)).transpose()?.unwrap_or_default();
                all.add(sums);
                let insert = "INSERT OR REPLACE INTO sums (part, hour, key, sums) VALUES (0, ?1, ?2, ?3)";
                transaction.prepare_cached(insert)?.execute(params![hour, key, text(&all)?])?;
            }
            for event in &batch.events {
                let insert = "INSERT INTO events (part, hour, event) VALUES (0, ?1, ?2)";
                transaction.prepare_cached(insert)?.execute(params![hour_of(event.at), text(event)?])?;
            }
            Ok(())
        })
    }

    /// Closes the hours that are over, those that lie in the future because the clock was set back, and those with very
    /// many events.
    ///
    /// # Errors
    /// When the disk does not take it; nothing is closed then.
    pub fn close(&mut self, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let (origin, span) = (self.origin.clone(), self.span);
        self.change(|transaction| {
            for first in open_spans(transaction, span)? {
                let over = now.timestamp() >= start_of(first + span).timestamp() + GRACE;
                let ahead = first > hour_of(now) + span;
                if over || ahead || events_in(transaction, first, span)? >= MANY_EVENTS {
                    close_span(transaction, first, span, &origin, now)?;
                }
            }
            let surplus = "SELECT part FROM parts ORDER BY part DESC LIMIT -1 OFFSET ?1";
            let surplus: Vec<i64> =
                transaction.prepare(surplus)?.query_map([MAX_PARTS], |row| row.get(0))?.collect::<Result<_, _>>()?;
            for part in surplus {
                tracing::warn!(part, "The outbox takes no insights for long: the oldest hours are given up.");
                remove(transaction, part)?;
            }
            Ok(())
        })
    }

    /// The oldest span that is closed.
    ///
    /// # Errors
    /// When the disk gives nothing.
    pub fn closed(&self) -> Result<Option<Part>, LedgerError> {
        let query = "SELECT part, hour, site, node, hours_id, events_id FROM parts ORDER BY part LIMIT 1";
        let found = self.database.query_row(query, [], |row| {
            Ok(Part {
                number: row.get(0)?,
                from: start_of(row.get(1)?),
                origin: Origin { site: row.get(2)?, node: row.get(3)? },
                hours_id: ulid(&row.get::<_, String>(4)?)?,
                events_id: ulid(&row.get::<_, String>(5)?)?,
            })
        });
        found.optional().map_err(|error| self.failed(error.into()))
    }

    /// What a closed span holds.
    ///
    /// # Errors
    /// When the disk gives nothing, or what it gives is none of ours.
    pub fn read(&self, part: &Part) -> Result<Held, LedgerError> {
        let read = || {
            let mut statement = self.database.prepare("SELECT key, sums FROM sums WHERE part = ?1 ORDER BY key")?;
            let sums = statement.query_map([part.number], |row| {
                Ok((value(&row.get::<_, String>(0)?)?, value(&row.get::<_, String>(1)?)?))
            })?;
            let sums = sums.collect::<Result<_, rusqlite::Error>>()?;
            let mut statement = self.database.prepare("SELECT event FROM events WHERE part = ?1 ORDER BY rowid")?;
            let events = statement.query_map([part.number], |row| value(&row.get::<_, String>(0)?))?;
            Ok((sums, events.collect::<Result<_, rusqlite::Error>>()?))
        };
        read().map_err(|error: rusqlite::Error| self.failed(error.into()))
    }

    /// Forgets a closed span: the outbox has it.
    ///
    /// # Errors
    /// When the disk does not take it. Then it comes again, under the same ids.
    pub fn forget(&mut self, part: &Part) -> Result<(), LedgerError> {
        self.change(|transaction| remove(transaction, part.number))
    }

    fn change(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<(), rusqlite::Error>,
    ) -> Result<(), LedgerError> {
        let done = self.database.transaction().and_then(|transaction| {
            work(&transaction)?;
            transaction.commit()
        });
        done.map_err(|error| self.failed(error.into()))
    }

    fn failed(&self, source: Source) -> LedgerError {
        LedgerError { path: self.path.clone(), source }
    }
}

/// Opens the database, makes it where it is absent, and checks it.
fn connect(path: &Path) -> Result<Connection, Unfit> {
    let mut database = Connection::open(path)?;
    database.busy_timeout(std::time::Duration::from_secs(5))?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    // A commit is on the disk when it returns.
    database.pragma_update(None, "synchronous", "FULL")?;
    SCHEMA.settle(&mut database)?;
    Ok(database)
}

/// The first hours of the spans in which something is open.
fn open_spans(transaction: &Transaction<'_>, span: i64) -> Result<Vec<i64>, rusqlite::Error> {
    let query = "SELECT hour FROM sums WHERE part = 0 UNION SELECT hour FROM events WHERE part = 0 ORDER BY hour";
    let mut statement = transaction.prepare_cached(query)?;
    let hours = statement.query_map([], |row| row.get::<_, i64>(0))?;
    let mut spans: Vec<i64> =
        hours.map(|hour| hour.map(|hour| hour - hour.rem_euclid(span))).collect::<Result<_, _>>()?;
    spans.dedup();
    Ok(spans)
}

fn events_in(transaction: &Transaction<'_>, first: i64, span: i64) -> Result<i64, rusqlite::Error> {
    let query = "SELECT COUNT(*) FROM events WHERE part = 0 AND hour >= ?1 AND hour < ?2";
    transaction.prepare_cached(query)?.query_row([first, first + span], |row| row.get(0))
}

/// Gives a span that is open its files' names.
fn close_span(
    transaction: &Transaction<'_>,
    first: i64,
    span: i64,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<(), rusqlite::Error> {
    let milliseconds = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    let id = || Ulid::from_parts(milliseconds, Ulid::generate().random()).to_string();
    transaction.execute(
        "INSERT INTO parts (hour, site, node, hours_id, events_id) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![first, origin.site, origin.node, id(), id()],
    )?;
    let part = transaction.last_insert_rowid();
    for table in ["sums", "events"] {
        let update = format!("UPDATE {table} SET part = ?1 WHERE part = 0 AND hour >= ?2 AND hour < ?3");
        transaction.execute(&update, [part, first, first + span])?;
    }
    Ok(())
}

fn remove(transaction: &Transaction<'_>, part: i64) -> Result<(), rusqlite::Error> {
    for table in ["sums", "events", "parts"] {
        transaction.execute(&format!("DELETE FROM {table} WHERE part = ?1"), [part])?;
    }
    Ok(())
}

fn text(value: &impl Serialize) -> Result<String, rusqlite::Error> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn value<T: DeserializeOwned>(text: &str) -> Result<T, rusqlite::Error> {
    let wrong = |error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error));
    serde_json::from_str(text).map_err(wrong)
}

fn ulid(text: &str) -> Result<Ulid, rusqlite::Error> {
    let wrong = |error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error));
    Ulid::from_string(text).map_err(wrong)
}

//! The SQLite database: the frames that are held, what was said of them, and how often.

use std::io;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::frame::Frame;
use crate::config::Allow;
use crate::detection::ModelRef;
use crate::evidence::{Judgement, Record, Verdict};
use crate::sqlite::{Schema, Unfit};

/// `application_id` is "OCRV".
const SCHEMA: Schema = Schema { sql: SQL, application: Some(0x4f43_5256), version: 1 };

/// `state` of a verdict: it waits for the store, or is done with.
const WAITS: i64 = 0;
const DONE: i64 = 1;

const SQL: &str = "
CREATE TABLE frames (
    id TEXT PRIMARY KEY,
    camera TEXT NOT NULL,
    leaves TEXT NOT NULL,
    verdict TEXT,
    has_picture INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    record BLOB NOT NULL
) STRICT;
CREATE TABLE pictures (
    id TEXT PRIMARY KEY,
    jpeg BLOB NOT NULL
) STRICT;
CREATE TABLE verdicts (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    frame TEXT NOT NULL,
    state INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE INDEX verdicts_by_frame ON verdicts (frame, seq);
CREATE INDEX verdicts_that_wait ON verdicts (seq) WHERE state = 0;
CREATE TABLE tallies (
    camera TEXT NOT NULL,
    digest TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    verdict TEXT NOT NULL,
    frames INTEGER NOT NULL,
    PRIMARY KEY (camera, digest, verdict)
) STRICT;
CREATE TABLE salt (
    bytes BLOB NOT NULL
) STRICT;
INSERT INTO salt (bytes) VALUES (randomblob(32));
";

/// How many frames of a camera and model have a verdict of a kind, as far back as the database goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) camera: String,
    pub(super) model: ModelRef,
    pub(super) verdict: Judgement,
    pub(super) frames: u64,
}

/// What can't be done, for people.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// It may pass.
    #[error("{0}")]
    Failed(String),
    /// What is there is no database, or a broken one.
    #[error("{0}")]
    Corrupt(String),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Unfit::Sqlite(error).into()
    }
}

impl From<Unfit> for Trouble {
    fn from(unfit: Unfit) -> Self {
        if unfit.is_corrupt() { Self::Corrupt(unfit.to_string()) } else { Self::Failed(unfit.to_string()) }
    }
}

impl From<serde_json::Error> for Trouble {
    fn from(error: serde_json::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

#[derive(Debug)]
pub(super) struct Database(Connection);

impl Database {
    /// Opens the file, or memory where there is none, and makes what is missing.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Trouble> {
        let mut connection = match path {
            Some(path) => Connection::open(path)?,
            None => Connection::open_in_memory()?,
        };
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        SCHEMA.settle(&mut connection)?;
        Ok(Self(connection))
    }

    pub(super) fn salt(&self) -> Result<Vec<u8>, Trouble> {
        Ok(self.0.query_row("SELECT bytes FROM salt", [], |row| row.get(0))?)
    }

    /// Adds a frame, within the limits: the oldest go for it. A power cut may lose it while nobody has said anything of
    /// it or of a later one.
    pub(super) fn add(&mut self, frame: &Frame, (most, bytes): (u64, u64)) -> Result<(), Trouble> {
        self.0.pragma_update(None, "synchronous", "NORMAL")?;
        let record = serde_json::to_vec(&frame.record)?;
        // What is larger than all that may be held is shown without its picture.
        let picture = frame.picture.as_ref().filter(|jpeg| (jpeg.len() + record.len()) as u64 <= bytes);
        let transaction = self.0.transaction()?;
        transaction.execute(
            "INSERT OR IGNORE INTO frames (id, camera, leaves, has_picture, bytes, record) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                frame.record.id,
                frame.record.detections.camera,
                word(&frame.leaves)?,
                picture.is_some(),
                record.len() + picture.map_or(0, |jpeg| jpeg.len()),
                record,
            ],
        )?;
        if let Some(jpeg) = picture {
            let sql = "INSERT OR IGNORE INTO pictures (id, jpeg) VALUES (?1, ?2)";
            transaction.execute(sql, params![frame.record.id, &jpeg[..]])?;
        }
        loop {
            let held = "SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM frames";
            let (count, sum): (u64, u64) = transaction.query_row(held, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            if count <= 1 || (count <= most && sum <= bytes) {
                break;
            }
            let oldest: String = transaction.query_row("SELECT MIN(id) FROM frames", [], |row| row.get(0))?;
            transaction.execute("DELETE FROM frames WHERE id = ?1", [&oldest])?;
            transaction.execute("DELETE FROM pictures WHERE id = ?1", [&oldest])?;
            // What waits for the store waits on.
            transaction.execute("DELETE FROM verdicts WHERE frame = ?1 AND state != ?2", params![oldest, WAITS])?;
        }
        Ok(transaction.commit()?)
    }

    /// Frames below an id, the newest first.
    pub(super) fn frames(
        &self,
        before: Option<&str>,
        camera: Option<&str>,
        judged: Option<bool>,
        limit: usize,
    ) -> Result<Vec<(Frame, bool)>, Trouble> {
        let mut statement = self.0.prepare_cached(
            "SELECT record, leaves, verdict, has_picture FROM frames
             WHERE (?1 IS NULL OR id < ?1) AND (?2 IS NULL OR camera = ?2) AND (?3 IS NULL OR (verdict IS NOT NULL) = ?3)
             ORDER BY id DESC LIMIT ?4",
        )?;
        let mut rows = statement.query(params![before, camera, judged, limit])?;
        let mut frames = Vec::new();
        while let Some(row) = rows.next()? {
            // What a later version of Ocellus has written may not be understood.
            frames.extend(frame(row).ok());
        }
        Ok(frames)
    }

    /// How many await a verdict, and how many there are.
    pub(super) fn counts(&self) -> Result<(u64, u64), Trouble> {
        let sql = "SELECT COALESCE(SUM(verdict IS NULL), 0), COUNT(*) FROM frames";
        Ok(self.0.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    pub(super) fn frame(&self, id: &str) -> Result<Option<(Frame, bool)>, Trouble> {
        find(&self.0, id)
    }

    pub(super) fn picture(&self, id: &str) -> Result<Option<Vec<u8>>, Trouble> {
        Ok(self.0.query_row("SELECT jpeg FROM pictures WHERE id = ?1", [id], |row| row.get(0)).optional()?)
    }

    /// What was said of a frame, the oldest first.
    pub(super) fn verdicts(&self, frame: &str) -> Result<Vec<Verdict>, Trouble> {
        said_of(&self.0, frame)
    }

    /// The next verdicts that wait for the store, with their numbers.
    pub(super) fn waiting(&self, limit: usize) -> Result<Vec<(i64, Verdict)>, Trouble> {
        let sql = "SELECT seq, content FROM verdicts WHERE state = 0 ORDER BY seq LIMIT ?1";
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query([limit])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push((row.get(0)?, serde_json::from_slice(&row.get::<_, Vec<u8>>(1)?)?));
        }
        Ok(all)
    }

    pub(super) fn count_waiting(&self) -> Result<u64, Trouble> {
        Ok(self.0.query_row("SELECT COUNT(*) FROM verdicts WHERE state = 0", [], |row| row.get(0))?)
    }

    /// The store has a verdict, or will never have it. What is lost of that is asked of the store again.
    pub(super) fn delivered(&mut self, seq: i64) -> Result<(), Trouble> {
        let transaction = self.0.transaction()?;
        transaction.execute("UPDATE verdicts SET state = ?2 WHERE seq = ?1", params![seq, DONE])?;
        let sql = "DELETE FROM verdicts WHERE seq = ?1 AND frame NOT IN (SELECT id FROM frames)";
        transaction.execute(sql, [seq])?;
        Ok(transaction.commit()?)
    }

    pub(super) fn tallies(&self) -> Result<Vec<Tally>, Trouble> {
        let sql = "SELECT camera, digest, name, version, verdict, frames FROM tallies WHERE frames > 0";
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let model = ModelRef { digest: row.get(1)?, name: row.get(2)?, version: row.get(3)? };
            let verdict = of_word(&row.get::<_, String>(4)?)?;
            all.push(Tally { camera: row.get(0)?, model, verdict, frames: row.get(5)? });
        }
        Ok(all)
    }

    /// Begins a change that is on the disk, synced, once it is committed.
    pub(super) fn judge(&mut self) -> Result<Judging<'_>, Trouble> {
        self.0.pragma_update(None, "synchronous", "FULL")?;
        Ok(Judging(self.0.transaction()?))
    }
}

/// A verdict on its way in.
pub(super) struct Judging<'a>(Transaction<'a>);

impl Judging<'_> {
    pub(super) fn frame(&self, id: &str) -> Result<Option<(Frame, bool)>, Trouble> {
        find(&self.0, id)
    }

    pub(super) fn verdicts(&self, frame: &str) -> Result<Vec<Verdict>, Trouble> {
        said_of(&self.0, frame)
    }

    /// A verdict by its id.
    pub(super) fn find(&self, id: &str) -> Result<Option<Verdict>, Trouble> {
        let sql = "SELECT content FROM verdicts WHERE id = ?1";
        let content: Option<Vec<u8>> = self.0.query_row(sql, [id], |row| row.get(0)).optional()?;
        Ok(content.map(|content| serde_json::from_slice(&content)).transpose()?)
    }

    pub(super) fn keep(self, verdict: &Verdict, before: Option<Judgement>, leaves: Allow) -> Result<(), Trouble> {
        let state = if leaves == Allow::Nothing { DONE } else { WAITS };
        let (kind, model) = (verdict.verdict.name(), &verdict.model);
        self.0.execute(
            "INSERT INTO verdicts (id, frame, state, content) VALUES (?1, ?2, ?3, ?4)",
            params![verdict.id, verdict.frame, state, serde_json::to_vec(verdict)?],
        )?;
        self.0.execute("UPDATE frames SET verdict = ?2 WHERE id = ?1", params![verdict.frame, kind])?;
        if let Some(before) = before {
            self.0.execute(
                "UPDATE tallies SET frames = MAX(frames - 1, 0) WHERE camera = ?1 AND digest = ?2 AND verdict = ?3",
                params![verdict.camera, model.digest, before.name()],
            )?;
        }
        self.0.execute(
            "INSERT INTO tallies (camera, digest, name, version, verdict, frames) VALUES (?1, ?2, ?3, ?4, ?5, 1)
             ON CONFLICT DO UPDATE SET frames = frames + 1",
            params![verdict.camera, model.digest, model.name, model.version, kind],
        )?;
        Ok(self.0.commit()?)
    }
}

fn find(connection: &Connection, id: &str) -> Result<Option<(Frame, bool)>, Trouble> {
    let mut statement =
        connection.prepare_cached("SELECT record, leaves, verdict, has_picture FROM frames WHERE id = ?1")?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(frame).transpose()
}

fn said_of(connection: &Connection, frame: &str) -> Result<Vec<Verdict>, Trouble> {
    let mut statement = connection.prepare_cached("SELECT content FROM verdicts WHERE frame = ?1 ORDER BY seq")?;
    let mut rows = statement.query([frame])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(serde_json::from_slice(&row.get::<_, Vec<u8>>(0)?)?);
    }
    Ok(all)
}

/// A frame without its picture, and whether it has one.
fn frame(row: &Row<'_>) -> Result<(Frame, bool), Trouble> {
    let record: Record = serde_json::from_slice(&row.get::<_, Vec<u8>>(0)?)?;
    let leaves = of_word(&row.get::<_, String>(1)?)?;
    let verdict = row.get::<_, Option<String>>(2)?.as_deref().map(of_word).transpose()?;
    Ok((Frame { record, picture: None, leaves, verdict }, row.get(3)?))
}

/// An enum's name, as in messages.
fn word<T: serde::Serialize>(value: &T) -> Result<String, Trouble> {
    Ok(serde_json::to_value(value)?.as_str().unwrap_or_default().to_owned())
}

fn of_word<T: serde::de::DeserializeOwned>(word: &str) -> Result<T, Trouble> {
    Ok(serde_json::from_value(serde_json::Value::from(word))?)
}

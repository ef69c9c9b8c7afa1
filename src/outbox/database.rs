//! The SQLite database: items, and what has become of others.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, params};
use ulid::Ulid;

use super::error::Trouble;
use super::frames::Frames;
use super::item::{Destination, Item, Kind, Stored, StoredFrame};
use super::quota::Loads;
use crate::sqlite::{Schema, is_broken};

/// `application_id` is "OCOB".
const SCHEMA: Schema = Schema { sql: SQL, application: Some(0x4f43_4f42), version: 1 };

const SQL: &str = "
CREATE TABLE items (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    destination INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    camera TEXT NOT NULL,
    channel TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    value REAL NOT NULL,
    content_type TEXT NOT NULL,
    payload BLOB NOT NULL,
    frame_bytes INTEGER,
    bytes INTEGER NOT NULL,
    UNIQUE (id, destination)
) STRICT;
CREATE INDEX by_destination ON items (destination, seq);
CREATE INDEX by_value ON items (kind, value, seq, bytes);
CREATE TABLE history (
    kind INTEGER PRIMARY KEY,
    accepted INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    evicted INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO history (kind) VALUES (0), (1), (2);
";

/// What has become of the items of a kind, since the outbox was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct History {
    /// Written to the disk.
    pub accepted: u64,
    /// Acknowledged by their destination.
    pub delivered: u64,
    /// Given up because there was no room.
    pub evicted: u64,
}

impl History {
    pub(super) fn add(&mut self, more: &Self) {
        self.accepted += more.accepted;
        self.delivered += more.delivered;
        self.evicted += more.evicted;
    }
}

/// What is needed of an item to remove it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) id: Ulid,
    pub(super) destination: Destination,
    pub(super) kind: Kind,
    pub(super) value: f64,
    pub(super) bytes: u64,
    pub(super) has_frame: bool,
}

#[derive(Debug)]
pub(super) struct Database(Connection);

impl Database {
    /// Opens the file to write, makes it where it is absent, and checks it.
    pub(super) fn open(path: &Path) -> Result<Self, Trouble> {
        let mut connection = Connection::open(path)?;
        if connection.is_readonly(rusqlite::MAIN_DB)? {
            return Err(Trouble::failed("it can only be read"));
        }
        connection.set_prepared_statement_cache_capacity(32);
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        // Only heeded by a database that is being made: pages that are free can then be given back.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A commit is on the disk when it returns.
        connection.pragma_update(None, "synchronous", "FULL")?;
        SCHEMA.settle(&mut connection)?;
        Ok(Self(connection))
    }

    /// Opens the file to look into it, beside the daemon that writes it.
    pub(super) fn open_to_read(path: &Path) -> Result<Self, Trouble> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        SCHEMA.check(&connection)?;
        Ok(Self(connection))
    }

    pub(super) fn transaction(&mut self) -> Result<Change<'_>, Trouble> {
        Ok(Change(self.0.transaction()?))
    }

    pub(super) fn loads(&self) -> Result<Loads, Trouble> {
        let mut loads = Loads::default();
        let mut statement = self.0.prepare_cached("SELECT kind, COUNT(*), SUM(bytes) FROM items GROUP BY kind")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        for row in rows {
            let (kind, items, bytes) = row?;
            let load = loads.of_mut(kind_of(kind)?);
            (load.items, load.bytes) = (items, bytes);
        }
        Ok(loads)
    }

    pub(super) fn history(&self) -> Result<[History; 3], Trouble> {
        let mut all = [History::default(); 3];
        let mut statement = self.0.prepare_cached("SELECT kind, accepted, delivered, evicted FROM history")?;
        let rows = statement.query_map([], |row| {
            let history = History { accepted: row.get(1)?, delivered: row.get(2)?, evicted: row.get(3)? };
            Ok((row.get(0)?, history))
        })?;
        for row in rows {
            let (kind, history) = row?;
            all[usize::from(kind_of(kind)?.code())] = history;
        }
        Ok(all)
    }

    /// The highest number that an item has.
    pub(super) fn last(&self) -> Result<u64, Trouble> {
        Ok(self.0.query_row("SELECT COALESCE(MAX(seq), 0) FROM items", [], |row| row.get(0))?)
    }

    /// When the oldest item was made, in milliseconds since 1970.
    pub(super) fn oldest(&self) -> Result<Option<i64>, Trouble> {
        let mut statement = self.0.prepare_cached("SELECT created_ms FROM items ORDER BY seq LIMIT 1")?;
        Ok(statement.query_row([], |row| row.get(0)).optional()?)
    }

    /// Bytes of the file that can be written again without its growing.
    pub(super) fn reusable(&self) -> Result<u64, Trouble> {
        let number = |name| self.0.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
        Ok(number("freelist_count")? * number("page_size")?)
    }

    /// Gives up to so many free pages back to the disk.
    pub(super) fn shrink(&self, pages: u32) -> Result<(), Trouble> {
        let mut statement = self.0.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(())
    }

    /// Moves what the write-ahead log holds into the database.
    pub(super) fn checkpoint(&self) -> Result<(), Trouble> {
        Ok(self.0.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }

    /// The next items for a destination after a number, in order.
    pub(super) fn read(
        &self,
        destination: Destination,
        after: u64,
        limit: usize,
        frames: &Frames,
    ) -> Result<Vec<Stored>, Trouble> {
        let mut statement = self.0.prepare_cached(
            "SELECT seq, id, kind, camera, channel, created_ms, value, content_type, payload, frame_bytes
             FROM items WHERE destination = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        )?;
        let mut rows = statement.query(params![destination.code(), after, limit])?;
        let mut items = Vec::new();
        while let Some(row) = rows.next()? {
            items.push(stored(row, destination, frames)?);
        }
        Ok(items)
    }

    /// The files of all frames that rows speak of.
    pub(super) fn frames(&self, frames: &Frames) -> Result<HashSet<PathBuf>, Trouble> {
        let mut statement = self.0.prepare("SELECT id, destination FROM items WHERE frame_bytes IS NOT NULL")?;
        let mut rows = statement.query([])?;
        let mut known = HashSet::new();
        while let Some(row) = rows.next()? {
            known.insert(frames.path(id_of(&row.get::<_, String>(0)?)?, destination_of(row.get(1)?)?));
        }
        Ok(known)
    }
}

/// Changes that are made together or not at all.
pub(super) struct Change<'a>(Transaction<'a>);

impl Change<'_> {
    /// Whether an item is there already.
    pub(super) fn has(&self, id: Ulid, destination: Destination) -> Result<bool, Trouble> {
        let mut statement = self.0.prepare_cached("SELECT 1 FROM items WHERE id = ?1 AND destination = ?2")?;
        Ok(statement.exists(params![id.to_string(), destination.code()])?)
    }

    pub(super) fn insert(&self, seq: u64, item: &Item) -> Result<(), Trouble> {
        let mut statement = self.0.prepare_cached(
            "INSERT INTO items (seq, id, destination, kind, camera, channel, created_ms, value, content_type, payload,
                                frame_bytes, bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?;
        statement.execute(params![
            seq,
            item.id.to_string(),
            item.destination.code(),
            item.kind.code(),
            item.camera,
            item.channel,
            item.created_at.timestamp_millis(),
            value_of(item),
            item.content_type,
            &item.payload[..],
            item.frame.as_ref().map(bytes::Bytes::len),
            item.bytes(),
        ])?;
        Ok(())
    }

    /// What of a kind is given up first.
    pub(super) fn first_to_go(&self, kind: Kind) -> Result<Option<Entry>, Trouble> {
        let query = "SELECT seq, id, destination, kind, value, bytes, frame_bytes IS NOT NULL
                     FROM items WHERE kind = ?1 ORDER BY value, seq LIMIT 1";
        self.entry(query, u64::from(kind.code()))
    }

    /// The item with this number.
    pub(super) fn find(&self, seq: u64) -> Result<Option<Entry>, Trouble> {
        let query = "SELECT seq, id, destination, kind, value, bytes, frame_bytes IS NOT NULL
                     FROM items WHERE seq = ?1";
        self.entry(query, seq)
    }

    fn entry(&self, query: &str, key: u64) -> Result<Option<Entry>, Trouble> {
        let mut statement = self.0.prepare_cached(query)?;
        let mut rows = statement.query([key])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(Some(Entry {
            seq: row.get(0)?,
            id: id_of(&row.get::<_, String>(1)?)?,
            destination: destination_of(row.get(2)?)?,
            kind: kind_of(row.get(3)?)?,
            value: row.get(4)?,
            bytes: row.get(5)?,
            has_frame: row.get(6)?,
        }))
    }

    pub(super) fn delete(&self, seq: u64) -> Result<(), Trouble> {
        self.0.prepare_cached("DELETE FROM items WHERE seq = ?1")?.execute([seq])?;
        Ok(())
    }

    pub(super) fn add_history(&self, kind: Kind, of: &History) -> Result<(), Trouble> {
        if *of == History::default() {
            return Ok(());
        }
        let mut statement = self.0.prepare_cached(
            "UPDATE history SET accepted = accepted + ?2, delivered = delivered + ?3, evicted = evicted + ?4
             WHERE kind = ?1",
        )?;
        statement.execute(params![kind.code(), of.accepted, of.delivered, of.evicted])?;
        Ok(())
    }

    pub(super) fn commit(self) -> Result<(), Trouble> {
        Ok(self.0.commit()?)
    }
}

/// What decides among items of its kind.
pub(super) fn value_of(item: &Item) -> f64 {
    if item.kind == Kind::Evidence && item.value.is_finite() { f64::from(item.value) } else { 0.0 }
}

fn stored(row: &Row<'_>, destination: Destination, frames: &Frames) -> Result<Stored, Trouble> {
    let id = id_of(&row.get::<_, String>(1)?)?;
    let frame_bytes: Option<u64> = row.get(9)?;
    let item = Item {
        id,
        kind: kind_of(row.get(2)?)?,
        destination,
        camera: row.get(3)?,
        channel: row.get(4)?,
        created_at: DateTime::from_timestamp_millis(row.get(5)?).unwrap_or_default(),
        // It was written from an `f32`.
        value: row.get(6)?,
        content_type: row.get(7)?,
        payload: row.get::<_, Vec<u8>>(8)?.into(),
        frame: None,
    };
    let frame = match frame_bytes {
        Some(_) => StoredFrame::File(frames.path(id, destination)),
        None => StoredFrame::None,
    };
    Ok(Stored { seq: row.get(0)?, item, frame })
}

fn id_of(text: &str) -> Result<Ulid, Trouble> {
    Ulid::from_string(text).map_err(|_| Trouble::Corrupt(format!("`{text}` is no id")))
}

fn kind_of(code: u8) -> Result<Kind, Trouble> {
    Kind::of_code(code).ok_or_else(|| Trouble::Corrupt(format!("there is no kind {code}")))
}

fn destination_of(code: u8) -> Result<Destination, Trouble> {
    Destination::of_code(code).ok_or_else(|| Trouble::Corrupt(format!("there is no destination {code}")))
}

/// One line for people.
pub(super) fn describe(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full".to_owned(),
        Some(ErrorCode::ReadOnly) => "the disk can only be read".to_owned(),
        _ => error.to_string(),
    }
}

/// Whether what is in the file can't be trusted.
pub(super) fn is_corrupt(error: &rusqlite::Error) -> bool {
    // Or a value is of another type than its column.
    is_broken(error)
        || matches!(error, rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::IntegralValueOutOfRange(..))
}

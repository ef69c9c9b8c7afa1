//! The audit log: what was decided about each frame, and what else left, in a chain of hashes.
//!
//! The log is a folder of files `audit-{number of the first entry}.jsonl`, one entry a line. Each entry has its number,
//! the hash of the one before it (`before`; 64 zeros for the first), and its own hash at its end: the SHA-256 of the
//! line without `,"hash":"…"`. Whoever changes, adds or takes away an entry breaks the chain; to hide it they would
//! have to write anew all that follows. Against that, records of evidence carry the hash of their entry to where the
//! log is not.
//!
//! An entry is on the disk before what it is about goes anywhere.

mod verify;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use self::verify::{Broken, Report, verify};

use crate::config::{MessageAllow, MessageKind};
use crate::detection::microseconds;
use crate::digest::sha256;
use crate::evidence::{Found, Handling, Judgement};

/// What a file may have before the next one is begun.
const FILE: u64 = 8 << 20;
/// The hash before the first entry.
const NONE: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// What stands between an entry and its hash, and what follows it.
const HASH: &str = ",\"hash\":\"";
const END: &str = "\"}";

/// What is said of one frame, or of the log itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1.
    pub number: u64,
    /// When it was written.
    #[serde(serialize_with = "microseconds")]
    pub at: DateTime<Utc>,
    /// The hash of the entry before.
    pub before: String,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum What {
    /// A frame was let go, in whole or in part.
    Released {
        /// The evidence's id.
        id: String,
        /// The camera.
        camera: String,
        /// Where it goes.
        destination: String,
        /// What was let go and what was done to it.
        handling: Handling,
        /// SHA-256 of the picture, where one was let go.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        picture: Option<String>,
        /// Who asked for it, where it was withheld until somebody did.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        asked_by: Option<String>,
    },
    /// A frame stayed.
    Withheld {
        /// The evidence's id.
        id: String,
        /// The camera.
        camera: String,
        /// Where it would have gone.
        destination: String,
        /// Why it stayed.
        reason: String,
        /// What was found in it before it was known that it stays.
        #[serde(default)]
        found: Found,
    },
    /// What somebody said of a frame was let go, as a file.
    Verdict {
        /// The verdict's id.
        id: String,
        /// The evidence's id.
        frame: String,
        /// The camera.
        camera: String,
        /// Where it goes.
        destination: String,
        /// What was said.
        verdict: Judgement,
        /// Who said it, as far as the store is told: a name, a hash or nothing.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: Option<String>,
        /// SHA-256 of the file.
        digest: String,
    },
    /// What was counted was let go, as a file.
    Told {
        /// The file's id.
        id: String,
        /// Where it goes.
        destination: String,
        /// Its name there.
        name: String,
        /// Its rows.
        rows: usize,
        /// What the policy called global.
        global: Vec<String>,
        /// SHA-256 of it.
        digest: String,
    },
    /// Messages of one kind and camera, since this was last said of them.
    Messages {
        /// Where they go.
        destination: String,
        /// The camera.
        camera: String,
        /// What they say.
        kind: MessageKind,
        /// The rule that decided; none where none fitted.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        rule: Option<String>,
        /// What was let go.
        allow: MessageAllow,
        /// How many.
        count: u64,
    },
    /// A frame that stayed was removed, since there was no more room.
    Discarded {
        /// The evidence's id.
        id: String,
        /// Where it would have gone.
        destination: String,
    },
    /// The log was begun, or gone on with by a process that started.
    Started {
        /// What was wrong with the end of the log, where anything was.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        damage: Option<String>,
    },
    /// The oldest file was removed, since there was no more room.
    Forgotten {
        /// The number of the last entry in it.
        through: u64,
    },
}

/// The log, open to be written.
#[derive(Debug)]
pub struct Audit {
    folder: PathBuf,
    max_bytes: u64,
    file: File,
    written: u64,
    number: u64,
    before: String,
}

impl Audit {
    /// Opens the log in a folder, which is made where it is absent, and notes so in it.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub fn open(folder: &Path, max_bytes: u64, now: DateTime<Utc>) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut all = files(folder)?;
        let (last, end, damage) = loop {
            let Some((first, path)) = all.pop() else { break (None, None, None) };
            match end_of(&path)? {
                // A file that was begun and never written.
                (None, None) => fs::remove_file(&path)?,
                (end, damage) => break (Some((first, path)), end, damage),
            }
        };
        let (number, before) = match (&end, &last) {
            (Some((entry, hash)), _) => (entry.number, hash.clone()),
            // Nothing of it can be used: what follows is a chain of its own, and says so.
            (None, Some((first, _))) => (*first, NONE.to_owned()),
            (None, None) => (0, NONE.to_owned()),
        };
        let (path, fresh) = match &last {
            Some((_, path)) if damage.is_none() && path.metadata()?.len() < FILE => (path.clone(), false),
            _ => (named(folder, number + 1), true),
        };
        let file = File::options().append(true).create(true).open(&path)?;
        let written = file.metadata()?.len();
        let mut audit = Self { folder: folder.to_owned(), max_bytes, file, written, number, before };
        if fresh {
            audit.sync_folder()?;
        }
        audit.write(What::Started { damage }, now)?;
        Ok(audit)
    }

    /// Writes an entry and returns its hash once it is on the disk.
    ///
    /// # Errors
    /// When it is not. Then it must not be acted upon.
    pub fn write(&mut self, what: What, now: DateTime<Utc>) -> io::Result<String> {
        if self.written >= FILE {
            self.begin_file(now)?;
        }
        self.append(what, now)
    }

    fn append(&mut self, what: What, now: DateTime<Utc>) -> io::Result<String> {
        let entry = Entry { number: self.number + 1, at: now, before: self.before.clone(), what };
        let body = serde_json::to_string(&entry)?;
        let hash = sha256(&body);
        let line = format!("{}{HASH}{hash}{END}\n", body.strip_suffix('}').unwrap_or(&body));
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What may be there in part would be taken for damage.
            let _ = self.file.set_len(self.written);
            return Err(error);
        }
        self.written += line.len() as u64;
        self.number = entry.number;
        self.before.clone_from(&hash);
        Ok(hash)
    }

    fn begin_file(&mut self, now: DateTime<Utc>) -> io::Result<()> {
        let path = named(&self.folder, self.number + 1);
        self.file = File::options().append(true).create(true).open(path)?;
        self.written = self.file.metadata()?.len();
        self.sync_folder()?;
        let all = files(&self.folder)?;
        let mut bytes: u64 = all.iter().filter_map(|(_, path)| Some(path.metadata().ok()?.len())).sum();
        // The last two stay: what is written now, and what leads to it.
        let removable = all.iter().zip(all.iter().skip(1)).take(all.len().saturating_sub(2));
        for ((_, oldest), (next, _)) in removable {
            if bytes + FILE <= self.max_bytes {
                break;
            }
            bytes = bytes.saturating_sub(oldest.metadata()?.len());
            self.append(What::Forgotten { through: next.saturating_sub(1) }, now)?;
            fs::remove_file(oldest)?;
        }
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

/// The log's files by the number of their first entry, oldest first.
fn files(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix("audit-").and_then(|rest| rest.strip_suffix(".jsonl"));
        if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

fn named(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("audit-{number:012}.jsonl"))
}

/// The last whole entry of a file with its hash, and what is wrong with the file's end. A line without its end was not
/// written through, so that nothing was done upon it; it is taken away.
#[allow(clippy::type_complexity)]
fn end_of(path: &Path) -> io::Result<(Option<(Entry, String)>, Option<String>)> {
    let text = fs::read(path)?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < text.len() {
        File::options().write(true).open(path)?.set_len(whole as u64)?;
    }
    let mut lines = text.get(..whole).unwrap_or_default().split_inclusive(|byte| *byte == b'\n');
    let Some(last) = lines.next_back() else { return Ok((None, None)) };
    match read(last) {
        Ok(end) => Ok((Some(end), None)),
        Err(reason) => Ok((None, Some(format!("{}: the last entry {reason}", path.display())))),
    }
}

/// An entry and its hash, from its line.
///
/// # Errors
/// What is wrong with it.
fn read(line: &[u8]) -> Result<(Entry, String), String> {
    let text = std::str::from_utf8(line).map_err(|_| "is no text".to_owned())?.trim_end_matches('\n');
    let (body, rest) = text.rsplit_once(HASH).ok_or_else(|| "has no hash".to_owned())?;
    let said = rest.strip_suffix(END).ok_or_else(|| "has no end".to_owned())?;
    let body = format!("{body}}}");
    if sha256(&body) != said {
        return Err("was changed: its hash is another".to_owned());
    }
    let entry = serde_json::from_str(&body).map_err(|error| format!("is none: {error}"))?;
    Ok((entry, said.to_owned()))
}

#[cfg(test)]
mod tests;

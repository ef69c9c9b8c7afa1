//! Whether a log is what was written.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{NONE, What, files, read};
use crate::config::MessageAllow;

/// The longest line that is read: longer ones are no entries.
const LINE: u64 = 1 << 20;

/// A log that is whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The number of the first entry; above 1 where older files were removed.
    pub first: u64,
    /// The number of the last entry; 0 where there is none.
    pub last: u64,
    /// When the last was written.
    pub last_at: Option<DateTime<Utc>>,
    /// The hash of the last entry: noted elsewhere, it proves later that nothing before it was changed.
    pub head: String,
    /// Frames that were let go, in whole or in part.
    pub released: u64,
    /// Frames that stayed, each time that this was found.
    pub withheld: u64,
    /// Verdicts on frames that were let go.
    pub verdicts: u64,
    /// Files of insights that were let go.
    pub told: u64,
    /// Frames that stayed and were lost, since there was no more room.
    pub discarded: u64,
    /// Messages that were let go, in whole or in part.
    pub messages: u64,
    /// Messages that stayed.
    pub messages_withheld: u64,
    /// Hashes that were asked for and are in it.
    pub holds: Vec<String>,
}

/// Why a log is not what was written.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It can't be read.
    #[error("the audit log {} can't be read: {source}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is none.
    #[error("there is no audit log in {}", path.display())]
    Absent {
        /// The folder.
        path: PathBuf,
    },
    /// An entry is not what was written, or one is missing before it.
    #[error("{}:{line}: {reason}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// An entry that was asked for is not in it.
    #[error("no entry of the audit log {} has the hash {hash}", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
        /// The hash.
        hash: String,
    },
}

/// Reads a log from its beginning to its end, and looks for entries by their hashes.
///
/// # Errors
/// Where the chain is broken first, or which of the hashes is not there.
pub fn verify(folder: &Path, wanted: &[String]) -> Result<Report, Broken> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| Broken::Unreadable { path, source }
    };
    let all = files(folder).map_err(unreadable(folder))?;
    if all.is_empty() {
        return Err(Broken::Absent { path: folder.to_owned() });
    }
    let mut chain = Chain::new(wanted);
    for (first, path) in &all {
        chain.begin(*first, path)?;
        let mut lines = BufReader::new(File::open(path).map_err(unreadable(path))?);
        for number in 1.. {
            let mut line = Vec::new();
            let read = lines.by_ref().take(LINE).read_until(b'\n', &mut line).map_err(unreadable(path))?;
            if read == 0 {
                break;
            }
            chain.add(&line).map_err(|reason| Broken::Entry { path: path.clone(), line: number, reason })?;
        }
    }
    chain.end(folder)
}

/// What is known of the entries so far.
struct Chain<'a> {
    wanted: &'a [String],
    report: Report,
    forgotten: u64,
}

impl<'a> Chain<'a> {
    fn new(wanted: &'a [String]) -> Self {
        let report = Report {
            first: 0,
            last: 0,
            last_at: None,
            head: NONE.to_owned(),
            released: 0,
            withheld: 0,
            verdicts: 0,
            told: 0,
            discarded: 0,
            messages: 0,
            messages_withheld: 0,
            holds: Vec::new(),
        };
        Self { wanted, report, forgotten: 0 }
    }

    /// A file begins.
    fn begin(&mut self, first: u64, path: &Path) -> Result<(), Broken> {
        let expected = self.report.last + 1;
        if self.report.first != 0 && first != expected {
            let reason = format!("the file begins with entry {first}, and the one before ends before entry {expected}");
            return Err(Broken::Entry { path: path.to_owned(), line: 1, reason });
        }
        Ok(())
    }

    fn add(&mut self, line: &[u8]) -> Result<(), String> {
        let (entry, hash) = read(line).map_err(|reason| format!("this entry {reason}"))?;
        if self.report.first == 0 {
            self.report.first = entry.number;
            if entry.number == 1 && entry.before != NONE {
                return Err("the first entry names one before it".to_owned());
            }
        } else if entry.number != self.report.last + 1 {
            return Err(format!("entry {} follows entry {}", entry.number, self.report.last));
        } else if entry.before != self.report.head {
            return Err(format!("entry {} does not follow from the one before it", entry.number));
        }
        match &entry.what {
            What::Released { .. } => self.report.released += 1,
            What::Withheld { .. } => self.report.withheld += 1,
            What::Verdict { .. } => self.report.verdicts += 1,
            What::Told { .. } => self.report.told += 1,
            What::Discarded { .. } => self.report.discarded += 1,
            What::Messages { allow: MessageAllow::Nothing, count, .. } => self.report.messages_withheld += count,
            What::Messages { count, .. } => self.report.messages += count,
            What::Forgotten { through } => self.forgotten = self.forgotten.max(*through),
            What::Started { damage: Some(damage) } => return Err(format!("when the log was gone on with, {damage}")),
            What::Started { damage: None } => {}
        }
        if self.wanted.contains(&hash) {
            self.report.holds.push(hash.clone());
        }
        (self.report.last, self.report.last_at, self.report.head) = (entry.number, Some(entry.at), hash);
        Ok(())
    }

    fn end(self, folder: &Path) -> Result<Report, Broken> {
        // Older files are only missing where the log itself says that they were removed.
        if self.report.first > self.forgotten + 1 {
            let reason = format!(
                "the log begins with entry {}, and does not say that those before were removed",
                self.report.first
            );
            return Err(Broken::Entry { path: folder.to_owned(), line: 1, reason });
        }
        match self.wanted.iter().find(|hash| !self.report.holds.contains(hash)) {
            Some(hash) => Err(Broken::Missing { path: folder.to_owned(), hash: hash.clone() }),
            None => Ok(self.report),
        }
    }
}

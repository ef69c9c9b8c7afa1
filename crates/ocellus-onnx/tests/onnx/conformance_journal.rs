//! What became of the cases of a long run, so that one that was ended goes on where it was.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use super::Outcome;

/// Outcomes by case, a line each in the file that `$OCELLUS_OUTCOMES` names; without one, only in memory.
pub struct Journal {
    known: HashMap<String, (Outcome, String)>,
    file: Option<File>,
}

impl Journal {
    /// Reads what an earlier run wrote, and makes ready to go on.
    pub fn open() -> Self {
        let Some(path) = std::env::var_os("OCELLUS_OUTCOMES").map(PathBuf::from) else {
            return Self { known: HashMap::new(), file: None };
        };
        let known = std::fs::read_to_string(&path).unwrap_or_default();
        let known = known.lines().filter_map(read).collect();
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self { known, file: Some(file) }
    }

    /// What became of a case, which is judged now unless it was.
    pub fn judged(&mut self, name: &str, judge: impl FnOnce() -> (Outcome, String)) -> (Outcome, String) {
        if let Some(outcome) = self.known.get(name) {
            return outcome.clone();
        }
        let outcome = judge();
        if let Some(file) = &mut self.file {
            let why = outcome.1.replace(['\t', '\n'], " ");
            writeln!(file, "{name}\t{:?}\t{why}", outcome.0).expect("the file takes it");
        }
        outcome
    }
}

/// A whole line; one that was cut short counts for nothing.
fn read(line: &str) -> Option<(String, (Outcome, String))> {
    let mut fields = line.splitn(3, '\t');
    let (name, outcome, why) = (fields.next()?, fields.next()?, fields.next()?);
    let all = [Outcome::Right, Outcome::Wrong, Outcome::Refused, Outcome::Failed, Outcome::Panicked];
    let outcome = all.into_iter().find(|known| format!("{known:?}") == outcome)?;
    Some((name.to_owned(), (outcome, why.to_owned())))
}

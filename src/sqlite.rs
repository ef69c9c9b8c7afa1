//! SQLite files that are ours: how they are made, recognised and checked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};

/// What is in a file.
pub(crate) struct Schema {
    /// The statements that make it.
    pub(crate) sql: &'static str,
    /// `application_id`, where the file has one.
    pub(crate) application: Option<i64>,
    /// `user_version`, from 1.
    pub(crate) version: i64,
}

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// SQLite can't.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// It can't be put aside.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Its `application_id` is another.
    #[error("it is a database of something else")]
    Foreign,
    /// Its `user_version` is one that we don't know.
    #[error("it was made by a later version of Ocellus")]
    Later,
    /// What SQLite found wrong.
    #[error("{0}")]
    Damaged(String),
}

impl Unfit {
    /// Whether what is in the file can't be trusted, so that trying again is of no use.
    pub(crate) fn is_corrupt(&self) -> bool {
        match self {
            Self::Sqlite(error) => is_broken(error),
            Self::Foreign | Self::Damaged(_) => true,
            Self::Later | Self::Io(_) => false,
        }
    }
}

/// Whether the file is damaged or none of SQLite's.
pub(crate) fn is_broken(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Moves a database to another name, with its logs, by which SQLite still knows it there. What had that name goes.
///
/// # Errors
/// When something that is there can't be moved.
pub(crate) fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    for log in ["", "-wal", "-shm"] {
        let [from, to] = [from, to].map(|path| {
            let mut name = path.as_os_str().to_owned();
            name.push(log);
            PathBuf::from(name)
        });
        match fs::rename(from, &to) {
            // A log that another database has left there would spoil this one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::remove_file(&to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
            moved => moved?,
        }
    }
    Ok(())
}

/// Opens a database of `what`, which people know it by. One that is corrupt is put aside as `{file}.corrupt`, where the one
/// before that goes for it, and a new one is begun.
///
/// # Errors
/// What `open` says, and when it can't be put aside.
pub(crate) fn open_or_begin<T, E: From<io::Error> + std::fmt::Display>(
    what: &str,
    path: &Path,
    open: impl Fn(&Path) -> Result<T, E>,
    is_corrupt: impl FnOnce(&E) -> bool,
) -> Result<T, E> {
    match open(path) {
        Err(error) if is_corrupt(&error) => {
            let mut aside = path.as_os_str().to_owned();
            aside.push(".corrupt");
            tracing::error!(%error, file = %path.display(), aside = %aside.display(), "{what} can't be read: it is put aside, and a new one is begun.");
            move_to(path, Path::new(&aside))?;
            open(path)
        }
        opened => opened,
    }
}

impl Schema {
    /// Makes what is in the file where it is new, and checks it.
    pub(crate) fn settle(&self, connection: &mut Connection) -> Result<(), Unfit> {
        if number(connection, "user_version")? == 0 {
            let transaction = connection.transaction()?;
            transaction.execute_batch(self.sql)?;
            if let Some(application) = self.application {
                transaction.pragma_update(None, "application_id", application)?;
            }
            transaction.pragma_update(None, "user_version", self.version)?;
            transaction.commit()?;
        }
        self.check(connection)
    }

    /// Checks the file as a whole.
    pub(crate) fn check(&self, connection: &Connection) -> Result<(), Unfit> {
        if let Some(application) = self.application
            && number(connection, "application_id")? != application
        {
            return Err(Unfit::Foreign);
        }
        if number(connection, "user_version")? > self.version {
            return Err(Unfit::Later);
        }
        let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if said == "ok" { Ok(()) } else { Err(Unfit::Damaged(said)) }
    }
}

fn number(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: Schema = Schema { sql: "CREATE TABLE t (n INTEGER) STRICT", application: Some(7), version: 1 };

    fn open(path: &Path) -> Result<Connection, Unfit> {
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        SCHEMA.settle(&mut connection)?;
        Ok(connection)
    }

    fn begin(path: &Path) -> Connection {
        open_or_begin("This", path, open, Unfit::is_corrupt).expect("a database")
    }

    fn sum(connection: &Connection) -> i64 {
        connection.query_row("SELECT COALESCE(SUM(n), 0) FROM t", [], |row| row.get(0)).expect("a sum")
    }

    /// What is only in the log yet is put aside too, and read from there; twice, so that the second takes the first's place.
    #[test]
    fn what_is_put_aside_keeps_its_log_and_nothing_of_it_is_in_the_new_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, aside) = (folder.path().join("x.db"), folder.path().join("x.db.corrupt"));
        for n in [3, 4] {
            let begun = begin(&path);
            assert_eq!(sum(&begun), 0);
            begun.execute("INSERT INTO t VALUES (?1)", [n]).expect("written");
            // As a process leaves it that is killed: the log is not moved into the file.
            let killed = ["x.db", "x.db-wal"].map(|name| (name, fs::read(folder.path().join(name)).expect("there")));
            drop(begun);
            for (name, content) in killed {
                fs::write(folder.path().join(name), content).expect("written");
            }
            move_to(&path, &aside).expect("moved");
            assert!(!path.exists() && !folder.path().join("x.db-wal").exists());
            assert_eq!(sum(&Connection::open(&aside).expect("opened")), n);
        }
        fs::write(&path, [7; 8192]).expect("written");
        assert_eq!(sum(&begin(&path)), 0);
        assert_eq!(fs::read(&aside).expect("there"), [7; 8192]);
        assert!(!folder.path().join("x.db.corrupt-wal").exists(), "a log of the one before");
    }
}

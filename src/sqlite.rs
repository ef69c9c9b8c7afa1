//! SQLite files that are ours: how they are made, recognised and checked.

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
            Self::Later => false,
        }
    }
}

/// Whether the file is damaged or none of SQLite's.
pub(crate) fn is_broken(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
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

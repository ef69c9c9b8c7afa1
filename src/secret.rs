//! Where a password comes from: a file, the environment, or a systemd credential. Never the configuration itself.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::Name;

/// Where systemd puts credentials (systemd.exec(5), `LoadCredential=`).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// What systemd puts before the names of files that it takes from a folder: the packaged unit says
/// `LoadCredential=ocellus:/etc/ocellus/credentials`.
const FOLDER: &str = "ocellus_";

/// Why there is no password. The text never holds one.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is no user for the password.
    #[error("a password needs a `username` beside it")]
    Alone,
    /// There are several places to take the password from.
    #[error("the password comes from one place: give one of `password_file`, `password_env`, `password_credential`")]
    Many,
    /// The variable that should hold the password is not set.
    #[error("the environment variable {variable}, which should hold it, is not set to a text")]
    Variable {
        /// Which.
        variable: String,
    },
    /// systemd gave no credentials.
    #[error(
        "systemd passed no credentials, so there is no `{name}`: with the packaged unit write it to \
         /etc/ocellus/credentials/{name}, else add `LoadCredential={name}:/path` to the unit"
    )]
    NoCredentials {
        /// The credential's name.
        name: String,
    },
    /// A file can't be read.
    #[error("can't read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The place of a password: at most one of the three.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretPlace {
    /// A file that holds it.
    pub file: Option<PathBuf>,
    /// An environment variable that holds it.
    pub env: Option<String>,
    /// The systemd credential that holds it.
    pub credential: Option<Name>,
}

impl SecretPlace {
    /// Checks that at most one place is named, and a user with it.
    ///
    /// # Errors
    /// [`SecretError::Alone`] or [`SecretError::Many`].
    pub fn check(&self, username: Option<&str>) -> Result<(), SecretError> {
        match self.named() {
            0 => Ok(()),
            1 if username.is_none() => Err(SecretError::Alone),
            1 => Ok(()),
            _ => Err(SecretError::Many),
        }
    }

    fn named(&self) -> usize {
        [self.file.is_some(), self.env.is_some(), self.credential.is_some()].into_iter().filter(|named| *named).count()
    }

    /// Whether a place is named.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.named() > 0
    }

    /// Whether several places are named.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        self.named() > 1
    }

    /// Reads the password; empty where no place is named.
    ///
    /// # Errors
    /// When the place holds none.
    pub fn read(&self) -> Result<String, SecretError> {
        self.read_with(std::env::var_os(CREDENTIALS).as_deref().map(Path::new))
    }

    fn read_with(&self, credentials: Option<&Path>) -> Result<String, SecretError> {
        if let Some(variable) = &self.env {
            return std::env::var(variable).map_err(|_| SecretError::Variable { variable: variable.clone() });
        }
        if let Some(name) = &self.credential {
            let folder = credentials.ok_or_else(|| SecretError::NoCredentials { name: name.to_string() })?;
            let of_folder = folder.join(format!("{FOLDER}{name}"));
            return text(&if of_folder.exists() { of_folder } else { folder.join(&**name) });
        }
        self.file.as_deref().map_or_else(|| Ok(String::new()), text)
    }
}

fn text(path: &Path) -> Result<String, SecretError> {
    of_file(path).map_err(|source| SecretError::File { path: path.to_owned(), source })
}

/// A file's text without the line end that editors put behind it.
///
/// # Errors
/// When it can't be read.
pub fn of_file(path: &Path) -> io::Result<String> {
    Ok(std::fs::read_to_string(path)?.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: impl Into<PathBuf>) -> SecretPlace {
        SecretPlace { file: Some(path.into()), ..SecretPlace::default() }
    }

    fn env(name: &str) -> SecretPlace {
        SecretPlace { env: Some(name.to_owned()), ..SecretPlace::default() }
    }

    fn credential(name: &str) -> SecretPlace {
        SecretPlace { credential: Name::new(name).ok(), ..SecretPlace::default() }
    }

    #[test]
    fn a_file_loses_its_line_end_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        for (content, wanted) in [("hunter2\n", "hunter2"), (" a b \r\n", " a b "), ("x", "x"), ("", "")] {
            std::fs::write(&path, content).expect("written");
            assert_eq!(file(&path).read().expect("read"), wanted);
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = file("/no/such/password").read().expect_err("no file").to_string();
        assert!(error.contains("/no/such/password"), "{error}");
    }

    #[test]
    fn the_environment_holds_it_or_the_variable_is_named() {
        assert_eq!(env("PATH").read().ok(), std::env::var("PATH").ok());
        let error = env("OCELLUS_NO_SUCH_VARIABLE").read().expect_err("not set").to_string();
        assert!(error.contains("OCELLUS_NO_SUCH_VARIABLE"), "{error}");
    }

    #[test]
    fn systemd_credentials_are_read_or_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("mqtt"), "hunter2\n").expect("written");
        let read = |name: &str, folder: Option<&Path>| credential(name).read_with(folder);
        assert_eq!(read("mqtt", Some(folder.path())).expect("there"), "hunter2");
        // As systemd names it that was given a folder.
        std::fs::write(folder.path().join("ocellus_line-3"), "swordfish").expect("written");
        assert_eq!(read("line-3", Some(folder.path())).expect("there"), "swordfish");
        let error = read("other", Some(folder.path())).expect_err("absent").to_string();
        assert!(error.contains("/other"), "{error}");
        let error = read("mqtt", None).expect_err("no credentials").to_string();
        assert!(error.contains("LoadCredential=mqtt:"), "{error}");
    }

    #[test]
    fn one_place_and_a_user_name() {
        let (file, env, credential) = (file("/p"), env("P"), credential("mqtt"));
        for place in [
            SecretPlace { env: env.env.clone(), ..file.clone() },
            SecretPlace { credential: credential.credential.clone(), ..env.clone() },
        ] {
            assert!(matches!(place.check(Some("anna")), Err(SecretError::Many)));
        }
        for place in [file, env, credential] {
            assert!(matches!(place.check(None), Err(SecretError::Alone)));
            assert!(place.check(Some("anna")).is_ok());
        }
        assert!(SecretPlace::default().check(None).is_ok());
    }
}

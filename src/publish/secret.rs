//! Where the broker's password comes from: a file, the environment, or a systemd credential.

use std::path::Path;

use super::error::MqttError;
use crate::config::MqttConfig;

/// Where systemd puts credentials (systemd.exec(5), `LoadCredential=`).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Checks that at most one place is named, and a user name with it.
pub(super) fn check(config: &MqttConfig) -> Result<(), MqttError> {
    let places = [config.password_file.is_some(), config.password_env.is_some(), config.password_credential.is_some()];
    match places.iter().filter(|named| **named).count() {
        0 => Ok(()),
        1 if config.username.is_none() => Err(MqttError::PasswordAlone),
        1 => Ok(()),
        _ => Err(MqttError::ManyPasswords),
    }
}

/// Reads the password; empty where none is configured.
pub(super) fn password(config: &MqttConfig) -> Result<String, MqttError> {
    read(config, std::env::var_os(CREDENTIALS).as_deref().map(Path::new))
}

fn read(config: &MqttConfig, credentials: Option<&Path>) -> Result<String, MqttError> {
    check(config)?;
    if let Some(variable) = &config.password_env {
        return std::env::var(variable).map_err(|_| MqttError::Variable { variable: variable.clone() });
    }
    if let Some(name) = &config.password_credential {
        let folder = credentials.ok_or_else(|| MqttError::NoCredentials { name: name.to_string() })?;
        return text(&folder.join(&**name));
    }
    config.password_file.as_deref().map_or_else(|| Ok(String::new()), text)
}

/// The file's text without the line end that editors put behind it.
fn text(path: &Path) -> Result<String, MqttError> {
    let content = std::fs::read_to_string(path).map_err(|source| MqttError::File { path: path.to_owned(), source })?;
    Ok(content.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Name;

    fn user() -> MqttConfig {
        MqttConfig { username: Some("anna".to_owned()), ..MqttConfig::default() }
    }

    #[test]
    fn a_file_loses_its_line_end_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        for (content, wanted) in [("hunter2\n", "hunter2"), (" a b \r\n", " a b "), ("x", "x"), ("", "")] {
            std::fs::write(&path, content).expect("written");
            let config = MqttConfig { password_file: Some(path.clone()), ..user() };
            assert_eq!(password(&config).expect("read"), wanted);
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let config = MqttConfig { password_file: Some("/no/such/password".into()), ..user() };
        let error = password(&config).expect_err("no file").to_string();
        assert!(error.contains("/no/such/password"), "{error}");
    }

    #[test]
    fn the_environment_holds_it_or_the_variable_is_named() {
        let config = MqttConfig { password_env: Some("PATH".to_owned()), ..user() };
        assert_eq!(password(&config).ok(), std::env::var("PATH").ok());
        let config = MqttConfig { password_env: Some("OCELLUS_NO_SUCH_VARIABLE".to_owned()), ..user() };
        let error = password(&config).expect_err("not set").to_string();
        assert!(error.contains("OCELLUS_NO_SUCH_VARIABLE"), "{error}");
    }

    #[test]
    fn systemd_credentials_are_read_or_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("mqtt"), "hunter2\n").expect("written");
        let config = |name: &str| MqttConfig { password_credential: Name::new(name).ok(), ..user() };
        assert_eq!(read(&config("mqtt"), Some(folder.path())).expect("there"), "hunter2");
        let error = read(&config("other"), Some(folder.path())).expect_err("absent").to_string();
        assert!(error.contains("/other"), "{error}");
        let error = read(&config("mqtt"), None).expect_err("no credentials").to_string();
        assert!(error.contains("LoadCredential=mqtt:"), "{error}");
    }

    #[test]
    fn one_place_and_a_user_name() {
        let file = Some("/p".into());
        let env = Some("P".to_owned());
        let credential = Name::new("mqtt").ok();
        for config in [
            MqttConfig { password_file: file.clone(), password_env: env.clone(), ..user() },
            MqttConfig { password_env: env.clone(), password_credential: credential.clone(), ..user() },
        ] {
            assert!(matches!(check(&config), Err(MqttError::ManyPasswords)));
        }
        for config in [
            MqttConfig { password_file: file, ..MqttConfig::default() },
            MqttConfig { password_env: env, ..MqttConfig::default() },
            MqttConfig { password_credential: credential, ..MqttConfig::default() },
        ] {
            assert!(matches!(check(&config), Err(MqttError::PasswordAlone)));
        }
        assert!(check(&user()).is_ok());
        assert!(check(&MqttConfig::default()).is_ok());
    }
}

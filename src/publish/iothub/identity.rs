//! Who this node is to a hub, and what proves it.

use std::path::Path;
use std::sync::Arc;

use rumqttc::tokio_rustls::rustls::ClientConfig;

use super::super::endpoint::Endpoint;
use super::super::error::MqttError;
use super::super::tls;
use super::connection_string::{ConnectionString, check_device, check_host};
use super::error::IotHubError;
use super::sas::SharedKey;
use crate::config::{DpsConfig, IotHubConfig};

/// How long a token may be valid, in seconds.
const TOKEN_S: std::ops::RangeInclusive<u32> = 5..=86_400;
/// How often counts and statistics may be sent, in seconds.
const EVERY_S: std::ops::RangeInclusive<u32> = 1..=86_400;
/// The longest registration id, and the longest scope.
const MAX_ID: usize = 128;

/// What proves who we are.
#[derive(Debug, Clone)]
pub(super) enum Proof {
    /// A key, with which tokens are made.
    Key(SharedKey),
    /// A certificate, which TLS shows.
    Certificate,
}

/// A device of a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    /// The hub's host name.
    pub(super) hub: String,
    /// The device's id.
    pub(super) id: String,
}

/// Who we are, as far as the configuration says so.
#[derive(Debug)]
pub(super) struct Identity {
    /// None where provisioning tells.
    pub(super) device: Option<Device>,
    pub(super) proof: Proof,
    pub(super) tls: Arc<ClientConfig>,
}

impl Identity {
    /// Reads the secrets and files that the configuration names.
    pub(super) fn read(config: &IotHubConfig) -> Result<Self, IotHubError> {
        check(config).map_err(|(_, error)| error)?;
        let certificate = config.cert_file.as_deref().zip(config.key_file.as_deref());
        let tls = tls::client(config.ca_file.as_deref(), certificate)?;
        let (device, proof) = if config.connection_string().is_named() {
            let said = ConnectionString::parse(&config.connection_string().read()?)?;
            let device = Device { hub: said.hub, id: said.device };
            (Some(device), connection_string_proof(said.key, certificate)?)
        } else if let Some(dps) = &config.dps {
            (None, provisioning_proof(config, dps)?)
        } else {
            let device = configured_device(config)?;
            (Some(device), own_proof(config)?)
        };
        Ok(Self { device, proof, tls })
    }
}

fn connection_string_proof(key: Option<SharedKey>, certificate: Option<(&Path, &Path)>) -> Result<Proof, IotHubError> {
    match (key, certificate) {
        (Some(key), None) => Ok(Proof::Key(key)),
        (None, Some(_)) => Ok(Proof::Certificate),
        (Some(_), Some(_)) => Err(IotHubError::Identity(
            "the connection string of IoT Hub has a key: leave `cert_file` and `key_file` out, or write `x509=true` in it",
        )),
        (None, None) => Err(IotHubError::Identity(
            "the connection string of IoT Hub says `x509=true`: give `cert_file` and `key_file`",
        )),
    }
}

fn own_proof(config: &IotHubConfig) -> Result<Proof, IotHubError> {
    if config.cert_file.is_some() {
        return Ok(Proof::Certificate);
    }
    Ok(Proof::Key(SharedKey::parse(&config.shared_key().read()?, "shared key")?))
}

fn provisioning_proof(config: &IotHubConfig, dps: &DpsConfig) -> Result<Proof, IotHubError> {
    if dps.group_key().is_named() {
        let group = SharedKey::parse(&dps.group_key().read()?, "key of the enrolment group")?;
        return Ok(Proof::Key(group.of_group(&dps.registration_id)));
    }
    own_proof(config)
}

fn configured_device(config: &IotHubConfig) -> Result<Device, IotHubError> {
    let hub = check_host(config.hub.as_deref().unwrap_or_default())?;
    let id = check_device(config.device.as_deref().unwrap_or_default())?;
    Ok(Device { hub, id })
}

/// Where a mistake is: the keys that lead to it, below `[iothub]`.
type Place = &'static [&'static str];

/// Says of an error where it is.
fn at<E>(place: Place) -> impl Fn(E) -> (Place, E) {
    move |error| (place, error)
}

/// Checks what can be checked without touching a file or the network.
///
/// # Errors
/// The first mistake, with its place below `[iothub]`.
pub(super) fn check(config: &IotHubConfig) -> Result<(), (Place, IotHubError)> {
    check_ways(config)?;
    check_proofs(config)?;
    if config.hub.is_some() {
        check_host(config.hub.as_deref().unwrap_or_default()).map_err(at(&["hub"]))?;
        check_device(config.device.as_deref().unwrap_or_default()).map_err(at(&["device"]))?;
    }
    if let Some(url) = &config.url {
        endpoint(url).map_err(at(&["url"]))?;
    }
    if !TOKEN_S.contains(&config.token_s) {
        return Err((&["token_s"], IotHubError::Range { key: "token_s", range: "from 5 to 86400 seconds" }));
    }
    if !EVERY_S.contains(&config.every_s) {
        return Err((&["every_s"], IotHubError::Range { key: "every_s", range: "from 1 to 86400 seconds" }));
    }
    config.dps.as_ref().map_or(Ok(()), check_provisioning)
}

/// That one thing says which device this is.
fn check_ways(config: &IotHubConfig) -> Result<(), (Place, IotHubError)> {
    let refuse = |place: Place, why| Err((place, IotHubError::Identity(why)));
    let string = config.connection_string();
    if string.is_ambiguous() {
        return refuse(
            &[],
            "the connection string comes from one place: give one of `connection_string_file`, `connection_string_env`, \
             `connection_string_credential`",
        );
    }
    if config.hub.is_some() != config.device.is_some() {
        return refuse(&[], "`hub` and `device` go together: give both, or a connection string or [iothub.dps]");
    }
    match [string.is_named(), config.hub.is_some(), config.dps.is_some()].into_iter().filter(|given| *given).count() {
        1 => Ok(()),
        0 => refuse(&[], "say which device this is: `connection_string_file`, `hub` and `device`, or [iothub.dps]"),
        _ => refuse(&[], "keep one of the connection string, `hub` with `device`, and [iothub.dps]"),
    }
}

/// That one thing proves it.
fn check_proofs(config: &IotHubConfig) -> Result<(), (Place, IotHubError)> {
    let refuse = |place: Place, why| Err((place, IotHubError::Identity(why)));
    if config.cert_file.is_some() != config.key_file.is_some() {
        return Err((&[], MqttError::HalfIdentity.into()));
    }
    let group = config.dps.as_ref().map(DpsConfig::group_key).unwrap_or_default();
    let secrets: [(Place, _); 2] = [(&[], config.shared_key()), (&["dps"], group.clone())];
    for (place, secret) in secrets {
        if secret.is_ambiguous() {
            return refuse(place, "a key comes from one place: give one of its `…_file`, `…_env`, `…_credential`");
        }
    }
    let keys = [config.shared_key().is_named(), group.is_named(), config.cert_file.is_some()];
    let proofs = keys.into_iter().filter(|given| *given).count();
    if config.connection_string().is_named() {
        if config.shared_key().is_named() {
            return refuse(&[], "the connection string has the key: leave `shared_key_…` out");
        }
        return Ok(());
    }
    match proofs {
        1 => Ok(()),
        0 => refuse(&[], "say what proves it: `shared_key_file`, or `cert_file` and `key_file`"),
        _ => refuse(&[], "keep one of the shared key, the group's key and the certificate"),
    }
}

fn check_provisioning(dps: &DpsConfig) -> Result<(), (Place, IotHubError)> {
    const REASON: &str = "take up to 128 letters, digits and `- . _ :`, the last a letter, a digit or `-`";
    let refuse = |place: Place, key| Err((place, IotHubError::Provisioning { key, reason: REASON }));
    let good = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        let end = |c: char| c.is_ascii_alphanumeric() || c == '-';
        text.len() <= MAX_ID && text.chars().all(plain) && text.ends_with(end)
    };
    if !good(&dps.id_scope) {
        return refuse(&["dps", "id_scope"], "id_scope");
    }
    if !good(&dps.registration_id) {
        return refuse(&["dps", "registration_id"], "registration_id");
    }
    endpoint(&dps.url).map_err(at(&["dps", "url"]))?;
    Ok(())
}

/// An address that is spoken to through TLS.
pub(super) fn endpoint(url: &str) -> Result<Endpoint, IotHubError> {
    let endpoint = Endpoint::parse(url).map_err(MqttError::Url)?;
    if !endpoint.tls {
        return Err(MqttError::Url("IoT Hub speaks TLS only: write `mqtts://host:port`".to_owned()).into());
    }
    Ok(endpoint)
}

/// The files and places that the configuration names, with their keys.
pub(super) fn files(config: &IotHubConfig) -> Vec<(Place, &Path)> {
    let group = config.dps.as_ref().and_then(|dps| dps.group_key_file.as_deref());
    let named: [(Place, Option<&Path>); 6] = [
        (&["connection_string_file"], config.connection_string_file.as_deref()),
        (&["shared_key_file"], config.shared_key_file.as_deref()),
        (&["cert_file"], config.cert_file.as_deref()),
        (&["key_file"], config.key_file.as_deref()),
        (&["ca_file"], config.ca_file.as_deref()),
        (&["dps", "group_key_file"], group),
    ];
    named.into_iter().filter_map(|(place, path)| Some((place, path?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn config(text: &str) -> IotHubConfig {
        toml::from_str(text).expect(text)
    }

    fn mistake(text: &str) -> (Place, String) {
        let (place, error) = check(&config(text)).expect_err(text);
        (place, error.to_string())
    }

    const FIXED: &str = "hub = \"h.azure-devices.net\"\ndevice = \"edge\"\n";
    const DPS: &str = "[dps]\nid_scope = \"0ne1\"\nregistration_id = \"edge-1\"\n";

    #[test]
    fn one_thing_names_the_device_and_one_proves_it() {
        for good in [
            "connection_string_file = \"/c\"".to_owned(),
            "connection_string_env = \"C\"\ncert_file = \"/c\"\nkey_file = \"/k\"".to_owned(),
            format!("{FIXED}shared_key_file = \"/k\""),
            format!("{FIXED}cert_file = \"/c\"\nkey_file = \"/k\"\nurl = \"mqtts://127.0.0.1:1\""),
            format!("shared_key_credential = \"k\"\n{DPS}"),
            format!("{DPS}group_key_file = \"/g\""),
        ] {
            assert!(check(&config(&good)).is_ok(), "{good}: {:?}", check(&config(&good)));
        }
        let mistakes: [(String, &[&str], &str); 15] = [
            (String::new(), &[], "say which device"),
            ("hub = \"h\"".to_owned(), &[], "go together"),
            (FIXED.to_owned(), &[], "what proves it"),
            (DPS.to_owned(), &[], "what proves it"),
            (format!("{FIXED}shared_key_file = \"/k\"\n{DPS}"), &[], "keep one of"),
            ("connection_string_file = \"/c\"\nconnection_string_env = \"C\"".to_owned(), &[], "one place"),
            ("connection_string_file = \"/c\"\nshared_key_file = \"/k\"".to_owned(), &[], "leave `shared_key_…` out"),
            (format!("{FIXED}shared_key_file = \"/k\"\nshared_key_env = \"K\""), &[], "one place"),
            (format!("{FIXED}cert_file = \"/k\""), &[], "`cert_file` and `key_file`"),
            (format!("{FIXED}shared_key_env = \"K\"\nurl = \"mqtt://h\""), &["url"], "TLS only"),
            (format!("{FIXED}shared_key_env = \"K\"\ntoken_s = 4"), &["token_s"], "from 5"),
            (format!("{FIXED}shared_key_env = \"K\"\nevery_s = 0"), &["every_s"], "from 1"),
            ("hub = \"a b\"\ndevice = \"d\"\nshared_key_env = \"K\"".to_owned(), &["hub"], "host name"),
            ("hub = \"h\"\ndevice = \"a/b\"\nshared_key_env = \"K\"".to_owned(), &["device"], "up to 128"),
            (
                format!("shared_key_env = \"K\"\n{DPS}").replace("edge-1", "edge."),
                &["dps", "registration_id"],
                "letters",
            ),
        ];
        for (text, place, wanted) in mistakes {
            let (at, message) = mistake(&text);
            assert!(at == place && message.contains(wanted), "{text}: {at:?} {message}");
        }
    }

    #[test]
    fn secrets_come_from_where_the_configuration_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        let string = file("string", &format!("HostName=h.example;DeviceId=d;SharedAccessKey={KEY}\n"));
        let read = Identity::read(&config(&format!("connection_string_file = {string:?}"))).expect("good");
        assert_eq!(read.device, Some(Device { hub: "h.example".to_owned(), id: "d".to_owned() }));
        let key = file("key", KEY);
        let read = Identity::read(&config(&format!("{FIXED}shared_key_file = {key:?}"))).expect("good");
        assert!(matches!(read.proof, Proof::Key(_)) && read.device.is_some());
        let read = Identity::read(&config(&format!("{DPS}group_key_file = {key:?}"))).expect("good");
        assert!(matches!(read.proof, Proof::Key(_)) && read.device.is_none());
        assert!(!format!("{read:?}").contains("AAEC"));

        let certified = file("x509", "HostName=h.example;DeviceId=d;x509=true");
        for (path, wanted) in [(certified, "`cert_file`"), ("/no/such/string".to_owned(), "/no/such/string")] {
            let error = Identity::read(&config(&format!("connection_string_file = {path:?}"))).expect_err("refused");
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }
}

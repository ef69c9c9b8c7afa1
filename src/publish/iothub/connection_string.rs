//! A device's connection string, as the portal shows it: `HostName=…;DeviceId=…;SharedAccessKey=…`.

use super::error::IotHubError;
use super::sas::SharedKey;

/// The longest that is read, in bytes.
const MAX: usize = 4096;
/// The longest device id, in characters ("Understand the identity registry", device identity properties).
const MAX_DEVICE: usize = 128;

/// What a connection string says. The text is never kept.
#[derive(Debug, Clone)]
pub(super) struct ConnectionString {
    /// The hub's host name.
    pub(super) hub: String,
    /// The device's id.
    pub(super) device: String,
    /// Its key; none where it has a certificate.
    pub(super) key: Option<SharedKey>,
}

impl ConnectionString {
    /// Reads one. Errors never repeat it.
    pub(super) fn parse(text: &str) -> Result<Self, IotHubError> {
        const WHAT: &str = "SharedAccessKey";
        let refuse = |reason: &str| Err(IotHubError::ConnectionString(reason.to_owned()));
        if text.len() > MAX {
            return refuse("it is longer than 4096 bytes");
        }
        let (mut hub, mut device, mut key, mut certificate) = (None, None, None, false);
        for part in text.trim().split(';').filter(|part| !part.is_empty()) {
            let Some((name, value)) = part.split_once('=') else {
                return refuse("a part of it is not `Name=value`");
            };
            match name {
                "HostName" => hub = Some(check_host(value)?),
                "DeviceId" => device = Some(check_device(value)?),
                "SharedAccessKey" => key = Some(SharedKey::parse(value, WHAT)?),
                "x509" | "X509" => certificate = value.eq_ignore_ascii_case("true"),
                "SharedAccessKeyName" => {
                    return refuse("it is a policy's of the whole hub; take the one of the device itself");
                }
                "ModuleId" => return refuse("it is a module's; take the one of a device"),
                "GatewayHostName" => {
                    return refuse("leave `GatewayHostName` out, and name the gateway with `url` under [iothub]");
                }
                _ => return refuse("it has a part that no device's has; copy it from the device's page"),
            }
        }
        let (Some(hub), Some(device)) = (hub, device) else {
            return refuse("`HostName` or `DeviceId` is missing");
        };
        if key.is_none() && !certificate {
            return refuse("`SharedAccessKey` is missing (`x509=true` for a device with a certificate)");
        }
        Ok(Self { hub, device, key })
    }
}

/// A host name, and nothing else.
pub(super) fn check_host(text: &str) -> Result<String, IotHubError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    if text.is_empty() || text.len() > 253 || !text.chars().all(good) || text.starts_with(['-', '.']) {
        return Err(IotHubError::Hub);
    }
    Ok(text.to_ascii_lowercase())
}

/// A device's id: what the registry takes, but for `#` and `+`-like wildcards, which no topic may hold.
pub(super) fn check_device(text: &str) -> Result<String, IotHubError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-._:%!*'(),=@$?".contains(c);
    if text.is_empty() || text.len() > MAX_DEVICE || !text.chars().all(good) {
        return Err(IotHubError::Device);
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn the_portal_s_text_is_read() {
        let text = format!("HostName=Plant.azure-devices.net;DeviceId=edge-01;SharedAccessKey={KEY}\n");
        let read = ConnectionString::parse(&text).expect("good");
        assert_eq!((read.hub.as_str(), read.device.as_str()), ("plant.azure-devices.net", "edge-01"));
        assert!(read.key.is_some());
        assert!(!format!("{read:?}").contains("AAEC"));
        let read = ConnectionString::parse("HostName=h;DeviceId=a@b:1;x509=true").expect("good");
        assert!(read.key.is_none());
    }

    #[test]
    fn what_is_another_s_is_told_apart() {
        let hub = "HostName=h";
        let key = format!("SharedAccessKey={KEY}");
        for (text, wanted) in [
            (String::new(), "`HostName` or `DeviceId`"),
            ("hunter2".to_owned(), "not `Name=value`"),
            (format!("{hub};{key}"), "`HostName` or `DeviceId`"),
            (format!("{hub};DeviceId=d"), "`SharedAccessKey` is missing"),
            (format!("{hub};DeviceId=d;SharedAccessKey=hunter2!"), "SharedAccessKey"),
            (format!("{hub};SharedAccessKeyName=iothubowner;{key}"), "the device itself"),
            (format!("{hub};DeviceId=d;ModuleId=m;{key}"), "module"),
            (format!("{hub};DeviceId=d;GatewayHostName=g;{key}"), "`url`"),
            (format!("{hub};DeviceId=d;Endpoint=sb://x;{key}"), "no device's has"),
            (format!("HostName=h/x;DeviceId=d;{key}"), "host name"),
            (format!("{hub};DeviceId=a/b;{key}"), "device"),
            (format!("{hub};DeviceId=d+;{key}"), "device"),
            ("x".repeat(5000), "longer"),
        ] {
            let error = ConnectionString::parse(&text).expect_err(&text).to_string();
            assert!(error.contains(wanted), "{text}: {error}");
            assert!(!error.contains("hunter2") && !error.contains("AAEC"), "{error}");
        }
    }
}

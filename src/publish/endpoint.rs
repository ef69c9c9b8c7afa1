//! Where the broker is, from the configured URL.

use std::fmt;

use url::{Host, Url};

use super::error::MqttError;
use crate::config::MqttConfig;

/// A broker's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Endpoint {
    /// Reads the URL, and checks that the options that depend on it fit.
    ///
    /// Messages never repeat the URL: people put passwords there.
    pub(super) fn of(config: &MqttConfig) -> Result<Self, MqttError> {
        let endpoint = Self::parse(&config.url).map_err(MqttError::Url)?;
        let wants_tls = [&config.ca_file, &config.cert_file, &config.key_file];
        if !endpoint.tls && wants_tls.iter().any(|file| file.is_some()) {
            return Err(MqttError::Url("`ca_file`, `cert_file` and `key_file` need an `mqtts://` URL".to_owned()));
        }
        if config.cert_file.is_some() != config.key_file.is_some() {
            return Err(MqttError::HalfIdentity);
        }
        Ok(endpoint)
    }

    /// Reads the URL alone. The error says what would be right.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const WANTED: &str = "write `mqtt://host:port` or `mqtts://host:port`";
        let url = Url::parse(text).map_err(|error| format!("{error}; {WANTED}"))?;
        let (tls, default_port) = match url.scheme() {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            other => return Err(format!("the scheme `{other}` is unknown; {WANTED}")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds a user name or password; use `username` and `password_file`".to_owned());
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("nothing may follow host and port; {WANTED}"));
        }
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            // Without brackets, as both the resolver and the TLS name want it.
            Some(Host::Ipv6(address)) => address.to_string(),
            _ => return Err(format!("the host is missing; {WANTED}")),
        };
        let port = match url.port().unwrap_or(default_port) {
            0 => return Err(format!("port 0 can't be connected to; {WANTED}")),
            port => port,
        };
        Ok(Self { host, port, tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Result<Endpoint, MqttError> {
        Endpoint::of(&MqttConfig { url: url.to_owned(), ..MqttConfig::default() })
    }

    #[test]
    fn urls_name_host_port_and_tls() {
        for (url, host, port, tls) in [
            ("mqtt://broker", "broker", 1883, false),
            ("mqtts://broker.example.com/", "broker.example.com", 8883, true),
            ("mqtt://10.0.0.7:1884", "10.0.0.7", 1884, false),
            ("mqtts://[::1]:8884", "::1", 8884, true),
        ] {
            let host = host.to_owned();
            assert_eq!(of(url).expect(url), Endpoint { host, port, tls });
        }
    }

    #[test]
    fn wrong_urls_say_what_would_be_right() {
        for (url, wanted) in [
            ("", "mqtt://host:port"),
            ("broker:1883", "scheme `broker`"),
            ("http://broker", "scheme `http`"),
            ("mqtt://", "host"),
            ("mqtt://broker:0", "port 0"),
            ("mqtt://broker:99999", "port"),
            ("mqtt://broker/topic", "nothing may follow"),
            ("mqtt://broker?x=1", "nothing may follow"),
        ] {
            let error = of(url).expect_err(url).to_string();
            assert!(error.contains(wanted), "{url}: {error}");
        }
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_not_repeated() {
        for url in ["mqtt://anna:hunter2@broker", "mqtt://anna:hunter2@", "mqtt://a b:hunter2@x:y"] {
            let error = of(url).expect_err(url).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = of("mqtt://anna:hunter2@broker").expect_err("user info").to_string();
        assert!(error.contains("password_file"), "{error}");
    }

    #[test]
    fn options_that_do_not_fit_are_refused() {
        let tls_without = MqttConfig { ca_file: Some("/ca.pem".into()), ..MqttConfig::default() };
        assert!(matches!(Endpoint::of(&tls_without), Err(MqttError::Url(_))));
        let half =
            MqttConfig { url: "mqtts://broker".to_owned(), cert_file: Some("/c.pem".into()), ..MqttConfig::default() };
        assert!(matches!(Endpoint::of(&half), Err(MqttError::HalfIdentity)));
    }
}

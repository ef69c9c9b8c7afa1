//! The address of a network camera.

use std::fmt;

use url::Url;

use super::Redacted;

/// Where RTSP under TLS is spoken by default.
const RTSPS_PORT: u16 = 322;

/// The URL of a network camera. Shown without user, password and query, where secrets may be.
#[derive(Clone, PartialEq, Eq)]
pub struct NetworkUrl(pub(super) Url);

impl NetworkUrl {
    /// The whole URL, with its secrets.
    pub(crate) fn secret(&self) -> &str {
        self.0.as_str()
    }

    /// Whether a user or a password is in it.
    pub(crate) fn has_login(&self) -> bool {
        !self.0.username().is_empty() || self.0.password().is_some()
    }

    /// The same URL with this user and password.
    pub(crate) fn with_login(&self, username: &str, password: &str) -> Self {
        let mut url = self.0.clone();
        // Both fail only for URLs without a host, which parsing refuses.
        // What is already an escape would be taken for one.
        let _ = url.set_username(&username.replace('%', "%25"));
        let _ = url.set_password(Some(&password.replace('%', "%25")));
        Self(url)
    }

    /// Host and port of a camera that speaks RTSP under TLS.
    pub(crate) fn address(&self) -> Option<(String, u16)> {
        let host = self.0.host_str()?.trim_matches(['[', ']']);
        Some((host.to_owned(), self.0.port().unwrap_or(RTSPS_PORT)))
    }

    /// The same camera as plain RTSP, through a port on loopback.
    pub(crate) fn through(&self, port: u16) -> Self {
        let mut url = self.0.clone();
        // All three fail only for URLs without a host, which parsing refuses.
        let _ = url.set_scheme("rtsp");
        let _ = url.set_host(Some("127.0.0.1"));
        let _ = url.set_port(Some(port));
        Self(url)
    }

    /// Whether it is reached under TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        matches!(self.scheme(), "rtsps" | "https")
    }

    /// `rtsp`, `rtsps`, `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.0.scheme()
    }
}

impl fmt::Display for NetworkUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        let query = shown.query().is_some();
        shown.set_query(None);
        shown.set_fragment(None);
        // Both fail only for URLs without a host, which parsing refuses.
        let bare = shown.set_username("").is_ok() && shown.set_password(None).is_ok();
        if !bare {
            return write!(f, "{}://…", self.scheme());
        }
        // What was meant as a password may have become a part of the path.
        write!(f, "{}{}", Redacted::text(shown.as_str()), if query { "?…" } else { "" })
    }
}

impl fmt::Debug for NetworkUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

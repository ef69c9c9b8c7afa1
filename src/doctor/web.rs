//! Whether a server answers by HTTP: the way there, TLS, and what time it is there.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::DATE;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};
use url::Url;

use crate::causes::with_causes;
use crate::publish::{Distrust, Step, Unreachable, distrust};

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server that answered, whatever it said.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// How far this machine's clock is ahead of the server's, where that tells the time (RFC 9110, 6.6.1).
    pub(super) ahead: Option<TimeDelta>,
}

/// Asks for nothing in particular, without credentials; certificates of the authorities in `ca` are trusted as well.
pub(super) async fn ask(server: &Url, ca: Option<&Path>) -> Result<Answer, Unreachable> {
    let client = client(ca).map_err(|reason| failed(Step::Settings, None, reason))?;
    let asked = Utc::now();
    let answer = client.head(server.clone()).send().await.map_err(|error| explained(server, &error.without_url()))?;
    // Half-way between question and answer, as near as one can know.
    let now = asked + (Utc::now() - asked) / 2;
    let theirs = answer.headers().get(DATE).and_then(|date| DateTime::parse_from_rfc2822(date.to_str().ok()?).ok());
    Ok(Answer { ahead: theirs.map(|theirs| now.signed_duration_since(theirs)) })
}

fn client(ca: Option<&Path>) -> Result<Client, String> {
    let mut builder = Client::builder().timeout(PATIENCE).redirect(Policy::none());
    if let Some(path) = ca {
        let wrong =
            |error: &dyn std::fmt::Display| format!("the certificates in {} can't be used: {error}", path.display());
        let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
        builder = builder.tls_certs_merge(Certificate::from_pem_bundle(&pem).map_err(|error| wrong(&error))?);
    }
    builder.build().map_err(|error| with_causes(&error))
}

fn explained(server: &Url, error: &reqwest::Error) -> Unreachable {
    let peer = shown(server);
    let said = with_causes(error);
    match distrust(error) {
        Some(why) => failed(Step::Tls, Some(why), format!("TLS with {peer} fails: {said}")),
        // A connection that was made and then broke: who speaks no TLS does that.
        None if server.scheme() == "https" && said.contains("handshake") => {
            failed(Step::Tls, Some(Distrust::NotTls), format!("TLS with {peer} fails: {said}"))
        }
        None => failed(Step::Network, None, format!("{peer} can't be reached: {said}")),
    }
}

fn failed(step: Step, distrust: Option<Distrust>, reason: String) -> Unreachable {
    Unreachable { step, distrust, refused: false, reason }
}

/// A server's address without what leads into it.
pub(super) fn shown(server: &Url) -> String {
    let port = server.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", server.host_str().unwrap_or_default())
}

//! What Azure's stores need beyond `object_store`: another API version, signatures that are renewed, patience that is
//! asked for, and a share of the uplink.
//!
//! `object_store` asks for one fixed `x-ms-version`, which Azure Stack Hub refuses, and signs it with the rest of the
//! request. So requests pass here on their way out: they get the version and are signed anew.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use object_store::ClientOptions;
use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential, split_sas};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use tokio::time::Instant;

use crate::secret;

const BLOB_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-content-type");
const VERSION: HeaderName = HeaderName::from_static("x-ms-version");
/// The longest that a store may ask us to wait before the next request.
const PATIENCE: Duration = Duration::from_secs(60);

/// What signs requests.
#[derive(Clone)]
pub(super) enum Signer {
    /// `object_store` itself, with an identity or a fixed signature, neither of which covers the version.
    Client,
    /// The account's key.
    Key { account: String, key: String },
    /// A shared access signature in a file.
    Sas { account: String, file: PathBuf },
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "Client",
            Self::Key { .. } => "Key",
            Self::Sas { .. } => "Sas",
        })
    }
}

/// Makes clients that send requests by these rules.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    pub(super) signer: Signer,
    /// `x-ms-version`; the client's own where there is none.
    pub(super) version: Option<HeaderValue>,
    /// Bytes a second.
    pub(super) rate: Option<u64>,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Line { rules: self.clone(), client, pace: Pace::default() }))
    }
}

/// A client that sends requests by the rules of its [`Connector`].
#[derive(Debug)]
struct Line {
    rules: Connector,
    client: HttpClient,
    pace: Pace,
}

impl Line {
    async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // Whoever gives tokens is asked without a version.
        let is_storage = request.headers().contains_key(VERSION);
        if let (Some(version), true) = (&self.rules.version, is_storage) {
            request.headers_mut().insert(VERSION, version.clone());
        }
        make_once(&mut request);
        if is_storage {
            self.sign(&mut request).await?;
        }
        if let Some(rate) = self.rules.rate {
            self.pace.wait(request.body().content_length() as u64, rate).await;
        }
        let response = self.client.execute(request).await?;
        if let Some(wait) = asked_to_wait(&response) {
            tokio::time::sleep(wait).await;
        }
        Ok(response)
    }

    async fn sign(&self, request: &mut HttpRequest) -> Result<(), HttpError> {
        let (credential, account) = match &self.rules.signer {
            Signer::Client => return Ok(()),
            Signer::Key { account, key } => {
                (AzureCredential::AccessKey(AzureAccessKey::try_new(key).map_err(failed)?), account)
            }
            Signer::Sas { account, file } => {
                let path = file.clone();
                let text = tokio::task::spawn_blocking(move || secret::of_file(&path)).await.map_err(failed)?;
                let place = file.display();
                let text =
                    text.map_err(|e| failed(format!("the shared access signature in {place} can't be read: {e}")))?;
                (AzureCredential::SASToken(split_sas(&text).map_err(failed)?), account)
            }
        };
        request.headers_mut().remove(header::AUTHORIZATION);
        AzureAuthorizer::new(&credential, account).try_authorize(request).map_err(failed)
    }
}

/// Has an object that is put together from blocks made only where there is none, and says what it is: the client offers
/// neither. S3 does not mind a header that is not signed.
fn make_once(request: &mut HttpRequest) {
    let asks =
        |wanted: &str| request.uri().query().is_some_and(|query| query.split('&').any(|p| p.starts_with(wanted)));
    let of_azure = request.method() == Method::PUT && asks("comp=blocklist");
    let of_s3 = request.method() == Method::POST && asks("uploadId=");
    if !of_azure && !of_s3 {
        return;
    }
    let content_type = match request.uri().path().rsplit('.').next() {
        Some("jpg") => "image/jpeg",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    };
    request.headers_mut().insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
    if of_azure {
        request.headers_mut().insert(BLOB_TYPE, HeaderValue::from_static(content_type));
    }
}

/// A request that could not be made.
fn failed(reason: impl fmt::Display) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, std::io::Error::other(reason.to_string()))
}

impl HttpService for Line {
    fn call<'line, 'future>(
        &'line self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'future>>
    where
        'line: 'future,
        Self: 'future,
    {
        Box::pin(self.send(request))
    }
}

/// How long a store that is busy wants to be left alone, in seconds (RFC 9110, 10.2.3).
fn asked_to_wait(response: &HttpResponse) -> Option<Duration> {
    if !matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(PATIENCE))
}

/// Spreads requests, so that on average no more bytes a second are sent than allowed. Each request goes at once.
#[derive(Debug, Default)]
struct Pace(Mutex<Option<Instant>>);

impl Pace {
    async fn wait(&self, bytes: u64, rate: u64) {
        tokio::time::sleep_until(self.next(Instant::now(), bytes, rate)).await;
    }

    /// When a request may go that is ready now.
    fn next(&self, now: Instant, bytes: u64, rate: u64) -> Instant {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = free.unwrap_or(now).max(now);
        *free = Some(at + Duration::from_millis(bytes.saturating_mul(1000) / rate.max(1)));
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_average_no_more_is_sent_than_allowed() {
        let (pace, start) = (Pace::default(), Instant::now());
        for n in 0..10 {
            // The first goes at once, and each of the others half a second after the one before.
            assert_eq!(pace.next(start, 50_000, 100_000) - start, Duration::from_millis(500 * n));
        }
        let later = start + Duration::from_secs(60);
        for wait in [0, 500] {
            // What was not used is not saved up.
            assert_eq!(pace.next(later, 50_000, 100_000) - later, Duration::from_millis(wait));
        }
    }
}

//! A message on an Azure Storage queue for each piece of evidence and each verdict that is stored, so that a Function can
//! act on it.
//!
//! The message is a CloudEvent (specversion 1.0, structured JSON) in base64, as Functions expect it. It is sent after the
//! object is stored and before that counts as delivered: at least once, always with the same id.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{Method, Request, Uri, header};
use object_store::azure::{AzureAuthorizer, AzureCredentialProvider};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody, HttpResponse};
use object_store::path::Path;
use serde_json::{Value, json};

use super::azure::Signer;
use crate::causes::with_causes;
use crate::evidence::{Evidence, Record, Verdict};

/// What stands for the version until the client's own is known: the oldest with messages that never expire.
const VERSION: &str = "2019-07-07";

/// A queue.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    pub(super) client: HttpClient,
    /// `…/{queue}/messages`.
    pub(super) url: String,
    pub(super) signer: Signer,
    pub(super) account: String,
    /// What signs where the client does.
    pub(super) credentials: AzureCredentialProvider,
}

impl Queue {
    /// Puts a message on the queue.
    ///
    /// # Errors
    /// What the queue said, for people.
    pub(super) async fn put(&self, event: &Value) -> Result<(), String> {
        let request = self.request(event).await?;
        let response = self.client.execute(request).await.map_err(|error| with_causes(&error))?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(match response.status() {
            http::StatusCode::NOT_FOUND => "there is no such queue: create it".to_owned(),
            status => reason(status, response).await,
        })
    }

    async fn request(&self, event: &Value) -> Result<HttpRequest, String> {
        let text = BASE64_STANDARD.encode(event.to_string());
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><QueueMessage><MessageText>{text}</MessageText></QueueMessage>"
        );
        let uri: Uri = self.url.parse().map_err(|error| format!("its address is none: {error}"))?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(header::CONTENT_TYPE, "application/xml")
            .header(header::CONTENT_LENGTH, body.len())
            .header("x-ms-version", VERSION)
            .body(HttpRequestBody::from(body))
            .map_err(|error| error.to_string())?;
        if matches!(self.signer, Signer::Client) {
            let credential = self.credentials.get_credential().await.map_err(|error| error.to_string())?;
            AzureAuthorizer::new(&credential, &self.account)
                .try_authorize(&mut request)
                .map_err(|error| error.to_string())?;
        }
        Ok(request)
    }
}

/// What a message says of a piece of evidence.
pub(super) fn of_evidence(store: &str, item: &Evidence, (picture, record): &(Path, Path)) -> Value {
    let known: Option<Record> = serde_json::from_slice(&item.json).ok();
    let node = known.as_ref().map_or("", |record| &record.detections.node);
    let mut data = json!({"store": store, "record": record.as_ref()});
    if item.jpeg.is_some() {
        data["picture"] = json!(picture.as_ref());
    }
    let mut event = json!({
        "specversion": "1.0",
        "id": item.id,
        "type": "ocellus.evidence.stored",
        "source": format!("/{}/{node}/{}", item.site, item.camera),
        "subject": record.as_ref(),
        "datacontenttype": "application/json",
    });
    if let Some(record) = known {
        event["time"] = json!(record.detections.frame.captured_at);
        data["reason"] = json!(record.reason);
        data["value"] = json!(record.value);
        data["model"] = json!(record.detections.model);
        data["privacy"] = json!(record.privacy);
    }
    event["data"] = data;
    event
}

/// What a message says of a verdict, whose name and whose frame's record's are given. That may not be there yet.
pub(super) fn of_verdict(store: &str, verdict: &Verdict, name: &Path, record: &Path) -> Value {
    json!({
        "specversion": "1.0",
        // Whoever judges makes the verdict's id, which might be that of a frame.
        "id": name.filename().and_then(|file| file.strip_suffix(".json")),
        "type": "ocellus.verdict.stored",
        "source": format!("/{}/{}/{}", verdict.site, verdict.node, verdict.camera),
        "subject": name.as_ref(),
        "time": verdict.at,
        "datacontenttype": "application/json",
        "data": {
            "store": store,
            "verdict": name.as_ref(),
            "record": record.as_ref(),
            "frame": verdict.frame,
            "said": verdict.verdict,
            "revision": verdict.revision,
            "model": verdict.model,
        },
    })
}

async fn reason(status: http::StatusCode, response: HttpResponse) -> String {
    let body = response.into_body().bytes().await.unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    match code {
        Some((code, _)) => format!("it answered {status} ({code})"),
        None => format!("it answered {status}"),
    }
}

//! One object store.
//!
//! Invariants:
//! - The record is written last, as the commit mark: who sees the `.json` finds the picture.
//! - Objects are only created, never changed; one that is there already is the one we meant, since names come
//!   from ids.
//! - In a folder, files are written elsewhere, synced, given their name, and the folders are synced: after a power
//!   cut a file is there whole or not at all, and nothing else beside it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{
    Attribute, AttributeValue, Attributes, Certificate, ClientOptions, ObjectStore, ObjectStoreExt, ObjectStoreScheme,
    PutMode, PutOptions, RetryConfig,
};
use serde_json::Value;
use url::Url;

pub use self::error::ShipError;
pub use self::server::server;
use super::azure::{Connector, Signer};
use super::queue::{self, Queue};
use super::{Sink, layout};
use crate::config::ShipConfig;
use crate::evidence::Evidence;
use crate::state::StateFile;

/// Longest wait for one request; a slow uplink needs a while for a large picture.
const REQUEST: Duration = Duration::from_secs(60);
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
const WANTED: &str = "write a directory, `file:///path`, `az://container/path` or `s3://bucket/path`";

/// Says whether `text` names a store, without touching it.
///
/// # Errors
/// When it is neither a path nor the URL of a store, or holds secrets.
pub fn check(text: &str) -> Result<(), ShipError> {
    Place::of(text).map(drop)
}

/// Says whether `text` names a store that may be elsewhere: any but a directory.
#[must_use]
pub fn is_off_site(text: &str) -> bool {
    matches!(Place::of(text), Ok(Place::Azure(..) | Place::S3(..)))
}

/// Says whether `text` names a store in Azure, Azure Stack or an emulator.
#[must_use]
pub fn is_azure(text: &str) -> bool {
    matches!(Place::of(text), Ok(Place::Azure(..)))
}

/// An open store. Cloning shares the connection.
#[derive(Debug, Clone)]
pub struct Store {
    store: Arc<dyn ObjectStore>,
    base: Path,
    name: String,
    /// Whether it is a folder, whose files carry no content type.
    is_folder: bool,
    /// What sends large objects.
    blocks: Option<Blocks>,
    /// What is told of each piece of evidence and each verdict.
    queue: Option<Queue>,
}

impl Store {
    /// Opens a directory (made where it is absent) or a store by its URL: `file:///path`, `az://container/path`
    /// (also `abfs`, `abfss`, `azure` and the `https` address of an Azure container), `s3://bucket/path`.
    ///
    /// Credentials come from the environment. Azure: `AZURE_STORAGE_ACCOUNT_NAME` with `AZURE_STORAGE_ACCOUNT_KEY`
    /// or `AZURE_STORAGE_SAS_TOKEN` or a client secret or managed identity, and `AZURE_STORAGE_ENDPOINT` for Azure
    /// Stack and emulators. S3: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`.
    /// An endpoint may be plain `http://` when it is given so.
    ///
    /// # Errors
    /// When the text names no store, the directory can't be made, or the credentials are missing or unusable.
    /// Nothing is asked of a remote store yet.
    pub fn open(text: &str) -> Result<Self, ShipError> {
        Self::open_by(text, &ShipConfig::default())
    }

    /// As [`open`](Self::open), by the way that the configuration says. `AZURE_STORAGE_QUEUE_ENDPOINT` says where the queue
    /// is, where that does not follow from the store's address.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when a file that the configuration names can't be used.
    pub fn open_by(text: &str, way: &ShipConfig) -> Result<Self, ShipError> {
        let variables = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Self::open_with(text, way, &variables.collect::<Vec<_>>())
    }

    /// As [`open_by`](Self::open_by), with these variables in place of the environment.
    pub(crate) fn open_with(text: &str, way: &ShipConfig, environment: &[(String, String)]) -> Result<Self, ShipError> {
        match Place::of(text)? {
            Place::Folder(path) => folder::open(&path),
            Place::Azure(url, base) => azure(&url, base, way, environment),
            Place::S3(url, base) => s3(&url, base, way, environment),
        }
    }

    /// Remembers in a file what the store has of large objects that were cut off, so that a restart does not begin anew.
    #[must_use]
    pub fn remembering(self, file: StateFile) -> Self {
        if let Some(blocks) = &self.blocks {
            blocks.remember(file);
        }
        self
    }

    /// Writes a small object and removes it again, to see whether the store takes anything. Says what stays there, where
    /// it may not be removed.
    ///
    /// # Errors
    /// When it was not written.
    pub async fn probe(&self) -> Result<Option<String>, ShipError> {
        let name = self.base.clone().join("ocellus-doctor").join(format!("{}.txt", ulid::Ulid::generate()));
        self.create(&name, Bytes::from_static(b"May be deleted.\n"), "text/plain").await?;
        let removed = self.store.delete(&name).await;
        Ok(removed.err().map(|_| name.to_string()))
    }

    /// Writes an object under a name with levels, if it is not there yet.
    ///
    /// # Errors
    /// When it was not written.
    pub(super) async fn put(&self, name: &str, content: Bytes, content_type: &'static str) -> Result<(), ShipError> {
        let name = name.split('/').fold(self.base.clone(), |path, part| path.join(part));
        self.create(&name, content, content_type).await
    }

    /// Puts a message on the queue, where there is one.
    async fn announce(&self, id: &str, event: impl FnOnce() -> Value) -> Result<(), ShipError> {
        let Some(queue) = &self.queue else { return Ok(()) };
        let failed = |reason| ShipError::Announce { queue: queue.url.clone(), id: id.to_owned(), reason };
        queue.put(&event()).await.map_err(failed)
    }

    async fn create(&self, name: &Path, content: Bytes, content_type: &'static str) -> Result<(), ShipError> {
        let attributes = Attributes::from_iter([(Attribute::ContentType, AttributeValue::from(content_type))]);
        let created = match self.blocks.as_ref().filter(|blocks| blocks.takes(&content)) {
            _ if self.is_folder => folder::create(&*self.store, name, content).await,
            Some(blocks) => blocks.create(name, &content, attributes).await,
            None => {
                let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
                self.store.put_opts(name, content.into(), options).await.map(drop)
            }
        };
        match created {
            Ok(()) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(source) => {
                Err(ShipError::Write { store: self.name.clone(), name: name.to_string(), source: Box::new(source) })
            }
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Sink for Store {
    async fn keep(&self, item: &Evidence) -> Result<(), ShipError> {
        let names = layout::names(&self.base, item);
        let (picture, record) = &names;
        if let Some(jpeg) = &item.jpeg {
            self.create(picture, jpeg.clone(), "image/jpeg").await?;
        }
        self.create(record, item.json.clone(), "application/json").await?;
        self.announce(&item.id, || queue::of_evidence(&self.name, item, &names)).await
    }
}

/// Where a store is, and the folder in it.
#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Azure(Url, Path),
    S3(Url, Path),
}

impl Place {
    fn of(text: &str) -> Result<Self, ShipError> {
        let wrong = |reason: String| Err(ShipError::Place(reason));
        if text.trim().is_empty() {
            return wrong(format!("it is empty; {WANTED}"));
        }
        if text.contains('\0') {
            return wrong("it holds a NUL character".to_owned());
        }
        if !text.contains("://") {
            return Ok(Self::Folder(text.into()));
        }
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(error) => return wrong(format!("{error}; {WANTED}")),
        };
        if url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return wrong(
                "a password or query does not belong in it; credentials come from the environment".to_owned(),
            );
        }
        if url.scheme() == "file" {
            return url
                .to_file_path()
                .map(Self::Folder)
                .or_else(|()| wrong("a `file` URL names a local path, with three slashes: `file:///path`".to_owned()));
        }
        match ObjectStoreScheme::parse(&url) {
            Ok((ObjectStoreScheme::MicrosoftAzure, base)) => Ok(Self::Azure(url, base)),
            Ok((ObjectStoreScheme::AmazonS3, _)) if !url.username().is_empty() => {
                wrong("a user name does not belong in it; credentials come from the environment".to_owned())
            }
            Ok((ObjectStoreScheme::AmazonS3, base)) => Ok(Self::S3(url, base)),
            // Its only other mistake is a path that can't be.
            Err(error) if !error.to_string().starts_with("Unable to recognise") => wrong(error.to_string()),
            _ if matches!(url.scheme(), "http" | "https") => wrong(format!(
                "this address is none of Azure's or Amazon's own; for Azure Stack, Edge or an emulator set \
                 AZURE_STORAGE_ENDPOINT (AWS_ENDPOINT_URL for S3) in the environment, and {WANTED}"
            )),
            Err(_) if matches!(url.scheme(), "az" | "adl" | "azure" | "abfs" | "abfss" | "s3" | "s3a") => {
                wrong(format!("the container or bucket is missing; {WANTED}"))
            }
            _ => wrong(format!("`{}` is no known kind of store; {WANTED}", url.scheme())),
        }
    }
}

fn s3(url: &Url, base: Path, way: &ShipConfig, environment: &[(String, String)]) -> Result<Store, ShipError> {
    let name = url.to_string();
    let connector = Connector { signer: Signer::Client, version: None, rate: rate(way) };
    let mut builder = AmazonS3Builder::new()
        .with_client_options(client_options(&name, way)?)
        .with_retry(retries())
        .with_http_connector(connector);
    let mut known = false;
    for (key, value) in of_prefix(environment, "AWS_") {
        let Ok(key) = key.parse::<AmazonS3ConfigKey>() else { continue };
        known |= matches!(
            key,
            AmazonS3ConfigKey::AccessKeyId
                | AmazonS3ConfigKey::WebIdentityTokenFile
                | AmazonS3ConfigKey::ContainerCredentialsRelativeUri
                | AmazonS3ConfigKey::ContainerCredentialsFullUri
                | AmazonS3ConfigKey::MetadataEndpoint
                | AmazonS3ConfigKey::SkipSignature
        );
        if key == AmazonS3ConfigKey::Endpoint && value.starts_with("http://") {
            builder = builder.with_allow_http(true);
        }
        builder = builder.with_config(key, value);
    }
    if !known {
        return Err(ShipError::Credentials { store: name, wanted: "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" });
    }
    let store = Arc::new(builder.with_url(url.as_str()).build().map_err(|source| open_error(&name, source))?);
    let blocks = Some(Blocks::s3(Arc::clone(&store) as Arc<dyn MultipartStore>, way));
    Ok(Store { store, base, name, is_folder: false, blocks, queue: None })
}

/// The variables that start with `prefix`, their names in lower case, as object_store names its options.
fn of_prefix<'a>(
    environment: &'a [(String, String)],
    prefix: &'a str,
) -> impl Iterator<Item = (String, &'a str)> + use<'a> {
    environment
        .iter()
        .filter(move |(key, _)| key.starts_with(prefix))
        .map(|(key, value)| (key.to_ascii_lowercase(), value.as_str()))
}

fn client_options(store: &str, way: &ShipConfig) -> Result<ClientOptions, ShipError> {
    let options = ClientOptions::new().with_timeout(REQUEST).with_connect_timeout(CONNECT);
    let Some(path) = &way.ca_file else { return Ok(options) };
    let wrong = |reason: String| ShipError::Way {
        store: store.to_owned(),
        reason: format!("the certificates in {} can't be used: {reason}", path.display()),
    };
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
    if authorities.is_empty() {
        return Err(wrong("there are none".to_owned()));
    }
    Ok(authorities.into_iter().fold(options, ClientOptions::with_root_certificate))
}

/// Bytes a second.
fn rate(way: &ShipConfig) -> Option<u64> {
    way.max_kib_s.map(|kib| u64::from(kib) * 1024)
}

/// Few: whoever keeps something tries again, and says so.
fn retries() -> RetryConfig {
    RetryConfig { max_retries: 2, retry_timeout: REQUEST, ..RetryConfig::default() }
}

fn open_error(store: &str, source: object_store::Error) -> ShipError {
    ShipError::Open { store: store.to_owned(), source: Box::new(source) }
}

mod azure;
mod blocks;
mod error;
mod folder;
mod read;
mod server;
mod verdicts;

use self::azure::azure;
use self::blocks::Blocks;

#[cfg(test)]
mod tests;

//! Opening an Azure store, and the queue that goes with it.

use std::sync::Arc;

use http::HeaderValue;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::HttpConnector;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use url::Url;

use super::blocks::Blocks;
use super::{ShipError, Store, client_options, of_prefix, open_error, rate, retries};
use crate::config::ShipConfig;
use crate::ship::azure::{Connector, Signer};
use crate::ship::queue::Queue;

/// The host of storage accounts in the public cloud.
pub(super) const PUBLIC: &str = "blob.core.windows.net";

pub(super) fn azure(
    url: &Url,
    base: Path,
    way: &ShipConfig,
    environment: &[(String, String)],
) -> Result<Store, ShipError> {
    let name = url.to_string();
    let options = client_options(&name, way)?;
    let mut builder = MicrosoftAzureBuilder::new().with_client_options(options.clone()).with_retry(retries());
    let mut known = way.sas_file.is_some();
    for (key, value) in of_prefix(environment, "AZURE_") {
        let Ok(key) = key.parse::<AzureConfigKey>() else { continue };
        known |= matches!(
            key,
            AzureConfigKey::AccessKey
                | AzureConfigKey::SasKey
                | AzureConfigKey::Token
                | AzureConfigKey::ClientId
                | AzureConfigKey::MsiEndpoint
                | AzureConfigKey::MsiResourceId
                | AzureConfigKey::ObjectId
                | AzureConfigKey::FederatedTokenFile
                | AzureConfigKey::UseAzureCli
                | AzureConfigKey::UseEmulator
                | AzureConfigKey::SkipSignature
        );
        if key == AzureConfigKey::Endpoint && value.starts_with("http://") {
            builder = builder.with_allow_http(true);
        }
        builder = builder.with_config(key, value);
    }
    if let Some((_, endpoint)) = environment.iter().find(|(key, _)| key == "IDENTITY_ENDPOINT") {
        known = true;
        builder = builder.with_msi_endpoint(endpoint);
    }
    // Without any, the client would ask a metadata service that nodes outside Azure don't have.
    if !known {
        return Err(ShipError::Credentials {
            store: name,
            wanted: "AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN (or AZURE_CLIENT_ID for an identity)",
        });
    }
    let account =
        builder.get_config_value(&AzureConfigKey::AccountName).or_else(|| account_of(url)).unwrap_or_default();
    let endpoint = builder.get_config_value(&AzureConfigKey::Endpoint);
    let is_emulator = is_emulator(&builder);
    let connector = connector(&name, way, &builder, &account)?;
    // Else the client signs too: what it deletes is signed inside the body of a request.
    if connector.version.is_some() || matches!(connector.signer, Signer::Sas { .. }) {
        builder = builder.with_skip_signature(!matches!(connector.signer, Signer::Client));
    }
    let builder = builder.with_http_connector(connector.clone()).with_url(url.as_str());
    let store = Arc::new(builder.build().map_err(|source| open_error(&name, source))?);
    let queue = match &way.queue {
        None => None,
        Some(queue) => {
            let given = environment.iter().find(|(key, _)| key == "AZURE_STORAGE_QUEUE_ENDPOINT");
            let place = queue_endpoint(&name, given.map(|(_, value)| value.as_str()), endpoint.as_deref(), &account)?;
            Some(Queue {
                client: connector
                    .connect(&options.with_allow_http(true))
                    .map_err(|source| open_error(&name, source))?,
                url: format!("{}/{queue}/messages", place.trim_end_matches('/')),
                signer: connector.signer.clone(),
                credentials: Arc::clone(store.credentials()),
                account,
            })
        }
    };
    // With an emulator's key, which only the client knows, what makes a blob of blocks once could not be signed.
    let blocks = (!is_emulator || !matches!(connector.signer, Signer::Client))
        .then(|| Blocks::azure(Arc::clone(&store) as Arc<dyn MultipartStore>, way));
    Ok(Store { store, base, name, is_folder: false, blocks, queue })
}

/// What requests go through. The account's key signs all that a request asks for, so that whatever is changed on the way
/// needs another signature; tokens and shared access signatures don't.
fn connector(
    store: &str,
    way: &ShipConfig,
    builder: &MicrosoftAzureBuilder,
    account: &str,
) -> Result<Connector, ShipError> {
    let wrong = |reason: &str| ShipError::Way { store: store.to_owned(), reason: reason.to_owned() };
    let version =
        way.version().map(HeaderValue::from_str).transpose().map_err(|_| wrong("`api_version` is no version"))?;
    let key = builder.get_config_value(&AzureConfigKey::AccessKey);
    // Where the client would take another credential, or an emulator's account, that stands.
    let is_key_used = builder.get_config_value(&AzureConfigKey::Token).is_none()
        && builder
            .get_config_value(&AzureConfigKey::CredentialType)
            .is_none_or(|kind| kind == "auto" || kind == "access_key")
        && !is_emulator(builder);
    let signer = match (&way.sas_file, key) {
        (Some(file), _) => Signer::Sas { account: account.to_owned(), file: file.clone() },
        (None, Some(key)) if version.is_some() || is_key_used => Signer::Key { account: account.to_owned(), key },
        _ => Signer::Client,
    };
    if account.is_empty() && !matches!(signer, Signer::Client) {
        return Err(wrong("set AZURE_STORAGE_ACCOUNT_NAME in the environment"));
    }
    Ok(Connector { signer, version, rate: rate(way) })
}

fn is_emulator(builder: &MicrosoftAzureBuilder) -> bool {
    builder.get_config_value(&AzureConfigKey::UseEmulator).is_some_and(|value| value == "true")
}

/// The account in `https://ACCOUNT.blob…` and `abfss://container@ACCOUNT.dfs…`.
pub(super) fn account_of(url: &Url) -> Option<String> {
    let (account, rest) = url.host_str()?.split_once('.')?;
    (rest.starts_with("blob.") || rest.starts_with("dfs.")).then(|| account.to_owned())
}

/// Where the account's queues are: beside its blobs, unless it is said.
fn queue_endpoint(store: &str, given: Option<&str>, blobs: Option<&str>, account: &str) -> Result<String, ShipError> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let usual = format!("https://{account}.{PUBLIC}");
    let blobs = blobs.unwrap_or(&usual);
    if blobs.contains(".blob.") {
        return Ok(blobs.replacen(".blob.", ".queue.", 1));
    }
    let reason =
        "set AZURE_STORAGE_QUEUE_ENDPOINT in the environment: where the queue is does not follow from the store";
    Err(ShipError::Way { store: store.to_owned(), reason: reason.to_owned() })
}

//! Where a store's server is, for whoever wants to know whether it can be reached.

use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use url::Url;

use super::azure::{PUBLIC, account_of};
use super::{Place, of_prefix};

/// Where the emulator of Azure is.
const EMULATOR: &str = "http://127.0.0.1:10000";
/// Where S3 is that has no other endpoint.
const S3: &str = "https://s3.amazonaws.com";

/// The address of a store's server; none where the store is a folder, or nothing says where it is.
#[must_use]
pub fn server(store: &str, environment: &[(String, String)]) -> Option<Url> {
    let address = match Place::of(store).ok()? {
        Place::Folder(_) => return None,
        Place::Azure(url, _) => azure(&url, environment)?,
        Place::S3(..) => s3(environment),
    };
    Url::parse(&address).ok()
}

fn azure(url: &Url, environment: &[(String, String)]) -> Option<String> {
    let value = |wanted: AzureConfigKey| {
        let mut of_azure = of_prefix(environment, "AZURE_");
        of_azure.find(|(key, _)| key.parse::<AzureConfigKey>().is_ok_and(|key| key == wanted)).map(|(_, value)| value)
    };
    if let Some(endpoint) = value(AzureConfigKey::Endpoint) {
        return Some(endpoint.to_owned());
    }
    if value(AzureConfigKey::UseEmulator).is_some() {
        return Some(EMULATOR.to_owned());
    }
    if url.scheme() == "https" {
        return url.host_str().map(|host| format!("https://{host}"));
    }
    let account = value(AzureConfigKey::AccountName).map(str::to_owned).or_else(|| account_of(url))?;
    Some(format!("https://{account}.{PUBLIC}"))
}

fn s3(environment: &[(String, String)]) -> String {
    let named = of_prefix(environment, "AWS_").find(|(key, _)| {
        let key = key.parse::<AmazonS3ConfigKey>();
        matches!(key, Ok(AmazonS3ConfigKey::Endpoint | AmazonS3ConfigKey::S3Endpoint))
    });
    named.map_or(S3, |(_, endpoint)| endpoint).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_follows_from_the_store_and_the_environment() {
        let endpoint = ("AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:1/devstoreaccount1");
        for (store, variables, wanted) in [
            ("/var/lib/store", &[endpoint][..], None),
            ("az://c", &[], None),
            ("az://c", &[("AZURE_STORAGE_ACCOUNT_NAME", "plant")], Some("https://plant.blob.core.windows.net/")),
            ("az://c", &[endpoint], Some("http://127.0.0.1:1/devstoreaccount1")),
            ("https://plant.blob.core.windows.net/c", &[], Some("https://plant.blob.core.windows.net/")),
            ("abfss://c@plant.dfs.core.windows.net/x", &[], Some("https://plant.blob.core.windows.net/")),
            ("s3://b", &[], Some("https://s3.amazonaws.com/")),
            ("s3://b", &[("AWS_ENDPOINT_URL", "http://127.0.0.1:2")], Some("http://127.0.0.1:2/")),
        ] {
            let environment: Vec<_> = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            assert_eq!(server(store, &environment).as_ref().map(Url::as_str), wanted, "{store} {variables:?}");
        }
    }
}

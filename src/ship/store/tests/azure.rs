//! Azurite is started by `scripts/test`, which says where it is: `OCELLUS_AZURITE=host:port`.

use std::process::Command;

use super::*;

/// The account and key that every Azurite has (learn.microsoft.com, "Use the Azurite emulator").
pub(super) const ACCOUNT: &str = "devstoreaccount1";
pub(super) const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Where Azurite is; none skips the test, unless this is continuous integration.
pub(super) fn azurite() -> Option<String> {
    let address = std::env::var("OCELLUS_AZURITE").ok();
    if address.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "OCELLUS_AZURITE is not set, and CI must have it");
        eprintln!("skipped: OCELLUS_AZURITE is not set; scripts/test starts Azurite");
    }
    address
}

pub(super) fn environment(address: &str) -> Vec<(String, String)> {
    [
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
        ("AZURE_STORAGE_ACCOUNT_KEY", KEY.to_owned()),
        ("AZURE_STORAGE_ENDPOINT", format!("http://{address}/{ACCOUNT}")),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// A fresh container's name.
pub(super) fn container() -> String {
    format!("c{}", ulid::Ulid::generate().to_string().to_lowercase())
}

/// Makes a container that everybody may read, so that curl can look into it. The request is signed by openssl
/// (learn.microsoft.com, "Authorize with Shared Key").
pub(super) fn create(address: &str, container: &str) {
    let script = r#"
        date=$(LC_ALL=C TZ=GMT date '+%a, %d %b %Y %H:%M:%S GMT')
        headers="x-ms-blob-public-access:container\nx-ms-date:$date\nx-ms-version:2021-08-06\n"
        resource="/$1/$1/$3\nrestype:container"
        key=$(printf %s "$2" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
        signature=$(printf "PUT\n\n\n\n\n\n\n\n\n\n\n\n$headers$resource" |
            openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)
        curl -sS --fail-with-body -X PUT "http://$4/$1/$3?restype=container" -H "Authorization: SharedKey $1:$signature" \
            -H "x-ms-date: $date" -H 'x-ms-version: 2021-08-06' -H 'x-ms-blob-public-access: container' \
            -H 'Content-Length: 0'
    "#;
    let run = Command::new("bash").args(["-c", script, "create", ACCOUNT, KEY, container, address]).output();
    let output = run.expect("bash");
    assert!(output.status.success(), "{output:?}");
}

/// What curl gets without any credentials: head and body.
pub(super) fn get(address: &str, container: &str, name: &str) -> (String, String) {
    fetch(&format!("http://{address}/{ACCOUNT}/{container}/{}", name.replace('=', "%3D")))
}

fn fetch(url: &str) -> (String, String) {
    let run = Command::new("curl").args(["-sS", "-i", url]).output().expect("curl is installed");
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
    (head.to_lowercase(), body.to_owned())
}

/// The names of all blobs in a container.
pub(super) fn list(address: &str, container: &str) -> Vec<String> {
    let (_, body) = fetch(&format!("http://{address}/{ACCOUNT}/{container}?restype=container&comp=list"));
    body.split("<Name>").skip(1).filter_map(|rest| rest.split("</Name>").next()).map(str::to_owned).collect()
}

#[test]
fn each_form_of_address_leads_to_picture_and_record() {
    let Some(address) = azurite() else { return };
    let container = container();
    create(&address, &container);
    let places = [
        (format!("az://{container}"), "01A", String::new()),
        (format!("az://{container}/deep/er"), "01B", "deep/er/".to_owned()),
        (format!("abfss://{container}@{ACCOUNT}.dfs.core.windows.net/abfss"), "01C", "abfss/".to_owned()),
        (format!("https://{ACCOUNT}.blob.core.windows.net/{container}/https"), "01D", "https/".to_owned()),
    ];
    for (place, id, base) in places {
        let store = Store::open_with(&place, &ShipConfig::default(), &environment(&address)).expect("usable");
        block_on(store.keep(&evidence(id, "line3"))).expect(&place);
        let (head, body) = get(&address, &container, &format!("{base}{FOLDER}/{id}.jpg"));
        assert!(head.contains("200 ok") && head.contains("content-type: image/jpeg"), "{place}: {head}");
        assert_eq!(body, "picture");
        let (head, body) = get(&address, &container, &format!("{base}{FOLDER}/{id}.json"));
        assert!(head.contains("content-type: application/json"), "{place}: {head}");
        assert_eq!(body, "{}");
    }
    assert_eq!(list(&address, &container).len(), 8);
}

#[test]
fn a_blob_that_is_there_is_never_changed() {
    let Some(address) = azurite() else { return };
    let container = container();
    create(&address, &container);
    let store = Store::open_with(&format!("az://{container}/x"), &ShipConfig::default(), &environment(&address))
        .expect("usable");
    let first = evidence("01X", "line3");
    let other =
        Evidence { jpeg: Some(Bytes::from_static(b"another")), json: Bytes::from_static(b"[]"), ..first.clone() };
    let name = format!("x/{FOLDER}/01X.jpg");
    block_on(store.keep(&first)).expect("kept");
    let (before, _) = get(&address, &container, &name);
    let etag = |head: &str| head.lines().find(|line| line.starts_with("etag:")).map(str::to_owned);
    for item in [&first, &other] {
        block_on(store.keep(item)).expect("a success");
        let (head, body) = get(&address, &container, &name);
        assert_eq!(body, "picture");
        assert!(etag(&head).is_some() && etag(&head) == etag(&before), "{head}");
    }
    assert_eq!(list(&address, &container).len(), 2);
}

#[test]
fn many_at_once_make_one_copy_each() {
    let Some(address) = azurite() else { return };
    let container = container();
    create(&address, &container);
    let store =
        Store::open_with(&format!("az://{container}"), &ShipConfig::default(), &environment(&address)).expect("usable");
    block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for i in 0..40 {
            let (store, item) = (store.clone(), evidence(&format!("{:02}", i % 10), "line3"));
            tasks.spawn(async move { store.keep(&item).await });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("no panic").expect("kept");
        }
    });
    assert_eq!(list(&address, &container).len(), 20);
}

#[test]
fn trouble_that_may_pass_is_told_as_such_and_holds_no_key() {
    let Some(address) = azurite() else { return };
    let container = container();
    let item = evidence("01X", "line3");
    let fails = |environment: &[(String, String)]| {
        let store =
            Store::open_with(&format!("az://{container}"), &ShipConfig::default(), environment).expect("usable");
        let error = block_on(store.keep(&item)).expect_err("it can't be kept");
        assert!(error.is_transient(), "{error}");
        let text = format!("{error} {error:?}");
        assert!(text.contains(&container) && text.contains("01X.jpg"), "{text}");
        assert!(!text.contains(KEY) && !text.contains("c2VjcmV0"), "{text}");
    };
    let good = environment(&address);
    // The container isn't made yet.
    fails(&good);
    let with = |key: &str, value: &str| {
        let mut changed = good.clone();
        changed.retain(|(k, _)| k != key);
        changed.push((key.to_owned(), value.to_owned()));
        changed
    };
    fails(&with("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0"));
    // Nothing listens there.
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    fails(&with("AZURE_STORAGE_ENDPOINT", &format!("http://{nowhere}/{ACCOUNT}")));

    create(&address, &container);
    let store = Store::open_with(&format!("az://{container}"), &ShipConfig::default(), &good).expect("usable");
    block_on(store.keep(&item)).expect("now it can");
}

#[test]
fn a_store_that_is_probed_is_left_as_it_was() {
    let Some(address) = azurite() else { return };
    let container = container();
    let store = Store::open_with(&format!("az://{container}/deep"), &ShipConfig::default(), &environment(&address))
        .expect("usable");
    let error = block_on(store.probe()).expect_err("there is no container").reason();
    assert!(error.contains("ContainerNotFound"), "{error}");
    create(&address, &container);
    assert_eq!(block_on(store.probe()).expect("taken"), None);
    assert!(list(&address, &container).is_empty());
}

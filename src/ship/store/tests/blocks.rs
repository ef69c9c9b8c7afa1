//! Large objects by blocks: against Azurite, through a proxy that cuts them off and counts.

use super::azure::{azurite, container, create, environment, get, list};
use super::hub::{hub, signature};
use super::proxy::Proxy;
use super::*;

const KIB: usize = 1024;
/// A picture of 20 blocks.
const SIZE: usize = 20 * 64 * KIB;

fn way() -> ShipConfig {
    by_blocks(hub())
}

fn by_blocks(way: ShipConfig) -> ShipConfig {
    ShipConfig { single_kib: 256, block_kib: 64, ..way }
}

/// Bytes that are all text, so that curl's output can be compared.
pub(super) fn picture(size: usize, seed: u64) -> Bytes {
    let mut random = crate::random::Random(seed);
    (0..size).map(|_| b'a' + u8::try_from(random.below(26)).expect("a letter")).collect::<Vec<u8>>().into()
}

type Environment = fn(&str) -> Vec<(String, String)>;

/// A shared access signature in place of the key.
fn signed(address: &str) -> Vec<(String, String)> {
    let key = |(key, value): (String, String)| match key.as_str() {
        "AZURE_STORAGE_ACCOUNT_KEY" => ("AZURE_STORAGE_SAS_TOKEN".to_owned(), signature(600).trim().to_owned()),
        _ => (key, value),
    };
    environment(address).into_iter().map(key).collect()
}

fn item(id: &str) -> Evidence {
    Evidence { jpeg: Some(picture(SIZE, 5)), ..evidence(id, "line3") }
}

#[test]
fn an_upload_that_was_cut_off_goes_on_where_it_was() {
    let Some(address) = azurite() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = || StateFile::of(Some(folder.path()), "uploads.json");
    let hub: (_, Environment) = (way(), environment);
    let public: (_, Environment) = (by_blocks(ShipConfig::default()), environment);
    // It does not cover what a request says of itself.
    let by_signature: (_, Environment) = (by_blocks(ShipConfig::default()), signed);
    for (id, (way, environment), restarts) in
        [("01A", &hub, false), ("01B", &hub, true), ("01C", &public, true), ("01D", &by_signature, false)]
    {
        let (container, nine_tenths) = (container(), (SIZE * 9 / 10).to_string());
        // The client tries a block three times by itself.
        let mut options = vec!["--cut", &nine_tenths, "3"];
        if way.version().is_none() {
            options.push("--any");
        }
        let proxy = Proxy::to(&address, &options);
        create(&address, &container);
        let open = || {
            let store = Store::open_with(&format!("az://{container}"), way, &environment(&proxy.address));
            store.expect("usable").remembering(file())
        };
        let (store, item) = (open(), item(id));
        let error = block_on(store.keep(&item)).expect_err("it was cut off");
        assert!(error.is_transient() && list(&address, &container).is_empty(), "{error}");
        assert!(proxy.came() > SIZE * 8 / 10, "{}", proxy.came());
        let store = if restarts { open() } else { store };
        block_on(store.keep(&item)).expect("now it goes through");
        let whole = SIZE + 4 * 64 * KIB;
        assert!(proxy.came() < whole, "{} bytes were sent of {SIZE}", proxy.came());
        let (head, body) = get(&address, &container, &format!("{FOLDER}/{id}.jpg"));
        assert!(head.contains("content-type: image/jpeg"), "{head}");
        assert_eq!(body.as_bytes(), item.jpeg.as_deref().expect("a picture"));
        assert_eq!(list(&address, &container).len(), 2);
        let other = Evidence { jpeg: Some(picture(SIZE, 6)), ..item.clone() };
        block_on(store.keep(&other)).expect("what is there is a success");
        assert_eq!(get(&address, &container, &format!("{FOLDER}/{id}.jpg")).1, body, "and is not changed");
        assert_eq!(files(folder.path())["uploads.json"], b"{}", "nothing is remembered that is done with");
    }
}

#[test]
fn a_blob_of_blocks_is_made_once() {
    let Some(address) = azurite() else { return };
    let container = container();
    create(&address, &container);
    for (place, way) in [("usual", by_blocks(ShipConfig::default())), ("hub", way())] {
        let store = Store::open_with(&format!("az://{container}/{place}"), &way, &environment(&address));
        let (store, first) = (store.expect("usable"), item("01X"));
        let other = Evidence { jpeg: Some(picture(SIZE, 6)), ..first.clone() };
        let name = format!("{place}/{FOLDER}/01X.jpg");
        block_on(store.keep(&first)).expect("kept");
        let etag = |head: &str| head.lines().find(|line| line.starts_with("etag:")).map(str::to_owned);
        let (before, _) = get(&address, &container, &name);
        for again in [&first, &other] {
            block_on(store.keep(again)).expect("what is there is a success");
            let (head, body) = get(&address, &container, &name);
            assert_eq!(body.as_bytes(), first.jpeg.as_deref().expect("a picture"), "{place}");
            assert!(etag(&head).is_some() && etag(&head) == etag(&before), "{place}: {head}");
        }
    }
}

#[test]
fn whatever_the_network_does_to_blocks_there_is_one_copy_of_each() {
    let Some(address) = azurite() else { return };
    let (container, proxy) = (container(), Proxy::to(&address, &["--seed", "3"]));
    create(&address, &container);
    let store = Store::open_with(&format!("az://{container}"), &way(), &environment(&proxy.address)).expect("usable");
    let items: Vec<_> = (0..3_u64)
        .map(|n| Evidence { jpeg: Some(picture(SIZE / 2, n)), ..evidence(&format!("{n:02}"), "line3") })
        .collect();
    for item in &items {
        let mut failed = 0;
        while let Err(error) = block_on(store.keep(item)) {
            assert!(error.is_transient(), "{error}");
            failed += 1;
            assert!(failed < 100, "{error}");
        }
    }
    assert_eq!(list(&address, &container).len(), 6);
    for item in &items {
        let (_, body) = get(&address, &container, &format!("{FOLDER}/{}.jpg", item.id));
        assert_eq!(body.as_bytes(), item.jpeg.as_deref().expect("a picture"));
    }
}

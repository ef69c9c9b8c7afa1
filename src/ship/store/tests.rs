//! On a real file system and against Azurite.

mod azure;
mod blocks;
mod hub;
mod identity;
mod proxy;
mod s3;

use std::collections::BTreeMap;
use std::path::Path as FilePath;

use super::super::layout::tests::evidence;
use super::*;

/// A runtime for a test whose file work and waiting is short.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// All files below a folder, with what is in them.
fn files(folder: &FilePath) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &FilePath, folder: &FilePath, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                let name = path.strip_prefix(root).expect("inside").display().to_string();
                found.insert(name, std::fs::read(&path).expect("read"));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

const FOLDER: &str = "evidence/dt=2026-01-02/site=plant-7/camera=line3";

#[test]
fn a_folder_gets_picture_and_record_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let deep = folder.path().join("made/on/demand");
    for place in [deep.display().to_string(), format!("file://{}", deep.display())] {
        let store = Store::open(&place).expect("a folder");
        block_on(store.keep(&evidence("01X", "line3"))).expect("kept");
        let found = files(&deep);
        let names: Vec<_> = found.keys().cloned().collect();
        assert_eq!(names, [format!("{FOLDER}/01X.jpg"), format!("{FOLDER}/01X.json")]);
        assert_eq!(found[&format!("{FOLDER}/01X.jpg")], b"picture");
        assert_eq!(found[&format!("{FOLDER}/01X.json")], b"{}");
    }
}

#[test]
fn what_is_there_is_never_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().display().to_string()).expect("a folder");
    let first = evidence("01X", "line3");
    let other =
        Evidence { jpeg: Some(Bytes::from_static(b"another")), json: Bytes::from_static(b"[]"), ..first.clone() };
    block_on(async {
        store.keep(&first).await.expect("kept");
        let before = files(folder.path());
        store.keep(&first).await.expect("the same again is a success");
        store.keep(&other).await.expect("and so is what is there already");
        assert_eq!(files(folder.path()), before);
    });
}

/// A retry after a picture was written and its record was not.
#[test]
fn half_an_item_is_completed() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().display().to_string()).expect("a folder");
    let item = evidence("01X", "line3");
    block_on(store.keep(&item)).expect("kept");
    std::fs::remove_file(folder.path().join(FOLDER).join("01X.json")).expect("removed");
    block_on(store.keep(&item)).expect("kept");
    assert_eq!(files(folder.path()).len(), 2);
}

/// Whoever looks at any moment finds whole files only, and to each record its picture.
#[test]
fn who_looks_meanwhile_sees_whole_files_and_the_record_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().display().to_string()).expect("a folder");
    let picture = Bytes::from(vec![7; 3_000_000]);
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (done, picture) = (Arc::clone(&done), picture.clone());
        move || {
            for i in 0..30 {
                let item = Evidence { jpeg: Some(picture.clone()), ..evidence(&format!("{i:03}"), "line3") };
                block_on(store.keep(&item)).expect("kept");
            }
            done.store(true, std::sync::atomic::Ordering::Release);
        }
    });
    let here = folder.path().join(FOLDER);
    let mut looks = 0;
    while !done.load(std::sync::atomic::Ordering::Acquire) {
        let Ok(entries) = std::fs::read_dir(&here) else { continue };
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            let size = || std::fs::metadata(path.with_extension("jpg")).map(|meta| meta.len()).ok();
            // Nothing is there under any other name.
            let ending = path.extension().and_then(|end| end.to_str());
            assert!(matches!(ending, Some("jpg" | "json")), "{}", path.display());
            assert_eq!(size(), Some(picture.len() as u64), "{}", path.display());
            looks += 1;
        }
    }
    writer.join().expect("no panic");
    assert!(looks > 0);
    assert_eq!(files(folder.path()).len(), 60);
}

/// As when the process is killed while it writes a file, and after the file has its name.
#[test]
fn what_a_kill_left_goes_with_the_retry_or_a_day_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().display().to_string();
    let store = Store::open(&place).expect("a folder");
    let item = evidence("01X", "line3");
    let hidden = folder.path().join(".partial");
    let left = |name: &str| hidden.join(name);
    std::fs::create_dir(&hidden).expect("made");
    let picture = crate::digest::sha256(format!("{FOLDER}/01X.jpg"));
    std::fs::write(left(&picture), "half of a pic").expect("written");
    block_on(store.keep(&item)).expect("kept");
    std::fs::hard_link(folder.path().join(FOLDER).join("01X.jpg"), left(&picture)).expect("linked");
    block_on(store.keep(&item)).expect("kept");
    let found = files(folder.path());
    assert_eq!(found.len(), 2, "{:?}", found.keys());
    assert_eq!(found[&format!("{FOLDER}/01X.jpg")], item.jpeg.expect("a picture"));

    for (name, hours) in [("recent#1", 23), ("old#1", 25)] {
        let file = std::fs::File::create(left(name)).expect("made");
        let written = std::time::SystemTime::now() - std::time::Duration::from_secs(hours * 3600);
        file.set_modified(written).expect("set");
    }
    Store::open(&place).expect("a folder");
    assert!(left("recent#1").exists() && !left("old#1").exists());
}

#[test]
fn a_folder_that_can_not_be_used_is_named_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a-file");
    std::fs::write(&file, "").expect("written");
    for place in [file.clone(), file.join("below"), "/proc/ocellus".into()] {
        let error = Store::open(&place.display().to_string()).expect_err("no folder").to_string();
        assert!(error.contains(&place.display().to_string()), "{error}");
    }
}

/// As when a disk is pulled out, is full or goes read-only: the write fails, and works once that has passed.
#[test]
fn trouble_that_may_pass_is_told_as_such() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("store");
    let store = Store::open(&root.display().to_string()).expect("a folder");
    std::fs::remove_dir(&root).expect("empty");
    std::fs::write(&root, "in its place").expect("written");
    let error = block_on(store.keep(&evidence("01X", "line3"))).expect_err("a file is in its place");
    assert!(error.is_transient(), "{error}");
    let text = error.to_string();
    assert!(text.contains("01X.jpg") && text.contains(&root.display().to_string()), "{text}");
    std::fs::remove_file(&root).expect("removed");
    block_on(store.keep(&evidence("01X", "line3"))).expect("it is back");
    assert_eq!(files(&root).len(), 2);
}

#[test]
fn places_are_read_without_touching_them() {
    for good in [
        "/var/lib/x",
        "relative",
        "file:///var/lib/x",
        "az://container",
        "az://container/a/b",
        "s3://bucket/a",
        "abfss://container@account.dfs.core.windows.net/a",
        "https://account.blob.core.windows.net/container/a",
    ] {
        assert!(check(good).is_ok(), "{good}: {:?}", check(good));
    }
    for (bad, wanted) in [
        ("", "it is empty"),
        ("  ", "it is empty"),
        ("a\0b", "NUL"),
        ("gopher://x", "`gopher` is no known kind of store"),
        ("gs://bucket/x", "`gs` is no known kind"),
        ("http://127.0.0.1:10000/account/container", "AZURE_STORAGE_ENDPOINT"),
        ("https://blob.example.com/container", "AZURE_STORAGE_ENDPOINT"),
        ("file://host/x", "three slashes"),
        ("az://", "az://container/path"),
        ("az:///x", "az://container/path"),
        ("s3://key:hunter2@bucket/x", "credentials come from the environment"),
        ("s3://hunter2@bucket/x", "credentials come from the environment"),
        ("https://a.blob.core.windows.net/c?sig=hunter2", "credentials come from the environment"),
        ("az://c/x#hunter2", "credentials come from the environment"),
    ] {
        let error = check(bad).expect_err(bad).to_string();
        assert!(error.contains(wanted), "{bad}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert!(!FilePath::new("relative").exists());
}

#[test]
fn remote_stores_need_credentials() {
    for (place, wanted) in [("az://c/x", "AZURE_STORAGE_ACCOUNT_NAME"), ("s3://b/x", "AWS_ACCESS_KEY_ID")] {
        let error = Store::open_with(place, &ShipConfig::default(), &[]).expect_err("none are set").to_string();
        assert!(error.contains(wanted) && error.contains(place), "{error}");
    }
    let set =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
    let aws = set(&[("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "hunter2"), ("AWS_REGION", "eu-west-1")]);
    let store = Store::open_with("s3://bucket/x", &ShipConfig::default(), &aws).expect("they are set");
    assert_eq!(store.to_string(), "s3://bucket/x");
    assert!(!format!("{store:?}").contains("hunter2"), "{store:?}");
}

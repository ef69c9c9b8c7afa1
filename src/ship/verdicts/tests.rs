//! From the database to a folder.

use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::Value;

use super::*;
use crate::config::ReviewConfig;
use crate::evidence::Via;
use crate::evidence::review_tests::{hold, id, reviews, said};
use crate::ship::Sink;

fn store(folder: &Path) -> Store {
    Store::open(&folder.display().to_string()).expect("a folder")
}

async fn eventually(what: &str, so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < until, "it never came to this: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Where nobody wants to know.
fn leave(naming: Naming) -> Leave {
    Leave { naming, note: None }
}

/// A verdict as the store has it.
fn stored(folder: &Path, frame: u64, verdict: &str) -> Option<Value> {
    let place = "evidence/dt=1970-01-01/site=plant-7/camera=line3";
    let path = folder.join(place).join(format!("{}.verdict-{verdict}.json", id(frame)));
    Some(serde_json::from_slice(&std::fs::read(path).ok()?).expect("JSON"))
}

#[tokio::test]
async fn verdicts_wait_for_the_store_and_go_before_or_after_their_frame() {
    let base = tempfile::tempdir().expect("a folder");
    let (state, target) = (base.path().join("state"), base.path().join("store"));
    let reviews = reviews(&ReviewConfig::default(), Some(&state));
    let [first, second] = [1, 2].map(|n| hold(&reviews, n));
    let place = store(&target);
    // One frame is there before its verdict, the other comes after it.
    place.keep(&first).await.expect("kept");
    assert_eq!(place.records().await.expect("listed").len(), 1);
    let courier = VerdictCourier::start(reviews.clone(), place.clone(), leave(Naming::Keep), Timetable::default());
    for (n, verdict) in [(1, "v1"), (2, "v2")] {
        let json = format!(r#"{{"verdict":"wrong","id":"{verdict}","by":"Ann"}}"#);
        reviews.judge(&id(n), said(&json), Via::Http).expect("taken");
    }
    eventually("both are stored", || reviews.last_waiting() == 0).await;
    place.keep(&second).await.expect("kept");
    for (n, verdict) in [(1, "v1"), (2, "v2")] {
        let json = stored(&target, n, verdict).expect("there");
        assert_eq!((&json["schema"], &json["by"]), (&"ocellus.verdict/1".into(), &"Ann".into()));
        assert_eq!((&json["frame"], &json["revision"]), (&id(n).into(), &1.into()));
    }
    assert_eq!(place.records().await.expect("a list").len(), 2, "verdicts are no records");
    assert_eq!(place.verdicts().await.expect("a list").len(), 2);
    courier.close(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn a_store_that_is_away_is_waited_for_and_names_become_hashes() {
    let base = tempfile::tempdir().expect("a folder");
    let (state, target) = (base.path().join("state"), base.path().join("store"));
    let away = store(&target);
    std::fs::remove_dir_all(&target).expect("removed");
    std::fs::write(&target, b"in the way").expect("written");
    let open = || reviews(&ReviewConfig::default(), Some(&state));
    let first = open();
    hold(&first, 1);
    let hashing = first.hashing().expect("a salt");
    let courier = VerdictCourier::start(first.clone(), away, leave(hashing.clone()), Timetable::default());
    for verdict in ["a", "b", "c"] {
        let by = if verdict == "c" { "Bob" } else { "Ann" };
        let json = format!(r#"{{"verdict":"wrong","id":"{verdict}","by":"{by}"}}"#);
        first.judge(&id(1), said(&json), Via::Command).expect("taken");
    }
    eventually("the outage is known", || courier.outage.reason().is_some()).await;
    // It does not wait for a store that is away.
    courier.close(Duration::from_secs(60)).await;
    assert_eq!(first.last_waiting(), 3);
    drop(first);

    std::fs::remove_file(&target).expect("removed");
    let again = open();
    let courier = VerdictCourier::start(again.clone(), store(&target), leave(hashing), Timetable::default());
    courier.close(Duration::from_secs(60)).await;
    assert_eq!(again.last_waiting(), 0);
    let by = |verdict| stored(&target, 1, verdict).expect("there")["by"].as_str().expect("a hash").to_owned();
    assert!(by("a").starts_with("hash:") && by("a").len() == 37, "{}", by("a"));
    assert_eq!(by("a"), by("b"), "one reviewer");
    assert_ne!(by("a"), by("c"), "another");
    // The node knows who it was.
    assert_eq!(again.detail(&id(1)).expect("held").verdicts[0].by.as_deref(), Some("Ann"));
}

#[tokio::test]
async fn what_is_there_is_not_changed_and_names_may_stay_away() {
    let base = tempfile::tempdir().expect("a folder");
    let reviews = reviews(&ReviewConfig::default(), None);
    hold(&reviews, 1);
    let taken = reviews.judge(&id(1), said(r#"{"verdict":"right","id":"v","by":"Ann"}"#), Via::Http).expect("taken");
    let store = store(base.path());
    store.keep_verdict(&taken.verdict.named(&Naming::Drop)).await.expect("kept");
    store.keep_verdict(&taken.verdict).await.expect("the same again is a success");
    let json = stored(base.path(), 1, "v").expect("there");
    assert!(json.get("by").is_none(), "{json}");
    assert_eq!(store.verdicts().await.expect("a list").len(), 1);
}

#[tokio::test]
async fn nothing_leaves_that_was_not_noted_before_as_it_leaves() {
    let base = tempfile::tempdir().expect("a folder");
    let reviews = reviews(&ReviewConfig::default(), None);
    hold(&reviews, 1);
    let target = base.path().join("store");
    let place = store(&target);
    let noted = Arc::<Mutex<Vec<(Vec<u8>, bool)>>>::default();
    let note = {
        let (noted, target) = (Arc::clone(&noted), target.clone());
        move |verdict: &Verdict| {
            let mut noted = noted.lock().expect("no panic");
            noted.push((verdict.json().expect("JSON"), stored(&target, 1, "v").is_some()));
            // The disk takes nothing the first two times.
            noted.len() > 2
        }
    };
    let leave = Leave { naming: Naming::Drop, note: Some(Arc::new(note)) };
    let courier = VerdictCourier::start(reviews.clone(), place, leave, Timetable::default());
    reviews.judge(&id(1), said(r#"{"verdict":"wrong","id":"v","by":"Ann"}"#), Via::Http).expect("taken");
    eventually("it is known that it stays", || courier.outage.reason().is_some()).await;
    eventually("it is stored", || reviews.last_waiting() == 0).await;
    assert_eq!(courier.outage.reason(), None);
    let noted = noted.lock().expect("no panic");
    let name = format!("evidence/dt=1970-01-01/site=plant-7/camera=line3/{}.verdict-v.json", id(1));
    let file = std::fs::read(target.join(name)).expect("there");
    assert_eq!(*noted, [(file.clone(), false), (file.clone(), false), (file, false)]);
}

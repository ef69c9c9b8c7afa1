//! Through an outbox on a disk to a folder.

use std::path::Path;
use std::time::Instant;

use super::*;
use crate::evidence::{Pick, Reason, scored};
use crate::outbox::Outbox;
use crate::outbox::tests::{clock, roomy};
use crate::ship::Store;

fn evidence(n: u64) -> Evidence {
    let id = Ulid::from_parts(1_767_225_600_000, n.into()).to_string();
    let scored = scored(n, &[("bolt", 0.45, [0.1, 0.1, 0.2, 0.2])]);
    Evidence::encode(&id, &Pick { scored, reason: Reason::Band { label: "bolt".to_owned(), score: 0.45 }, value: 0.5 })
        .expect("a small frame")
}

fn stored(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .map(|path| if path.is_dir() { stored(&path) } else { usize::from(path.extension() == Some("json".as_ref())) })
        .sum()
}

async fn eventually(what: &str, so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < until, "it never came to this: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn evidence_waits_for_the_store_over_a_restart_and_arrives_as_it_was() {
    let base = tempfile::tempdir().expect("a folder");
    let (state, target) = (base.path().join("state"), base.path().join("store"));
    let store = || Store::open(&target.display().to_string()).expect("a folder");
    // Nothing can be stored while a file is in the way.
    let first = store();
    std::fs::remove_dir_all(&target).expect("removed");
    std::fs::write(&target, b"in the way").expect("written");
    let outbox = Outbox::start(&state, roomy(), clock()).expect("started");
    let courier = Courier::start(outbox.handle(), first);
    let handle = courier.handle();
    let inlet = Inlet(outbox.handle());
    for n in 0..3 {
        inlet.keep(&evidence(n)).await.expect("kept");
    }
    eventually("the outage is known", || handle.last_error().is_some()).await;
    courier.close(&outbox.handle(), Duration::from_secs(60)).await;
    outbox.close();
    assert_eq!(handle.kept(), 0);

    std::fs::remove_file(&target).expect("removed");
    let outbox = Outbox::start(&state, roomy(), clock()).expect("started again");
    let courier = Courier::start(outbox.handle(), store());
    let handle = courier.handle();
    eventually("all are stored", || handle.kept() == 3).await;
    assert_eq!(stored(&target), 3);
    let wanted = evidence(1);
    let place = format!("evidence/dt={}/site={}/camera={}", wanted.day, wanted.site, wanted.camera);
    let at = |ending: &str| target.join(&place).join(format!("{}.{ending}", wanted.id));
    assert_eq!(std::fs::read(at("jpg")).expect("there"), wanted.jpeg.expect("a picture"));
    assert_eq!(std::fs::read(at("json")).expect("there"), wanted.json);
    courier.close(&outbox.handle(), Duration::from_secs(60)).await;
    assert!(outbox.handle().read(Destination::Store, 0, 10).await.is_empty(), "the store has them");
}

/// Before and after the hours evidence waits, and within them it goes.
#[tokio::test]
async fn evidence_goes_at_its_hours() {
    let base = tempfile::tempdir().expect("a folder");
    let clock = crate::clock::ManualClock::new(chrono::DateTime::UNIX_EPOCH);
    let now = clock.wall().with_timezone(&Local).naive_local();
    let from = (now + Duration::from_secs(3600)).format("%H:%M");
    let until = (now + Duration::from_secs(7200)).format("%H:%M");
    let hours = vec![Hours::try_from(format!("{from}-{until}")).expect("hours")];
    let outbox = Outbox::start(&base.path().join("state"), roomy(), crate::outbox::tests::clock()).expect("started");
    let target = base.path().join("store");
    let store = Store::open(&target.display().to_string()).expect("a folder");
    let timetable = Timetable { hours, clock: Arc::new(clock.clone()) };
    let courier = Courier::start_within(timetable, outbox.handle(), store);
    let (handle, inlet) = (courier.handle(), Inlet(outbox.handle()));
    inlet.keep(&evidence(1)).await.expect("kept");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!((handle.kept(), stored(&target)), (0, 0), "it is too early");
    clock.advance(Duration::from_secs(3660));
    eventually("it is stored", || handle.kept() == 1).await;
    clock.advance(Duration::from_secs(3600));
    inlet.keep(&evidence(2)).await.expect("kept");
    // It does not wait for hours that come tomorrow.
    courier.close(&outbox.handle(), Duration::from_secs(60)).await;
    assert_eq!(outbox.handle().read(Destination::Store, 0, 10).await.len(), 1, "it is too late");
}

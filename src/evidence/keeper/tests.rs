//! From the engine's hands to a real folder.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::clock::ManualClock;
use crate::evidence::Record;
use crate::evidence::select::tests::scored;
use crate::ship::{ShipError, Store};

const BOLT: [f32; 4] = [0.1, 0.1, 0.2, 0.2];
/// How long anything may take. Only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

fn config() -> EvidenceConfig {
    // All pictures of these tests look alike.
    EvidenceConfig { per_minute: 6000, novelty: false, ..EvidenceConfig::at(String::new()) }
}

fn clock() -> ManualClock {
    ManualClock::new(chrono::DateTime::UNIX_EPOCH)
}

fn open(folder: &Path) -> Store {
    Store::open(&folder.display().to_string()).expect("a folder")
}

/// Frame `seq`, unsure about something that no other frame shows.
fn unsure(seq: u64) -> Scored {
    scored(seq, &[(&format!("part-{seq}"), 0.45, BOLT)])
}

/// The files with this ending, anywhere below.
fn files(folder: &Path, ending: &str) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path, ending)
            } else if path.extension().is_some_and(|e| e == ending) {
                vec![path]
            } else {
                Vec::new()
            }
        })
        .collect()
}

async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "it never came to this: {what}");
}

#[tokio::test]
async fn what_is_worth_it_is_in_the_store_and_what_is_not_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let keeper = Keeper::start(&config(), open(folder.path()), Arc::new(clock()));
    let handle = keeper.handle();
    for seq in 0..3 {
        handle.offer(&scored(seq, &[("bolt", 0.9, BOLT)]), &[]);
    }
    handle.offer(&unsure(3), &[]);
    assert_eq!(keeper.close(PATIENCE).await, 0);
    assert_eq!((handle.kept(), handle.dropped()), (1, 0));

    let records = files(folder.path(), "json");
    assert_eq!(records.len(), 1, "{records:?}");
    let record: Record = serde_json::from_slice(&std::fs::read(&records[0]).expect("read")).expect("a record");
    assert_eq!(record.detections.frame.seq, 3);
    // The clock stands at the epoch, and so does the time in the id.
    assert_eq!(ulid::Ulid::from_string(&record.id).expect("a ULID").timestamp_ms(), 0);
    let image = record.image.expect("a picture");
    let picture = records[0].with_file_name(&image.file);
    assert_eq!(std::fs::metadata(&picture).expect("a picture").len(), image.bytes);
    let below = records[0].strip_prefix(folder.path()).expect("inside").display().to_string();
    assert!(below.starts_with("evidence/dt=1970-01-01/site=plant-7/camera=line3/"), "{below}");
}

/// A sink whose door can be shut.
struct Door(Arc<AtomicBool>);

impl Sink for Door {
    async fn keep(&self, _: &Evidence) -> Result<(), ShipError> {
        while !self.0.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn what_waits_is_bounded_and_what_has_no_room_is_counted() {
    let open = Arc::new(AtomicBool::new(false));
    let keeper = Keeper::start(&config(), Door(Arc::clone(&open)), Arc::new(clock()));
    let handle = keeper.handle();
    for seq in 0..200 {
        handle.offer(&unsure(seq), &[]);
    }
    let picked = keeper.shared.picked.load(Ordering::Relaxed);
    assert_eq!(picked, 200);
    // The engine never yields here, so all but those that fit on the first shelf went at once.
    assert_eq!((handle.kept(), handle.dropped()), (0, picked - RAW as u64));
    open.store(true, Ordering::Relaxed);
    assert_eq!(keeper.close(PATIENCE).await, 0);
    assert_eq!(handle.kept() + handle.dropped(), picked);
}

#[tokio::test]
async fn pictures_that_wait_for_the_sink_are_bounded_too() {
    let open = Arc::new(AtomicBool::new(false));
    let keeper = Keeper::start(&config(), Door(Arc::clone(&open)), Arc::new(clock()));
    let handle = keeper.handle();
    let offered = COMPRESSED as u64 + 20;
    for seq in 0..offered {
        handle.offer(&unsure(seq), &[]);
        eventually("it is being compressed", || keeper.shared.raw.len() == 0).await;
    }
    // One is in the hands of the sink.
    eventually("there is room for so many", || handle.dropped() == offered - COMPRESSED as u64 - 1).await;
    open.store(true, Ordering::Relaxed);
    assert_eq!(keeper.close(PATIENCE).await, 0);
    assert_eq!(handle.kept(), COMPRESSED as u64 + 1);
}

#[tokio::test]
async fn what_is_not_kept_before_the_end_is_said() {
    let keeper = Keeper::start(&config(), Door(Arc::default()), Arc::new(clock()));
    let handle = keeper.handle();
    for seq in 0..3 {
        handle.offer(&unsure(seq), &[]);
    }
    assert_eq!(keeper.close(Duration::ZERO).await, 3);
    handle.offer(&unsure(9), &[]);
    assert_eq!(handle.kept(), 0, "who still holds a handle does no harm");
}

#[tokio::test]
async fn an_item_that_is_refused_for_good_does_not_stop_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let keeper = Keeper::start(&config(), Refuses(open(folder.path())), Arc::new(clock()));
    let handle = keeper.handle();
    for seq in 0..2 {
        handle.offer(&unsure(seq), &[]);
    }
    assert_eq!(keeper.close(PATIENCE).await, 0);
    assert_eq!((handle.kept(), handle.dropped()), (1, 1));
}

/// A store that refuses its first item for good.
struct Refuses(Store);

impl Sink for Refuses {
    async fn keep(&self, item: &Evidence) -> Result<(), ShipError> {
        let record: Record = serde_json::from_slice(&item.json).expect("a record");
        if record.detections.frame.seq == 0 {
            return Err(ShipError::Place("for the test".to_owned()));
        }
        self.0.keep(item).await
    }
}

#[tokio::test]
async fn a_frame_that_was_asked_for_is_kept_whatever_the_limits_say_and_who_asked_hears_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    // Nothing is worth it by itself.
    let config = EvidenceConfig { band: [0.0, 0.0], flicker: false, per_minute: 1, ..config() };
    let keeper = Keeper::start(&config, open(folder.path()), Arc::new(clock()));
    let handle = keeper.handle();
    let mut answers = Vec::new();
    for seq in 0..3 {
        let (asked, kept) = oneshot::channel();
        let (too, heard) = oneshot::channel();
        handle.keep(&scored(seq, &[("bolt", 0.9, BOLT)]), vec![asked, too]);
        answers.push((kept.await.expect("an answer").expect("kept"), heard.await.expect("an answer").expect("kept")));
    }
    assert_eq!(keeper.close(PATIENCE).await, 0);
    let records = files(folder.path(), "json");
    let records: Vec<Record> = records
        .iter()
        .map(|path| serde_json::from_slice(&std::fs::read(path).expect("read")).expect("a record"))
        .collect();
    for (id, same) in &answers {
        assert_eq!(id, same);
        let record = records.iter().find(|record| record.id == *id).expect("it is in the store");
        assert_eq!((&record.reason, record.value), (&Reason::Operator, 1.0));
    }
    assert_eq!(records.len(), 3);
}

#[tokio::test]
async fn who_asked_for_a_frame_hears_why_it_is_not_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let keeper = Keeper::start(&config(), Refuses(open(folder.path())), Arc::new(clock()));
    let (asked, refused) = oneshot::channel();
    keeper.handle().keep(&scored(0, &[]), vec![asked]);
    let reason = refused.await.expect("an answer").expect_err("the store refuses it");
    assert!(reason.contains("for the test"), "{reason}");
    // Others give way to it, and it gives way to those that were asked for later.
    let keeper = Keeper::start(&config(), Door(Arc::default()), Arc::new(clock()));
    let (asked, lost) = oneshot::channel();
    keeper.handle().keep(&scored(0, &[]), vec![asked]);
    for seq in 1..=RAW as u64 {
        keeper.handle().offer(&unsure(seq), &[]);
    }
    assert_eq!(keeper.handle().dropped(), 1, "not the one that was asked for");
    for seq in 10..10 + RAW as u64 {
        keeper.handle().keep(&scored(seq, &[]), Vec::new());
    }
    assert_eq!(lost.await.expect("an answer"), Err("there is no room for it".to_owned()));
}

//! Disks that are full, read-only, broken or not there.

use super::*;
use crate::outbox::disk::FreeSpace;

async fn waiting(handle: &OutboxHandle) -> Vec<u64> {
    let items = handle.read(Destination::Broker, 0, 10_000).await;
    items.iter().map(|stored| u64::try_from(stored.item.id.random()).expect("small")).collect()
}

/// Writes over the middle of a file.
fn spoil(path: &Path) {
    let mut bytes = std::fs::read(path).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0x5a);
    bytes[100..middle].fill(0xa5);
    std::fs::write(path, bytes).expect("written");
}

#[tokio::test]
async fn a_corrupt_outbox_is_set_aside_and_a_new_one_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("outbox.db");
    let spoilers: [fn(&Path); 3] = [
        spoil,
        |path| std::fs::write(path, b"this was an outbox once").expect("written"),
        |path| {
            let other = rusqlite::Connection::open(path).expect("opened");
            other.execute_batch("DROP TABLE items; PRAGMA application_id = 7").expect("changed");
        },
    ];
    for (round, spoiler) in spoilers.into_iter().enumerate() {
        let outbox = Outbox::start(folder.path(), roomy(), clock()).expect("started");
        for n in 0..200 {
            outbox.handle().append(item(Kind::Event, n));
        }
        assert!(outbox.handle().keep(item(Kind::Evidence, 1)).await);
        outbox.close();
        spoiler(&database);
        // At another time, after which the set aside one is named.
        let later = ManualClock::new(at(i64::try_from(round).expect("small") * 1000));
        let outbox = Outbox::start(folder.path(), roomy(), Arc::new(later)).expect("started anyway");
        let handle = outbox.handle();
        assert!(handle.keep(item(Kind::Event, 500)).await, "round {round}");
        assert_eq!(waiting(&handle).await, [500], "round {round}");
        let status = handle.status();
        assert_eq!(status.trouble, None);
        let aside = status.set_aside.expect("it says where");
        assert!(aside.join("outbox.db").is_file() && aside.join("frames").is_dir(), "{}", aside.display());
        outbox.close();
    }
    let count = |start: &str| {
        let names = std::fs::read_dir(folder.path()).expect("a folder").map(|e| e.expect("an entry").file_name());
        names.filter(|name| name.to_string_lossy().starts_with(start)).count()
    };
    assert_eq!(count("corrupt-"), 2, "older ones are removed");
}

/// Corruption that shows only when a page is read for the first time, long after the start.
#[tokio::test]
async fn what_turns_out_to_be_corrupt_while_it_runs_is_set_aside_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::start(folder.path(), roomy(), clock()).expect("started");
    let handle = outbox.handle();
    for n in 0..500 {
        handle.append(item(Kind::Event, n));
    }
    assert!(handle.keep(item(Kind::Event, 500)).await);
    outbox.close();
    // What was there before the start is read from the disk.
    let outbox = Outbox::start(folder.path(), roomy(), clock()).expect("started");
    let handle = outbox.handle();
    until(&handle, "it is open", |status| status.loads.total().items == 501).await;
    let other = rusqlite::Connection::open(folder.path().join("outbox.db")).expect("opened");
    other.execute_batch("UPDATE items SET kind = 77").expect("changed");
    assert!(waiting(&handle).await.is_empty());
    until(&handle, "it is set aside", |status| status.set_aside.is_some()).await;
    assert!(handle.keep(item(Kind::Event, 501)).await);
    assert_eq!(waiting(&handle).await, [501]);
    assert_eq!(handle.status().dropped, 501, "what was lost is counted");
}

#[tokio::test]
async fn a_folder_that_can_not_be_made_is_tried_until_it_can() {
    let base = tempfile::tempdir().expect("a folder");
    let blocked = base.path().join("state");
    std::fs::write(&blocked, b"a file in the way").expect("written");
    let outbox = Outbox::start(&blocked.join("outbox"), roomy(), clock()).expect("started anyway");
    let handle = outbox.handle();
    for n in 0..3 {
        handle.append(item(Kind::Event, n));
    }
    until(&handle, "trouble is known", |status| status.trouble.is_some() && status.in_memory == 3).await;
    let seen = handle.read(Destination::Broker, 0, 10).await;
    assert_eq!(seen.len(), 3, "it is delivered from memory meanwhile");
    handle.acknowledge([seen[0].seq]);
    until(&handle, "it is delivered", |status| status.delivered_from_memory == 1).await;
    std::fs::remove_file(&blocked).expect("removed");
    until(&handle, "it is on the disk", |status| status.trouble.is_none() && status.in_memory == 0).await;
    assert_eq!(waiting(&handle).await, [1, 2]);
    outbox.close();
    let outbox = Outbox::start(&blocked.join("outbox"), roomy(), clock()).expect("started");
    assert_eq!(waiting(&outbox.handle()).await, [1, 2]);
}

#[tokio::test]
async fn while_the_disk_takes_nothing_memory_is_bounded() {
    let base = tempfile::tempdir().expect("a folder");
    let blocked = base.path().join("state");
    std::fs::write(&blocked, b"a file in the way").expect("written");
    let outbox = Outbox::start(&blocked, roomy(), clock()).expect("started anyway");
    let handle = outbox.handle();
    until(&handle, "trouble is known", |status| status.trouble.is_some()).await;
    for n in 0..20_000 {
        handle.append(item(Kind::Event, n));
    }
    let _ = handle.read(Destination::Broker, 0, 1).await;
    until(&handle, "all but what fits is dropped", |status| status.in_memory + status.dropped == 20_000).await;
    assert_eq!(handle.status().in_memory, 4096);
    assert_eq!(waiting(&handle).await.last(), Some(&19_999));
}

/// Others fill the disk: evidence goes so that events find room, and a reserve stays free.
#[tokio::test]
async fn the_reserve_of_the_disk_is_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let free = Arc::new(Mutex::new(50_000_u64));
    let space: FreeSpace = {
        let free = Arc::clone(&free);
        Arc::new(move |_| Ok(*free.lock().expect("no panic")))
    };
    let limits = Limits { reserve: 30_000, ..roomy() };
    let place = Place { folder: folder.path().to_owned(), limits, free: space };
    let outbox = Outbox::start_in(place, clock()).expect("started");
    let handle = outbox.handle();
    for n in 1..=3 {
        assert!(handle.keep(item(Kind::Evidence, n)).await);
    }
    *free.lock().expect("no panic") = 20_000;
    assert!(!handle.keep(item(Kind::Evidence, 0)).await, "less valuable than what is there");
    assert!(handle.keep(item(Kind::Event, 1)).await);
    assert!(handle.keep(item(Kind::Event, 2)).await);
    let left = handle.read(Destination::Store, 0, 10).await;
    assert!(left.len() < 3, "{left:?}");
    assert_eq!(waiting(&handle).await, [1, 2]);
}

/// Others fill the disk and nothing is there that may go: events wait in memory, none goes for another.
#[tokio::test]
async fn while_others_fill_the_disk_events_wait_in_memory_and_are_delivered_from_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let free = Arc::new(Mutex::new(1_u64 << 30));
    let space: FreeSpace = {
        let free = Arc::clone(&free);
        Arc::new(move |_| Ok(*free.lock().expect("no panic")))
    };
    let limits = Limits { reserve: 16 << 20, ..roomy() };
    let place = Place { folder: folder.path().to_owned(), limits, free: space };
    let outbox = Outbox::start_in(place, clock()).expect("started");
    let handle = outbox.handle();
    for n in 0..10 {
        assert!(handle.keep(item(Kind::Event, n)).await);
    }
    *free.lock().expect("no panic") = 15 << 20;
    for n in 10..30 {
        handle.append(item(Kind::Event, n));
    }
    until(&handle, "it is told", |status| status.trouble.is_some() && status.in_memory == 20).await;
    let trouble = handle.status().trouble.expect("told");
    assert_eq!(trouble, "the disk is full: no more is free than the 16 MiB of `reserve_mib`");
    assert_eq!(waiting(&handle).await, (0..30).collect::<Vec<_>>(), "in order, from disk and memory");
    // What is acknowledged leaves the disk, and others take its place.
    let first = handle.read(Destination::Broker, 0, 12).await;
    handle.acknowledge(first.iter().map(|stored| stored.seq));
    until(&handle, "it is gone", |status| status.history[2].delivered == 10 && status.in_memory < 18).await;
    assert_eq!(waiting(&handle).await, (12..30).collect::<Vec<_>>());
    *free.lock().expect("no panic") = 1 << 30;
    until(&handle, "it is on the disk", |status| status.trouble.is_none() && status.in_memory == 0).await;
    let status = handle.status();
    assert_eq!((status.dropped, status.evicted, status.delivered_from_memory), (0, 0, 2));
    outbox.close();
    let outbox = Outbox::start(folder.path(), roomy(), clock()).expect("started");
    assert_eq!(waiting(&outbox.handle()).await, (12..30).collect::<Vec<_>>());
}

//! Putting in, taking out, quotas.

use super::*;

fn numbers(items: &[Stored]) -> Vec<u64> {
    items.iter().map(|stored| u64::try_from(stored.item.id.random()).expect("small")).collect()
}

async fn waiting(handle: &OutboxHandle, destination: Destination) -> Vec<u64> {
    numbers(&handle.read(destination, 0, 10_000).await)
}

#[tokio::test]
async fn what_was_kept_is_there_after_a_restart_until_it_is_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::start(folder.path(), roomy(), clock()).expect("started");
    let handle = outbox.handle();
    for n in 0..5 {
        assert!(handle.keep(item(Kind::Event, n)).await);
        assert!(handle.keep(item(Kind::Evidence, n)).await);
    }
    let seen = handle.read(Destination::Broker, 0, 3).await;
    assert_eq!(numbers(&seen), [0, 1, 2]);
    assert_eq!(numbers(&handle.read(Destination::Broker, seen[2].seq, 10).await), [3, 4]);
    handle.acknowledge([seen[1].seq]);
    outbox.close();

    let outbox = Outbox::start(folder.path(), roomy(), clock()).expect("started again");
    let handle = outbox.handle();
    assert_eq!(waiting(&handle, Destination::Broker).await, [0, 2, 3, 4]);
    let evidence = handle.read(Destination::Store, 0, 10).await;
    assert_eq!(numbers(&evidence), [0, 1, 2, 3, 4]);
    let wanted = item(Kind::Evidence, 3);
    assert_eq!(evidence[3].frame.read().await.expect("there"), wanted.frame);
    assert_eq!(evidence[3].item, Item { frame: None, ..wanted });
    handle.acknowledge(evidence.iter().map(|stored| stored.seq));
    assert!(handle.read(Destination::Store, 0, 10).await.is_empty());
    until(&handle, "they leave the disk", |status| status.history[0].delivered == 5).await;
    let left = std::fs::read_dir(folder.path().join("frames")).expect("a folder").count();
    assert_eq!(left, 0, "acknowledged frames are removed");
    let history = handle.status().history;
    assert_eq!(history[2], History { accepted: 5, delivered: 1, evicted: 0 });
    assert_eq!(history[0], History { accepted: 5, delivered: 5, evicted: 0 });
}

#[tokio::test]
async fn an_id_that_waits_is_not_taken_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::start(folder.path(), roomy(), clock()).expect("started");
    let handle = outbox.handle();
    for _ in 0..3 {
        assert!(handle.keep(item(Kind::Event, 7)).await);
    }
    assert_eq!(waiting(&handle, Destination::Broker).await, [7]);
    let elsewhere = Item { destination: Destination::Store, ..item(Kind::Event, 7) };
    assert!(handle.keep(elsewhere).await);
    assert_eq!(waiting(&handle, Destination::Store).await, [7]);
}

#[tokio::test]
async fn quotas_hold_and_the_least_goes_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let items = |items| Load { items, bytes: 1 << 30 };
    let limits = Limits { total: items(10), evidence: items(4), reserve: 0 };
    let outbox = Outbox::start(folder.path(), limits, clock()).expect("started");
    let handle = outbox.handle();
    // Evidence is worth its number: the least valuable goes, a lesser one is not taken.
    for n in [5, 9, 3, 7] {
        assert!(handle.keep(item(Kind::Evidence, n)).await);
    }
    assert!(!handle.keep(item(Kind::Evidence, 2)).await);
    assert!(handle.keep(item(Kind::Evidence, 4)).await);
    assert_eq!(waiting(&handle, Destination::Store).await, [5, 9, 7, 4]);
    for n in 22..25 {
        assert!(handle.keep(item(Kind::Count, n)).await);
    }
    assert_eq!(waiting(&handle, Destination::Broker).await, [22, 23, 24]);
    // Ten in all: evidence goes for events, then counts, then the oldest events.
    let mut seen = Vec::new();
    for n in 40..52 {
        assert!(handle.keep(item(Kind::Event, n)).await);
        seen.push((waiting(&handle, Destination::Store).await, waiting(&handle, Destination::Broker).await));
    }
    assert_eq!(seen[2], (vec![5, 9, 7, 4], vec![22, 23, 24, 40, 41, 42]));
    assert_eq!(seen[3].0, [5, 9, 7]);
    assert_eq!(seen[6], (vec![], (22..25).chain(40..47).collect()));
    assert_eq!(seen[9], (vec![], (40..50).collect()));
    assert_eq!(seen[11], (vec![], (42..52).collect()));
    assert!(!handle.keep(item(Kind::Evidence, 999)).await, "no event goes for evidence");
    let status = handle.status();
    let evicted = status.history.map(|history| history.evicted);
    assert_eq!((evicted, status.dropped), ([5, 3, 2], 2));
    assert_eq!(std::fs::read_dir(folder.path().join("frames")).expect("a folder").count(), 0);
}

#[tokio::test]
async fn two_processes_do_not_work_with_one_outbox() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::start(folder.path(), roomy(), clock()).expect("started");
    let error = Outbox::start(folder.path(), roomy(), clock()).expect_err("in use").to_string();
    assert!(error.contains("another ocellus") && error.contains("`path`"), "{error}");
    outbox.close();
    assert!(Outbox::start(folder.path(), roomy(), clock()).is_ok());
}

#[tokio::test]
async fn without_a_disk_items_wait_in_memory() {
    let outbox = Outbox::in_memory(clock()).expect("started");
    let handle = outbox.handle();
    for n in 0..5000 {
        handle.append(item(Kind::Event, n));
    }
    let mut visible = handle.visible();
    while handle.status().in_memory < 4096 {
        visible.changed().await.expect("it goes on");
    }
    let seen = handle.read(Destination::Broker, 0, 10_000).await;
    let dropped = usize::try_from(handle.status().dropped).expect("small");
    assert_eq!(seen.len() + dropped, 5000);
    assert_eq!(numbers(&seen).last(), Some(&4999));
    handle.acknowledge(seen.iter().map(|stored| stored.seq));
    assert!(handle.read(Destination::Broker, 0, 10).await.is_empty());
}

#[tokio::test]
async fn others_may_look_into_it_meanwhile() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(matches!(Look::open(folder.path()), Err(OutboxError::Absent { .. })));
    let outbox = Outbox::start(folder.path(), roomy(), clock()).expect("started");
    let handle = outbox.handle();
    for n in 0..300 {
        handle.append(item(Kind::Event, n));
    }
    assert!(handle.keep(item(Kind::Evidence, 1)).await);
    let look = Look::open(folder.path()).expect("readable");
    let summary = look.summary().expect("readable");
    assert_eq!(summary.iter().map(|(_, load, _)| load.items).collect::<Vec<_>>(), [1, 0, 300]);
    assert_eq!(look.oldest_at().expect("readable"), Some(at(0)));
    let mut seen = Vec::new();
    look.each(|stored| {
        seen.push(stored.clone());
        Ok::<_, OutboxError>(())
    })
    .expect("readable");
    assert_eq!(numbers(&seen), (0..300).chain([1]).collect::<Vec<_>>());
    assert!(matches!(Look::open(&folder.path().join("frames")), Err(OutboxError::Absent { .. })));
}

/// Who takes items out as they come has them from memory: they are those on the disk.
#[tokio::test]
async fn what_is_read_as_it_comes_is_what_is_on_the_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let items = |items| Load { items, bytes: 1 << 30 };
    let limits = Limits { total: items(40), evidence: items(10), reserve: 0 };
    let outbox = Outbox::start(folder.path(), limits, clock()).expect("started");
    let handle = outbox.handle();
    assert!(handle.keep(item(Kind::Event, 0)).await);
    let start = *handle.visible().borrow();
    // Some twice, some evicted by others, some acknowledged.
    for n in 1..60 {
        let kind = if n % 3 == 0 { Kind::Evidence } else { Kind::Event };
        handle.keep(item(kind, n - n % 7 / 6)).await;
        if n % 10 == 0 {
            let first = handle.read(Destination::Broker, start, 1).await;
            handle.acknowledge(first.iter().map(|stored| stored.seq));
        }
    }
    let mut seen = Vec::new();
    for destination in Destination::ALL {
        seen.extend(handle.read(destination, start, 100).await);
    }
    assert!(seen.len() > 30, "{}", seen.len());
    outbox.close();
    let look = Look::open(folder.path()).expect("readable");
    let mut on_disk = Vec::new();
    look.each(|stored| {
        on_disk.push(stored.clone());
        Ok::<_, OutboxError>(())
    })
    .expect("readable");
    on_disk.retain(|stored| stored.seq > start);
    assert_eq!(seen, on_disk);
}

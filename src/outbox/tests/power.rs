//! Power cuts after any write.
//!
//! A process that works with an outbox runs under `strace`. From the system calls it made, the SQLite library's
//! included, a model of the disk says what may be there after a power cut between any two of them: what was synced is
//! there; of what was not, any part, down to single sectors of a write, and any of the names. On each such disk the
//! outbox is opened again.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use super::disk_model::{Call, DiskModel, Random, parse};
use super::*;
use crate::outbox::disk::{Disk, free_space};

const FOLDER: &str = "OCELLUS_TEST_OUTBOX";

/// Says something that is seen among the system calls.
fn mark(text: &str) {
    std::io::stderr().write_all(format!("mark {text}\n").as_bytes()).expect("written");
}

/// Run by the test below, under `strace`.
#[tokio::test]
#[ignore = "a part of another test"]
async fn works_with_an_outbox() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("run by another test"));
    for session in 0..3 {
        let outbox = Outbox::start(&folder, roomy(), clock()).expect("started");
        let handle = outbox.handle();
        for n in session * 8..session * 8 + 8 {
            let kind = if n % 3 == 0 { Kind::Evidence } else { Kind::Event };
            assert!(handle.keep(item(kind, n)).await);
            mark(&format!("kept {n}"));
            if n % 4 == 2 {
                for destination in Destination::ALL {
                    let first = handle.read(destination, 0, 1).await;
                    if let Some(stored) = first.first() {
                        mark(&format!("acknowledged {}", stored.item.id.random()));
                        handle.acknowledge([stored.seq]);
                    }
                }
            }
        }
        outbox.close();
        mark("closed");
    }
}

/// What the process was told at some moment.
#[derive(Default)]
struct Told {
    kept: Vec<u64>,
    acknowledged: Vec<u64>,
}

impl Told {
    fn hear(&mut self, mark: &str) {
        let mut words = mark.split_whitespace();
        let (what, n) = (words.next(), words.next().and_then(|n| n.parse().ok()));
        match (what, n) {
            (Some("kept"), Some(n)) => self.kept.push(n),
            (Some("acknowledged"), Some(n)) => self.acknowledged.push(n),
            _ => {}
        }
    }
}

fn trace(folder: &Path, log: &Path) -> Vec<Call> {
    let calls =
        "openat,mkdir,mkdirat,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat";
    let done = Command::new("strace")
        .args(["-f", "-y", "-xx", "-s", "1000000", "-e", &format!("trace={calls}"), "-o"])
        .arg(log)
        .arg(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "outbox::tests::power::works_with_an_outbox", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("strace is installed: scripts/setup test");
    assert!(
        done.success(),
        "{}",
        std::fs::read_to_string(log).unwrap_or_default().chars().take(500).collect::<String>()
    );
    parse(&std::fs::read_to_string(log).expect("a log"), folder.parent().expect("a parent"))
}

#[test]
fn a_power_cut_after_any_write_loses_nothing_that_was_kept() {
    let base = tempfile::tempdir().expect("a folder");
    let folder = base.path().join("state/outbox");
    std::fs::create_dir(base.path().join("state")).expect("made");
    let calls = trace(&folder, &base.path().join("log"));
    let changes = calls.iter().filter(|call| !matches!(call, Call::Mark(_))).count();
    assert!(changes > 300, "only {changes} changes of the disk were seen");

    // In memory where that is possible: what is cut is synced no more.
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder");
    let (mut model, mut told, mut random) = (DiskModel::default(), Told::default(), Random::new(7));
    let mut cuts = 0;
    for call in &calls {
        match call {
            Call::Mark(text) => told.hear(text),
            change => {
                model.apply(change);
                for keep in [0, 2, 4] {
                    let at = place.path().join(cuts.to_string());
                    model.cut(&at, keep, &mut random);
                    check(&at.join("outbox"), &told, &format!("after {change:?}, keeping {keep} of 4"));
                    std::fs::remove_dir_all(&at).expect("removed");
                    cuts += 1;
                }
            }
        }
    }
    assert_eq!(told.kept.len(), 24);
    assert!(told.acknowledged.len() >= 6, "{:?}", told.acknowledged);
}

/// What a process finds that starts after the cut.
fn check(folder: &Path, told: &Told, cut: &str) {
    let found = Disk::open(folder, roomy(), free_space());
    let mut disk = found.unwrap_or_else(|trouble| panic!("{cut}: {trouble:?}"));
    let mut waiting = BTreeMap::new();
    for destination in Destination::ALL {
        let items = disk.read(destination, 0, 100).unwrap_or_else(|trouble| panic!("{cut}: {trouble:?}"));
        assert!(items.windows(2).all(|pair| pair[0].item.id < pair[1].item.id), "{cut}: out of order");
        for stored in items {
            let n = u64::try_from(stored.item.id.random()).expect("small");
            let mut wanted = item(stored.item.kind, n);
            let frame = match &stored.frame {
                StoredFrame::File(path) => Some(std::fs::read(path).unwrap_or_else(|e| panic!("{cut}: {n}: {e}"))),
                _ => None,
            };
            assert_eq!(frame.as_deref(), wanted.frame.take().as_deref(), "{cut}: {n}");
            assert_eq!(stored.item, wanted, "{cut}");
            assert!(waiting.insert(n, stored.seq).is_none(), "{cut}: {n} is there twice");
        }
    }
    for n in &told.kept {
        assert!(waiting.contains_key(n) || told.acknowledged.contains(n), "{cut}: {n} is lost");
    }
    // It goes on from there.
    let next = disk.last().expect("readable") + 1;
    disk.round(&[], &[(next, item(Kind::Event, 1000))]).unwrap_or_else(|trouble| panic!("{cut}: {trouble:?}"));
}

//! Whether the disk under the outbox has room, can be written, and is quick enough.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Finding, Machine};
use crate::config::Config;

const CHECK: &str = "disk";
/// What is written to see how quick the disk is.
const SAMPLE: usize = 8 << 20;
/// Slower disks hold evidence up, bytes a second.
const SLOW: f64 = 4e6;
/// How often a small write is synced to see how long that takes.
const COMMITS: usize = 15;
/// Each event waits that long until it counts as kept; more is a disk that is worn, busy, or a card.
const LATE: Duration = Duration::from_millis(100);
/// Where the packaged unit keeps what lasts.
const PACKAGED: &str = "/var/lib/ocellus";

pub(super) fn examine(machine: &Machine, config: &Config) -> Vec<Finding> {
    if !config.outbox.enabled {
        return vec![Finding::warning(
            CHECK,
            "the outbox is in memory: a restart loses what waits",
            "set `enabled = true` in [outbox]",
        )];
    }
    let Some(folder) = folder(machine, config) else {
        return vec![Finding::error(CHECK, "there is no place for the outbox", "set `path` in [outbox]")];
    };
    let wanted = config.outbox.max_mib.saturating_add(config.outbox.reserve_mib);
    vec![room(&folder, wanted), speed(&folder), latency(&folder)]
}

/// The outbox's folder, or the nearest one above it that is there.
fn folder(machine: &Machine, config: &Config) -> Option<PathBuf> {
    let packaged = machine.path(PACKAGED);
    let usual = machine.variable("STATE_DIRECTORY").is_none() && packaged.is_dir();
    let wanted = match &config.outbox.path {
        Some(path) => path.clone(),
        None if usual => packaged,
        None => config.outbox.folder().ok()?,
    };
    wanted.ancestors().find(|folder| folder.is_dir()).map(Path::to_owned)
}

fn room(folder: &Path, wanted_mib: u64) -> Finding {
    let at = folder.display();
    match rustix::fs::statvfs(folder) {
        Err(error) => {
            Finding::error(CHECK, format!("{at} can't be looked at: {error}"), "set another `path` in [outbox]")
        }
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize) >> 20;
            let said = format!("{free} MiB are free at {at}");
            if free < wanted_mib {
                let fix = format!(
                    "the outbox may take {wanted_mib} MiB (`max_mib` and `reserve_mib` in [outbox]): free some, lower \
                     them, or set another `path`"
                );
                Finding::warning(CHECK, said, fix)
            } else {
                Finding::ok(CHECK, said)
            }
        }
    }
}

fn speed(folder: &Path) -> Finding {
    let at = folder.display();
    let file = folder.join(format!(".ocellus-doctor-{}", std::process::id()));
    let started = Instant::now();
    let written = std::fs::File::create(&file).and_then(|mut sample| {
        sample.write_all(&vec![0x5a; SAMPLE])?;
        sample.sync_all()
    });
    let took = started.elapsed().as_secs_f64();
    // It is empty, or was not made.
    let _ = std::fs::remove_file(&file);
    #[allow(clippy::cast_precision_loss)]
    let rate = SAMPLE as f64 / took.max(1e-6);
    match written {
        Err(error) => Finding::error(
            CHECK,
            format!("{at} can't be written: {error}"),
            "give it to the user that the daemon runs as; with the package: sudo -u ocellus ocellus doctor",
        ),
        Ok(()) => judge(&at.to_string(), rate),
    }
}

/// How long a small write takes until it is on the disk, as each event of the outbox has to.
fn latency(folder: &Path) -> Finding {
    let at = folder.display();
    let file = folder.join(format!(".ocellus-doctor-{}", std::process::id()));
    let commit = |log: &mut std::fs::File| {
        let started = Instant::now();
        log.write_all(&[0x5a; 4096])?;
        log.sync_data()?;
        Ok(started.elapsed())
    };
    let measured = std::fs::File::create(&file)
        .and_then(|mut log| (0..COMMITS).map(|_| commit(&mut log)).collect::<std::io::Result<Vec<_>>>());
    // It holds nothing, or was not made.
    let _ = std::fs::remove_file(&file);
    match measured {
        Err(error) => Finding::error(CHECK, format!("{at} can't be synced: {error}"), "set another `path` in [outbox]"),
        Ok(mut times) => {
            times.sort_unstable();
            judge_latency(&at.to_string(), times.get(COMMITS / 2).copied().unwrap_or_default())
        }
    }
}

fn judge_latency(at: &str, median: Duration) -> Finding {
    let said = format!("{at} has a small write after {:.1} ms, synced", median.as_secs_f64() * 1e3);
    if median > LATE {
        Finding::warning(
            CHECK,
            said,
            "put the outbox on a quicker disk (`path` in [outbox]): each event waits for that",
        )
    } else {
        Finding::ok(CHECK, said)
    }
}

fn judge(at: &str, rate: f64) -> Finding {
    let said = format!("{at} takes {:.0} MB/s, synced", rate / 1e6);
    if rate < SLOW {
        Finding::warning(CHECK, said, "put the outbox on a quicker disk (`path` in [outbox]), or keep less evidence")
    } else {
        Finding::ok(CHECK, said)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::super::testing::machine;
    use super::*;
    use crate::config::parse;

    #[test]
    fn the_nearest_folder_is_looked_at_and_left_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let text = format!("[outbox]\npath = {:?}\nmax_mib = 1\nreserve_mib = 1\n", root.path().join("a/b"));
        let found = examine(&machine(root.path(), &[]), &parse(&text).unwrap());
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|finding| finding.verdict == Verdict::Ok), "{found:?}");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_package_has_a_place_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("var/lib/ocellus");
        std::fs::create_dir_all(&own).unwrap();
        let config = parse("").unwrap();
        assert_eq!(folder(&machine(root.path(), &[]), &config), Some(own));
    }

    #[test]
    fn too_little_room_too_slow_or_closed() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(room(root.path(), u64::MAX).verdict, Verdict::Warning);
        assert_eq!(room(&root.path().join("absent"), 1).verdict, Verdict::Error);
        assert_eq!(speed(Path::new("/proc")).verdict, Verdict::Error);
        assert_eq!(latency(Path::new("/proc")).verdict, Verdict::Error);
        assert_eq!(judge_latency("/x", Duration::from_millis(101)).verdict, Verdict::Warning);
        assert_eq!(judge("/x", 1e6).verdict, Verdict::Warning);
        assert_eq!(judge("/x", 1e8).verdict, Verdict::Ok);
        let off = parse("[outbox]\nenabled = false\n").unwrap();
        assert_eq!(examine(&machine(root.path(), &[]), &off)[0].verdict, Verdict::Warning);
    }
}

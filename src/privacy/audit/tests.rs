//! A log on a real disk, and what becomes of it in wrong hands.

use super::*;

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn withheld(n: usize) -> What {
    What::Withheld {
        id: format!("01ID{n}"),
        camera: "line3".to_owned(),
        destination: "az://c".to_owned(),
        reason: "no rule fits".to_owned(),
        found: Found::default(),
    }
}

fn log(entries: usize) -> (tempfile::TempDir, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut audit = Audit::open(folder.path(), 1 << 30, now()).expect("opened");
    let hashes = (0..entries).map(|n| audit.write(withheld(n), now()).expect("written")).collect();
    (folder, hashes)
}

fn text(folder: &Path) -> String {
    fs::read_to_string(named(folder, 1)).expect("read")
}

#[test]
fn a_log_is_gone_on_with_and_whole() {
    let (folder, hashes) = log(3);
    let mut audit = Audit::open(folder.path(), 1 << 30, now()).expect("opened again");
    let last = audit.write(withheld(3), now()).expect("written");
    let report = verify(folder.path(), &hashes).expect("whole");
    assert_eq!((report.first, report.last, report.withheld, report.released), (1, 6, 4, 0));
    assert_eq!((report.head, report.holds), (last, hashes));
    assert_eq!(text(folder.path()).lines().count(), 6);
}

#[test]
fn verdicts_that_leave_are_in_the_log_and_counted() {
    let (folder, _) = log(1);
    let mut audit = Audit::open(folder.path(), 1 << 30, now()).expect("opened again");
    let verdict = What::Verdict {
        id: "a-17".to_owned(),
        frame: "01ID0".to_owned(),
        camera: "line3".to_owned(),
        destination: "az://c".to_owned(),
        verdict: Judgement::Wrong,
        by: None,
        digest: sha256("{}"),
    };
    let hash = audit.write(verdict.clone(), now()).expect("written");
    let report = verify(folder.path(), &[hash]).expect("whole");
    assert_eq!((report.verdicts, report.withheld, report.released), (1, 1, 0));
    let text = text(folder.path());
    let line = text.lines().last().expect("a line");
    assert!(line.contains(r#""what":"verdict","id":"a-17","frame":"01ID0""#) && !line.contains("by"), "{line}");
    assert_eq!(read(line.as_bytes()).expect("an entry").0.what, verdict);
}

/// The description of the hash, followed by hand.
#[test]
fn the_hash_is_that_of_the_line_without_it() {
    let (folder, hashes) = log(2);
    let text = text(folder.path());
    let line = text.lines().last().expect("a line");
    let tail = format!(",\"hash\":\"{}\"", hashes[1]);
    let body = line.replace(&tail, "");
    assert_eq!(body.len() + tail.len(), line.len());
    assert_eq!(sha256(&body), hashes[1]);
    let entry: serde_json::Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(entry["before"], hashes[0].as_str());
    assert_eq!((&entry["number"], &entry["what"], &entry["id"]), (&3.into(), &"withheld".into(), &"01ID1".into()));
}

#[test]
fn every_change_of_every_byte_shows() {
    let (folder, _) = log(3);
    let (path, original) = (named(folder.path(), 1), text(folder.path()).into_bytes());
    for at in 0..original.len() {
        let mut changed = original.clone();
        changed[at] ^= 1;
        fs::write(&path, &changed).expect("written");
        let error = verify(folder.path(), &[]).expect_err("it was changed").to_string();
        assert!(error.contains("audit-000000000001.jsonl:"), "{at}: {error}");
    }
}

#[test]
fn lines_that_go_come_or_change_places_show() {
    let (folder, hashes) = log(4);
    let path = named(folder.path(), 1);
    let original = text(folder.path());
    let lines: Vec<&str> = original.split_inclusive('\n').collect();
    let write = |lines: Vec<&str>| fs::write(&path, lines.concat()).expect("written");
    for (changed, line) in [
        ([&lines[..2], &lines[3..]].concat(), "3: entry 4 follows entry 2"),
        ([&lines[..2], &[lines[3], lines[2]], &lines[4..]].concat(), "3: entry 4 follows entry 2"),
        ([&lines[..2], &lines[1..]].concat(), "3: entry 2 follows entry 2"),
        (lines[1..].to_vec(), "does not say that those before were removed"),
    ] {
        write(changed);
        let error = verify(folder.path(), &[]).expect_err("it was changed").to_string();
        assert!(error.contains(line), "{error}");
    }
    // What was cut off at the end is whole in itself, and shows where the last hash is known.
    write(lines[..3].to_vec());
    verify(folder.path(), &hashes[..2]).expect("whole in itself");
    let error = verify(folder.path(), &hashes).expect_err("cut off").to_string();
    assert!(error.contains(&hashes[2]), "{error}");
}

/// Whoever makes a chain of their own has other hashes than those that went with the records.
#[test]
fn a_log_made_anew_lacks_the_hashes_that_left() {
    let (_, hashes) = log(3);
    let folder = tempfile::tempdir().expect("a folder");
    let mut forged = Audit::open(folder.path(), 1 << 30, now()).expect("opened");
    for n in 0..3 {
        forged.write(withheld(n + 10), now()).expect("written");
    }
    verify(folder.path(), &[]).expect("whole in itself");
    let error = verify(folder.path(), &hashes[..1]).expect_err("forged").to_string();
    assert!(error.contains(&hashes[0]), "{error}");
}

#[test]
fn half_a_line_was_never_acted_upon_and_goes() {
    let (folder, _) = log(2);
    let path = named(folder.path(), 1);
    let whole = text(folder.path());
    fs::write(&path, format!("{whole}{{\"number\":4,\"at")).expect("written");
    Audit::open(folder.path(), 1 << 30, now()).expect("opened");
    let report = verify(folder.path(), &[]).expect("whole");
    assert_eq!(report.last, 4);
}

#[test]
fn damage_is_noted_and_stays_visible() {
    let (folder, _) = log(2);
    let path = named(folder.path(), 1);
    fs::write(&path, text(folder.path()).replace("01ID1", "01ID7")).expect("written");
    let mut audit = Audit::open(folder.path(), 1 << 30, now()).expect("it goes on");
    audit.write(withheld(3), now()).expect("written");
    let error = verify(folder.path(), &[]).expect_err("damaged").to_string();
    assert!(error.contains(":3: this entry was changed"), "{error}");
}

#[test]
fn the_oldest_go_and_the_log_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut audit = Audit::open(folder.path(), 3 * FILE, now()).expect("opened");
    let long = "x".repeat(200_000);
    let mut hashes = Vec::new();
    for n in 0..300 {
        let What::Withheld { id, camera, destination, found, .. } = withheld(n) else { unreachable!() };
        let what = What::Withheld { id, camera, destination, reason: long.clone(), found };
        hashes.push(audit.write(what, now()).expect("written"));
    }
    let files = files(folder.path()).expect("listed");
    let bytes: u64 = files.iter().map(|(_, path)| path.metadata().expect("there").len()).sum();
    assert!(bytes <= 3 * FILE + (1 << 20), "{bytes}");
    let report = verify(folder.path(), &hashes[299..]).expect("whole");
    assert!(report.first > 1, "{report:?}");
    // Removed by anybody else, it shows.
    fs::remove_file(&files[0].1).expect("removed");
    verify(folder.path(), &[]).expect_err("one is missing");
}

#[test]
fn none_is_no_log() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(matches!(verify(folder.path(), &[]), Err(Broken::Absent { .. })));
    assert!(matches!(verify(&folder.path().join("absent"), &[]), Err(Broken::Unreadable { .. })));
}

impl Audit {
    /// From now on the disk is full.
    pub(in crate::privacy) fn fill_the_disk(&mut self) {
        self.file = File::options().append(true).open("/dev/full").expect("Linux has it");
    }
}

#[test]
fn what_is_not_on_the_disk_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut audit = Audit::open(folder.path(), 1 << 30, now()).expect("opened");
    audit.fill_the_disk();
    audit.write(withheld(1), now()).expect_err("the disk is full");
    let mut audit = Audit::open(folder.path(), 1 << 30, now()).expect("opened again");
    audit.write(withheld(1), now()).expect("written");
    assert_eq!(verify(folder.path(), &[]).expect("whole").last, 3);
}

#[test]
fn a_file_that_was_begun_and_never_written_is_none() {
    let (folder, hashes) = log(2);
    for rest in ["", "{\"number\":4"] {
        fs::write(named(folder.path(), 4), rest).expect("written");
        drop(Audit::open(folder.path(), 1 << 30, now()).expect("opened"));
    }
    assert_eq!(verify(folder.path(), &hashes).expect("whole").last, 5);
}

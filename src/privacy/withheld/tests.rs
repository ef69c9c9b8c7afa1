//! On a real file system.

use super::*;
use crate::evidence::{Reason, scored};

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn id(n: u32) -> String {
    format!("01JD0000000000000000000{n:03}")
}

fn item(n: u32) -> Evidence {
    let reason = Reason::Band { label: "bolt".to_owned(), score: 0.45 };
    let pick = Pick { reason, value: 0.5, scored: scored(n.into(), &[("bolt", 0.45, [0.1, 0.2, 0.3, 0.4])]) };
    Evidence::encode(&id(n), &pick).expect("encoded")
}

fn held(item: &Evidence, cause: Cause) -> Held {
    let record = serde_json::from_slice(&item.json).expect("a record");
    Held { cause, reason: "because".to_owned(), destination: "az://c".to_owned(), since: NOW, record }
}

fn keep(withheld: &mut Withheld, n: u32, cause: Cause) -> Vec<String> {
    let item = item(n);
    withheld.keep(&item, &held(&item, cause)).expect("kept")
}

fn files(folder: &Path) -> Vec<String> {
    let all = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let mut names: Vec<_> = all.map(|entry| entry.file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

#[test]
fn what_was_kept_is_there_again_and_nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("deep/withheld");
    let mut withheld = Withheld::open(&place, 1 << 20).expect("opened");
    assert!(keep(&mut withheld, 1, Cause::Policy).is_empty());
    let load = withheld.load();
    let withheld = Withheld::open(&place, 1 << 20).expect("opened again");
    assert_eq!((withheld.load(), load.frames), (load, 1));
    let (held, pick) = withheld.read(&id(1)).expect("readable").expect("there");
    assert_eq!((held.cause, held.record.id.as_str()), (Cause::Policy, id(1).as_str()));
    assert_eq!(pick.scored.frame.image.jpeg(), item(1).jpeg.as_ref());
    assert_eq!((pick.scored.detections.frame.seq, pick.value), (1, 0.5));
    assert_eq!(withheld.read(&id(2)).expect("readable").map(drop), None);
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&place), mode(&place.join(format!("{}.jpg", id(1))))), (0o700, 0o600));
}

#[test]
fn where_there_is_no_room_the_oldest_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = {
        let mut probe = Withheld::open(&folder.path().join("probe"), 1 << 20).expect("opened");
        keep(&mut probe, 0, Cause::Policy);
        probe.load().bytes
    };
    let place = folder.path().join("withheld");
    let mut withheld = Withheld::open(&place, one * 7 / 2).expect("opened");
    let gone: Vec<_> = (0..6).map(|n| keep(&mut withheld, n, Cause::Trouble)).collect();
    assert_eq!(gone, [vec![], vec![], vec![], vec![id(0)], vec![id(1)], vec![id(2)]]);
    assert!(withheld.load().bytes <= one * 7 / 2);
    assert_eq!(files(&place).len(), 6, "{:?}", files(&place));
    assert_eq!(withheld.in_trouble(), Some(id(3).as_str()));
    // With no room at all each is lost at once.
    let mut none = Withheld::open(&folder.path().join("none"), 0).expect("opened");
    assert_eq!((keep(&mut none, 1, Cause::Policy), none.load()), (vec![id(1)], Load::default()));
}

#[test]
fn who_asks_is_known_and_what_a_crash_left_is_swept() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut withheld = Withheld::open(folder.path(), 1 << 20).expect("opened");
    keep(&mut withheld, 1, Cause::OnRequest);
    for wrong in ["../../etc/passwd", "nothing", &id(2)] {
        let error = ask_for(folder.path(), wrong, "anna").expect_err("not there");
        assert!(error.to_string().contains(wrong), "{error}");
    }
    ask_for(folder.path(), &id(1), "anna\n").expect("asked");
    assert_eq!(withheld.asked().expect("read"), [(id(1), "anna".to_owned())]);
    for left in ["jpg", "part", "release"] {
        fs::write(folder.path().join(format!("{}.{left}", id(7))), "half").expect("written");
    }
    fs::write(folder.path().join(format!("{}.json", id(8))), "no JSON").expect("written");
    let withheld = Withheld::open(folder.path(), 1 << 20).expect("opened");
    assert_eq!(withheld.load().frames, 1);
    assert_eq!(files(folder.path()).len(), 4, "{:?}", files(folder.path()));
    let listed = held_in(folder.path()).expect("listed");
    assert!(listed[0].1.is_ok() && listed[1].1.is_err(), "{listed:?}");
    withheld.answered(&id(1)).expect("forgotten");
    withheld.answered(&id(1)).expect("and again");
    assert!(withheld.asked().expect("read").is_empty());
}

#[test]
fn a_frame_is_gone_when_it_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut withheld = Withheld::open(folder.path(), 1 << 20).expect("opened");
    keep(&mut withheld, 1, Cause::Trouble);
    let held = held(&item(1), Cause::Policy);
    withheld.note(&id(1), &held).expect("noted");
    assert_eq!(withheld.in_trouble(), None);
    withheld.remove(&id(1)).expect("removed");
    assert!(files(folder.path()).is_empty());
    assert_eq!(withheld.load(), Load::default());
}

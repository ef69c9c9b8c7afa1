//! What becomes of frames that stay.

use std::time::Duration;

use super::*;
use crate::privacy::withheld::{Cause, Held, ask_for, held_in};

fn held(folder: &tempfile::TempDir) -> Vec<Held> {
    let all = held_in(&folder.path().join("withheld")).expect("listed");
    all.into_iter().map(|(_, held)| held.expect("readable")).collect()
}

/// A policy that needs faces, and a model of faces that may be broken: any model finds something, or nothing.
fn with_faces(model: &Path) -> PrivacyConfig {
    let finder: FinderConfig = toml::from_str(&format!("path = {model:?}")).expect("a finder");
    PrivacyConfig { faces: Some(finder), ..policy(&["allow = \"frame\"\nredact = [\"faces\"]"]) }
}

fn package() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/conveyor")
}

#[test]
fn a_frame_leaves_by_itself_once_the_model_works() {
    let place = tempfile::tempdir().expect("a folder");
    let model = place.path().join("model");
    std::os::unix::fs::symlink("/no/such/model", &model).expect("linked");
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), clock());
    let guard = guard_in(&with_faces(&model), folder.path(), &clock);
    assert!(pass(&guard, &pick(None)).is_none());
    assert_eq!(held(&folder).len(), 1);
    let stays = &held(&folder)[0];
    assert_eq!((stays.cause, stays.record.id.as_str(), stays.destination.as_str()), (Cause::Trouble, ID, "az://c"));
    assert!(stays.reason.contains("the model for faces can't run"), "{}", stays.reason);
    // It still doesn't, and is left alone for a while.
    assert!(guard.next_to_leave().is_none());
    drop(guard);

    std::fs::remove_file(&model).expect("removed");
    std::os::unix::fs::symlink(package(), &model).expect("linked");
    let guard = guard_in(&with_faces(&model), folder.path(), &clock);
    let leaving = guard.next_to_leave().expect("it works now");
    let record: Record = serde_json::from_slice(&leaving.evidence.json).expect("a record");
    assert_eq!((leaving.asked_by, record.id.as_str(), record.detections.frame.seq), (None, ID, 7));
    assert!(leaving.evidence.jpeg.is_some() && record.privacy.is_some());
    assert_eq!((&last(&folder)["what"], &last(&folder)["id"]), (&"released".into(), &ID.into()));
    // Until it is safe elsewhere it is here.
    assert_eq!(guard.load().frames, 1);
    guard.left(ID);
    assert!(guard.next_to_leave().is_none() && held(&folder).is_empty() && guard.load().frames == 0);
    verify(folder.path(), &[record.privacy.expect("handled").audit]).expect("whole");
}

#[test]
fn what_does_not_work_is_not_asked_all_the_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = clock();
    let guard = guard_in(&policy(&["allow = \"frame\"\nredact = [\"faces\"]"]), folder.path(), &clock);
    assert!(pass(&guard, &pick(None)).is_none());
    let entries = || verify(folder.path(), &[]).expect("whole").last;
    let before = entries();
    for _ in 0..3 {
        assert!(guard.next_to_leave().is_none());
        clock.advance(Duration::from_secs(30));
    }
    assert_eq!((entries(), guard.load().frames), (before, 1), "nothing new was found out");
}

#[test]
fn what_the_policy_keeps_leaves_on_request_and_within_the_policy() {
    let folder = tempfile::tempdir().expect("a folder");
    let withheld = folder.path().join("withheld");
    let clock = clock();
    let strict = guard_in(&policy(&["allow = \"nothing\""]), folder.path(), &clock);
    assert!(pass(&strict, &pick(None)).is_none());
    assert_eq!(held(&folder)[0].cause, Cause::Policy);
    ask_for(&withheld, ID, "anna").expect("asked");
    assert!(strict.next_to_leave().is_none(), "nobody may ask for what no rule lets go");
    assert_eq!((held(&folder).len(), last(&folder)["what"].as_str()), (1, Some("withheld")));
    drop(strict);

    // Rules that let more go let nothing go that was kept before, unless somebody asks.
    let lax = guard_in(&policy(&["allow = \"metadata\""]), folder.path(), &clock);
    assert!(lax.next_to_leave().is_none());
    ask_for(&withheld, ID, "anna").expect("asked");
    let leaving = lax.next_to_leave().expect("asked for and allowed");
    assert_eq!((leaving.asked_by.as_deref(), leaving.evidence.jpeg), (Some("anna"), None));
    assert_eq!(last(&folder)["asked_by"], "anna");
    lax.left(ID);
    assert!(held(&folder).is_empty() && !withheld.join(format!("{ID}.release")).exists());
}

#[test]
fn a_rule_may_wait_for_a_request() {
    let (guard, folder) = guard(&policy(&["allow = \"frame\"\non_request = true"]));
    assert!(pass(&guard, &pick(None)).is_none());
    assert_eq!(held(&folder)[0].cause, Cause::OnRequest);
    assert!(guard.next_to_leave().is_none());
    ask_for(&folder.path().join("withheld"), ID, "bert").expect("asked");
    let leaving = guard.next_to_leave().expect("asked for");
    let plain = Encoded::of(&pick(None).scored.frame.image).expect("encoded").jpeg;
    assert_eq!(leaving.evidence.jpeg.as_deref().map(decoded), Some(decoded(&plain)));
}

#[test]
fn what_has_to_make_room_is_counted_and_in_the_log() {
    let (guard, folder) = guard(&PrivacyConfig { withheld_mib: 0, ..policy(&["allow = \"nothing\""]) });
    for _ in 0..2 {
        assert!(pass(&guard, &pick(None)).is_none());
    }
    assert_eq!((guard.lost(), guard.load().frames), (2, 0));
    let report = verify(folder.path(), &[]).expect("whole");
    assert_eq!((report.withheld, report.discarded), (2, 2));
    assert_eq!(last(&folder)["what"], "discarded");
}

#[test]
fn a_frame_that_can_not_be_read_any_more_holds_up_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let guard = guard_in(&policy(&["allow = \"frame\"\non_request = true"]), folder.path(), &clock());
    let withheld = folder.path().join("withheld");
    let ids = ["01JD0000000000000000000001", "01JD0000000000000000000002"];
    for id in ids {
        assert!(guard.pass(id, &pick(None)).expect("no failure").is_none());
        ask_for(&withheld, id, "anna").expect("asked");
    }
    std::fs::write(withheld.join(format!("{}.jpg", ids[0])), b"no picture").expect("written");
    assert_eq!(guard.next_to_leave().expect("the other").evidence.id, ids[1]);
    assert_eq!(guard.lost(), 1);
}

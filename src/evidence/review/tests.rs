//! Frames that pass a gate, and what is said of them.

use std::path::Path;

use chrono::DateTime;

use super::*;
use crate::clock::ManualClock;
use crate::config::{Allow, Method};
use crate::evidence::{
    Encoded, Evidence, EvidenceError, Found, Gate, Handled, Handling, Open, Pick, Reason, ReviewGate, scored,
};
use crate::frame::{Frame as Shot, Image, PixelFormat};

const BOLT: (&str, f32, [f32; 4]) = ("bolt", 0.45, [0.1, 0.2, 0.3, 0.4]);

pub(crate) fn id(n: u64) -> String {
    Ulid::from_parts(1_767_225_600_000 + n, n.into()).to_string()
}

pub(crate) fn pick(n: u64) -> Pick {
    let mut scored = scored(n, &[BOLT]);
    let grey = vec![90; PixelFormat::Rgb8.bytes(64, 48)];
    let image = Image::new(64, 48, PixelFormat::Rgb8, grey.into()).expect("a picture");
    scored.frame = Shot { image, ..scored.frame };
    Pick { reason: Reason::Band { label: "bolt".to_owned(), score: 0.45 }, value: 0.5, scored }
}

pub(crate) fn reviews(settings: &ReviewConfig, folder: Option<&Path>) -> Reviews {
    let clock = ManualClock::new(DateTime::from_timestamp(1_767_300_000, 0).expect("a time"));
    let reviews = Reviews::open(settings, folder, Arc::new(clock));
    let labels = [(camera(), vec!["bolt".to_owned(), "nut".to_owned()])];
    reviews.know(labels.into());
    reviews
}

fn camera() -> String {
    pick(1).scored.detections.camera.clone()
}

/// Holds frame `n` as an open gate lets it pass, once it is kept.
pub(crate) fn hold(reviews: &Reviews, n: u64) -> Evidence {
    let gate = ReviewGate::new(Arc::new(Open), reviews.clone());
    let evidence = gate.pass(&id(n), &pick(n)).expect("passed").expect("released");
    gate.kept(&id(n));
    evidence
}

pub(crate) fn said(json: &str) -> Said {
    Said::read(json.as_bytes()).expect(json)
}

fn judge(reviews: &Reviews, n: u64, json: &str) -> Result<Taken, ReviewError> {
    reviews.judge(&id(n), said(json), Via::Http)
}

fn tallies(reviews: &Reviews) -> [u64; 3] {
    let all = reviews.tallies(&camera());
    all.iter().fold([0; 3], |sum, of| [sum[0] + of.right, sum[1] + of.wrong, sum[2] + of.corrected])
}

/// Lets a part of each frame go, or nothing.
struct Only(Allow);

impl Gate for Only {
    fn pass(&self, id: &str, pick: &Pick) -> Result<Option<Evidence>, EvidenceError> {
        let handling = Handling {
            rule: "r".to_owned(),
            allow: self.0,
            method: (self.0 == Allow::Frame).then_some(Method::Fill),
            found: Found { persons: 1, ..Found::default() },
        };
        let black = Image::new(64, 48, PixelFormat::Rgb8, vec![0; 64 * 48 * 3].into()).expect("a picture");
        let picture = (self.0 == Allow::Frame).then(|| Encoded::of(&black).expect("encoded"));
        if self.0 == Allow::Nothing {
            return Ok(None);
        }
        Evidence::assemble(id, pick, picture, Some(Handled { handling, audit: "0".repeat(64) })).map(Some)
    }
}

#[test]
fn the_last_verdict_counts_and_all_are_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let reviews = reviews(&ReviewConfig::default(), Some(folder.path()));
    hold(&reviews, 1);
    hold(&reviews, 2);
    let list = reviews.list(&Wanted { judged: Some(false), limit: 10, ..Wanted::default() }).expect("a list");
    assert_eq!((list.awaiting, list.held, list.next), (2, 2, None));
    assert_eq!(list.frames.iter().map(|frame| frame.id.clone()).collect::<Vec<_>>(), [id(2), id(1)]);
    let picture = list.frames[0].picture.clone().expect("a picture");
    assert_eq!((picture.width, picture.height), (64, 48));
    assert_eq!(picture.path, format!("/api/review/frames/{}/picture", id(2)));
    assert_eq!(reviews.picture(&id(2)).expect("a picture")[..2], [0xff, 0xd8]);

    let first = judge(&reviews, 1, r#"{"verdict":"wrong","by":"Ann","id":"v1","replaces":null}"#).expect("taken");
    assert_eq!((first.repeated, first.verdict.revision, first.verdict.replaces.as_deref()), (false, 1, None));
    assert_eq!(tallies(&reviews), [0, 1, 0]);
    let corrected = r#"{"verdict":"corrected","by":"Bob","objects":[{"label":"nut","box":[0.123456789,0.2,0.3,0.4]}]}"#;
    let second = judge(&reviews, 1, corrected).expect("taken");
    assert_eq!((second.verdict.revision, second.verdict.replaces.as_deref()), (2, Some("v1")));
    assert_eq!(tallies(&reviews), [0, 0, 1], "the last one counts");
    let detail = reviews.detail(&id(1)).expect("held");
    assert_eq!(detail.verdicts, [first.verdict, second.verdict.clone()]);
    assert_eq!(
        (detail.frame.verdict, detail.labels),
        (Some(Judgement::Corrected), vec!["bolt".to_owned(), "nut".to_owned()])
    );
    assert_eq!(detail.frame.model, second.verdict.model);
    let list = |judged| reviews.list(&Wanted { judged, limit: 10, ..Wanted::default() }).expect("a list").frames.len();
    assert_eq!((list(None), list(Some(true)), list(Some(false))), (2, 1, 1));
}

#[test]
fn a_verdict_said_again_is_the_same_and_its_id_is_for_no_other() {
    let reviews = reviews(&ReviewConfig::default(), None);
    hold(&reviews, 1);
    hold(&reviews, 2);
    let json =
        r#"{"verdict":"corrected","id":"v","by":"Ann","objects":[{"label":"nut","box":[0.333333333,0.2,0.3,0.4]}]}"#;
    let first = judge(&reviews, 1, json).expect("taken");
    let again = judge(&reviews, 1, json).expect("taken");
    assert_eq!((again.repeated, &again.verdict), (true, &first.verdict));
    assert_eq!((reviews.detail(&id(1)).expect("held").verdicts.len(), tallies(&reviews)), (1, [0, 0, 1]));
    // Also after another one has come, and then it still is not the one that counts.
    judge(&reviews, 1, r#"{"verdict":"right"}"#).expect("taken");
    assert!(judge(&reviews, 1, json).expect("taken").repeated);
    assert_eq!(reviews.detail(&id(1)).expect("held").frame.verdict, Some(Judgement::Right));
    for (n, other) in [(1, json.replace("0.2", "0.25")), (1, json.replace("Ann", "Bob")), (2, json.to_owned())] {
        let error = judge(&reviews, n, &other).expect_err("it is another");
        assert!(
            matches!(&error, ReviewError::Conflict(reason) if reason.contains("v is the id of another")),
            "{error}"
        );
    }
}

#[test]
fn who_has_not_seen_the_verdict_that_counts_is_told() {
    let reviews = reviews(&ReviewConfig::default(), None);
    hold(&reviews, 1);
    judge(&reviews, 1, r#"{"verdict":"right","id":"v1"}"#).expect("taken");
    for replaces in ["null", "\"v0\""] {
        let error =
            judge(&reviews, 1, &format!(r#"{{"verdict":"wrong","replaces":{replaces}}}"#)).expect_err("it is old");
        assert!(error.to_string().contains("it is v1") && matches!(error, ReviewError::Conflict(_)), "{error}");
    }
    judge(&reviews, 1, r#"{"verdict":"wrong","replaces":"v1"}"#).expect("taken");
}

#[test]
fn what_nobody_knows_is_told() {
    let settings = ReviewConfig { labels: vec!["scratch".to_owned()], ..ReviewConfig::default() };
    let reviews = reviews(&settings, None);
    hold(&reviews, 1);
    let marked =
        |label: &str| format!(r#"{{"verdict":"corrected","objects":[{{"label":"{label}","box":[0,0,1,1]}}]}}"#);
    for label in ["bolt", "nut", "scratch"] {
        judge(&reviews, 1, &marked(label)).expect(label);
    }
    let near = judge(&reviews, 1, &marked("bolts")).expect_err("no such label").to_string();
    assert!(near.contains("there is no label `bolts`: did you mean `bolt`?"), "{near}");
    let far = judge(&reviews, 1, &marked("aeroplane")).expect_err("no such label").to_string();
    assert!(far.contains("there are `bolt`, `nut`, `scratch`"), "{far}");
    let long = judge(&reviews, 1, &marked(&"ä".repeat(5000))).expect_err("no such label").to_string();
    assert!(long.len() < 400, "{long}");
    let error = judge(&reviews, 2, r#"{"verdict":"right"}"#).expect_err("no such frame");
    assert!(matches!(error, ReviewError::UnknownFrame { .. }) && error.to_string().contains(&id(2)), "{error}");
    assert!(matches!(reviews.detail("../x"), Err(ReviewError::UnknownFrame { .. })));
    assert!(matches!(reviews.picture("x"), Err(ReviewError::UnknownFrame { .. })));
    let history = reviews.detail(&id(1)).expect("held").verdicts.len();
    for _ in history..MAX_VERDICTS {
        judge(&reviews, 1, r#"{"verdict":"right"}"#).expect("taken");
    }
    let many = judge(&reviews, 1, r#"{"verdict":"right"}"#).expect_err("too many").to_string();
    assert!(many.contains("has 100 verdicts"), "{many}");
}

#[test]
fn the_oldest_frames_go_and_what_waits_stays() {
    let settings = ReviewConfig { frames: 3, ..ReviewConfig::default() };
    let reviews = reviews(&settings, None);
    hold(&reviews, 1);
    judge(&reviews, 1, r#"{"verdict":"right","id":"v1"}"#).expect("taken");
    (2..=5).for_each(|n| drop(hold(&reviews, n)));
    let list = reviews.list(&Wanted { limit: 2, ..Wanted::default() }).expect("a list");
    assert_eq!((list.held, list.next.as_deref()), (3, Some(id(4).as_str())));
    let rest = Wanted { limit: 2, before: list.next, ..Wanted::default() };
    let rest = reviews.list(&rest).expect("a list");
    assert_eq!((rest.frames.len(), rest.frames[0].id.as_str(), rest.next), (1, id(3).as_str(), None));
    assert!(reviews.detail(&id(1)).is_err(), "it had to go");
    let waiting = reviews.waiting(10).expect("read");
    assert_eq!((waiting.len(), waiting[0].1.id.as_str()), (1, "v1"));
    reviews.delivered(waiting[0].0).expect("noted");
    assert_eq!((reviews.waiting(10).expect("read").len(), reviews.last_waiting()), (0, 0));
    assert_eq!(tallies(&reviews), [1, 0, 0]);

    // A limit of bytes holds too; what is larger than all is shown without its picture.
    let none = ReviewConfig { mib: 0, ..ReviewConfig::default() };
    let reviews = self::reviews(&none, None);
    hold(&reviews, 1);
    hold(&reviews, 2);
    let list = reviews.list(&Wanted { limit: 9, ..Wanted::default() }).expect("a list");
    assert_eq!((list.frames.len(), list.frames[0].id.as_str()), (1, id(2).as_str()));
    assert!(list.frames[0].picture.is_none() && reviews.picture(&id(2)).is_err());
}

#[test]
fn verdicts_are_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let deep = folder.path().join("not/there/yet");
    let open = || reviews(&ReviewConfig::default(), Some(&deep));
    let first = open();
    hold(&first, 1);
    let taken = judge(&first, 1, r#"{"verdict":"wrong","id":"v1"}"#).expect("taken");
    let salt = first.hashing().expect("a salt");
    drop(first);
    let again = open();
    assert_eq!(again.detail(&id(1)).expect("held").verdicts, std::slice::from_ref(&taken.verdict));
    assert_eq!(
        again.waiting(9).expect("read").into_iter().map(|(_, verdict)| verdict).collect::<Vec<_>>(),
        [taken.verdict]
    );
    assert_eq!((tallies(&again), again.last_waiting()), ([0, 1, 0], 1));
    assert_eq!(again.hashing().expect("a salt"), salt, "hashes stay the same");
}

#[test]
fn a_broken_database_is_put_aside_and_a_disk_that_takes_nothing_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(FILE);
    std::fs::write(&file, vec![7; 9000]).expect("written");
    let reviews = reviews(&ReviewConfig::default(), Some(folder.path()));
    hold(&reviews, 1);
    judge(&reviews, 1, r#"{"verdict":"right"}"#).expect("taken");
    assert_eq!(std::fs::read(folder.path().join("reviews.db.corrupt")).expect("there"), vec![7; 9000]);

    // A file is where the folder would be; once it is gone everything works.
    let blocked = folder.path().join("blocked");
    std::fs::write(&blocked, b"in the way").expect("written");
    let reviews = self::reviews(&ReviewConfig::default(), Some(&blocked));
    hold(&reviews, 1);
    assert!(matches!(judge(&reviews, 1, r#"{"verdict":"right"}"#), Err(ReviewError::NotNow(_))));
    std::fs::remove_file(&blocked).expect("removed");
    hold(&reviews, 2);
    judge(&reviews, 2, r#"{"verdict":"right"}"#).expect("taken");
}

#[test]
fn reviewers_see_what_leaves_or_what_the_camera_saw_and_the_policy_holds_for_verdicts() {
    let mean = |reviews: &Reviews| {
        let jpeg = reviews.picture(&id(1)).ok()?;
        Some(image::load_from_memory(&jpeg).expect("a JPEG").to_rgb8().get_pixel(9, 9).0[0])
    };
    for (allow, pictures, held, shade, waits) in [
        (Allow::Frame, ReviewPictures::Released, 1, Some(0), 1),
        (Allow::Frame, ReviewPictures::Original, 1, Some(90), 1),
        (Allow::Metadata, ReviewPictures::Released, 1, None, 1),
        (Allow::Metadata, ReviewPictures::Original, 1, Some(90), 1),
        (Allow::Nothing, ReviewPictures::Released, 0, None, 0),
        (Allow::Nothing, ReviewPictures::Original, 1, Some(90), 0),
    ] {
        let reviews = reviews(&ReviewConfig { pictures, ..ReviewConfig::default() }, None);
        let gate = ReviewGate::new(Arc::new(Only(allow)), reviews.clone());
        let passed = gate.pass(&id(1), &pick(1)).expect("passed");
        assert_eq!(passed.is_some(), allow != Allow::Nothing, "the gate before decides");
        gate.kept(&id(1));
        let list = reviews.list(&Wanted { limit: 9, ..Wanted::default() }).expect("a list").frames;
        assert_eq!((list.len(), mean(&reviews)), (held, shade), "{allow:?} {pictures:?}");
        if let Some(frame) = list.first() {
            assert_eq!((frame.leaves, frame.picture.is_some()), (allow, shade.is_some()));
            judge(&reviews, 1, r#"{"verdict":"wrong"}"#).expect("taken");
        }
        assert_eq!(reviews.waiting(9).expect("read").len(), waits, "{allow:?} {pictures:?}");
    }
}

/// As when the daemon is killed, or the outbox is full, between choosing a frame and keeping it.
#[test]
fn what_is_lost_before_it_is_kept_is_not_to_be_judged() {
    let reviews = reviews(&ReviewConfig::default(), None);
    let gate = ReviewGate::new(Arc::new(Open), reviews.clone());
    let held = || {
        let list = reviews.list(&Wanted { limit: 9, ..Wanted::default() }).expect("a list").frames;
        list.into_iter().map(|frame| frame.id).collect::<Vec<_>>()
    };
    for n in 1..=100 {
        gate.pass(&id(n), &pick(n)).expect("passed").expect("released");
    }
    assert_eq!(held(), Vec::<String>::new());
    for n in [100, 99, 99, 1] {
        gate.kept(&id(n));
    }
    assert_eq!(held(), [id(100), id(99)], "the first was given up long ago");
}

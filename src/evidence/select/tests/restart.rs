//! What is known after a restart.

use super::*;
use crate::evidence::Notebook;

fn config() -> EvidenceConfig {
    EvidenceConfig { per_minute: 4, per_hour: Some(40), per_day: Some(400), ..only_band() }
}

/// A life of the daemon, from what is written down to what it writes down.
fn life(notebook: &Notebook, config: &EvidenceConfig, clock: &ManualClock, mut frames: impl FnMut(&mut Selector)) {
    let mut selector = notebook.selector(config, Arc::new(clock.clone()));
    frames(&mut selector);
    if let Some(memory) = selector.unsaved() {
        notebook.write(&memory);
    }
    notebook.write_looks(&selector.looks());
}

#[test]
fn quotas_hold_however_often_it_is_started_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let notebook = Notebook::of(Some(folder.path()));
    let clock = ManualClock::new(DateTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let mut kept = Vec::new();
    for round in 0..60_u64 {
        life(&notebook, &config(), &clock, |selector| {
            for frame in 0..60 {
                clock.advance(Duration::from_secs(1));
                let label = format!("part-{round}-{frame}");
                if selector.show(&scored(frame, &[(&label, 0.45, BOLT)])).is_some() {
                    kept.push(round * 60 + frame);
                }
            }
        });
    }
    for (span, most) in [(60, 4), (3600, 40)] {
        for from in &kept {
            let inside = kept.iter().filter(|at| (*from..*from + span).contains(*at)).count();
            assert!(inside <= most, "{inside} in {span} s from {from} s on");
        }
    }
    assert!(kept.len() >= 40, "{}", kept.len());
}

#[test]
fn what_was_kept_is_not_new_after_a_restart_and_what_was_rare_still_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let notebook = Notebook::of(Some(folder.path()));
    let clock = ManualClock::new(DateTime::UNIX_EPOCH);
    let config = EvidenceConfig { novelty: true, rare: 0.01, per_minute: 60, ..only_band() };
    let show = |selector: &mut Selector, seq: u64, label: &str| {
        clock.advance(Duration::from_secs(10));
        selector.show(&scored(seq * 100, &[(label, SURE, BOLT)])).map(|pick| pick.reason.kind())
    };
    life(&notebook, &config, &clock, |selector| {
        assert_eq!(show(selector, 0, "bolt"), Some("novel"));
        for seq in 1..400 {
            assert_eq!(show(selector, seq, "bolt"), None);
        }
        assert_eq!(show(selector, 400, "gear"), Some("rare"));
    });
    life(&notebook, &config, &clock, |selector| {
        assert_eq!(show(selector, 0, "bolt"), None, "it looks like what was kept");
        assert_eq!(show(selector, 1, "washer"), Some("rare"));
    });
    // A model that gives embeddings knows nothing of layouts.
    life(&notebook, &config, &clock, |selector| {
        let mut embedded = scored(0, &[("bolt", SURE, BOLT)]);
        Arc::make_mut(&mut embedded.detections).embedding = Some(vec![0.6, 0.8]);
        assert_eq!(selector.show(&embedded).map(|pick| pick.reason.kind()), Some("novel"));
    });
}

#[test]
fn what_makes_no_sense_is_put_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    let notebook = Notebook::of(Some(folder.path()));
    std::fs::write(folder.path().join("evidence.json"), "{\"quota\": {\"line3\": 7}}").expect("written");
    std::fs::write(folder.path().join("evidence-looks.json"), "[").expect("written");
    let clock = ManualClock::new(DateTime::UNIX_EPOCH);
    life(&notebook, &config(), &clock, |selector| {
        assert!(selector.show(&scored(0, &[("bolt", 0.45, BOLT)])).is_some());
    });
    assert!(folder.path().join("evidence.json.corrupt").exists());
    life(&notebook, &config(), &clock, |selector| {
        // A quarter of four a minute at once.
        assert!(selector.show(&scored(1, &[("nut", 0.45, BOLT)])).is_none());
    });
}

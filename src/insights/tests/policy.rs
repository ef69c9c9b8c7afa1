//! What leaves is what is global, and what the reference says.

use super::super::tables::columns;
use super::super::{EVENTS_SCHEMA, Files, HOURS_SCHEMA, Made, Tally};
use super::*;

const REFERENCE: &str = include_str!("../../../docs/reference/insights.md");

/// The files of an hour with things in it that nobody else may know.
fn files(policy: &Policy) -> Files {
    let mut ledger = Ledger::open(None, origin("edge-01"), 1, at(0)).unwrap();
    let mut tally = Tally::new([0.3, 0.6]);
    for camera in ["line3", "line4"] {
        tally.scored(&seen(camera, at(5), &[("bolt", 0.9), ("nut", 0.4)]));
    }
    tally.happened(&crossed(1, at(5)));
    ledger.add(1, &tally.take()).unwrap();
    ledger.close(at(4000)).unwrap();
    let part = ledger.closed().unwrap().unwrap();
    Files::of(&part, ledger.read(&part).unwrap(), policy).unwrap()
}

/// Whether a text stands in a file, whose pages are in gzip.
fn holds(made: &Made, text: &str) -> bool {
    let bytes = &made.content;
    let find = |bytes: &[u8]| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    let pages = bytes.windows(3).enumerate().filter(|(_, part)| *part == [0x1f, 0x8b, 8]);
    let mut unpacked = pages.map(|(start, _)| {
        let mut page = Vec::new();
        // What follows a page is none; the page is read whole before that is noticed.
        let _ = std::io::Read::read_to_end(&mut flate2::bufread::GzDecoder::new(&bytes[start..]), &mut page);
        page
    });
    find(bytes) || unpacked.any(|page| find(&page))
}

#[test]
fn what_is_not_global_is_in_no_file() {
    let open = files(&everything());
    let (hours, events) = (open.hours.unwrap(), open.events.unwrap());
    for text in ["line3", "line4", "bolt", "nut", "parts", "sha256:0", HOURS_SCHEMA, "edge-01"] {
        assert!(holds(&hours, text), "{text}");
    }
    for text in ["line3", "bolt", "exit", "01T", "crossed", EVENTS_SCHEMA] {
        assert!(holds(&events, text), "{text}");
    }
    // Frames of two cameras, and two labels of each.
    assert_eq!((hours.rows, events.rows), (6, 1));

    let closed = files(&Policy::of([Global::Frames, Global::Events]));
    let (hours, events) = (closed.hours.unwrap(), closed.events.unwrap());
    for (made, words) in [(&hours, ["line3", "line4", "bolt", "parts"]), (&events, ["line3", "bolt", "exit", "01T"])] {
        assert!(words.iter().all(|text| !holds(made, text)), "{}", made.name);
    }
    // Nothing is left by which rows would differ.
    assert_eq!((hours.rows, events.rows), (1, 1));
    assert!(files(&Policy::of([Global::Frames])).events.is_none());
}

#[test]
fn the_reference_has_every_column() {
    let sections = [("## Sums by the hour", 0), ("## Events", 1)];
    for (title, table) in sections {
        let section = REFERENCE.split(title).nth(1).unwrap().split("\n## ").next().unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let documented: Vec<Vec<String>> = rows
            .map(|row| {
                let cells = row.split('|').skip(1).take(3);
                cells.map(|cell| cell.trim().trim_matches('`').replace("&lt;", "<").replace("&gt;", ">")).collect()
            })
            .collect();
        let known: Vec<Vec<String>> = columns()[table]
            .iter()
            .map(|(name, kind, global)| {
                vec![(*name).to_owned(), (*kind).to_owned(), global.unwrap_or_default().to_owned()]
            })
            .collect();
        assert_eq!(documented, known, "{title}");
    }
    for word in [HOURS_SCHEMA, EVENTS_SCHEMA, "50,000"] {
        assert!(REFERENCE.contains(word));
    }
}

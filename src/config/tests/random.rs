//! Whatever the file holds, the answer is a configuration or a list of mistakes that lie in it.

use std::collections::BTreeSet;

use super::super::{Config, Name, parse};
use crate::publish::Topics;
use crate::random::Random;

const PIECES: [&str; 41] = [
    "site",
    "node",
    "device",
    "mqtt",
    "web",
    "models",
    "cameras",
    "evidence",
    "url",
    "source",
    "path",
    "store",
    "band",
    "flicker",
    "queue",
    "fps",
    "batch",
    "memory_mib",
    "sim:conveyor",
    "mqtt://a",
    "auto",
    "/tmp",
    "a",
    "ä",
    "\u{0}",
    " ",
    "\n",
    "\n",
    "=",
    "=",
    ".",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "\"\"\"",
    "1",
    "-0.5",
    "true",
    ",",
];

fn holds(text: &str) {
    match parse(text) {
        Ok(config) => usable(&config),
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "{text:?}");
            let lines = text.matches('\n').count() + 1;
            for mistake in &mistakes {
                assert!((1..=lines).contains(&mistake.line), "{text:?}: {mistake:?}");
                assert!(mistake.column >= 1 && !mistake.message.is_empty(), "{text:?}: {mistake:?}");
            }
            assert!(mistakes.is_sorted_by_key(|m| (m.line, m.column)), "{text:?}: {mistakes:?}");
        }
    }
}

/// What was accepted makes topics, and nothing in them is a wildcard or an extra level.
fn usable(config: &Config) {
    let topics = Topics::new(&config.mqtt.prefix, &config.site, &config.node).expect("checked");
    let levels = config.mqtt.prefix.split('/').count() + 4;
    for camera in config.cameras.keys() {
        let topic = topics.detections(camera).expect("checked");
        assert_eq!(topic.split('/').count(), levels, "{topic}");
        assert!(!topic.contains(['+', '#', '\0', ' ']), "{topic}");
    }
}

#[test]
fn any_pieces_in_any_order() {
    let mut random = Random(1);
    for _ in 0..20_000 {
        let count = random.below(24);
        let text: String = (0..count).map(|_| random.one_of(&PIECES)).collect();
        holds(&text);
    }
}

const GOOD: &str = "site = \"plant-7\"\ndevice = \"cpu\"\n[mqtt]\nurl = \"mqtts://b:1\"\nprefix = \"a/b\"\nqueue = 3\n\
    [web]\nlisten = \"127.0.0.1:1\"\n[models.m]\npath = \"/\"\nscore = 0.5\n[cameras.c]\nsource = \"sim:conveyor\"\n\
    fps = 1.5\n[cameras.c.track]\nconfirm = 2\n[[cameras.c.zones]]\nname = \"z\"\npoints = [[0, 0], [1, 0], [1, 1]]\n\
    inertia = [2, 3]\n[[cameras.c.zones]]\nname = \"y\"\npoints = [[0, 0], [1, 0], [1, 1]]\ndwell_s = 1\n\
    [evidence]\nstore = \"s3://bucket/p\"\nband = [0.1, 0.2]\nflicker = true\n\
    [[privacy.store]]\nname = \"r\"\nhours = [\"22:00-06:00\"]\nallow = \"frame\"\n";

#[test]
fn a_good_file_with_any_damage() {
    assert!(parse(GOOD).is_ok());
    let mut random = Random(2);
    for _ in 0..5_000 {
        let mut text: Vec<char> = GOOD.chars().collect();
        for _ in 0..=random.below(3) {
            let at = random.below(text.len().max(1));
            match random.below(3) {
                0 if !text.is_empty() => drop(text.remove(at)),
                0 | 1 => text.splice(at..at, random.one_of(&PIECES).chars()).for_each(drop),
                _ => text.truncate(at),
            }
        }
        holds(&text.into_iter().collect::<String>());
    }
}

/// However many keys are misspelt, each is found.
#[test]
fn every_misspelt_key_is_found() {
    let mut random = Random(3);
    for _ in 0..500 {
        let mut text = String::new();
        let mut wanted = BTreeSet::new();
        for (i, line) in GOOD.lines().enumerate() {
            let key = line.split_once(" = ").map(|(key, _)| key);
            // Whatever a table can't do without stays, since only the first of a table that lacks it is told apart.
            if let Some(key) = key.filter(|key| {
                !matches!(*key, "path" | "source" | "store" | "name" | "points" | "allow") && random.below(3) == 0
            }) {
                text.push_str(&line.replacen(key, &format!("{key}x"), 1));
                wanted.insert(i + 1);
            } else {
                text.push_str(line);
            }
            text.push('\n');
        }
        let found: BTreeSet<_> = match parse(&text) {
            Ok(_) => BTreeSet::new(),
            Err(mistakes) => mistakes.into_iter().map(|m| m.line).collect(),
        };
        assert_eq!(found, wanted, "{text}");
    }
}

#[test]
fn names_are_exactly_what_needs_no_escaping() {
    let alphabet = ['a', 'Z', '0', '.', '-', '_', '/', '+', '#', ' ', '%', '\\', '\0', '\n', 'ä', '$', ':', '='];
    let mut random = Random(4);
    for _ in 0..20_000 {
        let text: String = (0..random.below(5)).map(|_| alphabet[random.below(alphabet.len())]).collect();
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let wanted = text.chars().all(plain) && text.starts_with(|c: char| c.is_ascii_alphanumeric());
        assert_eq!(Name::new(&text).is_ok(), wanted, "{text:?}");
        assert!(Name::new(&Name::near(&text)).is_ok(), "{text:?}");
        if wanted {
            let topics = Topics::new("p", &text, &text).expect("a name is a level");
            assert_eq!(topics.stats().split('/').count(), 4);
        }
    }
}

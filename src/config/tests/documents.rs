//! The reference and the example say what the code does.

use std::collections::{BTreeMap, BTreeSet};

use super::{only, parse};

const REFERENCE: &str = include_str!("../../../docs/reference/config.md");
const EXAMPLE: &str = include_str!("../../../packaging/ocellus.toml");
/// The tables of the file, with what must be in them.
const TABLES: [(&str, &str); 28] = [
    ("", ""),
    ("mqtt", ""),
    ("iothub", ""),
    ("iothub.dps", "id_scope = \"0ne1\"\nregistration_id = \"edge-01\"\n"),
    ("web", ""),
    ("serve", ""),
    ("models.NAME", "path = \"/\"\n"),
    ("cameras.NAME", "source = \"sim:conveyor\"\n"),
    ("cameras.NAME.track", ""),
    ("cameras.NAME.track.filters.LABEL", ""),
    ("cameras.NAME.zones", "name = \"belt\"\npoints = [[0, 0], [1, 0], [1, 1]]\n"),
    ("cameras.NAME.lines", "name = \"exit\"\npoints = [[0, 0], [0, 1]]\n"),
    ("cameras.NAME.trust", ""),
    ("evidence", "store = \"/tmp\"\n"),
    ("evidence.node", ""),
    ("evidence.ship", ""),
    ("insights", ""),
    ("privacy", ""),
    ("privacy.persons", "path = \"/\"\n"),
    ("privacy.faces", "path = \"/\"\n"),
    ("privacy.masks", "camera = \"NAME\"\npoints = [[0, 0], [1, 0], [1, 1]]\n"),
    ("privacy.store", "name = \"r\"\nallow = \"metadata\"\n"),
    ("review", ""),
    ("review.people", "name = \"ann\"\ntoken_file = \"/\"\n"),
    ("privacy.mqtt", "name = \"r\"\nallow = \"labels\"\n"),
    ("privacy.iothub", "name = \"r\"\nallow = \"labels\"\n"),
    ("outbox", ""),
    ("traces", ""),
];

/// What a table below a camera needs above it.
const CAMERA: &str = "[cameras.NAME]\nsource = \"sim:conveyor\"\n";

fn header(table: &str) -> String {
    match table {
        "" => String::new(),
        "evidence.node" => "[evidence]\nstore = \"/tmp\"\n[evidence.node]\n".to_owned(),
        "serve" => "[models.NAME]\npath = \"/\"\n[serve]\n".to_owned(),
        "evidence.ship" => "[evidence]\nstore = \"az://c\"\n[evidence.ship]\n".to_owned(),
        "review.people" => "[[review.people]]\n".to_owned(),
        "privacy.masks" | "privacy.store" | "privacy.mqtt" | "privacy.iothub" => format!("{CAMERA}[[{table}]]\n"),
        "cameras.NAME.zones" | "cameras.NAME.lines" => format!("{CAMERA}[[{table}]]\n"),
        _ if table.starts_with("cameras.NAME.") => format!("{CAMERA}[{table}]\n"),
        _ => format!("[{table}]\n"),
    }
}

/// The keys that the code knows in a table, as it tells whoever gives another.
fn known(table: &str, needed: &str) -> BTreeSet<String> {
    let mistakes = parse(&format!("{}{needed}qqqq = 1\n", header(table))).expect_err("an unknown key");
    let message = mistakes.iter().find(|m| m.message.contains("qqqq")).expect("it is named").message.clone();
    let list = message.split("Valid keys here: ").nth(1).expect("a list").to_owned();
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rows of the reference, by table: key and default.
fn documented() -> BTreeMap<String, Vec<(String, String)>> {
    let mut tables = BTreeMap::new();
    let mut table = String::new();
    for line in REFERENCE.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            table = if title == "Top level" { String::new() } else { title.trim_matches(['`', '[', ']']).to_owned() };
        }
        let cells: Vec<_> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        if let [key, _, default, _] = cells[..]
            && key.starts_with('`')
        {
            let row = (key.trim_matches('`').to_owned(), default.to_owned());
            tables.entry(table.clone()).or_insert_with(Vec::new).push(row);
        }
    }
    tables
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let documented = documented();
    for (table, needed) in TABLES {
        let listed: BTreeSet<_> = documented[table].iter().map(|(key, _)| key.clone()).collect();
        let tables: &[&str] = match table {
            "" => &[
                "mqtt", "iothub", "web", "serve", "models", "cameras", "evidence", "insights", "privacy", "review",
                "outbox", "traces",
            ],
            "evidence" => &["node", "ship"],
            "insights" => &["ship"],
            "review" => &["people"],
            "privacy" => &["persons", "faces", "masks", "store", "mqtt", "iothub"],
            "cameras.NAME" => &["trust"],
            "iothub" => &["dps"],
            _ => &[],
        };
        let known: BTreeSet<_> =
            known(table, needed).into_iter().filter(|key| !tables.contains(&key.as_str())).collect();
        assert_eq!(listed, known, "[{table}]");
    }
    assert_eq!(documented.len(), TABLES.len());
}

#[test]
fn the_reference_has_the_defaults() {
    let mut compared = 0;
    for (table, needed) in TABLES {
        let bare = format!("{}{needed}", header(table));
        for (key, default) in &documented()[table] {
            let literal = default.starts_with('`') && !default.contains('{');
            if literal {
                let text = format!("{bare}{key} = {}\n", default.trim_matches('`'));
                let shown = |text: &str| format!("{:?}", toml::from_str::<super::super::Config>(text).expect(text));
                assert_eq!(shown(&text), shown(&bare), "[{table}] {key}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 10, "only {compared} defaults were found in the reference");
}

#[test]
fn the_example_is_accepted_and_says_the_defaults() {
    let example = parse(EXAMPLE).expect("the example is good");
    let defaults = parse("[web]").expect("defaults");
    assert_eq!(format!("{example:?}"), format!("{defaults:?}"));
}

#[test]
fn what_is_switched_off_in_the_example_works_when_it_is_switched_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path().display().to_string();
    for file in [
        "iothub.connection",
        "mqtt.password",
        "line-3.password",
        "line-3.jpg",
        "metrics.token",
        "serve.token",
        "ann.token",
        "ca.pem",
        "sas",
        "node.pem",
        "node.key",
        "parts",
        "parts.txt",
    ] {
        std::fs::write(folder.path().join(file), "").expect("written");
    }
    let setting = |line: &str| {
        line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
    };
    let switched_on: String = EXAMPLE
        .lines()
        .map(|line| if setting(line) { &line[1..] } else { line })
        .map(|line| format!("{line}\n"))
        .collect();
    let text = switched_on
        .replace("mqtt://127.0.0.1:1883", "mqtts://127.0.0.1:8883")
        .replace("store = \"/var/lib/ocellus/evidence\"", "store = \"az://frames/plant\"")
        .replace("/etc/ocellus", &here)
        .replace("/var/lib/ocellus/models", &here);
    let config = parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}\n{text}"));
    assert_eq!(config.cameras.len() + config.models.len(), 4);
    assert!(config.evidence.is_some() && config.mqtt.password_file.is_some());

    // Every key is there, so that nobody has to look elsewhere, if only as an alternative to another; neither stills nor
    // certificates come over plain RTSP.
    let alternatives = ["metrics_token_credential", "token_credential", "poll_s", "ca_file", "tls_verify"];
    for (table, needed) in TABLES {
        for key in known(table, needed) {
            let own = [format!("\n{key} = "), format!("\n# or: {key} = ")];
            let ways = [own.as_slice(), &[format!("\n[{key}"), format!(".{key}]"), format!(".{key}.")]].concat();
            let there = ways.iter().any(|way| text.contains(way));
            assert!(there || alternatives.contains(&key.as_str()), "[{table}] {key}");
        }
    }
}

#[test]
fn the_reference_shows_a_real_message() {
    let shown = REFERENCE.lines().find(|line| line.starts_with("error: ")).expect("an example");
    let message = only("\n\n\n\n\n[mqtt]\ndetection_qos = 1\n");
    let (_, text) = message.split_once(": ").expect("a line number");
    let start: String = shown.split("7:1: ").nth(1).expect("its place").trim_end_matches('…').trim().to_owned();
    assert!(text.starts_with(&start), "{text}\n{start}");
}

//! Files that are written from the code: run with `OCELLUS_WRITE_REFERENCE=1` after a change.

use std::fmt::Write;
use std::path::Path;

use super::super::Reload;
use super::super::schema::{keys, schema};

/// Compares a file of the reference with what it should be, or writes it.
fn matches(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(name);
    if std::env::var_os("OCELLUS_WRITE_REFERENCE").is_some() {
        std::fs::write(&path, text).expect("written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "{} is out of date: see the module's documentation\n{text}", path.display());
}

#[test]
fn the_schema_is_the_codes() {
    let text = serde_json::to_string_pretty(&schema()).expect("JSON") + "\n";
    matches("schemas/ocellus.schema.json", &text);
}

/// The table of keys by what a reload does, a row for all keys of a table that are treated alike.
fn table() -> String {
    let mut rows: Vec<(String, Reload, Vec<String>)> = Vec::new();
    for key in keys() {
        let parts: Vec<&str> = key.iter().map(String::as_str).collect();
        let (reload, (last, table)) = (Reload::of(&parts), parts.split_last().expect("no key is empty"));
        let shown: Vec<&str> = table.iter().copied().filter(|part| *part != "[]").collect();
        let header = match (table.last(), shown.is_empty()) {
            (_, true) => "top level".to_owned(),
            (Some(&"[]"), _) => format!("`[[{}]]`", shown.join(".")),
            _ => format!("`[{}]`", shown.join(".")),
        };
        match rows.iter_mut().find(|(table, does, _)| *table == header && *does == reload) {
            Some((_, _, keys)) => keys.push((*last).to_owned()),
            None => rows.push((header, reload, vec![(*last).to_owned()])),
        }
    }
    let mut text = "| table | keys | what a reload does |\n|---|---|---|\n".to_owned();
    for (table, reload, keys) in rows {
        writeln!(text, "| {table} | `{}` | {} |", keys.join("`, `"), reload.words()).expect("written");
    }
    text
}

#[test]
fn the_table_of_reloads_is_the_codes() {
    let page = include_str!("../../../docs/reference/reload.md");
    let mark = "<!-- From the code, see src/config/tests/generated.rs -->\n";
    let (intro, _) = page.split_once(mark).expect("the mark");
    matches("reload.md", &format!("{intro}{mark}\n{}", table()));
}

#[test]
fn every_table_is_among_the_keys() {
    let keys: Vec<String> = keys().iter().map(|key| key.join(".")).collect();
    for wanted in [
        "site",
        "mqtt.url",
        "web.listen",
        "iothub.dps.id_scope",
        "cameras.NAME.source",
        "cameras.NAME.zones.[].points",
        "cameras.NAME.track.filters.NAME.min_score",
        "evidence.ship.hours",
        "privacy.store.[].allow",
    ] {
        assert!(keys.iter().any(|key| key == wanted), "{wanted}: {keys:#?}");
    }
}

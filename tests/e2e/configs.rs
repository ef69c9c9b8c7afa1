//! Configurations, good and bad: what `ocellus check` says of each, word for word, and what the JSON Schema thinks of
//! them.
//!
//! `tests/configs/good` are fine. `shape` has what the schema can tell, and so an editor: unknown keys, wrong types.
//! `sense` has what it can't: references, contradictions. What is said stands beside each file; after a change, run with
//! `OCELLUS_WRITE_REFERENCE=1`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::peers::{ocellus, text};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The configurations of a folder, by paths below the repository.
fn configs(folder: &str) -> Vec<PathBuf> {
    let within = Path::new("tests/configs").join(folder);
    let names = std::fs::read_dir(Path::new(ROOT).join(&within)).expect("the folder");
    let mut files: Vec<PathBuf> = names.map(|entry| within.join(entry.expect("an entry").file_name())).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "toml"));
    files.sort();
    assert!(!files.is_empty());
    files
}

/// What `ocellus check` says of a file, and its exit code.
fn checked(file: &Path) -> (String, Option<i32>) {
    let output = ocellus().current_dir(ROOT).args(["check", "--config"]).arg(file).output().expect("it runs");
    assert_eq!(text(&output.stdout), "", "{}", file.display());
    // How much memory a model takes depends on the machine.
    let said: Vec<String> =
        text(&output.stderr).lines().filter(|l| !l.contains("MiB of memory a run")).map(str::to_owned).collect();
    (said.join("\n") + "\n", output.status.code())
}

#[test]
fn every_mistake_is_told_word_for_word() {
    let mut wrong = Vec::new();
    for (folder, code) in [("good", 0), ("shape", 1), ("sense", 1)] {
        for file in configs(folder) {
            let (said, exit) = checked(&file);
            assert_eq!(exit, Some(code), "{}: {said}", file.display());
            assert!(!said.contains("hunter2"), "a secret is shown: {said}");
            let expected = Path::new(ROOT).join(file.with_extension("txt"));
            if std::env::var_os("OCELLUS_WRITE_REFERENCE").is_some() {
                std::fs::write(&expected, &said).expect("written");
            }
            if std::fs::read_to_string(&expected).unwrap_or_default() != said {
                wrong.push(format!("{} should say:\n{said}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "see the module's documentation\n{}", wrong.join("\n"));
}

/// What another implementation of JSON Schema has against files.
fn validated(files: &[PathBuf]) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let schema = folder.path().join("schema.json");
    let printed = ocellus().args(["config", "schema"]).output().expect("it runs");
    std::fs::write(&schema, &printed.stdout).expect("written");
    let output = Command::new(std::env::var_os("OCELLUS_PYTHON").expect("scripts/test sets OCELLUS_PYTHON"))
        .current_dir(ROOT)
        .arg("tests/peers/validate.py")
        .arg(&schema)
        .args(files)
        .output()
        .expect("Python runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_schema_takes_what_is_good_and_refuses_what_is_misspelt() {
    let shipped = PathBuf::from("packaging/ocellus.toml");
    // With everything in it switched on.
    let folder = tempfile::tempdir().expect("a folder");
    let full = folder.path().join("full.toml");
    let example = std::fs::read_to_string(Path::new(ROOT).join(&shipped)).expect("the example");
    let setting = |line: &str| {
        line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
    };
    let lines = example.lines().map(|line| if setting(line) { &line[1..] } else { line });
    std::fs::write(&full, lines.collect::<Vec<_>>().join("\n")).expect("written");

    let good = [configs("good"), vec![shipped, full]].concat();
    // What is no TOML at all is not the schema's business.
    let mut sense = configs("sense");
    sense.retain(|file| !file.ends_with("syntax.toml"));
    let shape = configs("shape");
    let mistakes = validated(&[good.clone(), sense.clone(), shape.clone()].concat());
    let of = |file: &PathBuf| mistakes[file.to_str().expect("UTF-8")].as_array().expect("a list").clone();
    for file in good.iter().chain(&sense) {
        assert!(of(file).is_empty(), "{}: {:?}", file.display(), of(file));
    }
    for file in &shape {
        let (said, _) = checked(file);
        assert!(!of(file).is_empty(), "{}: {said}", file.display());
    }
    let misspelt = serde_json::to_string(&of(&"tests/configs/shape/misspelt.toml".into())).expect("JSON");
    for key in ["sight", "mqqt", "detection_qos", "listen_on", "sorce", "point"] {
        assert!(misspelt.contains(&format!("'{key}'")), "{key}: {misspelt}");
    }
}

//! The guide: its commands do what it says, and Ocellus prints the messages that it explains.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::peers::text;

/// Runs `tests/guide/guide.py` on pages, and says what it printed; or what is wrong with them.
fn guide(mode: &str, pages: &[PathBuf]) -> Result<String, String> {
    let binary = Path::new(env!("CARGO_BIN_EXE_ocellus"));
    let mut folders = vec![binary.parent().unwrap().to_owned()];
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let output = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guide/guide.py"))
        .arg(mode)
        .args(pages)
        .env("PATH", std::env::join_paths(folders).unwrap())
        .env_remove("RUST_LOG")
        .output()
        .expect("python3 is installed");
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The pages of the guide.
fn pages() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide");
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// How many commands or messages were found.
fn count(said: &str) -> usize {
    said.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{said}"))
}

#[test]
fn commands_in_the_guide_print_what_it_says() {
    let said = guide("run", &pages()).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(count(&said) >= 3, "{said}");
}

#[test]
fn messages_in_the_guide_are_in_the_source() {
    let said = guide("messages", &pages()).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(count(&said) >= 20, "{said}");
}

#[test]
fn a_guide_that_is_wrong_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.md");
    let cases = [
        ("run", "```console run\n$ echo one\ntwo\n```", "page.md:2: $ echo one\nit does not print\n  two"),
        ("run", "```console run\n$ echo one; echo two\ntwo\none\n```", "it does not print\n  one"),
        ("run", "```console run\n$ false\n```", "it ends with 1"),
        ("run", "```console run fails\n$ true\n```", "it ends with 0"),
        ("run", "```console run\n$ exit 0\n```", "the shell is gone"),
        ("run", "```console\n$ sudo ocellus doctor\n```", "mark the block `run` or `appliance`"),
        ("run", "```console sometimes\n$ true\n```", "a console block is marked `run` or `appliance`"),
        ("run", "```console run\nocellus\n```", "begins with a command behind `$ `"),
        ("run", "```console run\n$ true", "the block does not end"),
        ("messages", "```message\nThe camera is on fire.\n```", "page.md:2: Ocellus does not print this"),
        ("messages", "```message\n…camera…\n```", "too little to be looked for"),
    ];
    for (mode, content, wanted) in cases {
        std::fs::write(&page, content).unwrap();
        let said = guide(mode, std::slice::from_ref(&page)).expect_err(content);
        assert!(said.contains(wanted), "{content}: {said}");
    }
    // What is right passes: dots stand for anything, spaces are spaces, and the shell remembers.
    let right = "```toml file=a.toml\nx = 1\n```\n```console run\n$ A=$(cat a.toml)\n$ echo \"$A   and more\"\nx … and mo…\n```\n\
                 ```console run fails\n$ echo one \\\n    two; false\none two\n```\n```console\n$ az login\n```\n";
    std::fs::write(&page, right).unwrap();
    assert_eq!(guide("run", std::slice::from_ref(&page)).unwrap(), "3 commands\n");
}

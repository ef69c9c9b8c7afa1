//! What a node tells its fleet: counted over restarts, closed by the clock, and let go by the policy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::peers::{Running, files, ocellus, run, text, until};

/// Two simulated lines, the parts of which cross a line.
fn config(folder: &Path, port: u16, more: &str) -> PathBuf {
    let path = folder.join("ocellus.toml");
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/conveyor");
    let camera = |name: &str, seed: u32| {
        format!(
            "[cameras.{name}]\nsource = \"sim:conveyor?seed={seed}&fps=4&width=320&height=180\"\n\
             [[cameras.{name}.lines]]\nname = \"exit\"\npoints = [[0.5, 0], [0.5, 1]]\n"
        )
    };
    let text = format!(
        "site = \"plant-7\"\nnode = \"edge-01\"\ndevice = \"cpu\"\n\
         [mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\ndetections_qos = 1\nqueue = 65536\n\
         [outbox]\npath = {:?}\nreserve_mib = 1\n\
         [models.parts]\npath = {package:?}\n{}{}\
         [insights]\nstore = {:?}\n{more}",
        folder.join("outbox"),
        camera("left", 3),
        camera("right", 4),
        folder.join("store"),
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// The daemon, for whose calendar it is then; what it measures by the other clock is as long as ever.
fn start(config: &Path, then: &str) -> Running {
    let library = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    assert!(Path::new(&library).exists(), "{library} is in the Debian package libfaketime");
    let mut command = ocellus();
    command.env("LD_PRELOAD", library).env("FAKETIME", format!("@{then}")).env("TZ", "UTC");
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    Running::start(command.args(["run", "--config"]).arg(config))
}

fn parquet(store: &Path, table: &str) -> Vec<PathBuf> {
    files(&store.join(table)).into_iter().filter(|path| path.extension().is_some_and(|end| end == "parquet")).collect()
}

#[test]
fn a_store_elsewhere_gets_nothing_that_nobody_called_global() {
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), 1, "");
    let with = |global: &str| {
        let text = std::fs::read_to_string(&path).unwrap();
        let place = format!("store = {:?}", folder.path().join("store"));
        let elsewhere = folder.path().join("elsewhere.toml");
        std::fs::write(&elsewhere, format!("{}{global}", text.replace(&place, "store = \"az://fleet/x\""))).unwrap();
        run(&["check", "--config", elsewhere.to_str().unwrap()])
    };
    let refused = with("");
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("add `global` to [privacy]") && said.contains("event-counts"), "{said}");
    assert!(with("[privacy]\nglobal = [\"frames\"]\n").status.success());
}

/// What is named leaves, what is not does not, and the audit log has both files.
#[test]
fn what_is_not_global_stays_and_each_file_is_in_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), 1, "[privacy]\nglobal = [\"label\", \"detections\", \"events\"]\n");
    let mut running = start(&path, "2026-01-02 12:50:00");
    let ledger = folder.path().join("outbox/insights.db-wal");
    running.wait_for_line("open and warm");
    until("something is counted", || ledger.metadata().is_ok_and(|file| file.len() > 0));
    std::thread::sleep(Duration::from_secs(2));
    assert!(running.terminate().0.success());
    let running = start(&path, "2026-01-02 13:10:00");
    let store = folder.path().join("store");
    until("the sums are in the store", || !parquet(&store, "insights").is_empty());
    assert!(running.terminate().0.success());
    let log: String =
        files(&folder.path().join("audit")).iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    for file in parquet(&store, "insights") {
        let name = file.strip_prefix(&store).unwrap().to_str().unwrap().to_owned();
        let line = log.lines().find(|line| line.contains(&name)).unwrap_or_else(|| panic!("{name}: {log}"));
        let digest: String = Sha256::digest(std::fs::read(&file).unwrap()).iter().map(|b| format!("{b:02x}")).collect();
        assert!(line.contains("\"what\":\"told\"") && line.contains(&digest), "{line}");
        assert!(line.contains("[\"label\",\"detections\",\"events\"]"), "{line}");
    }
    let verified = run(&["audit", "verify", "--config", path.to_str().unwrap()]);
    assert!(text(&verified.stdout).contains("files of insights were let go"), "{}", text(&verified.stdout));
}

//! Disks that are full, read-only or damaged, as the kernel makes them: what was kept is not lost, and it is told.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::outbox::{Gate, Node};
use crate::peers::{Mosquitto, Running, Subscriber, files, ocellus, text, until};
use crate::tracks::until_subscribed;

/// A disk of 16 MiB that only processes in a mount namespace of its own see.
struct SmallDisk {
    /// Keeps the namespace.
    holder: Running,
    folder: PathBuf,
    root: bool,
}

impl SmallDisk {
    /// Mounts one at a folder. None where this machine does not let us; that fails where all tests are to run.
    fn at(folder: &Path) -> Option<Self> {
        let root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
        let namespace = if root { "-m" } else { "-rm" };
        let mount = "mount -t tmpfs -o size=16m tmpfs \"$0\" && echo mounted";
        let shell = |script: &str| {
            let mut command = Command::new("unshare");
            command.args([namespace, "bash", "-c", script]).arg(folder);
            command
        };
        let tried = shell(mount).output().unwrap();
        if !tried.status.success() {
            let said = text(&tried.stderr);
            assert!(root || std::env::var_os("CI").is_none(), "no disk can be mounted: {said}");
            eprintln!("skipped: no disk can be mounted here: {said}");
            return None;
        }
        let mut holder = Running::start(&mut shell(&format!("{mount} && exec sleep infinity")));
        holder.wait_for_line("mounted");
        Some(Self { holder, folder: folder.to_owned(), root })
    }

    /// The same command, where the disk is seen.
    fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.args(["-t", &self.holder.id().to_string(), "-m"]);
        if !self.root {
            inside.args(["-U", "--preserve-credentials"]);
        }
        inside.arg("--").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// The disk as it is seen from outside.
    fn seen(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.folder.strip_prefix("/").unwrap())
    }

    /// Fills it with a file, all but so many bytes.
    fn fill(&self, leave: u64) {
        let mut filler = File::create(self.seen().join("filler")).unwrap();
        let mut size = 0;
        for piece in [1 << 16, 1 << 12] {
            while filler.write_all(&vec![7; piece]).is_ok() {
                size += piece as u64;
            }
            // What was written of the last piece is of no use.
            filler.set_len(size).unwrap();
        }
        filler.set_len(size - leave).unwrap();
    }

    fn clear(&self) {
        std::fs::remove_file(self.seen().join("filler")).unwrap();
    }

    /// `ro` or `rw`.
    fn remount(&self, access: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{access}")]).arg(&self.folder);
        let output = self.inside(&mount).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

/// A node whose outbox is on a small disk, and who listens to it.
struct Scene {
    disk: SmallDisk,
    node: Node,
    gate: Gate,
    heard: Subscriber,
    events: BTreeSet<String>,
    _broker: Mosquitto,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new(outbox: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("disk");
        std::fs::create_dir(&place).unwrap();
        let disk = SmallDisk::at(&place)?;
        let broker = Mosquitto::with("max_inflight_messages 0\nmax_queued_messages 0");
        let gate = Gate::to(broker.port);
        let node = Node::new(folder.path(), gate.port, &place.join("outbox"), outbox);
        let mut heard = Subscriber::to(broker.port, "ocellus/plant-7/edge-01/#");
        until_subscribed(&broker, &mut heard);
        Some(Self { disk, node, gate, heard, events: BTreeSet::new(), _broker: broker, _folder: folder })
    }

    fn start(&self) -> Running {
        Running::start(&mut self.disk.inside(&self.node.command()))
    }

    /// Waits until so many more events were kept.
    fn keep(&mut self, running: &mut Running, events: usize) {
        for _ in 0..events {
            running.wait_for("event that was kept", |line| self.node.hear(line).then_some(()));
        }
    }

    /// Waits for statistics whose outbox is so, with how many new events came before them.
    fn stats(&mut self, wanted: impl Fn(&Value) -> bool) -> usize {
        let before = self.events.len();
        loop {
            let message = self.heard.next();
            if message.topic.ends_with("/events") {
                self.events.insert(message.json()["id"].as_str().unwrap().to_owned());
            } else if message.topic.ends_with("/stats") && wanted(&message.json()["outbox"]) {
                return self.events.len() - before;
            }
        }
    }

    /// Kills the node, has another deliver what is left, and looks whether all that was kept has come.
    fn end(mut self, mut running: Running) {
        running.signal("KILL");
        for line in running.wait().1.lines() {
            self.node.hear(line);
        }
        self.node.take_the_cameras_away();
        let last = self.start();
        self.stats(|outbox| outbox["events"] == 0 && outbox["in_memory"] == 0);
        let (status, said) = last.terminate();
        assert!(status.success(), "{said}");
        let lost: Vec<_> = self.node.kept.difference(&self.events).collect();
        assert!(lost.is_empty(), "{} of {} events are lost: {lost:?}", lost.len(), self.node.kept.len());
    }
}

fn trouble(outbox: &Value) -> &str {
    outbox["trouble"].as_str().unwrap_or_default()
}

/// Another program fills the disk: all but so many bytes.
fn filled(outbox: &str, leave: u64) {
    let Some(mut scene) = Scene::new(outbox) else { return };
    let mut running = scene.start();
    scene.keep(&mut running, 5);
    scene.disk.fill(leave);
    scene.stats(|outbox| trouble(outbox).contains("the disk is full"));
    // They are delivered from memory.
    while scene.stats(|outbox| trouble(outbox).contains("the disk is full")) == 0 {}
    // Nor are those lost that come while there is no broker either.
    scene.gate.close();
    std::thread::sleep(Duration::from_secs(2));
    scene.disk.clear();
    running.wait_for("the disk to be used again", |line| {
        scene.node.hear(line);
        line.contains("The outbox is on the disk again.").then_some(())
    });
    scene.gate.open();
    scene.stats(|outbox| trouble(outbox).is_empty() && outbox["in_memory"] == 0 && outbox["dropped"] == 0);
    scene.keep(&mut running, 3);
    scene.end(running);
}

#[test]
fn a_disk_without_its_reserve_loses_nothing_and_is_used_again() {
    filled("reserve_mib = 2", 1 << 20);
}

#[test]
fn a_disk_without_any_space_loses_nothing_and_is_used_again() {
    filled("reserve_mib = 0", 12 << 10);
}

#[test]
fn a_disk_that_can_only_be_read_loses_nothing_and_is_used_again() {
    let Some(mut scene) = Scene::new("reserve_mib = 1") else { return };
    let mut running = scene.start();
    // Some that wait for the broker.
    scene.keep(&mut running, 3);
    scene.gate.close();
    scene.keep(&mut running, 10);
    running.signal("KILL");
    for line in running.wait().1.lines() {
        scene.node.hear(line);
    }
    scene.disk.remount("ro");
    scene.gate.open();
    let mut running = scene.start();
    while scene.stats(|outbox| trouble(outbox).contains("can only be read")) == 0 {}
    scene.disk.remount("rw");
    running.wait_for_line("The outbox is on the disk again.");
    scene.stats(|outbox| trouble(outbox).is_empty() && outbox["in_memory"] == 0 && outbox["dropped"] == 0);
    scene.keep(&mut running, 3);
    scene.end(running);
}

#[test]
fn a_damaged_outbox_is_set_aside_and_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let (mut broker, state) = (Mosquitto::stopped(), folder.path().join("outbox"));
    let mut node = Node::new(folder.path(), broker.port, &state, "reserve_mib = 1");
    let mut running = Running::start(&mut node.command());
    for _ in 0..5 {
        running.wait_for("event that was kept", |line| node.hear(line).then_some(()));
    }
    assert!(running.terminate().0.success());
    let database = state.join("outbox.db");
    let mut bytes = std::fs::read(&database).unwrap();
    bytes[100..].fill(0xa5);
    std::fs::write(&database, bytes).unwrap();
    let refused = ocellus().args(["outbox", "status", "--path"]).arg(&state).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("can't be read"), "{}", text(&refused.stderr));

    broker.begin();
    let mut heard = Subscriber::to(broker.port, "ocellus/plant-7/edge-01/#");
    until_subscribed(&broker, &mut heard);
    let mut running = Running::start(&mut node.command());
    let told = running.wait_for_line("The outbox was corrupt. It is set aside");
    assert!(told.contains("corrupt-"), "{told}");
    heard.wait_for("line-1/events", |_| true);
    running.wait_for("event that was kept", |line| node.hear(line).then_some(()));
    let aside =
        |path: &PathBuf| path.parent().and_then(Path::file_name).unwrap().to_string_lossy().starts_with("corrupt-");
    assert!(files(&state).iter().any(|path| aside(path) && path.ends_with("outbox.db")), "{:?}", files(&state));
    assert!(running.terminate().0.success());
    until("nothing waits", || node.waiting() == 0);
}

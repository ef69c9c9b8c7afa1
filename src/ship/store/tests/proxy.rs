//! A way to a store that does to requests what bad networks do (`tests/peers/storage_proxy.py`).

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::Mutex;

use super::*;

/// A proxy, and what it has done to requests.
pub(super) struct Proxy {
    child: Child,
    pub(super) address: String,
    done: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(super) fn to(store: &str, more: &[&str]) -> Self {
        let script = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/storage_proxy.py");
        let mut command = std::process::Command::new("python3");
        command.arg(script).arg(store).args(more).stdout(Stdio::piped());
        let mut child = command.spawn().expect("Python runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let port = lines.next().and_then(|line| line.split(' ').next_back().map(str::to_owned)).expect("a port");
        let done = Arc::<Mutex<Vec<String>>>::default();
        std::thread::spawn({
            let done = Arc::clone(&done);
            move || lines.for_each(|line| done.lock().expect("no panic").push(line))
        });
        Self { child, address: format!("127.0.0.1:{port}"), done }
    }

    pub(super) fn did(&self, what: &str) -> usize {
        self.done.lock().expect("no panic").iter().filter(|line| line.ends_with(what)).count()
    }
}

impl Proxy {
    /// Bytes of bodies that came so far.
    pub(super) fn came(&self) -> usize {
        let done = self.done.lock().expect("no panic");
        done.iter().filter_map(|line| line.strip_suffix(" came")?.parse::<usize>().ok()).sum()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

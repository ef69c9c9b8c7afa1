//! Real peers for the tests: Debian's mosquitto as the broker, `mosquitto_sub` as the one who listens.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take. Only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until it is so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < until, "it never came to this: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port that nothing listens on, below those that the system gives to outgoing connections.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 10_000).expect("small");
    loop {
        let port = 16_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 16_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// What `tracing` writes, for a test to read.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
    }
}

/// A mosquitto of our own, killed when dropped.
pub(crate) struct Mosquitto {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Mosquitto {
    /// Says where a broker will be that isn't started yet. `settings` go into its configuration, which may name
    /// files in [`Mosquitto::folder`].
    pub(crate) fn prepare(settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let config =
            format!("listener {port} 127.0.0.1\nuser root\nlog_dest file {}\n{settings}\n", log(&folder).display());
        std::fs::write(folder.path().join("mosquitto.conf"), config).expect("written");
        Self { folder, port, child: None }
    }

    /// A broker that lets everybody in.
    pub(crate) fn start() -> Self {
        let mut broker = Self::prepare("allow_anonymous true");
        broker.run();
        broker
    }

    /// Starts it, and waits until it listens.
    pub(crate) fn run(&mut self) {
        let sbin = Path::new("/usr/sbin/mosquitto");
        let program = if sbin.exists() { sbin } else { Path::new("mosquitto") };
        let child = Command::new(program)
            .arg("-c")
            .arg(self.folder.path().join("mosquitto.conf"))
            .current_dir(self.folder.path())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto is installed: scripts/setup test");
        let child = self.child.insert(child);
        let port = self.port;
        eventually("mosquitto listens", || {
            assert!(matches!(child.try_wait(), Ok(None)), "mosquitto ended at once");
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
    }

    /// As `kill -9` does it.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("ended");
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How often its log says this.
    pub(crate) fn says(&self, text: &str) -> usize {
        std::fs::read_to_string(log(&self.folder)).unwrap_or_default().matches(text).count()
    }
}

fn log(folder: &TempDir) -> PathBuf {
    folder.path().join("mosquitto.log")
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A message as `mosquitto_sub` got it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) qos: u8,
    /// Whether the broker kept it from before the subscription.
    pub(crate) retained: bool,
    pub(crate) payload: serde_json::Value,
}

/// A `mosquitto_sub` that listens to everything at QoS 1.
pub(crate) struct Listener {
    child: Child,
    messages: Receiver<Message>,
}

impl Listener {
    /// Connects to a broker on this machine, and returns when it is subscribed.
    pub(crate) fn on(port: u16) -> Self {
        Self::with(port, &[])
    }

    /// The same, with further arguments.
    pub(crate) fn with(port: u16, arguments: &[&str]) -> Self {
        // With `-d` it says when it is subscribed; `stdbuf` makes it say so at once.
        let mut child = Command::new("stdbuf")
            .args(["-oL", "mosquitto_sub", "-d", "-h", "127.0.0.1", "-q", "1", "-t", "#", "-F", "> %q %r %t %p"])
            .args(["-p", &port.to_string()])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("mosquitto_sub is installed: scripts/setup test");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let subscribed = lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("Subscribed (mid"));
        assert!(subscribed, "mosquitto_sub could not subscribe");
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(message) = line.strip_prefix("> ") {
                    let _ = sender.send(read(message));
                }
            }
        });
        Self { child, messages }
    }

    /// The next message on any topic.
    #[track_caller]
    pub(crate) fn next(&self) -> Message {
        self.messages.recv_timeout(PATIENCE).expect("a message")
    }

    /// The next message whose topic ends so.
    #[track_caller]
    pub(crate) fn next_on(&self, end: &str) -> Message {
        loop {
            let message = self.next();
            if message.topic.ends_with(end) {
                return message;
            }
        }
    }

    /// The next message on this topic with this state; none before it with another state that `never` names.
    #[track_caller]
    pub(crate) fn wait_for_state(&self, end: &str, state: &str, never: &[&str]) -> Message {
        loop {
            let message = self.next_on(end);
            let found = message.payload["state"].as_str().expect("a state");
            assert!(!never.contains(&found), "{message:?}");
            if found == state {
                return message;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(line: &str) -> Message {
    let mut parts = line.splitn(4, ' ');
    let mut part = || parts.next().expect("four parts");
    let (qos, retained, topic, payload) = (part(), part(), part(), part());
    Message {
        qos: qos.parse().expect("a number"),
        retained: retained == "1",
        topic: topic.to_owned(),
        // One without content makes the broker forget its topic.
        payload: if payload.is_empty() {
            serde_json::Value::Null
        } else {
            serde_json::from_str(payload).expect("JSON")
        },
    }
}

//! The processes that tests run: Ocellus itself, a broker, an independent MQTT client, a browser.
//! Every one of them ends with the test that started it.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before a test gives up. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The binary under test, with a state of its own each time, unless its configuration names a place.
pub fn ocellus() -> Command {
    static STATES: AtomicU32 = AtomicU32::new(0);
    let state = format!("state/{}-{}", std::process::id(), STATES.fetch_add(1, Ordering::Relaxed));
    let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join(state);
    // Of an earlier process with our number.
    let _ = std::fs::remove_dir_all(&state);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ocellus"));
    command.env_remove("RUST_LOG").env("STATE_DIRECTORY", state);
    command
}

/// Runs the binary to its end.
pub fn run(args: &[&str]) -> Output {
    ocellus().args(args).stdin(Stdio::null()).output().expect("the binary starts")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A port that nothing listens on right now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

/// A child process whose lines (stdout and stderr together) can be waited for.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let (sender, lines) = channel();
        let pipes: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
        for pipe in pipes {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                    if sender.send(text(&line)).is_err() {
                        return;
                    }
                }
            });
        }
        Self { child, lines, seen: Vec::new() }
    }

    /// Waits for a line that `wanted` gives something for.
    pub fn wait_for<T>(&mut self, what: &str, mut wanted: impl FnMut(&str) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = wanted(&line);
                    self.seen.push(line);
                    if let Some(found) = found {
                        return found;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no {what} came; so far:\n{}", self.tail()),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended without {what}; it said:\n{}", self.tail()),
            }
        }
    }

    pub fn wait_for_line(&mut self, part: &str) -> String {
        self.wait_for(part, |line| line.contains(part).then(|| line.to_owned()))
    }

    fn tail(&self) -> String {
        let short = |line: &String| line.chars().take(200).collect::<String>();
        self.seen.iter().rev().take(30).rev().map(short).collect::<Vec<_>>().join("\n")
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for the process to end; everything it said that was not read yet comes with it.
    pub fn wait(&mut self) -> (ExitStatus, String) {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                break status;
            }
            assert!(Instant::now() < until, "it does not end; it said:\n{}", self.tail());
            std::thread::sleep(Duration::from_millis(20));
        };
        self.seen.extend(self.lines.iter());
        (status, self.seen.join("\n"))
    }

    /// Asks it to stop, as systemd does, and waits for its end.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A real mosquitto on a port of its own, with nothing kept.
pub struct Mosquitto {
    running: Option<Running>,
    pub port: u16,
    config: tempfile::TempDir,
}

impl Mosquitto {
    pub fn start() -> Self {
        let mut broker = Self::stopped();
        broker.begin();
        broker
    }

    /// One with further settings.
    pub fn with(settings: &str) -> Self {
        let mut broker = Self::configured(settings);
        broker.begin();
        broker
    }

    /// One that is not running yet.
    pub fn stopped() -> Self {
        Self::configured("")
    }

    fn configured(settings: &str) -> Self {
        let config = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n{settings}\n");
        std::fs::write(config.path().join("mosquitto.conf"), text).expect("the config can be written");
        Self { running: None, port, config }
    }

    pub fn begin(&mut self) {
        let mut command = Command::new(program("mosquitto", "/usr/sbin/mosquitto"));
        command.arg("-v").arg("-c").arg(self.config.path().join("mosquitto.conf"));
        let mut running = Running::start(&mut command);
        running.wait_for_line("running");
        self.running = Some(running);
    }

    /// Ends it without a word to its clients.
    pub fn kill(&mut self) {
        self.running = None;
    }
}

fn program(name: &str, usual: &str) -> PathBuf {
    if Path::new(usual).exists() { usual.into() } else { name.into() }
}

/// A message as `mosquitto_sub` received it.
#[derive(Debug, Clone)]
pub struct Message {
    pub topic: String,
    pub retained: bool,
    pub qos: u8,
    pub payload: String,
}

impl Message {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.payload).unwrap_or_else(|e| panic!("{}: {e}: {}", self.topic, self.payload))
    }
}

/// `mosquitto_sub`, listening to everything.
pub struct Subscriber(Running);

impl Subscriber {
    pub fn to(port: u16, filter: &str) -> Self {
        let mut command = Command::new("mosquitto_sub");
        let port = port.to_string();
        command.args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", filter, "-F", "%r %q %t %p"]);
        Self(Running::start(&mut command))
    }

    /// Waits for a message on a topic that ends so, and that `wanted` accepts.
    pub fn wait_for(&mut self, topic: &str, mut wanted: impl FnMut(&Message) -> bool) -> Message {
        self.0.wait_for(&format!("message on …{topic}"), |line| {
            let message = parse(line)?;
            (message.topic.ends_with(topic) && wanted(&message)).then_some(message)
        })
    }

    /// The next message, whatever it is.
    pub fn next(&mut self) -> Message {
        self.0.wait_for("message", parse)
    }
}

fn parse(line: &str) -> Option<Message> {
    let mut parts = line.splitn(4, ' ');
    let retained = parts.next()? == "1";
    let qos = parts.next()?.parse().ok()?;
    Some(Message { retained, qos, topic: parts.next()?.to_owned(), payload: parts.next()?.to_owned() })
}

/// Processes whose parent is `of`.
pub fn children(of: u32) -> Vec<u32> {
    let output = Command::new("pgrep").args(["-P", &of.to_string()]).output().expect("pgrep runs");
    text(&output.stdout).lines().filter_map(|l| l.trim().parse().ok()).collect()
}

/// Whether a process is there and not a zombie.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Files under a folder, in order.
pub fn files(under: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![under.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

//! Whatever is killed: what the outbox has kept arrives, each under one id.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ocellus::random::Random;
use serde_json::Value;

use crate::peers::{Mosquitto, Running, ocellus, run, text, until};

/// A way to the broker that can be closed, so that nothing reaches a broker to which nobody has subscribed yet.
pub struct Gate {
    pub port: u16,
    open: Arc<AtomicBool>,
    ways: Arc<Mutex<Vec<TcpStream>>>,
}

impl Gate {
    pub fn to(broker: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, ways) = (Arc::new(AtomicBool::new(true)), Arc::<Mutex<Vec<TcpStream>>>::default());
        let gate = Self { port, open: Arc::clone(&open), ways: Arc::clone(&ways) };
        std::thread::spawn(move || {
            for ours in listener.incoming().map_while(Result::ok) {
                let mut ways = ways.lock().unwrap();
                if !open.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(theirs) = TcpStream::connect(("127.0.0.1", broker)) else { continue };
                ways.extend([ours.try_clone().unwrap(), theirs.try_clone().unwrap()]);
                pass(ours.try_clone().unwrap(), theirs.try_clone().unwrap());
                pass(theirs, ours);
            }
        });
        gate
    }

    pub fn close(&self) {
        let mut ways = self.ways.lock().unwrap();
        self.open.store(false, Ordering::Relaxed);
        for way in ways.drain(..) {
            let _ = way.shutdown(Shutdown::Both);
        }
    }

    pub fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// A subscriber that gets what the broker has sent before it was killed, to the last byte: MQTT 3.1.1 as far as that
/// takes.
struct Witness(std::thread::JoinHandle<Vec<Value>>);

impl Witness {
    /// Returns when it is subscribed to all events.
    fn on(broker: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", broker)).unwrap();
        let connect = [b"\0\x04MQTT\x04\x02\0\0".as_slice(), &field(b"witness")].concat();
        let subscribe = [b"\0\x01".as_slice(), &field(b"ocellus/+/+/+/events"), b"\0"].concat();
        for (kind, body) in [(0x10, connect), (0x82, subscribe)] {
            let length = u8::try_from(body.len()).unwrap();
            stream.write_all(&[&[kind, length], body.as_slice()].concat()).unwrap();
        }
        for kind in [0x20, 0x90] {
            assert_eq!(packet(&mut stream).expect("an answer").0, kind);
        }
        Self(std::thread::spawn(move || {
            let mut events = Vec::new();
            while let Some((_, body)) = packet(&mut stream) {
                let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                events.push(serde_json::from_slice(&body[2 + topic..]).unwrap());
            }
            events
        }))
    }

    /// All that it got, once the broker is gone.
    fn events(self) -> Vec<Value> {
        self.0.join().unwrap()
    }
}

/// A text with its length.
fn field(text: &[u8]) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text].concat()
}

/// The next packet: its first byte, and what follows its length.
fn packet(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut byte = [0];
    stream.read_exact(&mut byte).ok()?;
    let kind = byte[0];
    let (mut length, mut shift) = (0, 0);
    loop {
        stream.read_exact(&mut byte).ok()?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((kind, body))
}

/// Cameras of a node: so many that events come quickly.
const LINES: u64 = 4;

/// A node with simulated lines, with its outbox.
pub struct Node {
    config: PathBuf,
    state: PathBuf,
    pub kept: BTreeSet<String>,
}

impl Node {
    /// A node whose configuration lies in a folder and whose outbox is in another, with further settings for it.
    pub fn new(folder: &Path, port: u16, state: &Path, outbox: &str) -> Self {
        let (config, state) = (folder.join("ocellus.toml"), state.to_owned());
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/conveyor");
        let mut text = format!(
            "site = \"plant-7\"\nnode = \"edge-01\"\ndevice = \"cpu\"\n\
             [mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\n\
             [outbox]\npath = {state:?}\n{outbox}\n\
             [models.parts]\npath = {package:?}\n"
        );
        for seed in 1..=LINES {
            let source = format!("sim:conveyor?seed={seed}&fps=30&width=320&height=180");
            writeln!(text, "[cameras.line-{seed}]\nsource = \"{source}\"\n[cameras.line-{seed}.track]").unwrap();
        }
        std::fs::write(&config, text).unwrap();
        Self { config, state, kept: BTreeSet::new() }
    }

    /// What starts it.
    pub fn command(&self) -> Command {
        let mut command = ocellus();
        command.env("RUST_LOG", "ocellus::outbox=trace,ocellus=info").args(["run", "--config"]).arg(&self.config);
        command
    }

    fn start(&self) -> Running {
        Running::start(&mut self.command())
    }

    pub fn take_the_cameras_away(&self) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        std::fs::write(&self.config, text.split("[cameras").next().unwrap()).unwrap();
    }

    /// Notes what the outbox says it has kept, from a line of the log.
    pub fn hear(&mut self, line: &str) -> bool {
        let Some((_, id)) = line.split_once("Kept. id=") else { return false };
        self.kept.insert(id.split_whitespace().next().unwrap().to_owned());
        true
    }

    fn status(&self) -> Value {
        let output = run(&["outbox", "status", "--json", "--path", self.state.to_str().unwrap()]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn waiting(&self) -> u64 {
        self.status()["kinds"]["event"]["waiting"].as_u64().unwrap()
    }
}

/// The events that subscribers got.
#[derive(Default)]
struct Received {
    ids: BTreeSet<String>,
    /// By what happened: what an event says but for its id.
    happened: BTreeMap<String, BTreeSet<String>>,
    /// Ids that came more than once, as after a crash between a message and its acknowledgement.
    again: BTreeSet<String>,
}

impl Received {
    fn take(&mut self, events: Vec<Value>) {
        for mut event in events {
            let Some(Value::String(id)) = event.as_object_mut().unwrap().remove("id") else { panic!("no id: {event}") };
            self.happened.entry(event.to_string()).or_default().insert(id.clone());
            if !self.ids.insert(id.clone()) {
                self.again.insert(id);
            }
        }
    }
}

fn kills() -> u64 {
    std::env::var("OCELLUS_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

#[test]
fn every_event_that_was_kept_arrives_under_one_id() {
    let mut broker = Mosquitto::with("max_inflight_messages 0\nmax_queued_messages 0");
    let gate = Gate::to(broker.port);
    let folder = tempfile::tempdir().unwrap();
    let mut node = Node::new(folder.path(), gate.port, &folder.path().join("outbox"), "reserve_mib = 1");
    let (mut random, mut received) = (Random(1), Received::default());
    let mut witness = Witness::on(broker.port);
    for round in 0..kills() {
        let mut running = node.start();
        // Some are killed while they start, the others after some events.
        let events = random.below(16);
        if events < 4 {
            std::thread::sleep(Duration::from_millis(random.below(300) as u64));
        } else {
            for _ in 0..events {
                running.wait_for("event that was kept", |line| node.hear(line).then_some(()));
            }
            std::thread::sleep(Duration::from_micros(random.below(30_000) as u64));
        }
        if round % 5 == 4 {
            broker.kill();
            gate.close();
            received.take(witness.events());
            broker.begin();
            witness = Witness::on(broker.port);
            gate.open();
        }
        running.signal("KILL");
        let (_, said) = running.wait();
        for line in said.lines() {
            node.hear(line);
        }
    }
    // The last one only delivers.
    node.take_the_cameras_away();
    let running = node.start();
    until("nothing waits", || node.waiting() == 0);
    let (status, said) = running.terminate();
    assert!(status.success(), "{said}");
    broker.kill();
    received.take(witness.events());

    println!(
        "{} kills of ocellus, {} of mosquitto; {} events were kept, {} came, {} of them more than once",
        kills(),
        kills() / 5,
        node.kept.len(),
        received.ids.len(),
        received.again.len(),
    );
    assert!(node.kept.len() as u64 > kills() * 4, "only {} events were kept", node.kept.len());
    let lost: Vec<_> = node.kept.difference(&received.ids).collect();
    assert!(lost.is_empty(), "{} of {} events are lost: {lost:?}", lost.len(), node.kept.len());
    let twice: Vec<_> = received.happened.iter().filter(|(_, ids)| ids.len() > 1).collect();
    assert!(twice.is_empty(), "under several ids: {twice:?}");
    assert_eq!(received.ids.len(), received.happened.len());
}

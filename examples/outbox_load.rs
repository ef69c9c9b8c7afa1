//! Publishes the events of many cameras to a broker, at the pace of cameras or as fast as they go: for `make bench-outbox`.
//!
//! ```text
//! cargo run --release --example outbox_load -- --way outbox --port 1883 --folder /tmp/outbox --rate 1920 --seconds 20
//! ```
//!
//! `--way outbox` takes the daemon's rooms, outbox and MQTT, with the outbox in `--folder`; `memory` takes the same with
//! the outbox switched off; `rumqttc` hands the same bytes to the same client library and nothing else, at QoS 1.
//! `--rate 0` publishes as fast as it goes, with a bounded number on their way. Prints one JSON object: how many events,
//! the seconds until the broker had the last, and the CPU time of this process.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use ocellus::clock::SystemClock;
use ocellus::config::{MqttConfig, OutboxConfig};
use ocellus::detection::{FrameRef, ModelRef, Rect};
use ocellus::event::{Event, EventType, SCHEMA};
use ocellus::outbox::{Kind, Outbox, OutboxHandle};
use ocellus::publish::{Durable, Mqtt};
use rumqttc::{AsyncClient, MqttOptions, NetworkOptions, Packet, QoS};
use serde_json::json;
use ulid::Ulid;

/// Messages that may wait to be acknowledged where they are published as fast as they go.
const BOUND: u64 = 1024;
/// Messages that the client has on their way at a time, as the daemon sets it.
const WINDOW: u16 = 64;

struct Args {
    way: String,
    port: u16,
    folder: PathBuf,
    cameras: u64,
    /// Events a second of all cameras together; 0 for as many as go.
    rate: f64,
    seconds: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = parse(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (events, seconds) = runtime.block_on(async {
        match &*args.way {
            "outbox" | "memory" => daemon(&args).await,
            "rumqttc" => bare(&args).await,
            other => Err(format!("there is no way {other}").into()),
        }
    })?;
    println!("{}", json!({"events": events, "seconds": seconds, "cpu_seconds": cpu_seconds()?}));
    Ok(())
}

/// The daemon's own way: outbox and MQTT.
async fn daemon(args: &Args) -> Result<(u64, f64), Box<dyn Error>> {
    let clock = Arc::new(SystemClock);
    let settings =
        OutboxConfig { enabled: args.way == "outbox", path: Some(args.folder.clone()), ..OutboxConfig::default() };
    let outbox = Outbox::of(&settings, clock.clone())?;
    let config = MqttConfig { url: format!("mqtt://127.0.0.1:{}", args.port), ..MqttConfig::default() };
    let durable = Durable { outbox: outbox.handle(), backlog_rate: settings.backlog_rate };
    let mqtt = Mqtt::start(&config, "bench", "node", clock, durable)?;
    mqtt.connected().wait_for(|connected| *connected).await?;
    let (handle, state) = (mqtt.handle(), outbox.handle());
    let start = Instant::now();
    let mut source = Source::new(args, start);
    while let Some(event) = source.next(|| delivered(&state)).await {
        handle.event(&event);
    }
    let events = source.made;
    while delivered(&state) < events {
        let status = state.status();
        if status.dropped + status.evicted > 0 || status.trouble.is_some() {
            return Err(format!("events were dropped: {status:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let seconds = start.elapsed().as_secs_f64();
    mqtt.close(Duration::from_secs(10)).await;
    tokio::task::spawn_blocking(move || outbox.close()).await?;
    Ok((events, seconds))
}

/// Events that the broker has acknowledged and that have left the outbox.
fn delivered(outbox: &OutboxHandle) -> u64 {
    let status = outbox.status();
    let index = Kind::ALL.iter().position(|kind| *kind == Kind::Event).unwrap_or_default();
    status.history[index].delivered + status.delivered_from_memory
}

/// The client library alone.
async fn bare(args: &Args) -> Result<(u64, f64), Box<dyn Error>> {
    let mut options = MqttOptions::new("bench", "127.0.0.1", args.port);
    options.set_clean_session(true).set_inflight(WINDOW);
    let (client, mut events) = AsyncClient::new(options, usize::from(WINDOW) + 1);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    let (sender, acknowledged) = tokio::sync::watch::channel(0_u64);
    let loop_of_events = tokio::spawn(async move {
        loop {
            match events.poll().await {
                Ok(rumqttc::Event::Incoming(Packet::PubAck(_))) => sender.send_modify(|count| *count += 1),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    });
    let start = Instant::now();
    let mut source = Source::new(args, start);
    while let Some(event) = source.next(|| *acknowledged.borrow()).await {
        let topic = format!("ocellus/bench/node/{}/events", event.camera);
        client.publish(topic, QoS::AtLeastOnce, false, serde_json::to_vec(&event)?).await?;
    }
    let mut acknowledged = acknowledged.clone();
    if acknowledged.wait_for(|count| *count >= source.made).await.is_err() {
        return Err(format!("the connection broke: {}", loop_of_events.await?).into());
    }
    Ok((source.made, start.elapsed().as_secs_f64()))
}

/// Makes events, camera after camera.
struct Source<'a> {
    args: &'a Args,
    start: Instant,
    made: u64,
    /// An event whose changing fields are filled in.
    template: Event,
}

impl<'a> Source<'a> {
    fn new(args: &'a Args, start: Instant) -> Self {
        let frame = FrameRef { seq: 0, captured_at: Utc::now(), width: 1920, height: 1080 };
        let model = ModelRef {
            name: "conveyor".to_owned(),
            version: "1.2.0".to_owned(),
            digest: format!("sha256:{}", "5a".repeat(32)),
        };
        let template = Event {
            schema: SCHEMA.to_owned(),
            id: String::new(),
            kind: EventType::Update,
            site: "bench".to_owned(),
            node: "node".to_owned(),
            camera: String::new(),
            started_at: frame.captured_at,
            frame,
            model,
            config: format!("sha256:{}", "a5".repeat(32)),
            track: "7".to_owned(),
            track_id: Ulid::generate().to_string(),
            label: "bolt".to_owned(),
            score: 0.9312,
            rect: Rect { x: 0.1, y: 0.1, w: 0.15, h: 0.18 },
            duration_s: 1.25,
            frames: 12,
            zones: vec!["belt".to_owned()],
            zone: None,
            line: None,
        };
        Self { args, start, made: 0, template }
    }

    /// The next event when its time has come, captured at that very moment; `done` says how many are through.
    async fn next(&mut self, done: impl Fn() -> u64) -> Option<Event> {
        let due = if self.args.rate > 0.0 {
            Duration::from_secs_f64(self.made as f64 / self.args.rate)
        } else {
            while self.made.saturating_sub(done()) >= BOUND {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            self.start.elapsed()
        };
        if due.as_secs_f64() >= self.args.seconds {
            return None;
        }
        let wait = due.saturating_sub(self.start.elapsed());
        if !wait.is_zero() {
            // Finer than tokio's clock, whose ticks are milliseconds.
            tokio::task::block_in_place(|| std::thread::sleep(wait));
        }
        let camera = self.made % self.args.cameras;
        self.made += 1;
        let mut event = self.template.clone();
        event.id = Ulid::generate().to_string();
        event.camera = format!("line-{camera:02}");
        event.frame.seq = self.made / self.args.cameras;
        event.frame.captured_at = Utc::now();
        Some(event)
    }
}

/// User and system time of this process.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no process name")?;
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    // `getconf CLK_TCK` is 100 wherever Linux runs.
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, Box<dyn Error>> {
    const KEYS: &str = "--way, --port, --folder, --cameras, --rate and --seconds";
    let mut given = BTreeMap::new();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value; there are {KEYS}"))?;
        given.insert(word, value);
    }
    let mut take = |key: &str, usual: &str| given.remove(key).unwrap_or_else(|| usual.to_owned());
    let args = Args {
        way: take("--way", "outbox"),
        port: take("--port", "1883").parse()?,
        folder: take("--folder", "outbox").into(),
        cameras: take("--cameras", "64").parse::<u64>()?.max(1),
        rate: take("--rate", "1920").parse()?,
        seconds: take("--seconds", "20").parse()?,
    };
    match given.keys().next() {
        Some(key) => Err(format!("there is no {key}; there are {KEYS}").into()),
        None => Ok(args),
    }
}

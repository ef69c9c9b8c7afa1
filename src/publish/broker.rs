//! An MQTT broker inside the process, for the demo: loopback only, no persistence, no passwords.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

/// How many ports are tried, from the preferred one upwards.
const TRIES: u16 = 20;
/// How long the broker may take until it listens.
const START: Duration = Duration::from_secs(5);
/// Largest message, as large as the client sends them.
const MAX_PAYLOAD: usize = 1024 * 1024;

/// Why there is no embedded broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Every port that was tried is taken.
    #[error("the embedded MQTT broker finds no free port from {from} to {to} on 127.0.0.1: {source}")]
    Ports {
        /// The first tried.
        from: u16,
        /// The last tried.
        to: u16,
        /// Why the last was not free.
        source: io::Error,
    },
    /// Its thread can't be started.
    #[error("the embedded MQTT broker can't be started: {0}")]
    Thread(#[from] io::Error),
}

/// A broker on 127.0.0.1 that runs on threads of its own until the process ends; it can't be stopped before.
#[derive(Debug)]
pub struct EmbeddedBroker {
    port: u16,
}

impl EmbeddedBroker {
    /// Starts on the preferred port or, where that is taken, on one of the next 19; 0 means any free one.
    /// Returns when it accepts connections.
    ///
    /// # Errors
    /// When no port is free or a thread can't be started.
    pub fn start(preferred: u16) -> Result<Self, BrokerError> {
        let last = preferred.saturating_add(TRIES - 1);
        let mut refused = io::Error::from(io::ErrorKind::AddrInUse);
        for port in preferred..=last {
            let port = if preferred == 0 { 0 } else { port };
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|probe| probe.local_addr());
            match free {
                Ok(address) if serve(address)? => {
                    let port = address.port();
                    tracing::info!(port, "The embedded MQTT broker listens on 127.0.0.1.");
                    return Ok(Self { port });
                }
                Ok(_) => {}
                Err(error) => refused = error,
            }
        }
        Err(BrokerError::Ports { from: preferred, to: last, source: refused })
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Starts a broker and says whether it listens. It does not when another process was quicker.
fn serve(address: SocketAddr) -> io::Result<bool> {
    let mut broker = Broker::new(config(address));
    let thread = std::thread::Builder::new().name("mqtt-broker".to_owned()).spawn(move || {
        if let Err(error) = broker.start() {
            tracing::error!(%error, "The embedded MQTT broker has ended.");
        }
    })?;
    Ok(listens(address, &thread))
}

fn listens(address: SocketAddr, thread: &JoinHandle<()>) -> bool {
    let until = Instant::now() + START;
    while Instant::now() < until {
        let answers = TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok();
        std::thread::sleep(Duration::from_millis(10));
        // Its thread returns at once when it could not listen; then it is another process that answers.
        if thread.is_finished() {
            return false;
        }
        if answers {
            return true;
        }
    }
    false
}

fn config(listen: SocketAddr) -> Config {
    let server = ServerSettings {
        name: "demo".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections: ConnectionSettings {
            connection_timeout_ms: 5000,
            max_payload_size: MAX_PAYLOAD,
            max_inflight_count: 200,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    };
    Config {
        router: RouterConfig {
            max_connections: 64,
            max_outgoing_packet_count: 200,
            // What slow subscribers may lag behind, for each subscribed filter.
            max_segment_size: 1024 * 1024,
            max_segment_count: 4,
            ..RouterConfig::default()
        },
        v4: Some(HashMap::from([("demo".to_owned(), server)])),
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::config::MqttConfig;
    use crate::publish::Mqtt;
    use crate::publish::mqtt::tests::{detections, durable};
    use crate::publish::testing::{Listener, PATIENCE, free_port};

    fn connect(broker: &EmbeddedBroker, client_id: &str) -> Mqtt {
        let config = MqttConfig {
            url: format!("mqtt://127.0.0.1:{}", broker.port()),
            client_id: Some(client_id.to_owned()),
            ..MqttConfig::default()
        };
        Mqtt::start(&config, "demo", "here", Arc::new(SystemClock), durable()).expect("good settings")
    }

    #[test]
    fn another_client_sees_what_we_publish() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let broker = EmbeddedBroker::start(0).expect("any port");
        let witness = Listener::on(broker.port());
        let mqtt = {
            let _inside = runtime.enter();
            connect(&broker, "first")
        };
        witness.wait_for_state("/demo/here/status", "online", &["offline"]);
        for seq in 0..500 {
            mqtt.handle().detections(detections("line3", seq));
            let message = witness.next_on("/detections");
            assert_eq!((message.topic.as_str(), message.retained), ("ocellus/demo/here/line3/detections", false));
            assert_eq!(message.payload["frame"]["seq"], seq);
        }
        let late = Listener::on(broker.port());
        let message = late.next();
        assert_eq!((message.topic.as_str(), message.retained), ("ocellus/demo/here/status", true));
        assert_eq!(runtime.block_on(mqtt.close(PATIENCE)), 0);
        witness.wait_for_state("/demo/here/status", "stopped", &["offline"]);

        // rumqttd mixes up two sessions of one client id that follow each other at once.
        let mqtt = {
            let _inside = runtime.enter();
            connect(&broker, "second")
        };
        witness.wait_for_state("/demo/here/status", "online", &["offline"]);
        drop(mqtt);
        witness.wait_for_state("/demo/here/status", "offline", &["stopped"]);
    }

    #[test]
    fn the_next_free_port_is_taken() {
        let preferred = free_port();
        let first = EmbeddedBroker::start(preferred).expect("a free port");
        assert_eq!(first.port(), preferred);
        let second = EmbeddedBroker::start(preferred).expect("one of the next");
        assert!((preferred + 1..preferred + TRIES).contains(&second.port()), "{}", second.port());
        // What is taken by another program counts too, also where that only listens on all addresses.
        let other = TcpListener::bind(("0.0.0.0", free_port())).expect("a port");
        let taken = other.local_addr().expect("an address").port();
        assert_ne!(EmbeddedBroker::start(taken).expect("one of the next").port(), taken);
    }

    #[test]
    fn where_no_port_is_free_it_says_which_were_tried() {
        let held =
            |from: u16| (0..TRIES).map(|i| TcpListener::bind((Ipv4Addr::LOCALHOST, from + i)).ok()).collect::<Vec<_>>();
        let (from, _held) = loop {
            let from = free_port();
            let held = held(from);
            if held.iter().all(Option::is_some) {
                break (from, held);
            }
        };
        let error = EmbeddedBroker::start(from).expect_err("all are taken").to_string();
        assert!(error.contains(&format!("from {from} to {}", from + TRIES - 1)), "{error}");
    }

    /// The kernel's own list: 0100007F is 127.0.0.1, 0A is LISTEN (proc(5), `/proc/net/tcp`).
    #[test]
    fn it_listens_on_loopback_only() {
        let broker = EmbeddedBroker::start(0).expect("any port");
        let ending = format!(":{:04X}", broker.port());
        let mut listening = Vec::new();
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            for line in std::fs::read_to_string(table).unwrap_or_default().lines() {
                let fields: Vec<_> = line.split_whitespace().collect();
                if fields.len() > 3 && fields[1].ends_with(&ending) && fields[3] == "0A" {
                    listening.push(fields[1].to_owned());
                }
            }
        }
        assert_eq!(listening, [format!("0100007F{ending}")]);
    }
}

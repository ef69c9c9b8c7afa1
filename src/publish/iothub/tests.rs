//! Against a hub that enforces the rules of Azure's, over TLS.

mod delivery;
mod identity;
mod orders;
#[path = "../../../tests/peers/iot_hub.rs"]
mod peer;

use std::path::Path;
use std::sync::Mutex as StdMutex;

use chrono::DateTime;
use tokio::runtime::Runtime;

use super::*;
use crate::clock::SystemClock;
use crate::command::{Command, Refusal, Request, line};
use crate::outbox::tests::roomy;
use crate::outbox::{Outbox, OutboxHandle};
use crate::publish::mqtt::tests::event;
use crate::publish::testing::{PATIENCE, eventually};

const EVENT: &str = "ocellus.event/1";

fn config(text: &str) -> IotHubConfig {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn outbox(folder: &Path) -> Outbox {
    Outbox::start(folder, roomy(), Arc::new(SystemClock)).expect("started")
}

/// What was asked of whoever carries commands out.
type Asked = Arc<StdMutex<Vec<Request>>>;

/// Somebody who carries commands out: cameras are `line3` and `line4`.
fn operator(runtime: &Runtime) -> (Commander, Asked) {
    let (commander, mut orders) = line(16);
    let asked = Asked::default();
    let heard = Arc::clone(&asked);
    runtime.spawn(async move {
        while let Some(order) = orders.next().await {
            heard.lock().expect("no panic").push(order.request.clone());
            let answer = match (&order.request.camera, order.request.command.clone()) {
                (Some(camera), _) if camera != "line3" && camera != "line4" => {
                    Err(Refusal::unknown_camera(format!("there is no camera `{camera}`")))
                }
                (_, Command::Reload) => Err(Refusal::not_now("the configuration has a mistake")),
                (_, Command::Diagnose) => Ok(json!({ "version": env!("CARGO_PKG_VERSION") })),
                (_, Command::Snapshot) => Ok(json!({ "id": "01" })),
                _ => Ok(Value::Null),
            };
            order.answer(answer);
        }
    });
    (commander, asked)
}

fn start_with(runtime: &Runtime, config: &IotHubConfig, outbox: &OutboxHandle, commander: Commander) -> IotHub {
    let _inside = runtime.enter();
    let durable = Durable { outbox: outbox.clone(), backlog_rate: 1000 };
    IotHub::start(config, Arc::new(SystemClock), durable, commander).expect("good settings")
}

fn start(runtime: &Runtime, config: &IotHubConfig, outbox: &OutboxHandle) -> IotHub {
    start_with(runtime, config, outbox, operator(runtime).0)
}

fn close(runtime: &Runtime, hub: IotHub) -> usize {
    runtime.block_on(hub.close(PATIENCE))
}

fn left(runtime: &Runtime, outbox: &OutboxHandle) -> usize {
    runtime.block_on(outbox.read(Destination::Hub, 0, 10_000)).len()
}

/// The numbers of the events that a hub got, as often as it got them, each under its id.
fn numbers(hub: &peer::IotHub) -> Vec<u64> {
    let number = |message: &Value| {
        let id = message["body"]["id"].as_str().expect("an id");
        assert_eq!(message["properties"]["$.mid"], id, "sent under its id");
        id.parse().expect("digits")
    };
    hub.messages(EVENT).iter().map(number).collect()
}

/// Why there is no connection.
fn refusal(handle: &IotHubHandle) -> String {
    eventually("it is refused", || handle.last_error().is_some());
    assert!(!handle.connected());
    handle.last_error().expect("an error")
}

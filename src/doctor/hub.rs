//! Whether Azure IoT Hub takes us: provisioning, the way there, TLS, the token or certificate.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::Value;
use url::Url;

use super::broker::{check_of, failed, trust};
use super::{Finding, web};
use crate::clock::SystemClock;
use crate::config::{Config, IotHubConfig, WebConfig};
use crate::publish::iothub::{Depth, Way, reach, web_host};
use crate::publish::{Step, Unreachable};

const CHECK: &str = "iothub";
const PROVISIONING: &str = "dps";
/// How long a daemon on this machine may take to say that it runs.
const PATIENCE: Duration = Duration::from_secs(2);

/// `ahead` is how far this machine's clock is ahead of others, where that is known.
pub(super) async fn examine(config: &Config, ahead: Option<TimeDelta>) -> Vec<Finding> {
    let Some(hub) = &config.iothub else { return Vec::new() };
    let runs = daemon_runs(config).await;
    let depth = if runs { Depth::Tls } else { Depth::Login };
    let mut findings = Vec::new();
    let passed = |way, step, said: &str| findings.push(passed(way, step, said));
    let outcome = reach(hub, &SystemClock, depth, passed).await;
    match outcome {
        Ok(()) if runs => findings.push(Finding::ok(
            &check_of(CHECK, Step::Login),
            "not tried, as it would throw out the daemon that runs here: its log and the page say how it is connected",
        )),
        Ok(()) => {}
        Err((way, failure)) => {
            let fix = fix(hub, way, &failure, ahead);
            findings.push(failed(named(way), &failure, fix));
        }
    }
    findings
}

/// How far this machine's clock is ahead of a hub's, or of what assigns hubs, and whose that is; none where none answers.
pub(super) async fn clock(config: &Config) -> Option<(String, TimeDelta)> {
    let hub = config.iothub.as_ref()?;
    let server = Url::parse(&format!("https://{}", web_host(hub)?)).ok()?;
    let answer = web::ask(&server, hub.ca_file.as_deref()).await.ok()?;
    Some((web::shown(&server), answer.ahead?))
}

fn named(way: Way) -> &'static str {
    match way {
        Way::Provisioning => PROVISIONING,
        Way::Hub => CHECK,
    }
}

fn passed(way: Way, step: Step, said: &str) -> Finding {
    let said = match step {
        Step::Settings | Step::Login => said.to_owned(),
        Step::Network => format!("{said} answers"),
        Step::Tls => format!("{said} has a certificate that is trusted"),
    };
    Finding::ok(&check_of(named(way), step), said)
}

fn fix(config: &IotHubConfig, way: Way, failure: &Unreachable, ahead: Option<TimeDelta>) -> String {
    let table = match way {
        Way::Provisioning => "[iothub.dps]",
        Way::Hub => "[iothub]",
    };
    match failure.step {
        Step::Settings => {
            format!("correct {table} and the secret that it names; docs/guide/iothub.md goes step by step")
        }
        Step::Network => "open port 8883 to it in the firewall, and check its name and the DNS".to_owned(),
        Step::Tls => trust(failure.distrust).to_owned(),
        // Tokens are made for a time from now on, so that one that has ended is a clock that is late.
        Step::Login => match ahead {
            Some(ahead) if ahead < -TimeDelta::seconds(config.token_s.into()) => format!(
                "set this machine's clock, which is {} s late: tokens have ended before they arrive",
                -ahead.num_seconds()
            ),
            _ => format!("compare the secret in {table} with the portal's, and whether the device is enabled there"),
        },
    }
}

/// Whether the daemon runs on this machine, as its page says.
async fn daemon_runs(config: &Config) -> bool {
    let Some(WebConfig { listen, .. }) = &config.web else { return false };
    let Ok(client) = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build() else { return false };
    let Ok(answer) = client.get(format!("http://{listen}/api/state")).send().await else { return false };
    let state: Option<Value> = answer.bytes().await.ok().and_then(|body| serde_json::from_slice(&body).ok());
    state.is_some_and(|state| state["site"] == *config.site && state["node"] == *config.node)
}

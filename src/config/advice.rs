//! What is allowed and yet hardly meant: secrets in the file, settings that do nothing.

use std::collections::BTreeSet;

use url::Url;

use super::{Config, DeviceChoice, PrecisionChoice};
use crate::daemon::model_of;

/// Notes each with the keys that lead to it.
pub(super) fn advise(config: &Config, say: &mut dyn FnMut(&[&str], String)) {
    secrets(config, say);
    models(config, say);
    outputs(config, say);
    rules(config, say);
}

fn secrets(config: &Config, say: &mut dyn FnMut(&[&str], String)) {
    for (name, camera) in &config.cameras {
        if Url::parse(&camera.source).is_ok_and(|url| url.password().is_some()) {
            let message = "the URL holds a password, which whoever reads this file knows: give `username` and \
                           `password_file`, `password_env` or `password_credential` instead";
            say(&["cameras", name, "source"], message.to_owned());
        }
    }
    if let Some(web) = config.web.as_ref().filter(|web| !web.listen.ip().is_loopback()) {
        let open = web.metrics_token_file.is_none() && web.metrics_token_credential.is_none();
        let metrics = if open { ", and /metrics, which has no token, is refused to them" } else { "" };
        say(&["web", "listen"], format!("others than this machine see the page and its pictures{metrics}"));
    }
}

fn models(config: &Config, say: &mut dyn FnMut(&[&str], String)) {
    let used: BTreeSet<_> = config.cameras.values().filter_map(|camera| model_of(config, camera)).collect();
    let on_cpu = matches!(config.device, DeviceChoice::Cpu | DeviceChoice::BurnCpu);
    for (name, model) in &config.models {
        if !used.contains(name) {
            say(&["models", name], "no camera uses this model: it is not opened".to_owned());
        }
        if on_cpu && model.precision == Some(PrecisionChoice::F16) {
            let message = "16-bit floats are for GPUs, and `device` is the CPU: 32-bit ones are taken";
            say(&["models", name, "precision"], message.to_owned());
        }
    }
}

fn outputs(config: &Config, say: &mut dyn FnMut(&[&str], String)) {
    let mqtt = &config.mqtt;
    if !mqtt.enabled && config.iothub.is_none() && !config.cameras.is_empty() {
        let message = "without a broker and without a table [iothub] nobody gets detections and events";
        say(&["mqtt", "enabled"], message.to_owned());
    }
    if !mqtt.enabled && mqtt.home_assistant {
        say(&["mqtt", "home_assistant"], "Home Assistant is told over MQTT, which is off".to_owned());
    }
    let outbox = &config.outbox;
    for (key, part, all_key, all) in [
        ("evidence_mib", outbox.evidence_mib, "max_mib", outbox.max_mib),
        ("evidence_items", outbox.evidence_items, "max_items", outbox.max_items),
    ] {
        if part > all {
            say(&["outbox", key], format!("`{key}`, {part}, is more than `{all_key}`, {all}, allows in all"));
        }
    }
}

/// Rules of privacy that no frame comes to.
fn rules(config: &Config, say: &mut dyn FnMut(&[&str], String)) {
    let rules = &config.privacy.store;
    let fits_all = |rule: &&super::RuleConfig| rule.cameras.is_none() && rule.zones.is_none() && rule.hours.is_empty();
    let Some(first) = rules.iter().find(fits_all) else { return };
    let behind = rules.iter().enumerate().skip_while(|(_, rule)| rule.name != first.name).skip(1);
    for (i, _) in behind {
        let message = format!("no frame comes to this rule: `{}` before it fits every frame", first.name);
        say(&["privacy", "store", &i.to_string()], message);
    }
}

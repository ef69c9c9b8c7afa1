//! What must be passed before anything leaves the site.

use std::sync::Arc;

use super::DaemonError;
use super::evidence::has_policy;
use super::insights::has_global_policy;
use crate::clock::Clock;
use crate::config::{Config, MessageRuleConfig};
use crate::privacy::{Log, MessageGuard};

/// The audit log, where there is a policy.
pub(super) fn log(config: &Config, clock: &Arc<dyn Clock>) -> Result<Option<Log>, DaemonError> {
    let privacy = &config.privacy;
    let of_store = config.evidence.as_ref().is_some_and(|evidence| has_policy(config, &evidence.store));
    let of_insights =
        config.insights.is_some() && config.insights_store().is_some_and(|store| has_global_policy(config, store));
    if !of_store && !of_insights && !config.mqtt.off_site && privacy.mqtt.is_empty() && privacy.iothub.is_empty() {
        return Ok(None);
    }
    Ok(Some(Log::open(&config.audit_folder()?, privacy.audit_mib, Arc::clone(clock))?))
}

/// What messages must pass on their way to the broker.
pub(super) fn to_broker(config: &Config, log: Option<&Log>) -> MessageGuard {
    by(&config.privacy.mqtt, config.mqtt.off_site, &config.mqtt.url, log)
}

/// What messages must pass on their way to the hub.
pub(super) fn to_iothub(config: &Config, log: Option<&Log>) -> MessageGuard {
    let hub = config.iothub.as_ref().and_then(|hub| hub.hub.clone());
    by(&config.privacy.iothub, false, hub.as_deref().unwrap_or("iothub"), log)
}

fn by(rules: &[MessageRuleConfig], off_site: bool, destination: &str, log: Option<&Log>) -> MessageGuard {
    match log.filter(|_| off_site || !rules.is_empty()) {
        Some(log) => MessageGuard::by(rules, destination, log.clone()),
        None => MessageGuard::open(),
    }
}

//! How evidence gets to its store.

use chrono::NaiveDate;

use super::is_absent;
use crate::config::{Config, Service, ShipConfig};
use crate::ship::store::{is_azure, is_off_site};

/// Names of queues (learn.microsoft.com, "Naming queues and metadata").
const QUEUE: std::ops::RangeInclusive<usize> = 3..=63;

/// KiB of a block. Azure Stack Hub takes 100 MiB at most ("Differences and considerations for Azure Stack Hub storage").
const BLOCK: std::ops::RangeInclusive<u32> = 64..=102_400;

pub(super) fn check(config: &Config, wrong: &mut dyn FnMut(&[&str], String)) {
    if let Some(evidence) = &config.evidence {
        check_way(&evidence.store, &evidence.ship, &mut |key, message| wrong(&["evidence", "ship", key], message));
    }
    if let (Some(store), Some(way)) = (config.insights_store(), config.insights.as_ref().and_then(|i| i.ship.as_ref()))
    {
        check_way(store, way, &mut |key, message| wrong(&["insights", "ship", key], message));
    }
}

fn check_way(store: &str, way: &ShipConfig, wrong: &mut dyn FnMut(&str, String)) {
    let (azure, elsewhere) = (is_azure(store), is_off_site(store));
    let only_azure = [
        ("service", way.service != Service::Azure),
        ("api_version", way.api_version.is_some()),
        ("sas_file", way.sas_file.is_some()),
        ("queue", way.queue.is_some()),
    ];
    for (key, _) in only_azure.into_iter().filter(|(_, given)| *given && !azure) {
        wrong(key, format!("`{key}` is for stores in Azure: `store` is `az://container/path` then"));
    }
    for (key, given) in [("ca_file", way.ca_file.is_some()), ("max_kib_s", way.max_kib_s.is_some())] {
        if given && !elsewhere {
            wrong(key, format!("`{key}` is for stores that are elsewhere: this one is a directory"));
        }
    }
    for (key, file) in [("ca_file", &way.ca_file), ("sas_file", &way.sas_file)] {
        if let Some(path) = file.as_deref().filter(|path| is_absent(path)) {
            wrong(key, format!("there is no file {}", path.display()));
        }
    }
    let is_date = |text: &str| text.len() == 10 && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok();
    if way.api_version.as_deref().is_some_and(|version| !is_date(version)) {
        wrong("api_version", "`api_version` is a date, like \"2019-07-07\"".to_owned());
    }
    if way.max_kib_s == Some(0) {
        wrong("max_kib_s", "`max_kib_s` is at least 1".to_owned());
    }
    for (key, kib) in [("single_kib", way.single_kib), ("block_kib", way.block_kib)] {
        if !BLOCK.contains(&kib) {
            wrong(key, format!("`{key}` is from {} to {}", BLOCK.start(), BLOCK.end()));
        }
    }
    let plain = |name: &str| {
        QUEUE.contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !name.contains("--")
            && !name.ends_with('-')
    };
    if way.queue.as_deref().is_some_and(|name| !plain(name)) {
        wrong("queue", "a queue has 3 to 63 small letters, digits and single `-`".to_owned());
    }
}

//! The scoring endpoint: limits that make sense, models that are there, a token where strangers can ask.

use super::{Config, Name, is_absent, model_mistake};

const TIMEOUTS: std::ops::RangeInclusive<f32> = 0.1..=600.0;
const MAX_QUEUE: usize = 1024;
const MAX_CONCURRENT: usize = 256;
const MAX_BODY_MIB: u32 = 1024;
/// A tebibyte.
const MAX_MEMORY_MIB: u32 = 1 << 20;

pub(super) fn check(config: &Config, wrong: &mut impl FnMut(&[&str], String)) {
    let Some(serve) = &config.serve else { return };
    let mut wrong = |key: &str, message: &str| {
        let path = ["serve", key];
        wrong(if key.is_empty() { &path[..1] } else { &path }, message.to_owned());
    };
    if serve.token_file.is_some() && serve.token_credential.is_some() {
        wrong("token_credential", "the token comes from one place: give `token_file` or `token_credential`");
    }
    if let Some(path) = serve.token_file.as_deref().filter(|path| is_absent(path)) {
        wrong("token_file", &format!("there is no file {}", path.display()));
    }
    if !serve.listen.ip().is_loopback() && serve.token_file.is_none() && serve.token_credential.is_none() {
        wrong(
            "listen",
            "beyond this machine scoring takes a token: set `token_file` or `token_credential`, or listen on 127.0.0.1",
        );
    }
    if config.models.is_empty() {
        wrong("", "there is no model to score with: add a table [models.NAME]");
    }
    let known: Vec<&str> = config.models.keys().map(|name| &**name).collect();
    let unknown = |name: &Name| if known.is_empty() { None } else { model_mistake(Some(name), &known) };
    for message in serve.models.iter().flatten().filter_map(unknown) {
        wrong("models", &message);
    }
    if serve.models.as_ref().is_some_and(Vec::is_empty) {
        wrong("models", "`models` names a model or more; leave it out to serve all of them");
    }
    if !(1..=MAX_QUEUE).contains(&serve.queue) {
        wrong("queue", &format!("`queue` is from 1 to {MAX_QUEUE}"));
    }
    if !(1..=MAX_CONCURRENT).contains(&serve.concurrent) {
        wrong("concurrent", &format!("`concurrent` is from 1 to {MAX_CONCURRENT}"));
    }
    if !(1..=MAX_BODY_MIB).contains(&serve.max_body_mib) {
        wrong("max_body_mib", &format!("`max_body_mib` is from 1 to {MAX_BODY_MIB}"));
    }
    if !(serve.max_body_mib..=MAX_MEMORY_MIB).contains(&serve.memory_mib) {
        wrong("memory_mib", &format!("`memory_mib` is from `max_body_mib` to {MAX_MEMORY_MIB}"));
    }
    if !TIMEOUTS.contains(&serve.timeout_s) {
        let (least, most) = (TIMEOUTS.start(), TIMEOUTS.end());
        wrong("timeout_s", &format!("`timeout_s` is from {least} to {most}"));
    }
}

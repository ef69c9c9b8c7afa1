//! Direct methods: commands that a hub waits for the answer of ("Understand and invoke direct methods").
//!
//! A method's name is a command's; its payload is an object with the `camera` that it is about and the `value` of a
//! setting, or nothing. The answer has a status as in HTTP and a payload: what the command gives, or
//! `{"kind": …, "reason": …}`.

use serde_json::Value;

use super::encode::of_bag;
use super::twin::status_of;
use crate::command::{Refusal, Request};

/// What is subscribed to.
pub(super) const FILTER: &str = "$iothub/methods/POST/#";
const CALLS: &str = "$iothub/methods/POST/";
/// The largest payload of an answer, in bytes.
const MAX_ANSWER: usize = 128 * 1024;

/// A method that is called.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    /// The hub's number for it.
    rid: String,
    /// The command, if it is one.
    pub(super) request: Result<Request, Refusal>,
}

/// An answer to the hub.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reply {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
}

impl Call {
    /// Reads a message. None where it calls nothing.
    pub(super) fn read(topic: &str, payload: &[u8]) -> Option<Self> {
        let (name, bag) = topic.strip_prefix(CALLS)?.rsplit_once('/')?;
        let rid = of_bag(bag, "$rid").filter(|rid| rid.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))?;
        Some(Self { rid: rid.to_owned(), request: request(name, payload) })
    }

    /// The answer.
    pub(super) fn reply(&self, answer: Result<Value, Refusal>) -> Reply {
        let (status, payload) = match answer {
            Ok(value) => (200, value.to_string()),
            Err(refusal) => (status_of(&refusal), serde_json::to_string(&refusal).unwrap_or_default()),
        };
        if payload.len() > MAX_ANSWER {
            let refusal = Refusal::not_now("the answer is larger than the 128 KiB that a hub takes");
            return Reply { payload: serde_json::to_vec(&refusal).unwrap_or_default(), topic: self.topic(500) };
        }
        Reply { payload: payload.into_bytes(), topic: self.topic(status) }
    }

    /// The answer where too many are called at a time.
    pub(super) fn busy(&self) -> Reply {
        let refusal = Refusal::not_now("too many methods are running already: try again");
        Reply { payload: serde_json::to_vec(&refusal).unwrap_or_default(), topic: self.topic(429) }
    }

    fn topic(&self, status: u16) -> String {
        format!("$iothub/methods/res/{status}/?$rid={}", self.rid)
    }
}

fn request(name: &str, payload: &[u8]) -> Result<Request, Refusal> {
    const SHAPE: &str =
        "the payload is an object with `camera` and `value`, as far as the command takes them, or nothing";
    let wrong = || Refusal::bad_value(SHAPE);
    let text = std::str::from_utf8(payload).map_err(|_| wrong())?.trim();
    let payload: Value = if text.is_empty() { Value::Null } else { serde_json::from_str(text).map_err(|_| wrong())? };
    let nothing = serde_json::Map::new();
    let fields = match &payload {
        Value::Null => &nothing,
        Value::Object(fields) if fields.keys().all(|key| key == "camera" || key == "value") => fields,
        _ => return Err(wrong()),
    };
    let camera = match fields.get("camera") {
        None | Some(Value::Null) => None,
        Some(Value::String(camera)) => Some(camera.as_str()),
        Some(_) => return Err(wrong()),
    };
    Request::named(camera, name, fields.get("value").unwrap_or(&Value::Null))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::command::{Command, Setting};

    fn call(name: &str, payload: &str) -> Call {
        Call::read(&format!("$iothub/methods/POST/{name}/?$rid=1a"), payload.as_bytes()).expect("a call")
    }

    #[test]
    fn methods_are_commands() {
        let of = |camera: Option<&str>, command| Ok(Request { camera: camera.map(str::to_owned), command });
        for payload in ["", "null", "{}", " {\"camera\":null} "] {
            assert_eq!(call("reload", payload).request, of(None, Command::Reload), "{payload}");
        }
        assert_eq!(call("snapshot", "{\"camera\":\"line3\"}").request, of(Some("line3"), Command::Snapshot));
        let score = Command::Set(Setting::Score(Some(0.5)));
        assert_eq!(call("score", "{\"camera\":\"a\",\"value\":0.5}").request, of(Some("a"), score));
    }

    #[test]
    fn what_is_no_command_is_refused_with_a_status() {
        for (name, payload, status, wanted) in [
            ("snapshott", "", 404, "did you mean `snapshot`?"),
            ("a/b", "", 404, "no command"),
            ("snapshot", "", 404, "say which"),
            ("score", "{\"camera\":\"a\",\"value\":7}", 400, "from 0 to 1"),
            ("reload", "{", 400, "an object"),
            ("reload", "[1]", 400, "an object"),
            ("reload", "{\"camera\":3}", 400, "an object"),
            ("reload", "{\"kamera\":\"a\"}", 400, "an object"),
        ] {
            let call = call(name, payload);
            let reply = call.reply(call.request.clone().map(|_| Value::Null));
            assert_eq!(reply.topic, format!("$iothub/methods/res/{status}/?$rid=1a"), "{name} {payload}");
            let text = String::from_utf8(reply.payload).expect("text");
            assert!(text.contains(wanted) && text.contains("\"kind\""), "{name} {payload}: {text}");
        }
        let bytes = Call::read("$iothub/methods/POST/reload/?$rid=1", &[0xff]).expect("a call");
        assert!(bytes.request.is_err());
    }

    #[test]
    fn answers_have_the_hub_s_number_and_a_size() {
        let call = call("diagnose", "");
        let reply = call.reply(Ok(json!({ "ok": true })));
        assert_eq!(
            (reply.topic.as_str(), &*reply.payload),
            ("$iothub/methods/res/200/?$rid=1a", &b"{\"ok\":true}"[..])
        );
        assert!(call.reply(Ok(json!("x".repeat(MAX_ANSWER)))).topic.contains("/500/"));
        assert!(call.reply(Err(Refusal::not_now("later"))).topic.contains("/409/"));
        assert!(call.busy().topic.contains("/429/"));
        for topic in
            ["", "$iothub/methods/POST/", "$iothub/methods/POST/reload", "$iothub/methods/POST/reload/?$rid=a/b"]
        {
            assert_eq!(Call::read(topic, b""), None, "{topic}");
        }
    }
}

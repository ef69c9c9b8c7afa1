//! The names of the topics, and what may be in them.

/// The longest prefix, in bytes; a whole topic may have 65 535.
const MAX_PREFIX: usize = 256;

/// Why a text can't be part of a topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" can't be part of an MQTT topic: {reason}")]
pub struct TopicError {
    text: String,
    reason: &'static str,
}

/// The topics of one node: `{prefix}/{site}/{node}/…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    base: String,
}

impl Topics {
    /// Checks the parts. Only the prefix may have several levels.
    ///
    /// # Errors
    /// When a level is empty or holds `+`, `#`, a space or a control character, or the prefix starts with `$`
    /// (a broker's own topics) or is over 256 bytes long.
    pub fn new(prefix: &str, site: &str, node: &str) -> Result<Self, TopicError> {
        let refuse = |reason| Err(TopicError { text: prefix.chars().take(MAX_PREFIX).collect(), reason });
        if prefix.len() > MAX_PREFIX {
            return refuse("it is longer than 256 bytes");
        }
        if prefix.starts_with('$') {
            return refuse("topics that start with `$` belong to the broker");
        }
        for part in prefix.split('/') {
            check_characters(part)?;
        }
        let (site, node) = (level(site)?, level(node)?);
        Ok(Self { base: format!("{prefix}/{site}/{node}") })
    }

    /// Where the node says whether it is there. Retained.
    #[must_use]
    pub fn node_status(&self) -> String {
        format!("{}/status", self.base)
    }

    /// Where the statistics go.
    #[must_use]
    pub fn stats(&self) -> String {
        format!("{}/stats", self.base)
    }

    /// Where a camera's state goes. Retained.
    ///
    /// # Errors
    /// When the camera's name can't be a level of a topic.
    pub fn camera_status(&self, camera: &str) -> Result<String, TopicError> {
        Ok(format!("{}/{}/status", self.base, level(camera)?))
    }

    /// Where a camera's scored frames go.
    ///
    /// # Errors
    /// When the camera's name can't be a level of a topic.
    pub fn detections(&self, camera: &str) -> Result<String, TopicError> {
        Ok(format!("{}/{}/detections", self.base, level(camera)?))
    }

    /// Where a camera's events go.
    ///
    /// # Errors
    /// When the camera's name can't be a level of a topic.
    pub fn events(&self, camera: &str) -> Result<String, TopicError> {
        Ok(format!("{}/{}/events", self.base, level(camera)?))
    }

    /// Where the running count of one of a camera's zones or lines goes. Retained.
    ///
    /// # Errors
    /// When one of the names can't be a level of a topic.
    pub fn counts(&self, camera: &str, rule: &str) -> Result<String, TopicError> {
        Ok(format!("{}/{}/counts/{}", self.base, level(camera)?, level(rule)?))
    }

    /// Where a command to a camera, or to the node, is awaited.
    ///
    /// # Errors
    /// When one of the names can't be a level of a topic.
    pub fn command(&self, camera: Option<&str>, name: &str) -> Result<String, TopicError> {
        Ok(format!("{}/set", self.setting(camera, name)?))
    }

    /// Where the answer to a command goes, and the state of a setting. Retained.
    ///
    /// # Errors
    /// When one of the names can't be a level of a topic.
    pub fn state(&self, camera: Option<&str>, name: &str) -> Result<String, TopicError> {
        Ok(format!("{}/state", self.setting(camera, name)?))
    }

    fn setting(&self, camera: Option<&str>, name: &str) -> Result<String, TopicError> {
        Ok(match camera {
            Some(camera) => format!("{}/{}/{}", self.base, level(camera)?, level(name)?),
            None => format!("{}/{}", self.base, level(name)?),
        })
    }

    /// What all topics of a camera start with.
    pub(super) fn below(&self, camera: &str) -> String {
        format!("{}/{camera}/", self.base)
    }

    /// What is subscribed to for commands.
    pub(super) fn command_filters(&self) -> [String; 2] {
        ["+/set", "+/+/set"].map(|levels| format!("{}/{levels}", self.base))
    }

    /// What is subscribed to for a moment, to see what the broker keeps of cameras.
    pub(super) fn retained_filters(&self) -> [String; 3] {
        ["+/status", "+/+/state", "+/counts/+"].map(|levels| format!("{}/{levels}", self.base))
    }

    /// What a topic commands: the camera, where it is to one, and the command's name.
    pub(super) fn commanded<'a>(&self, topic: &'a str) -> Option<(Option<&'a str>, &'a str)> {
        match self.levels(topic)?[..] {
            [name, "set"] => Some((None, name)),
            // A rule of this name, and its count.
            [_, "counts", _] => None,
            [camera, name, "set"] => Some((Some(camera), name)),
            _ => None,
        }
    }

    /// Whose retained message a topic has: the camera, and the zone or line where it is a count.
    pub(super) fn retained<'a>(&self, topic: &'a str) -> Option<(&'a str, Option<&'a str>)> {
        match self.levels(topic)?[..] {
            [camera, "counts", rule] => Some((camera, Some(rule))),
            [camera, "status"] | [camera, _, "state"] => Some((camera, None)),
            _ => None,
        }
    }

    fn levels<'a>(&self, topic: &'a str) -> Option<Vec<&'a str>> {
        Some(topic.strip_prefix(self.base.as_str())?.strip_prefix('/')?.split('/').take(4).collect())
    }

    /// Where a camera's messages on some channel go, like `events` or `counts/exit`.
    ///
    /// # Errors
    /// When the camera's name can't be a level of a topic, or the channel can't be levels of one.
    pub fn of_camera(&self, camera: &str, channel: &str) -> Result<String, TopicError> {
        for part in channel.split('/') {
            check_characters(part)?;
        }
        Ok(format!("{}/{}/{channel}", self.base, level(camera)?))
    }
}

fn level(text: &str) -> Result<&str, TopicError> {
    if text.contains('/') {
        return Err(TopicError { text: text.to_owned(), reason: "`/` separates levels, and this is one level" });
    }
    check_characters(text)?;
    Ok(text)
}

fn check_characters(text: &str) -> Result<(), TopicError> {
    let reason = if text.is_empty() {
        "a level is empty"
    } else if text.contains(['+', '#']) {
        "`+` and `#` are wildcards"
    } else if text.contains(char::is_whitespace) {
        // Allowed by MQTT, but a trap for everybody who types the topic.
        "it holds a space"
    } else if text.contains(char::is_control) {
        "it holds a control character"
    } else {
        return Ok(());
    };
    Err(TopicError { text: text.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_as_designed() {
        let topics = Topics::new("ocellus", "plant-7", "edge-01").expect("good parts");
        assert_eq!(topics.node_status(), "ocellus/plant-7/edge-01/status");
        assert_eq!(topics.stats(), "ocellus/plant-7/edge-01/stats");
        assert_eq!(topics.camera_status("line3").as_deref(), Ok("ocellus/plant-7/edge-01/line3/status"));
        assert_eq!(topics.detections("line3").as_deref(), Ok("ocellus/plant-7/edge-01/line3/detections"));
        assert_eq!(topics.events("line3").as_deref(), Ok("ocellus/plant-7/edge-01/line3/events"));
        assert_eq!(topics.counts("line3", "exit").as_deref(), Ok("ocellus/plant-7/edge-01/line3/counts/exit"));
        assert_eq!(
            topics.of_camera("line3", "counts/exit").as_deref(),
            Ok("ocellus/plant-7/edge-01/line3/counts/exit")
        );
        let deep = Topics::new("factory/vision", "s", "n").expect("a prefix may have levels");
        assert_eq!(deep.stats(), "factory/vision/s/n/stats");
    }

    #[test]
    fn commands_have_topics_and_topics_are_commands() {
        let topics = Topics::new("factory/vision", "plant-7", "edge-01").expect("good parts");
        let base = "factory/vision/plant-7/edge-01";
        for (camera, name) in [(Some("line3"), "enabled"), (None, "reload"), (Some("set"), "set"), (None, "set")] {
            let topic = topics.command(camera, name).expect("levels");
            assert_eq!(topics.commanded(&topic), Some((camera, name)));
            assert_eq!(
                topics.state(camera, name).expect("levels"),
                format!("{}state", topic.strip_suffix("set").unwrap())
            );
        }
        for other in ["", "/set", "line3/counts/set", "line3/enabled/state", "a/b/c/set", "line3/enabled/set/more"] {
            let topic = format!("{base}/{other}");
            let named = topics
                .commanded(&topic)
                .filter(|(camera, name)| camera.is_none_or(|c| !c.is_empty()) && !name.is_empty());
            assert_eq!(named, None, "{topic}");
        }
        assert_eq!(topics.commanded("factory/vision/plant-7/edge-011/line3/enabled/set"), None);
        assert!(topics.command(Some("a/b"), "fps").is_err() && topics.state(None, "#").is_err());
    }

    #[test]
    fn retained_messages_tell_whose_they_are() {
        let topics = Topics::new("ocellus", "s", "n").expect("good parts");
        for (topic, whose) in [
            ("ocellus/s/n/line3/status", Some(("line3", None))),
            ("ocellus/s/n/line3/enabled/state", Some(("line3", None))),
            ("ocellus/s/n/line3/counts/exit", Some(("line3", Some("exit")))),
            ("ocellus/s/n/line3/counts/state", Some(("line3", Some("state")))),
            ("ocellus/s/n/status", None),
            ("ocellus/s/n/reload/state", None),
            ("ocellus/s/n/line3/events", None),
            ("ocellus/s/other/line3/status", None),
        ] {
            assert_eq!(topics.retained(topic), whose, "{topic}");
        }
    }

    #[test]
    fn nothing_else_gets_into_a_topic() {
        let long = "x".repeat(MAX_PREFIX + 1);
        for bad in ["", "/", "a/", "/a", "a//b", "a/+", "#", "a\0", "a\nb", "a b", " a", "$SYS", &long] {
            assert!(Topics::new(bad, "s", "n").is_err(), "{bad:?}");
        }
        let topics = Topics::new("p", "s", "n").expect("good parts");
        for bad in ["", "a/b", "+", "a#", "\u{7f}", "a b"] {
            assert!(Topics::new("p", bad, "n").is_err(), "{bad:?}");
            assert!(Topics::new("p", "s", bad).is_err(), "{bad:?}");
            assert!(topics.camera_status(bad).is_err(), "{bad:?}");
            assert!(topics.detections(bad).is_err(), "{bad:?}");
            assert!(topics.events(bad).is_err(), "{bad:?}");
            assert!(topics.counts(bad, "exit").is_err() && topics.counts("line3", bad).is_err(), "{bad:?}");
            assert!(topics.of_camera(bad, "events").is_err(), "{bad:?}");
            assert!(bad == "a/b" || topics.of_camera("line3", bad).is_err(), "{bad:?}");
        }
    }

    /// Whatever is accepted is a topic by the rules of MQTT 3.1.1 §4.7, and has exactly the levels it should.
    #[test]
    fn what_is_accepted_is_a_topic() {
        let alphabet = ["a", "/", "+", "#", "\0", "$", " ", "é", "."];
        for a in alphabet {
            for b in alphabet {
                for c in alphabet {
                    let text = format!("{a}{b}{c}");
                    let Ok(topics) = Topics::new("p", &text, "n") else { continue };
                    let topic = topics.stats();
                    assert_eq!(topic.split('/').count(), 4, "{topic:?}");
                    assert!(topic.split('/').all(|level| !level.is_empty()), "{topic:?}");
                    assert!(!topic.contains(['+', '#', '\0', ' ']), "{topic:?}");
                }
            }
        }
    }
}

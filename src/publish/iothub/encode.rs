//! Texts as they stand in topics, user names and tokens of a hub.

use std::fmt::Write;

/// Percent-encodes everything but letters, digits, `-`, `.`, `_` and `~` (RFC 3986 §2.3).
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The value of a name in a property bag, `?$rid=1&$version=2`; neither is percent-encoded where the hub numbers things.
pub(super) fn of_bag<'a>(bag: &'a str, name: &str) -> Option<&'a str> {
    let pairs = bag.trim_start_matches('?').split('&');
    pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// A bag of properties, which routes of a hub can ask for: `name=value&…`. Names are given as they are sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Bag(String);

impl Bag {
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(&encode(value));
        self
    }
}

impl std::fmt::Display for Bag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_stand_anywhere_stays() {
        assert_eq!(encode("aZ0-._~"), "aZ0-._~");
        assert_eq!(encode("a b/+#$=&%ä"), "a%20b%2F%2B%23%24%3D%26%25%C3%A4");
    }

    #[test]
    fn bags_are_written_and_read() {
        let bag = Bag::default().with("$.ct", "application/json").with("camera", "line 3");
        assert_eq!(bag.to_string(), "$.ct=application%2Fjson&camera=line%203");
        assert_eq!(of_bag("?$rid=17&$version=4", "$version"), Some("4"));
        assert_eq!(of_bag("?$rid=17", "$rid"), Some("17"));
        for without in ["", "?", "rid", "?$ridd=1"] {
            assert_eq!(of_bag(without, "$rid"), None);
        }
    }
}

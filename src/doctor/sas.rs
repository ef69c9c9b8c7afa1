//! What a shared access signature says of itself (learn.microsoft.com, "Create a service SAS").

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use url::form_urlencoded;

use super::Finding;

/// So long before its end a signature is to be renewed.
const SOON: TimeDelta = TimeDelta::days(7);

/// What can be told of a signature without asking the store; `newest` is the newest version that the store knows, where
/// that is known.
pub(super) fn examine(check: &str, signature: &str, newest: Option<&str>, now: DateTime<Utc>) -> Option<Finding> {
    let signature = signature.trim().trim_start_matches('?');
    let field = |name: &str| form_urlencoded::parse(signature.as_bytes()).find(|(key, _)| key == name).map(|(_, v)| v);
    let fix = "have a new one made, and put it where the old one is";
    if let (Some(version), Some(newest)) = (field("sv"), newest)
        && *version > *newest
    {
        let said = format!("the signature is of version {version}, and the store knows {newest} at most");
        return Some(Finding::error(check, said, format!("have one made with `sv={newest}` or older")));
    }
    if let Some(start) = field("st").and_then(|text| time(&text))
        && start > now
    {
        let said = format!("the signature is valid only from {} on", shown(start));
        return Some(Finding::error(check, said, "wait until then, or set this machine's clock if that is over"));
    }
    let end = field("se").and_then(|text| time(&text))?;
    Some(if end <= now {
        Finding::error(check, format!("the signature has expired on {}", shown(end)), fix)
    } else if end < now + SOON {
        Finding::warning(check, format!("the signature expires on {}", shown(end)), fix)
    } else {
        Finding::ok(check, format!("the signature is valid until {}", shown(end)))
    })
}

/// A time as signatures have it: ISO 8601 with a date, or with hours and minutes, or with seconds.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0).map(|at| at.and_utc());
    let whole = DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc());
    let minutes =
        || DateTime::parse_from_rfc3339(&format!("{}:00Z", text.strip_suffix('Z')?)).ok().map(|at| at.to_utc());
    whole.or_else(minutes).or_else(day)
}

fn shown(at: DateTime<Utc>) -> impl std::fmt::Display {
    at.format("%Y-%m-%d %H:%M UTC")
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_signature_says_how_long_it_is_good() {
        let now = "2026-11-29T12:00:00Z".parse().unwrap();
        let stack = Some("2019-07-07");
        for (signature, newest, verdict, said) in [
            ("?sv=2021-08-06&se=2027-01-01T00%3A00%3A00Z&sp=c&sig=x", None, Verdict::Ok, "2027-01-01 00:00"),
            ("se=2026-12-01", None, Verdict::Warning, "expires on 2026-12-01"),
            ("se=2026-11-29T11:59Z&sig=x\n", None, Verdict::Error, "has expired on 2026-11-29 11:59"),
            ("st=2026-11-30&se=2027-01-01", None, Verdict::Error, "only from 2026-11-30"),
            ("sv=2021-08-06&se=2027-01-01", stack, Verdict::Error, "knows 2019-07-07 at most"),
            ("sv=2019-07-07&se=2027-01-01", stack, Verdict::Ok, "2027"),
        ] {
            let found = examine("store-login", signature, newest, now).unwrap();
            assert!(found.verdict == verdict && found.said.contains(said), "{signature}: {found:?}");
            assert!(!format!("{found:?}").contains("sig="));
        }
        for none in ["", "sig=x", "se=soon", "se=99999-01-01"] {
            assert_eq!(examine("store-login", none, None, now), None, "{none}");
        }
    }
}

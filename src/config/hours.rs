//! Hours of the day, on some days of the week.

use chrono::{Datelike, NaiveDateTime, Timelike};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Hours in which something holds: `"22:00-06:00"`, `"mon-fri 06:00-18:00"`, `"sat 00:00-24:00"`, in the machine's time
/// zone. Hours that pass midnight belong to the day on which they begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(inline, with = "String")]
pub struct Hours {
    /// By the day's number from Monday.
    days: [bool; 7],
    /// Minutes since midnight.
    from: u16,
    until: u16,
}

impl Hours {
    /// Whether a local time lies inside.
    #[must_use]
    pub fn contains(&self, at: NaiveDateTime) -> bool {
        let today = usize::try_from(at.weekday().num_days_from_monday()).unwrap_or(0);
        let minute = u16::try_from(at.hour() * 60 + at.minute()).unwrap_or(0);
        let on = |day: usize| self.days.get(day).copied().unwrap_or(false);
        if self.from < self.until {
            on(today) && (self.from..self.until).contains(&minute)
        } else {
            on(today) && minute >= self.from || on((today + 6) % 7) && minute < self.until
        }
    }

    /// Whether a local time lies inside any of these; always where there are none.
    #[must_use]
    pub fn any(hours: &[Self], at: NaiveDateTime) -> bool {
        hours.is_empty() || hours.iter().any(|hours| hours.contains(at))
    }

    fn parse(text: &str) -> Option<Self> {
        let (days, times) = match text.trim().split_once(' ') {
            Some((days, times)) => (days_of(days)?, times),
            None => ([true; 7], text),
        };
        let (from, until) = times.trim().split_once('-')?;
        let (from, until) = (minute(from)?, minute(until)?);
        (from < DAY && from != until).then_some(Self { days, from, until })
    }
}

impl TryFrom<String> for Hours {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
            .ok_or_else(|| format!("`{text}` are no hours: write \"22:00-06:00\" or \"mon-fri 06:00-18:00\""))
    }
}

impl From<Hours> for String {
    /// As it is written in the file.
    fn from(hours: Hours) -> Self {
        let Hours { days, from, until } = hours;
        let on = |day: usize| days.get(day % 7).copied().unwrap_or(false);
        let name = |day: usize| DAYS.get(day % 7).copied().unwrap_or_default();
        let (first, count) = ((0..7).find(|day| on(*day) && !on(day + 6)), days.iter().filter(|on| **on).count());
        let days = match first {
            None => Self::new(),
            Some(day) if count == 1 => format!("{} ", name(day)),
            Some(day) => format!("{}-{} ", name(day), name(day + count - 1)),
        };
        format!("{days}{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
    }
}

fn days_of(text: &str) -> Option<[bool; 7]> {
    let number = |name: &str| DAYS.iter().position(|day| *day == name);
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    Some(std::array::from_fn(
        |day| {
            if first <= last { (first..=last).contains(&day) } else { day >= first || day <= last }
        },
    ))
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |text: &str, digits: usize| {
        let plain = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
        if plain { text.parse::<u16>().ok() } else { None }
    };
    let (hour, minute) = (number(hour, 2)?, number(minute, 2)?);
    let all = hour * 60 + minute;
    (minute < 60 && all <= DAY).then_some(all)
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    fn hours(text: &str) -> Hours {
        Hours::try_from(text.to_owned()).expect(text)
    }

    /// A time in the week of Monday, 2 November 2026.
    fn at(day: u32, hour: u32, minute: u32) -> NaiveDateTime {
        let date = NaiveDate::from_ymd_opt(2026, 11, 2 + day).expect("a date");
        date.and_hms_opt(hour, minute, 59).expect("a time")
    }

    #[test]
    fn the_end_is_not_inside() {
        let shift = hours("06:00-18:00");
        for (hour, minute, inside) in [(5, 59, false), (6, 0, true), (17, 59, true), (18, 0, false)] {
            assert_eq!(shift.contains(at(3, hour, minute)), inside, "{hour}:{minute}");
        }
        assert!(hours("00:00-24:00").contains(at(0, 23, 59)));
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let night = hours("fri 22:00-06:00");
        assert!(night.contains(at(4, 22, 0)) && night.contains(at(5, 5, 59)));
        assert!(!night.contains(at(4, 5, 0)) && !night.contains(at(5, 22, 0)) && !night.contains(at(5, 6, 0)));
    }

    #[test]
    fn days_may_pass_the_weekend() {
        let days = hours("sat-mon 08:00-09:00");
        let inside: Vec<u32> = (0..7).filter(|day| days.contains(at(*day, 8, 30))).collect();
        assert_eq!(inside, [0, 5, 6]);
    }

    #[test]
    fn none_are_all() {
        assert!(Hours::any(&[], at(0, 0, 0)));
        assert!(!Hours::any(&[hours("mon 01:00-02:00")], at(0, 0, 0)));
    }

    #[test]
    fn hours_are_written_as_they_are_read() {
        for text in ["22:00-06:00", "mon 01:05-24:00", "mon-fri 06:00-18:00", "sat-mon 08:00-09:00", "sun 00:00-24:00"]
        {
            assert_eq!(String::from(hours(text)), text);
        }
        assert_eq!(String::from(hours("mon-sun 06:00-18:00")), "06:00-18:00");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "6-18",
            "06:00",
            "24:00-06:00",
            "06:00-24:01",
            "06:60-07:00",
            "06:00-06:00",
            "Mon 06:00-07:00",
            "mon,tue 06:00-07:00",
            "mon-xyz 06:00-07:00",
            "+6:00-07:00",
            "06:00-07:00-08:00",
            "ä6:00-07:00",
        ] {
            let error = Hours::try_from(text.to_owned()).expect_err(text);
            assert!(error.contains("22:00-06:00"), "{error}");
        }
    }
}

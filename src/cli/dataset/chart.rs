//! Counts as bars.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::learn::dataset::Count;

/// Pixels: the names, the longest bar, the height of a line.
const NAMES: usize = 220;
const BAR: u64 = 360;
const LINE: usize = 20;
/// Characters of a name that are shown.
const CHARS: usize = 30;

/// What is shown, most frequent first.
pub(super) fn sections(count: &Count) -> Vec<(&'static str, Vec<(&str, u64)>)> {
    let maps = [
        ("labels", &count.labels),
        ("reasons", &count.reasons),
        ("verdicts", &count.verdicts),
        ("cameras", &count.cameras),
        ("days", &count.days),
        ("models", &count.models),
    ];
    maps.into_iter().map(|(title, map)| (title, sorted(map))).collect()
}

fn sorted(map: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    let mut all: Vec<_> = map.iter().map(|(name, number)| (name.as_str(), *number)).collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    all
}

/// The counts as a picture.
pub(super) fn svg(count: &Count) -> String {
    let (mut body, mut y) = (String::new(), LINE);
    for (title, counts) in sections(count) {
        let _ = writeln!(body, "<text x=\"8\" y=\"{y}\" font-weight=\"bold\">{title}</text>");
        let most = counts.iter().map(|(_, number)| *number).max().unwrap_or(1).max(1);
        for (name, number) in counts {
            y += LINE;
            let name: String = name.chars().take(CHARS).collect();
            let name = name.replace('&', "&amp;").replace('<', "&lt;");
            let (bar, base) = (number * BAR / most, y - 13);
            let _ = writeln!(body, "<text x=\"8\" y=\"{y}\">{name}</text>");
            let _ = writeln!(body, "<rect x=\"{NAMES}\" y=\"{base}\" width=\"{bar}\" height=\"15\" fill=\"#3b82c4\"/>");
            let _ = writeln!(body, "<text x=\"{}\" y=\"{y}\">{number}</text>", NAMES as u64 + bar + 6);
        }
        y += 2 * LINE;
    }
    let width = NAMES as u64 + BAR + 100;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{y}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

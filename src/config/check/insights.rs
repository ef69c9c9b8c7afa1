//! What the fleet gets to know.

use crate::config::Config;
use crate::ship::store::is_off_site;

/// A day has a whole number of files.
const HOURS: [u32; 8] = [1, 2, 3, 4, 6, 8, 12, 24];

pub(super) fn check(config: &Config, wrong: &mut dyn FnMut(&[&str], String)) {
    let Some(insights) = &config.insights else { return };
    if !HOURS.contains(&insights.hours_per_file) {
        wrong(&["insights", "hours_per_file"], "`hours_per_file` is 1, 2, 3, 4, 6, 8, 12 or 24".to_owned());
    }
    if insights.uncertain.is_some_and(|[low, high]| !(0.0 <= low && low <= high && high <= 1.0)) {
        wrong(&["insights", "uncertain"], "`uncertain` is [low, high], both from 0 to 1, low first".to_owned());
    }
    if let Some(error) = insights.store.as_deref().and_then(|store| crate::ship::store::check(store).err()) {
        wrong(&["insights", "store"], error.to_string());
    }
    if insights.ship.as_ref().is_some_and(|way| way.queue.is_some()) {
        wrong(&["insights", "ship", "queue"], "only evidence is announced on a queue: leave `queue` out".to_owned());
    }
    let Some(store) = config.insights_store() else {
        let message = "there is no store for insights: add `store`, or a table [evidence] with one";
        return wrong(&["insights"], message.to_owned());
    };
    if is_off_site(store) && config.privacy.global.is_none() {
        let message = "the store of insights is elsewhere, and nothing says what may leave for it: add `global` to \
                       [privacy], a list of \"camera\", \"model\", \"label\", \"frames\", \"detections\", \
                       \"confidence\", \"event-counts\", \"states\", \"events\", \"rule\", \"track\"";
        wrong(&["insights", "store"], message.to_owned());
    }
}

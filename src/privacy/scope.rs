//! Whether a rule of the policy holds for something.

use chrono::{DateTime, Local, Utc};

use crate::config::{Hours, Name};
use crate::detection::Detections;

/// What a rule is asked about.
pub(super) struct Subject<'a> {
    pub(super) camera: &'a str,
    /// The zones in which something is.
    pub(super) zones: Vec<&'a str>,
    /// When it was captured.
    pub(super) at: DateTime<Utc>,
}

impl<'a> Subject<'a> {
    /// A frame with what was seen in it.
    pub(super) fn of(detections: &'a Detections) -> Self {
        let zones = detections.objects.iter().flat_map(|object| &object.zones).map(String::as_str).collect();
        Self { camera: &detections.camera, zones, at: detections.frame.captured_at }
    }
}

/// For what a rule holds: these cameras, anything in these zones, these hours; all of them where it names none.
pub(super) struct Scope<'r> {
    pub(super) cameras: Option<&'r [Name]>,
    pub(super) zones: Option<&'r [Name]>,
    pub(super) hours: &'r [Hours],
}

impl Scope<'_> {
    pub(super) fn holds(&self, subject: &Subject<'_>) -> bool {
        let at = subject.at.with_timezone(&Local).naive_local();
        self.cameras.is_none_or(|cameras| cameras.iter().any(|name| **name == *subject.camera))
            && self.zones.is_none_or(|zones| zones.iter().any(|name| subject.zones.contains(&&**name)))
            && Hours::any(self.hours, at)
    }
}

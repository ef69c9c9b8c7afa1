//! Leaving out frames in which nothing has changed since the last one that was scored.

use std::time::Duration;

use super::trust::look::Look;

/// A frame is let through at least so often, whatever it shows.
const AT_LEAST: Duration = Duration::from_secs(1);

/// Lets frames through in which something has changed.
#[derive(Debug)]
pub(super) struct Gate {
    /// How much one cell's brightness must have changed, in levels of 255.
    level: f32,
    /// The last frame that was let through.
    last: Option<(Duration, Look)>,
}

impl Gate {
    pub fn new(level: f32) -> Self {
        Self { level, last: None }
    }

    /// Whether the frame at a time, since the camera was started, is let through. It is compared with the last one that
    /// was, so that a slow change adds up.
    pub fn lets(&mut self, at: Duration, look: &Look) -> bool {
        let same = self.last.as_ref().is_some_and(|(then, last)| {
            let changed = |(a, b): (&f32, &f32)| (a - b).abs() >= self.level;
            let shape = last.width == look.width && last.height == look.height;
            *then <= at && at < *then + AT_LEAST && shape && !last.grey.iter().zip(&look.grey).any(changed)
        });
        if !same {
            self.last = Some((at, look.clone()));
        }
        !same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::frames;
    use crate::camera::source::Source;
    use crate::config::DeviceChoice;
    use crate::model::engine::{Engine, EngineOptions};
    use crate::model::package::Package;
    use crate::samples;

    fn look(grey: f32) -> Look {
        Look { width: 2, height: 1, grey: vec![100.0, grey], fine: 1.0, coarse: 1.0 }
    }

    #[test]
    fn what_does_not_change_is_left_out_and_looked_at_once_a_second() {
        let mut gate = Gate::new(8.0);
        let mut lets = |ms: u64, grey: f32| gate.lets(Duration::from_millis(ms), &look(grey));
        let seen =
            [(0, 50.0), (100, 50.0), (200, 57.0), (300, 58.0), (400, 51.0), (1299, 58.0), (1300, 58.0), (0, 58.0)];
        let wanted = [true, false, false, true, false, false, true, true];
        assert_eq!(seen.map(|(ms, grey)| lets(ms, grey)), wanted);
    }

    /// People walk past one by one. Every frame is scored; then it is counted of which frames that would have been left
    /// out the last one before them tells another story.
    #[test]
    fn no_person_is_missed_where_frames_without_change_are_left_out() {
        let Some(clip) = samples::path("video/one-by-one-person-detection.mp4") else { return };
        let Some(model) = samples::path("models/light_person_detector_192.onnx") else { return };
        let dir = tempfile::tempdir().unwrap();
        let labels = dir.path().join("labels");
        std::fs::write(&labels, "person").unwrap();
        let package = Package::open(&model, None, Some(&labels)).unwrap();
        let mut engine = Engine::open(package, DeviceChoice::Cpu, &EngineOptions::default()).unwrap();
        let mut gate = Gate::new(8.0);
        // For each frame: whether it was let through, and whether somebody is in it.
        let seen: Vec<(bool, bool)> = frames(&Source::parse(clip.to_str().unwrap()).unwrap())
            .unwrap()
            .enumerate()
            .map(|(n, image)| {
                let image = image.unwrap();
                let through = gate.lets(Duration::from_millis(n as u64 * 100), &Look::at(&image));
                let outcome = engine.score(&[&image]).unwrap().remove(0);
                (through, outcome.objects.iter().any(|object| object.score >= 0.5))
            })
            .collect();
        let left_out = seen.iter().filter(|(through, _)| !through).count();
        let share = left_out as f64 / seen.len() as f64;
        let visits: Vec<&[(bool, bool)]> = seen.split(|(_, person)| !person).filter(|v| !v.is_empty()).collect();
        let missed = visits.iter().filter(|visit| !visit.iter().any(|(through, _)| *through)).count();
        // Frames that show somebody of whom the last frame that was scored knew nothing.
        let mut known = false;
        let late = |(through, person): &&(bool, bool)| {
            known = if *through { *person } else { known };
            *person && !known
        };
        let late = seen.iter().filter(late).count();
        println!("{:.0} % left out; {} visits, {missed} missed, {late} frames late", share * 100.0, visits.len());
        assert!(visits.len() > 5 && share > 0.3, "{} visits, {share}", visits.len());
        assert_eq!((missed, late), (0, 0));
    }
}

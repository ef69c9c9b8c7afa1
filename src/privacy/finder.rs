//! Finding persons and faces with a model, and the state of that model.

use std::time::{Duration, Instant};

use crate::config::{DeviceChoice, FinderConfig};
use crate::detection::{Object, Rect};
use crate::frame::{Image, PixelFormat};
use crate::model::engine::{Engine, EngineOptions};
use crate::model::package::Package;

/// How long a model that can't run is left alone.
const RETRY: Duration = Duration::from_secs(60);
/// The lowest scores that count and the parts that are searched, unless the configuration says so. With them YOLOX-Nano
/// finds 113 of the 117 persons that are annotated in the sample pictures; from 0.1 on, 111, and in 2 x 2 parts 106.
const PERSONS: (f32, u32) = (0.05, 3);
const FACES: (f32, u32) = (0.3, 2);
/// The label of persons in models that know other things too.
const PERSON: &str = "person";

/// A model that finds one kind of thing. It is opened when it is first needed, and again after it failed.
pub(super) struct Finder {
    config: FinderConfig,
    /// What it finds, as people call it.
    what: &'static str,
    device: DeviceChoice,
    labels: Option<Vec<String>>,
    score: f32,
    tiles: u32,
    state: State,
}

enum State {
    Closed,
    Open(Box<Engine>),
    Failed(String, Instant),
}

impl Finder {
    pub(super) fn persons(config: &FinderConfig, device: DeviceChoice) -> Self {
        let labels = config.labels.clone().or_else(|| Some(vec![PERSON.to_owned()]));
        Self::new(config, "persons", device, labels, PERSONS)
    }

    pub(super) fn faces(config: &FinderConfig, device: DeviceChoice) -> Self {
        Self::new(config, "faces", device, config.labels.clone(), FACES)
    }

    fn new(
        config: &FinderConfig,
        what: &'static str,
        device: DeviceChoice,
        labels: Option<Vec<String>>,
        (score, tiles): (f32, u32),
    ) -> Self {
        let (score, tiles) = (config.score.unwrap_or(score), config.tiles.unwrap_or(tiles));
        Self { config: config.clone(), what, device, labels, score, tiles, state: State::Closed }
    }

    pub(super) fn margin(&self) -> f32 {
        self.config.margin
    }

    /// Opens the model, unless it is open or failed a short while ago.
    ///
    /// # Errors
    /// Why it can't be used, for people.
    pub(super) fn open(&mut self) -> Result<&mut Engine, String> {
        let failed = match &self.state {
            State::Failed(reason, at) if at.elapsed() < RETRY => Some(reason.clone()),
            _ => None,
        };
        if let Some(reason) = failed {
            return Err(reason);
        }
        if !matches!(self.state, State::Open(_)) {
            match self.opened() {
                Ok(engine) => self.state = State::Open(Box::new(engine)),
                Err(reason) => return Err(self.fail(&reason)),
            }
        }
        match &mut self.state {
            State::Open(engine) => Ok(engine),
            State::Closed | State::Failed(..) => Err(format!("the model for {} is not open", self.what)),
        }
    }

    fn opened(&self) -> Result<Engine, String> {
        let FinderConfig { path, profile, names, .. } = &self.config;
        let package = Package::open(path, profile.as_deref(), names.as_deref()).map_err(|error| error.to_string())?;
        let options = EngineOptions { score: Some(self.score), ..EngineOptions::default() };
        let engine = Engine::open(package, self.device, &options).map_err(|error| error.to_string())?;
        // A model that can't say what is looked for would find nothing, and everything would leave.
        if let Some(missing) =
            self.labels.iter().flatten().find(|label| !engine.labels().iter().any(|known| **known == ***label))
        {
            return Err(format!("it has no label `{missing}`"));
        }
        Ok(engine)
    }

    fn fail(&mut self, reason: &str) -> String {
        let reason = format!("the model for {} can't run: {reason}", self.what);
        self.state = State::Failed(reason.clone(), Instant::now());
        reason
    }

    /// Where what is looked for is, in fractions of the picture.
    ///
    /// # Errors
    /// Why the model can't run, for people.
    pub(super) fn find(&mut self, image: &Image) -> Result<Vec<Rect>, String> {
        let tiles = self.tiles;
        let labels = self.labels.clone();
        let engine = self.open()?;
        let mut found = Vec::new();
        for part in parts(tiles) {
            let outcome =
                cut(image, part).ok_or_else(|| "a part of the picture is none".to_owned()).and_then(|piece| {
                    engine
                        .score(&[&piece])
                        .map_err(|error| error.to_string())?
                        .pop()
                        .ok_or_else(|| "it said nothing".to_owned())
                });
            match outcome {
                Ok(outcome) if outcome.invalid == 0 => {
                    let wanted =
                        |object: &&Object| labels.as_ref().is_none_or(|all| all.iter().any(|l| **l == *object.label));
                    found.extend(outcome.objects.iter().filter(wanted).map(|object| within(part, object.rect)));
                }
                // What means nothing may be what would have been found.
                Ok(_) => return Err(self.fail("it gives numbers that mean nothing")),
                Err(reason) => return Err(self.fail(&reason)),
            }
        }
        Ok(found)
    }
}

/// The whole, and n x n parts that overlap by half of their size.
#[allow(clippy::cast_precision_loss)]
fn parts(n: u32) -> Vec<Rect> {
    let mut parts = vec![Rect::FULL];
    if n > 1 {
        let size = 2.0 / (n + 1) as f32;
        let step = size / 2.0;
        let starts = || (0..n).map(move |i| i as f32 * step);
        parts.extend(starts().flat_map(|y| starts().map(move |x| Rect { x, y, w: size, h: size })));
    }
    parts
}

/// A rectangle in a part, in the whole.
fn within(part: Rect, rect: Rect) -> Rect {
    Rect { x: part.x + rect.x * part.w, y: part.y + rect.y * part.h, w: rect.w * part.w, h: rect.h * part.h }
}

/// A part of an RGB picture.
fn cut(image: &Image, part: Rect) -> Option<Image> {
    if part == Rect::FULL {
        return Some(image.clone());
    }
    let mut canvas = super::canvas::Canvas::of(image);
    let area = canvas.area(part, 0.0)?;
    canvas.crop(area);
    canvas.image().filter(|image| image.format() == PixelFormat::Rgb8)
}

/// The finders that a policy needs.
#[derive(Default)]
pub(super) struct Finders {
    pub(super) persons: Option<Finder>,
    pub(super) faces: Option<Finder>,
}

impl Finders {
    /// Opens what there is, so that trouble is known before the first frame.
    pub(super) fn warm(&mut self) {
        for finder in [&mut self.persons, &mut self.faces].into_iter().flatten() {
            if let Err(reason) = finder.open() {
                tracing::error!(reason, "Frames that need it stay here until it can.");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_whole_and_overlap() {
        assert_eq!(parts(1), [Rect::FULL]);
        let parts = parts(3);
        assert_eq!(parts.len(), 10);
        for i in 0..100_u16 {
            let at = (f32::from(i) + 0.5) / 100.0;
            let over =
                parts[1..].iter().filter(|part| part.y == 0.0 && (part.x..part.x + part.w).contains(&at)).count();
            assert!((1..=2).contains(&over), "{at}: {over}");
        }
        assert!((parts[9].x + parts[9].w - 1.0).abs() < 1e-6);
    }

    #[test]
    fn boxes_of_a_part_are_where_they_are_in_the_whole() {
        let part = Rect::from([0.5, 0.25, 0.5, 0.5]);
        assert_eq!(within(part, Rect::from([0.5, 0.5, 0.5, 0.5])), Rect::from([0.75, 0.5, 0.25, 0.25]));
        assert_eq!(within(part, Rect::FULL), part);
    }
}

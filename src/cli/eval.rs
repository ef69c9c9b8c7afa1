//! `ocellus eval`: score a model against COCO ground truth.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Failure, ModelArgs, print, progress};
use crate::camera::images;
use crate::detection::Object;
use crate::eval::{Detection, Evaluation, Report, Truth, TruthImage};
use crate::frame::Image;
use crate::model::engine::{Engine, EngineOptions};
use crate::model::package::Task;

/// Pictures that are scored together: enough to keep every core busy.
const BATCH: usize = 8;

#[derive(Debug, Args)]
pub(super) struct Eval {
    #[command(flatten)]
    model: ModelArgs,
    /// Ground truth in COCO's format
    #[arg(long, value_name = "FILE")]
    annotations: PathBuf,
    /// Where the pictures are
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Eval {
    pub(super) fn run(self) -> Result<(), Failure> {
        let truth = Truth::load(&self.annotations)?;
        let options = EngineOptions { evaluation: true, batch: BATCH, ..EngineOptions::default() };
        let mut engine = self.model.engine(&options)?;
        if engine.spec().task != Task::Detect {
            return Err(Failure::new(format!(
                "the model `{}` finds no boxes; only detectors can be scored against boxes",
                engine.spec().name
            )));
        }
        let mut evaluation = Evaluation::new(&truth, engine.labels())?;
        let left_out = evaluation.left_out();
        if !left_out.is_empty() {
            eprintln!(
                "note: the model has no class for {} of the annotated categories, which do not count: {}",
                left_out.len(),
                left_out.join(", ")
            );
        }
        score(&mut engine, &truth, &self.images, &mut evaluation)?;
        let report = evaluation.report();
        if self.json {
            print(&serde_json::to_string(&report)?)
        } else {
            let Report { map, ap50, ap75, ar100 } = report;
            let (pictures, categories) = (truth.images().len(), evaluation.categories());
            print(&format!("mAP {map:.4}  AP50 {ap50:.4}  AP75 {ap75:.4}  AR100 {ar100:.4}"))?;
            eprintln!("pictures: {pictures}, categories: {categories}, device: {}", engine.device());
            Ok(())
        }
    }
}

/// Scores every picture, several at a time.
fn score(engine: &mut Engine, truth: &Truth, dir: &Path, evaluation: &mut Evaluation<'_>) -> Result<(), Failure> {
    let progress = progress::bar(truth.images().len());
    for batch in truth.images().chunks(BATCH) {
        let pictures: Vec<Image> = batch.iter().map(|image| read(dir, image)).collect::<Result<_, _>>()?;
        let outcomes = engine.score(&pictures.iter().collect::<Vec<_>>())?;
        for (image, outcome) in batch.iter().zip(outcomes) {
            evaluation.add(image.id, outcome.objects.iter().map(|object| pixels(object, image)));
        }
        progress.inc(batch.len() as u64);
    }
    progress.finish_and_clear();
    Ok(())
}

/// The picture that annotations are about, and no other.
fn read(dir: &Path, image: &TruthImage) -> Result<Image, Failure> {
    let path = dir.join(&image.file_name);
    let picture = images::read(&path)?;
    if (picture.width(), picture.height()) == (image.width, image.height) {
        return Ok(picture);
    }
    Err(Failure::new(format!(
        "{} is {}x{} pixels, but the annotations are about one of {}x{}",
        path.display(),
        picture.width(),
        picture.height(),
        image.width,
        image.height
    )))
}

fn pixels(object: &Object, image: &TruthImage) -> Detection {
    let (w, h) = (f64::from(image.width), f64::from(image.height));
    let r = object.rect;
    Detection {
        class: object.class,
        score: f64::from(object.score),
        bbox: [f64::from(r.x) * w, f64::from(r.y) * h, f64::from(r.w) * w, f64::from(r.h) * h],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DeviceChoice;
    use crate::model::package::Package;
    use crate::samples;

    /// How far mAP may be off the reference's (ONNX Runtime and pycocotools), of 1. The reference rounds resized
    /// pictures to 8 bits, and maps boxes back by one factor where the two sides were shrunk by slightly different ones.
    const OFF: f64 = 0.003;

    /// Measures a sample model on the sample of COCO.
    fn measure(model: &str, labels: Option<&str>, map: f64, ap50: f64) {
        let (Some(model), Some(coco)) = (samples::path(&format!("models/{model}.onnx")), samples::path("coco")) else {
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        let names = dir.path().join("names");
        std::fs::write(&names, labels.unwrap_or_default()).unwrap();
        let package = Package::open(&model, None, labels.map(|_| names.as_path())).unwrap();
        let options = EngineOptions { evaluation: true, batch: BATCH, ..EngineOptions::default() };
        let mut engine = Engine::open(package, DeviceChoice::Cpu, &options).unwrap();
        let truth = Truth::load(&coco.join("instances.json")).unwrap();
        let mut evaluation = Evaluation::new(&truth, engine.labels()).unwrap();
        score(&mut engine, &truth, &coco.join("images"), &mut evaluation).unwrap();
        let report = evaluation.report();
        assert!((report.map - map).abs() <= OFF, "mAP {} instead of {map}: {report:?}", report.map);
        // A single threshold is less of an average.
        assert!((report.ap50 - ap50).abs() <= 2.0 * OFF, "AP50 {} instead of {ap50}: {report:?}", report.ap50);
    }

    #[test]
    fn yolox_has_the_reference_s_map() {
        measure("yolox_nano_416", None, 0.3103, 0.5125);
    }

    #[test]
    fn picodet_has_the_reference_s_map() {
        measure("picodet_s_320_coco", None, 0.3255, 0.4902);
    }

    #[test]
    fn nanodet_has_the_reference_s_map() {
        measure("nanodet_m_320", None, 0.2609, 0.4080);
    }

    #[test]
    fn light_person_has_the_reference_s_map() {
        measure("light_person_detector_192", Some("person"), 0.2126, 0.4009);
    }

    #[test]
    fn another_picture_than_the_annotated_one_is_refused() {
        let Some(dir) = samples::path("images") else { return };
        let image = |width| TruthImage { id: 1, file_name: "dog_bike_man.jpg".to_owned(), width, height: 4 };
        let Err(Failure { text, .. }) = read(&dir, &image(5)) else { panic!("it was read") };
        assert!(text.contains("dog_bike_man.jpg is ") && text.contains("annotations are about one of 5x4"), "{text}");
        let absent = TruthImage { file_name: "absent.jpg".to_owned(), ..image(5) };
        let Err(Failure { text, .. }) = read(&dir, &absent) else { panic!("it was read") };
        assert!(text.contains("absent.jpg"), "{text}");
    }
}

//! Built-in descriptions of well-known networks, for bare `.onnx` files, and how to recognise them.
//!
//! A profile is a `model.toml` like any other; its name and version give way to the file's.

mod recognise;

use ocellus_onnx::TensorInfo;

use self::recognise::fits;
use crate::config::nearest;
use crate::model::heads::fitting;
use crate::model::package::{Mistake, Spec, manifest};

/// A built-in description.
struct Profile {
    name: &'static str,
    about: &'static str,
    text: &'static str,
}

const ALL: &[Profile] = &[
    Profile {
        name: "yolox",
        about: "YOLOX detectors, exported without decode_in_inference (any size, any number of classes)",
        text: include_str!("profiles/yolox.toml"),
    },
    Profile {
        name: "yolov5",
        about: "YOLOv5, v6 and v7 detectors with decoded boxes, masks left aside",
        text: include_str!("profiles/yolov5.toml"),
    },
    Profile {
        name: "yolov8",
        about: "YOLOv8, v9, 11 and 12 detectors, masks left aside",
        text: include_str!("profiles/yolov8.toml"),
    },
    Profile {
        name: "yolo26",
        about: "YOLO26 and YOLOv10 detectors, end to end (also any YOLO exported with NMS inside)",
        text: include_str!("profiles/yolo26.toml"),
    },
    Profile {
        name: "rtdetr",
        about: "RT-DETR detectors: logits and boxes",
        text: include_str!("profiles/rtdetr.toml"),
    },
    Profile {
        name: "dfine",
        about: "D-FINE and DEIM detectors: logits and boxes",
        text: include_str!("profiles/dfine.toml"),
    },
    Profile {
        name: "rtdetr-listed",
        about: "RT-DETR and D-FINE as their own tools export them: labels, boxes and scores",
        text: include_str!("profiles/rtdetr-listed.toml"),
    },
    Profile { name: "rfdetr", about: "RF-DETR detectors trained on COCO", text: include_str!("profiles/rfdetr.toml") },
    Profile {
        name: "detr",
        about: "DETR and YOLOS detectors trained on COCO",
        text: include_str!("profiles/detr.toml"),
    },
    Profile {
        name: "ssd",
        about: "SSD detectors of the ONNX Model Zoo: bboxes, labels and scores",
        text: include_str!("profiles/ssd.toml"),
    },
    Profile {
        name: "centernet",
        about: "CenterNet detectors: heat map, sizes and offsets",
        text: include_str!("profiles/centernet.toml"),
    },
    Profile { name: "centerface", about: "CenterFace face detectors", text: include_str!("profiles/centerface.toml") },
    Profile {
        name: "nanodet",
        about: "NanoDet-m detectors: strides 8, 16, 32 with a pair of outputs each",
        text: include_str!("profiles/nanodet.toml"),
    },
    Profile {
        name: "picodet",
        about: "PicoDet detectors: strides 8, 16, 32, 64 with a pair of outputs each",
        text: include_str!("profiles/picodet.toml"),
    },
    Profile {
        name: "ultraface",
        about: "UltraFace face detectors, boxes decoded by the network",
        text: include_str!("profiles/ultraface.toml"),
    },
    Profile {
        name: "imagenet",
        about: "ImageNet-1k classifiers of the EfficientNet-Lite family",
        text: include_str!("profiles/imagenet.toml"),
    },
    Profile {
        name: "torchvision",
        about: "ImageNet-1k classifiers trained in PyTorch (torchvision, timm, Hugging Face)",
        text: include_str!("profiles/torchvision.toml"),
    },
    Profile {
        name: "dinov2",
        about: "networks that describe a picture by a vector: DINOv2 and its kin",
        text: include_str!("profiles/dinov2.toml"),
    },
];

/// Why there is no profile to use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// No profile has this name.
    #[error("there is no profile `{name}`{} (there are {})", hint(.name), list())]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// The profile's own text is wrong: a fault of this build.
    #[error("the built-in profile `{name}` is faulty: {mistake}")]
    Faulty {
        /// The profile.
        name: &'static str,
        /// What is wrong with it.
        mistake: Mistake,
    },
    /// The graph looks like none of the profiles, or like several.
    #[error(
        "the network ({graph}) looks like {}; say which with --profile ({}), or describe it in a model.toml{}",
        if .candidates.is_empty() { "no built-in profile".to_owned() } else { .candidates.join(" and ") }, list(),
        if .heads.is_empty() { String::new() } else { format!(": its outputs suit the head {}", .heads.join(" or ")) }
    )]
    Ambiguous {
        /// Inputs and outputs as found.
        graph: String,
        /// Profiles that fit.
        candidates: Vec<&'static str>,
        /// Heads that fit.
        heads: Vec<&'static str>,
    },
}

fn list() -> String {
    names().collect::<Vec<_>>().join(", ")
}

fn hint(name: &str) -> String {
    nearest(name, &names().collect::<Vec<_>>()).map_or_else(String::new, |near| format!(", did you mean `{near}`?"))
}

/// What a profile is for, in a line; empty for a name that there is not.
#[must_use]
pub fn describe(name: &str) -> &'static str {
    ALL.iter().find(|p| p.name == name).map_or("", |p| p.about)
}

/// The names that `--profile` takes.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|p| p.name)
}

/// The description that a profile stands for.
///
/// # Errors
/// [`ProfileError::Unknown`] with the nearest name.
pub fn get(name: &str) -> Result<Spec, ProfileError> {
    let profile = ALL.iter().find(|p| p.name == name).ok_or_else(|| ProfileError::Unknown { name: name.to_owned() })?;
    manifest::parse(profile.text).map_err(|mistakes| ProfileError::Faulty {
        name: profile.name,
        mistake: mistakes.into_iter().next().unwrap_or(Mistake { line: 1, message: String::new() }),
    })
}

/// The only profile that fits a graph's inputs and outputs.
///
/// Shapes can't tell everything: a YOLOX exported with `decode_in_inference` looks like one exported without. The
/// engine sees the numbers when it opens the model, and refuses what they don't fit.
///
/// # Errors
/// [`ProfileError::Ambiguous`] where no profile or more than one fits.
pub fn recognise(inputs: &[TensorInfo], outputs: &[TensorInfo]) -> Result<&'static str, ProfileError> {
    let size = match inputs {
        [input] => match *input.shape.as_slice() {
            [_, 3, height, width] => Some((width, height)),
            _ => None,
        },
        _ => None,
    };
    let candidates: Vec<&'static str> =
        size.map(|size| names().filter(|name| fits(name, size, outputs)).collect()).unwrap_or_default();
    if let [one] = candidates.as_slice() {
        return Ok(one);
    }
    let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let heads = size.map(|(w, h)| fitting((side(w), side(h)), outputs)).unwrap_or_default();
    Err(ProfileError::Ambiguous { graph: signature(inputs, outputs), candidates, heads })
}

/// Inputs and outputs as people read them: `images [1, 3, 416, 416] → output [1, 3549, 85]`.
fn signature(inputs: &[TensorInfo], outputs: &[TensorInfo]) -> String {
    format!("{} → {}", shown(inputs), shown(outputs))
}

/// Tensors with their shapes, the first few of them.
pub(in crate::model) fn shown(tensors: &[TensorInfo]) -> String {
    let shown: Vec<String> = tensors.iter().take(8).map(|t| format!("{} {:?}", t.name, t.shape)).collect();
    let more = if tensors.len() > 8 { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, shape: &[usize]) -> TensorInfo {
        TensorInfo { name: name.to_owned(), dtype: ocellus_onnx::ElementType::F32, shape: shape.to_vec() }
    }

    fn gfl(rows: &[usize], classes: usize) -> Vec<TensorInfo> {
        let of = |columns: usize| rows.iter().map(move |r| tensor("o", &[1, *r, columns]));
        of(classes).chain(of(32)).collect()
    }

    fn lists(boxes: &str) -> Vec<TensorInfo> {
        vec![tensor("labels", &[1, 300]), tensor(boxes, &[1, 300, 4]), tensor("scores", &[1, 300])]
    }

    #[test]
    fn every_profile_reads_and_has_its_evaluation_thresholds() {
        for profile in ALL {
            assert_eq!(describe(profile.name), profile.about);
            assert!(get(profile.name).is_ok(), "{:?}", get(profile.name));
        }
        for (name, score, nms) in
            [("yolox", 0.001, 0.65), ("nanodet", 0.05, 0.6), ("picodet", 0.025, 0.6), ("yolov8", 0.001, 0.7)]
        {
            let evaluation = get(name).unwrap().evaluation;
            assert_eq!((evaluation.score, evaluation.nms), (score, nms), "{name}");
        }
    }

    #[test]
    fn a_misspelt_profile_is_met_with_the_nearest() {
        let message = get("yolo-x").unwrap_err().to_string();
        assert!(message.contains("did you mean `yolox`?"), "{message}");
        let message = get("qqq").unwrap_err().to_string();
        assert!(!message.contains("did you mean") && message.contains("imagenet"), "{message}");
    }

    #[test]
    fn the_known_graphs_are_recognised() {
        let image = |h, w| vec![tensor("in", &[1, 3, h, w])];
        let cases = [
            ("yolox", image(416, 416), vec![tensor("output", &[1, 3549, 85])]),
            ("yolox", image(192, 192), vec![tensor("output", &[1, 756, 6])]),
            ("nanodet", image(320, 320), gfl(&[1600, 400, 100], 80)),
            ("picodet", image(320, 320), gfl(&[1600, 400, 100, 25], 80)),
            ("imagenet", image(224, 224), vec![tensor("logits", &[1, 1000])]),
            ("yolov8", image(640, 640), vec![tensor("output0", &[1, 84, 8400])]),
            ("yolov8", image(640, 640), vec![tensor("a", &[1, 116, 8400]), tensor("b", &[1, 32, 160, 160])]),
            ("yolov5", image(640, 640), vec![tensor("output0", &[1, 25200, 85])]),
            ("yolo26", image(640, 640), vec![tensor("output0", &[1, 300, 6])]),
            ("rtdetr", image(640, 640), vec![tensor("logits", &[1, 300, 80]), tensor("pred_boxes", &[1, 300, 4])]),
            ("detr", image(800, 800), vec![tensor("logits", &[1, 100, 92]), tensor("pred_boxes", &[1, 100, 4])]),
            ("rfdetr", image(560, 560), vec![tensor("dets", &[1, 300, 4]), tensor("labels", &[1, 300, 91])]),
            ("rtdetr-listed", image(640, 640), lists("boxes")),
            ("ssd", image(1200, 1200), lists("bboxes")),
            (
                "centernet",
                image(64, 64),
                vec![tensor("hm", &[1, 80, 16, 16]), tensor("wh", &[1, 2, 16, 16]), tensor("reg", &[1, 2, 16, 16])],
            ),
            ("centerface", image(64, 64), [1, 2, 2, 10].map(|c| tensor("o", &[1, c, 16, 16])).to_vec()),
            ("ultraface", image(240, 320), vec![tensor("scores", &[1, 4420, 2]), tensor("boxes", &[1, 4420, 4])]),
        ];
        for (name, inputs, outputs) in cases {
            assert_eq!(recognise(&inputs, &outputs), Ok(name));
        }
    }

    #[test]
    fn what_is_not_known_lists_the_choices() {
        let inputs = [tensor("images", &[1, 3, 640, 640])];
        let outputs = [tensor("output0", &[1, 84, 8401])];
        let message = recognise(&inputs, &outputs).unwrap_err().to_string();
        assert!(message.contains("output0 [1, 84, 8401]"), "{message}");
        assert!(names().all(|name| message.contains(name)), "{message}");
        assert!(message.contains("suit the head yolo with layout = \"v5\" or yolo with layout = \"v8\""), "{message}");
        let vector = recognise(&inputs, &[tensor("features", &[1, 384])]).unwrap_err().to_string();
        assert!(vector.ends_with("suit the head classify or embedding"), "{vector}");
        assert!(recognise(&[], &outputs).is_err());
        assert!(recognise(&inputs, &[]).is_err());
        // Bins and classes can't be told apart.
        assert!(recognise(&[tensor("i", &[1, 3, 320, 320])], &gfl(&[1600, 400, 100], 32)).is_err());
    }
}

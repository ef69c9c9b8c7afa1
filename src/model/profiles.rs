//! Built-in descriptions of well-known networks, for bare `.onnx` files, and how to recognise them.
//!
//! A profile is a `model.toml` like any other; its name and version give way to the file's.

use ocellus_onnx::TensorInfo;

use crate::config::nearest;
use crate::model::heads::{grid_cells_ceil, grid_cells_floor, matrix_of};
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
        "the network ({graph}) looks like {}; say which with --profile ({}), or describe it in a model.toml",
        if .candidates.is_empty() { "no built-in profile".to_owned() } else { .candidates.join(" and ") }, list()
    )]
    Ambiguous {
        /// Inputs and outputs as found.
        graph: String,
        /// Profiles that fit.
        candidates: Vec<&'static str>,
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
    let candidates: Vec<&'static str> = match inputs {
        [input] => match input.shape.as_slice() {
            [_, 3, height, width] => names().filter(|name| fits(name, (*width, *height), outputs)).collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    match candidates.as_slice() {
        [one] => Ok(one),
        _ => Err(ProfileError::Ambiguous { graph: signature(inputs, outputs), candidates }),
    }
}

fn fits(profile: &str, size: (usize, usize), outputs: &[TensorInfo]) -> bool {
    match profile {
        "yolox" => fits_yolox(size, outputs),
        "nanodet" => fits_gfl(size, outputs, &[8, 16, 32]),
        "picodet" => fits_gfl(size, outputs, &[8, 16, 32, 64]),
        "ultraface" => fits_ultraface(outputs),
        "imagenet" => matches!(outputs, [only] if matches!(only.shape.as_slice(), [_, 1000])),
        _ => false,
    }
}

fn fits_yolox(size: (usize, usize), outputs: &[TensorInfo]) -> bool {
    let anchors: usize = [8, 16, 32].iter().map(|s| grid_cells_floor(size, *s)).sum();
    match outputs {
        [only] => matches!(matrix_of(only), Some((rows, columns)) if rows == anchors && columns > 5),
        _ => false,
    }
}

fn fits_gfl(size: (usize, usize), outputs: &[TensorInfo], strides: &[usize]) -> bool {
    let count = |rows: usize, is_box: bool| {
        outputs.iter().filter_map(matrix_of).filter(|(n, columns)| *n == rows && (*columns == 32) == is_box).count()
    };
    outputs.len() == 2 * strides.len()
        && strides.iter().all(|s| {
            let rows = grid_cells_ceil(size, *s);
            count(rows, true) == 1 && count(rows, false) == 1
        })
}

fn fits_ultraface(outputs: &[TensorInfo]) -> bool {
    let find = |name: &str| outputs.iter().find(|o| o.name == name).and_then(matrix_of);
    match (find("scores"), find("boxes")) {
        (Some((scores, 2)), Some((boxes, 4))) => outputs.len() == 2 && scores == boxes,
        _ => false,
    }
}

/// Inputs and outputs as people read them: `images [1, 3, 416, 416] → output [1, 3549, 85]`.
fn signature(inputs: &[TensorInfo], outputs: &[TensorInfo]) -> String {
    let side = |tensors: &[TensorInfo]| {
        let shown: Vec<String> = tensors.iter().take(8).map(|t| format!("{} {:?}", t.name, t.shape)).collect();
        let more = if tensors.len() > 8 { ", …" } else { "" };
        format!("{}{more}", shown.join(", "))
    };
    format!("{} → {}", side(inputs), side(outputs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, shape: &[usize]) -> TensorInfo {
        TensorInfo { name: name.to_owned(), dtype: "f32".to_owned(), shape: shape.to_vec() }
    }

    fn gfl(rows: &[usize], classes: usize) -> Vec<TensorInfo> {
        let of = |columns: usize| rows.iter().map(move |r| tensor("o", &[1, *r, columns]));
        of(classes).chain(of(32)).collect()
    }

    #[test]
    fn every_profile_reads_and_has_its_evaluation_thresholds() {
        for profile in ALL {
            assert_eq!(describe(profile.name), profile.about);
            assert!(get(profile.name).is_ok(), "{:?}", get(profile.name));
        }
        for (name, score, nms) in [("yolox", 0.001, 0.65), ("nanodet", 0.05, 0.6), ("picodet", 0.025, 0.6)] {
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
            ("ultraface", image(240, 320), vec![tensor("scores", &[1, 4420, 2]), tensor("boxes", &[1, 4420, 4])]),
        ];
        for (name, inputs, outputs) in cases {
            assert_eq!(recognise(&inputs, &outputs), Ok(name));
        }
    }

    #[test]
    fn what_is_not_known_lists_the_choices() {
        let inputs = [tensor("images", &[1, 3, 640, 640])];
        let outputs = [tensor("output0", &[1, 84, 8400])];
        let message = recognise(&inputs, &outputs).unwrap_err().to_string();
        assert!(message.contains("output0 [1, 84, 8400]"), "{message}");
        assert!(message.contains("yolox, nanodet, picodet, ultraface, imagenet"), "{message}");
        assert!(recognise(&[], &outputs).is_err());
        assert!(recognise(&inputs, &[]).is_err());
        // Bins and classes can't be told apart.
        assert!(recognise(&[tensor("i", &[1, 3, 320, 320])], &gfl(&[1600, 400, 100], 32)).is_err());
    }
}

//! Descriptions good and bad: every mistake has its line and what would be right.

use super::*;
use crate::model::heads::HeadSpec;
use crate::model::preprocess::tests::Random;

const GOOD: &str = r#"name = "parts"
version = "1.0.0"
task = "detect"

[input]
size = [320, 192]
letterbox = "top-left"
pad = 114
channels = "bgr"

[head]
kind = "yolox"
strides = [8, 16, 32]

[thresholds]
score = 0.4
"#;

fn mistakes(text: &str) -> Vec<(usize, String)> {
    parse(text).unwrap_err().into_iter().map(|m| (m.line, m.message)).collect()
}

/// The only mistake of the good description with one text replaced.
fn mistake(from: &str, to: &str) -> (usize, String) {
    assert!(GOOD.contains(from), "{from}");
    let mut found = mistakes(&GOOD.replace(from, to));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn what_is_left_out_has_its_default() {
    let spec = parse(GOOD).unwrap();
    assert_eq!(spec.weights, DEFAULT_WEIGHTS);
    assert_eq!(spec.head, HeadSpec::Yolox { strides: vec![8, 16, 32] });
    assert_eq!((spec.input.mean, spec.input.std, spec.input.scale), ([0.0; 3], [1.0; 3], 1.0));
    assert_eq!((spec.thresholds.score, spec.thresholds.nms, spec.thresholds.max_detections), (0.4, 0.45, 100));
    assert_eq!((spec.evaluation.score, spec.evaluation.nms), (0.001, 0.65));
}

#[test]
fn what_is_written_reads_the_same() {
    let text = format!("{GOOD}\n[provenance]\nparent = \"sha256:0\"\nmetrics = {{ map = 0.9 }}\n");
    let half = format!("precision = \"f16\"\n{GOOD}\n[golden]\ntolerance = 0.1\n");
    for text in [GOOD.to_owned(), text, half] {
        let spec = parse(&text).unwrap();
        assert_eq!(parse(&spec.to_toml().unwrap()).unwrap(), spec);
    }
}

#[test]
fn a_misspelt_key_has_its_line_and_the_nearest_one() {
    let (line, message) = mistake("letterbox", "leterbox");
    assert_eq!(line, 7);
    assert!(message.contains("`leterbox`") && message.contains("did you mean `letterbox`?"), "{message}");
    let (line, message) = mistake("[thresholds]", "[treshold]");
    assert_eq!(line, 15);
    assert!(message.contains("did you mean `thresholds`?"), "{message}");
    let (line, message) = mistake("\"top-left\"", "\"topleft\"");
    assert_eq!(line, 7);
    assert!(message.contains("did you mean `top-left`?"), "{message}");
}

#[test]
fn an_unknown_head_is_met_with_the_choices() {
    let (line, message) = mistake("\"yolox\"", "\"anomaly\"");
    assert_eq!(line, 12);
    assert!(
        message
            .contains("`yolox`, `yolo`, `gfl`, `boxes`, `detr`, `listed`, `ssd`, `heatmap`, `classify`, `embedding`"),
        "{message}"
    );
}

#[test]
fn values_out_of_range_have_their_line() {
    let cases = [
        ("\"parts\"", "\"../parts\"", 1, "`name`"),
        ("\"1.0.0\"", "\"\"", 2, "`version`"),
        ("[320, 192]", "[320, 0]", 6, "1 to 4096"),
        ("114", "256", 8, "0 to 255"),
        ("114", "nan", 8, "0 to 255"),
        ("[8, 16, 32]", "[16, 8]", 13, "ascending"),
        ("[8, 16, 32]", "[]", 13, "ascending"),
        ("[8, 16, 32]", "[0, 8]", 13, "1 to 1024"),
        ("score = 0.4", "score = 1.5", 16, "0 to 1"),
        ("score = 0.4", "score = nan", 16, "0 to 1"),
        ("score = 0.4", "max_detections = 0", 16, "1 to 1000"),
        ("pad = 114", "std = [1, 0, 1]", 8, "divided"),
        ("pad = 114", "mean = [1, inf, 1]", 8, "finite"),
        ("pad = 114", "scale = -1", 8, "above 0"),
        ("pad = 114", "resize_short = 256", 8, "crop"),
        ("strides = [8, 16, 32]", "bins = 8", 13, "`bins` means nothing to this kind of head; it takes strides"),
        ("\"detect\"", "\"classify\"", 12, "head `classify`"),
    ];
    for (from, to, line, reason) in cases {
        let (found, message) = mistake(from, to);
        assert_eq!(found, line, "{to}: {message}");
        assert!(message.contains(reason), "{to}: {message}");
    }
}

#[test]
fn precision_has_its_choices_and_its_tolerance() {
    let spec = parse(GOOD).unwrap();
    assert_eq!((spec.precision, spec.golden.tolerance), (PrecisionChoice::Auto, 0.05));
    // Left out where it says nothing new: digests of bare files depend on the text.
    let text = spec.to_toml().unwrap();
    assert!(!text.contains("precision") && !text.contains("golden"), "{text}");
    let spec = parse(&format!("precision = \"f32\"\n{GOOD}[golden]\ntolerance = 0\n")).unwrap();
    assert_eq!((spec.precision, spec.golden.tolerance), (PrecisionChoice::F32, 0.0));
    let (line, message) = mistake("score = 0.4\n", "score = 0.4\n[golden]\ntolerance = 1.5\n");
    assert!(line == 18 && message.starts_with("`golden.tolerance` is 1.5; it takes 0 to 1"), "{line}: {message}");
    let (line, message) = mistake("version = \"1.0.0\"\n", "version = \"1.0.0\"\nprecision = \"f8\"\n");
    assert!(line == 3 && message.contains("`f16`"), "{line}: {message}");
}

#[test]
fn all_mistakes_of_meaning_are_told_at_once() {
    let text = GOOD.replace("114", "300").replace("score = 0.4", "score = 2").replace("[8, 16, 32]", "[8, 8]");
    assert_eq!(mistakes(&text).iter().map(|m| m.0).collect::<Vec<_>>(), [13, 8, 16]);
}

#[test]
fn what_is_no_toml_has_its_line() {
    let (line, _) = mistakes("name = \"a\"\nversion = \n").remove(0);
    assert_eq!(line, 2);
    let (line, message) = mistake("version = \"1.0.0\"\n", "");
    assert_eq!(line, 1);
    assert!(message.contains("missing field `version`"), "{message}");
    let (line, _) = mistake("[320, 192]", "[320]");
    assert_eq!(line, 6);
}

/// Damages a text: bytes dropped, doubled, swapped and made up. Always ends in a description or in mistakes that lie
/// inside the text.
#[test]
fn no_text_is_too_broken() {
    let mut random = Random(11);
    let tokens =
        ["[", "]", "[[", "=", "\"", "'''", "\n", "{", "}", ",", ".", "#", "nan", "-1e999", "\u{0}", "é", "[head]"];
    for _ in 0..3000 {
        let mut text: Vec<char> = GOOD.chars().collect();
        for _ in 0..1 + random.below(6) {
            let at = random.below(text.len() as u32) as usize;
            match random.below(4) {
                0 => drop(text.remove(at)),
                1 => text.insert(at, text[at]),
                2 => {
                    let other = random.below(text.len() as u32) as usize;
                    text.swap(at, other);
                }
                _ => {
                    let token = tokens[random.below(tokens.len() as u32) as usize];
                    text.splice(at..at, token.chars());
                }
            }
        }
        let text: String = text.into_iter().collect();
        match parse(&text) {
            Ok(spec) => assert!((1..=8).contains(&strides(&spec)), "{text}"),
            Err(mistakes) => {
                let lines = 1 + text.matches('\n').count();
                assert!(!mistakes.is_empty(), "{text}");
                assert!(mistakes.iter().all(|m| (1..=lines).contains(&m.line) && !m.message.is_empty()), "{text}");
            }
        }
    }
}

fn strides(spec: &Spec) -> usize {
    match &spec.head {
        HeadSpec::Yolox { strides } | HeadSpec::Gfl { strides, .. } => strides.len(),
        _ => 1,
    }
}

#[test]
fn deep_nesting_does_no_harm() {
    for (open, close) in [("[", "]"), ("{a=", "}")] {
        let text = format!("name = {}1{}", open.repeat(50_000), close.repeat(50_000));
        assert!(parse(&text).is_err());
    }
}

/// Every kind of head with all of its keys.
const HEADS: [&str; 10] = [
    "kind = \"yolo\"\nlayout = \"v8\"\nlogits = true\nnormalised = true\nextra = 51",
    "kind = \"yolo\"\nlayout = \"end-to-end\"",
    "kind = \"yolo\"\nlayout = \"raw\"\nstrides = [8, 16]\nanchors = [[[10, 13]], [[30, 61.5], [62, 45]]]",
    "kind = \"detr\"\nactivation = \"sigmoid\"\nscores = \"logits\"\nboxes = \"pred_boxes\"",
    "kind = \"detr\"",
    "kind = \"listed\"\nlabels = \"l\"\nboxes = \"b\"\nscores = \"s\"\nbackground = true\nnormalised = true",
    "kind = \"ssd\"\nstrides = [16]\nanchors = [[[30, 30], [42.5, 21.5]]]\nvariances = [0.1, 0.2]\nbackground = false",
    "kind = \"heatmap\"\nsizes = \"log\"\nlogits = true\nscores = \"h\"\nboxes = \"s\"\noffsets = \"o\"",
    "kind = \"heatmap\"",
    "kind = \"boxes\"",
];

fn with_head(head: &str) -> String {
    GOOD.replace("kind = \"yolox\"\nstrides = [8, 16, 32]", head)
}

#[test]
fn every_head_reads_back_as_it_was_written() {
    for head in HEADS {
        let spec = parse(&with_head(head)).unwrap_or_else(|m| panic!("{head}: {m:?}"));
        assert_eq!(parse(&spec.to_toml().unwrap()).unwrap(), spec, "{head}");
    }
    let embed = with_head("kind = \"embedding\"\npool = \"mean\"\noutput = \"y\"").replace("\"detect\"", "\"embed\"");
    let spec = parse(&embed).unwrap();
    assert_eq!(parse(&spec.to_toml().unwrap()).unwrap(), spec);
}

#[test]
fn a_head_s_mistakes_say_what_it_takes() {
    for (head, reason) in [
        ("kind = \"yolo\"\nstrides = [8]", "it takes layout, extra, normalised, logits"),
        ("kind = \"yolo\"\nlayout = \"v9\"", "`v5`, `v8`, `end-to-end`, `raw`"),
        ("kind = \"yolo\"\nlayout = \"raw\"", "for each of the 3 strides"),
        ("kind = \"ssd\"\nstrides = [8]\nanchors = [[[0, 4]]]", "pairs of width and height"),
        ("kind = \"ssd\"\nstrides = [8]\nanchors = [[[4, 4]]]\nvariances = [0.1, 0]", "two numbers above 0"),
        ("kind = \"yolo\"\nextra = 5000", "`extra` is 5000"),
        ("kind = \"detr\"\nactivation = \"tanh\"", "`softmax`, `sigmoid`, `none`"),
        ("kind = \"embedding\"", "`task = \"embed\"`"),
    ] {
        let found = mistakes(&with_head(head));
        assert!(found.len() == 1 && found[0].1.contains(reason), "{head}: {found:?}");
    }
}

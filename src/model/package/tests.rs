//! Packages and bare files on disk, good ones and hostile ones.

use std::fs;
use std::os::unix::fs::symlink;

use ocellus_onnx::TensorInfo;
use tempfile::TempDir;

use super::*;

const DESCRIPTION: &str = r#"
name = "parts"
version = "1.2.0"
task = "detect"

[input]
letterbox = "top-left"

[head]
kind = "yolox"
"#;

/// A package with two labels; what is not there is written anew.
fn package(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let standard = [(MANIFEST, DESCRIPTION), ("model.onnx", "weights"), ("labels.txt", "bolt\nnut\n")];
    for (name, content) in standard.iter().chain(files) {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

fn open(dir: &TempDir) -> Result<Package, PackageError> {
    Package::open(dir.path(), None, None)
}

fn refusal(dir: &TempDir) -> String {
    open(dir).unwrap_err().to_string()
}

fn tensor(name: &str, shape: &[usize]) -> TensorInfo {
    TensorInfo { name: name.to_owned(), dtype: ocellus_onnx::ElementType::F32, shape: shape.to_vec() }
}

/// A YOLOX of 32x32 pixels: 16 + 4 + 1 anchors.
fn yolox(classes: usize) -> ([TensorInfo; 1], [TensorInfo; 1]) {
    ([tensor("images", &[1, 3, 32, 32])], [tensor("output", &[1, 21, 5 + classes])])
}

fn resolve(package: &Package, classes: usize) -> Result<Resolved, PackageError> {
    let (inputs, outputs) = yolox(classes);
    package.resolve(&inputs, &outputs)
}

fn digest(dir: &TempDir) -> String {
    resolve(&open(dir).unwrap(), 2).unwrap().reference.digest
}

fn names(model: &Resolved) -> Vec<&str> {
    model.labels.iter().map(AsRef::as_ref).collect()
}

#[test]
fn a_package_knows_all_that_it_takes() {
    let package = open(&package(&[])).unwrap();
    assert_eq!(&package.weights()[..], b"weights");
    let model = resolve(&package, 2).unwrap();
    assert_eq!((&*model.reference.name, &*model.reference.version), ("parts", "1.2.0"));
    assert_eq!(names(&model), ["bolt", "nut"]);
    assert_eq!((model.input.width, model.input.height), (32, 32));
    assert_eq!(model.spec.input.size, Some([32, 32]));
}

#[test]
fn the_digest_covers_every_file_but_the_signature() {
    let plain = digest(&package(&[]));
    assert_eq!(plain, digest(&package(&[])), "the folder's own name counts");
    assert_eq!(plain, digest(&package(&[(SIGNATURE, "{}")])));
    let others = [
        package(&[("labels.txt", "bolt\nnut")]),
        package(&[("model.onnx", "Weights")]),
        package(&[(MANIFEST, &format!("{DESCRIPTION}\n"))]),
        package(&[("golden/a.json", "")]),
        package(&[("golden/b.json", "")]),
        package(&[("sub/signature.json", "")]),
    ];
    let mut all: Vec<String> = others.iter().map(digest).collect();
    all.push(plain);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 7);
}

#[test]
fn the_digest_of_a_package_is_stable() {
    // Written down once; were it to change, every model that is out there would have a new identity.
    assert_eq!(digest(&package(&[])), DIGEST);
}

const DIGEST: &str = "sha256:a235b2d92837aef1b0e0f8ad7c19d9782ce94c367e6a0ca98bd36f4c831354f5";

#[test]
fn names_that_lead_out_of_the_package_are_refused() {
    for name in ["../model.onnx", "/etc/passwd", "a/../../b", "./model.onnx", "", ".."] {
        let text = DESCRIPTION.replace("task", &format!("weights = \"{name}\"\ntask"));
        let error = refusal(&package(&[(MANIFEST, &text)]));
        assert!(error.contains("relative name inside the package"), "{name}: {error}");
        let text = DESCRIPTION.replace("task", &format!("labels = \"{name}\"\ntask"));
        let error = refusal(&package(&[(MANIFEST, &text)]));
        assert!(error.contains("relative name inside the package"), "{name}: {error}");
    }
}

#[test]
fn links_and_devices_have_no_place_in_a_package() {
    let dir = package(&[]);
    symlink("/etc/passwd", dir.path().join("golden.json")).unwrap();
    assert!(refusal(&dir).contains("golden.json can't be part of a package: it is a link"));
    let dir = package(&[]);
    fs::remove_file(dir.path().join("model.onnx")).unwrap();
    symlink("/dev/zero", dir.path().join("model.onnx")).unwrap();
    assert!(refusal(&dir).contains("it is a link"));
    let dir = package(&[]);
    symlink(".", dir.path().join("loop")).unwrap();
    assert!(refusal(&dir).contains("it is a link"));
}

#[test]
fn a_package_has_bounds() {
    let deep = "a/b/c/d/e/f/g/h/i.txt";
    assert!(refusal(&package(&[(deep, "")])).contains("nested too deeply"));
    let large = " ".repeat(1024 * 1024 + 1);
    assert!(refusal(&package(&[(MANIFEST, &large)])).contains("model.toml is larger than 1 MiB"));
    assert!(refusal(&package(&[("labels.txt", &large)])).contains("labels.txt is larger than 1 MiB"));
}

#[test]
fn what_is_missing_is_named() {
    for (file, what) in [(MANIFEST, "neither a package"), ("model.onnx", "model.onnx: "), ("labels.txt", "")] {
        let dir = package(&[]);
        fs::remove_file(dir.path().join(file)).unwrap();
        match open(&dir) {
            Ok(package) => {
                assert_eq!(file, "labels.txt", "only labels may be left out");
                assert_eq!(names(&resolve(&package, 2).unwrap()), ["class 0", "class 1"]);
            }
            Err(error) => assert!(error.to_string().contains(what), "{error}"),
        }
    }
    // The signature is no part of what is signed.
    let text = DESCRIPTION.replace("task", &format!("labels = \"{SIGNATURE}\"\ntask"));
    assert!(refusal(&package(&[(MANIFEST, &text), (SIGNATURE, "{}")])).contains("can't read"));
}

#[test]
fn what_is_no_model_at_all_is_told_apart() {
    let dir = package(&[("notes.txt", "hello")]);
    let open = |name: &str| Package::open(&dir.path().join(name), None, None).unwrap_err().to_string();
    assert!(open("absent.onnx").contains("there is no model"));
    assert!(open("notes.txt").contains("neither a package (a directory with model.toml) nor an .onnx file"));
    assert!(refusal(&package(&[(MANIFEST, "\u{0}")])).contains("model.toml: line 1"));
    let binary = package(&[]);
    fs::write(binary.path().join(MANIFEST), b"name = \"\xff\"").unwrap();
    assert!(refusal(&binary).contains("not UTF-8 text from byte 8 on"));
}

#[test]
fn a_package_brings_its_own_description() {
    let dir = package(&[]);
    for (profile, labels) in [(Some("yolox"), None), (None, Some(Path::new("x.txt")))] {
        let error = Package::open(dir.path(), profile, labels).unwrap_err();
        assert!(matches!(error, PackageError::OwnDescription { .. }), "{error}");
    }
}

#[test]
fn labels_must_fit_the_classes() {
    let error = resolve(&open(&package(&[])).unwrap(), 3).unwrap_err().to_string();
    assert!(error.contains("tells 3 classes apart, but the labels it has"), "{error}");
    let coco = DESCRIPTION.replace("task", "labels = \"builtin:coco80\"\ntask");
    let dir = package(&[(MANIFEST, &coco)]);
    assert_eq!(names(&resolve(&open(&dir).unwrap(), 80).unwrap())[79], "toothbrush");
    assert!(resolve(&open(&dir).unwrap(), 2).is_err());
    let unknown = DESCRIPTION.replace("task", "labels = \"builtin:coco\"\ntask");
    let error = resolve(&open(&package(&[(MANIFEST, &unknown)])).unwrap(), 2).unwrap_err().to_string();
    assert!(error.contains("builtin:coco80"), "{error}");
}

#[test]
fn the_input_must_be_the_picture_described() {
    let sized = DESCRIPTION.replace("letterbox", "size = [64, 32]\nletterbox");
    let error = resolve(&open(&package(&[(MANIFEST, &sized)])).unwrap(), 2).unwrap_err().to_string();
    assert!(error.contains("`images` is 32x32 pixels, but the description says size = [64, 32]"), "{error}");
    let package = open(&package(&[])).unwrap();
    let (_, outputs) = yolox(2);
    let inputs: [&[TensorInfo]; 6] = [
        &[],
        &[tensor("a", &[1, 3, 32, 32]), tensor("b", &[1, 3, 32, 32])],
        &[tensor("a", &[1, 1, 32, 32])],
        &[tensor("a", &[1, 3, 32])],
        &[tensor("a", &[1, 3, 0, 32])],
        &[tensor("a", &[1, 3, 32, 5000])],
    ];
    for inputs in inputs {
        let error = package.resolve(inputs, &outputs).unwrap_err();
        assert!(matches!(error, PackageError::Input { .. }), "{error}");
    }
    let error = package.resolve(&yolox(2).0, &[tensor("output", &[1, 20, 7])]).unwrap_err().to_string();
    assert!(error.contains("[batch, 21, 5 + classes]") && error.contains("[1, 20, 7]"), "{error}");
}

/// A bare file in a folder, with what lies beside it.
fn bare(beside: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [("my net.onnx", "weights")].iter().chain(beside) {
        fs::write(dir.path().join(name), content).unwrap();
    }
    let path = dir.path().join("my net.onnx");
    (dir, path)
}

#[test]
fn a_bare_file_gets_the_profile_that_fits() {
    let (_dir, path) = bare(&[]);
    let package = Package::open(&path, None, None).unwrap();
    assert!(package.spec().is_none());
    let model = resolve(&package, 80).unwrap();
    assert_eq!((&*model.reference.name, &*model.reference.version), ("my-net", NO_VERSION));
    assert_eq!(names(&model)[0], "person");
    // Without names of its own it has numbers, not somebody else's names.
    assert_eq!(names(&resolve(&package, 1).unwrap()), ["class 0"]);
    let error = package.resolve(&[tensor("x", &[1, 3, 8, 8])], &[tensor("y", &[1, 4])]).unwrap_err().to_string();
    assert!(error.contains("my net.onnx") && error.contains("--profile (yolox, yolov5"), "{error}");
}

#[test]
fn labels_beside_a_bare_file_are_taken_where_they_fit() {
    let open = |beside: &[(&str, &str)], classes| {
        let (_dir, path) = bare(beside);
        let model = resolve(&Package::open(&path, Some("yolox"), None).unwrap(), classes).unwrap();
        names(&model).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let both = [("labels.txt", "a\nb"), ("my net.labels.txt", "bolt\nnut")];
    assert_eq!(open(&both, 2), ["bolt", "nut"]);
    assert_eq!(open(&both[..1], 2), ["a", "b"]);
    assert_eq!(open(&both, 3), ["class 0", "class 1", "class 2"]);
    assert_eq!(open(&both, 80)[0], "person");
}

#[test]
fn labels_asked_for_must_fit() {
    let (dir, path) = bare(&[("names", "bolt\nnut\n")]);
    let names_file = dir.path().join("names");
    let package = Package::open(&path, Some("yolox"), Some(&names_file)).unwrap();
    assert_eq!(names(&resolve(&package, 2).unwrap()), ["bolt", "nut"]);
    assert!(resolve(&package, 80).unwrap_err().to_string().contains("name 2"));
    let error = Package::open(&path, Some("yolox"), Some(&dir.path().join("absent"))).unwrap_err().to_string();
    assert!(error.contains("absent: No such file"), "{error}");
    let error = Package::open(&path, Some("yolocks"), None).unwrap_err().to_string();
    assert!(error.contains("did you mean `yolox`"), "{error}");
}

#[test]
fn a_bare_file_s_digest_follows_what_it_is_read_as() {
    let digest = |profile, beside: &[(&str, &str)]| {
        let (_dir, path) = bare(beside);
        resolve(&Package::open(&path, profile, None).unwrap(), 2).unwrap().reference.digest
    };
    let plain = digest(Some("yolox"), &[]);
    assert_eq!(plain, digest(None, &[]), "named or recognised, it is the same profile");
    assert_ne!(plain, digest(None, &[("labels.txt", "a\nb")]));
    assert_eq!(plain, digest(None, &[("other.txt", "a\nb")]));
}

#[test]
fn a_bare_file_is_the_package_that_its_description_makes() {
    let (_dir, path) = bare(&[("labels.txt", "bolt\nnut\n")]);
    let model = resolve(&Package::open(&path, None, None).unwrap(), 2).unwrap();
    let same = package(&[(MANIFEST, &model.spec.to_toml().unwrap())]);
    let packaged = resolve(&open(&same).unwrap(), 2).unwrap();
    assert_eq!(packaged.reference, model.reference);
    assert_eq!(packaged.spec, model.spec);
}

#[test]
fn boxes_are_cut_off_at_the_frame() {
    let model = resolve(&open(&package(&[])).unwrap(), 2).unwrap();
    let mut output = vec![0.0; 21 * 7];
    // The 32-pixel cell: its centre in the corner, 64 pixels wide and 32 high, of class 1.
    output[20 * 7..].copy_from_slice(&[0.0, 0.0, 2.0_f32.ln(), 0.0, 0.9, 0.0, 1.0]);
    // A frame of 64x32 lies in the upper half of the input, at half its size.
    let source = (64, 32);
    let placement = crate::model::input::Placement::new(model.spec.input.letterbox, source, (32, 32), 32);
    let found = model.objects(&[&output], &model.spec.thresholds, &placement, source).unwrap();
    let [object] = found.objects.as_slice() else { panic!("{found:?}") };
    assert_eq!((object.class, &*object.label), (1, "nut"));
    assert!(object.rect.iou(&crate::detection::Rect::FULL) > 0.999, "{object:?}");
    assert!(object.rect.x == 0.0 && object.rect.y == 0.0 && object.rect.w <= 1.0 && object.rect.h <= 1.0, "{object:?}");
    // One that lies in the padding altogether is dropped.
    output[20 * 7 + 1] = 0.9;
    output[20 * 7 + 3] = -1.0;
    let found = model.objects(&[&output], &model.spec.thresholds, &placement, source).unwrap();
    assert!(found.objects.is_empty(), "{found:?}");
}

#[test]
fn a_golden_set_is_read_or_refused_by_name() {
    let dir = package(&[]);
    let open = || Package::open(dir.path(), None, None).unwrap();
    assert!(!open().has_golden() && open().golden().unwrap().is_empty());
    let golden = dir.path().join("golden");
    std::fs::create_dir(&golden).unwrap();
    image::RgbImage::new(6, 4).save(golden.join("a.png")).unwrap();
    for (text, reason) in [
        ("{}", "missing field `objects`"),
        (r#"{"objects": [{"label": "x"}]}"#, "missing field `score`"),
        (r#"{"objects": [], "more": 1}"#, "unknown field `more`"),
        (r#"{"objects": [{"label": "x", "score": 1, "box": [0, 0, 1]}]}"#, "length 3"),
    ] {
        std::fs::write(golden.join("a.json"), text).unwrap();
        let error = open().golden().unwrap_err().to_string();
        assert!(error.contains("golden/a.json") && error.contains(reason) && !error.contains('\n'), "{error}");
    }
    let list = r#"{"objects": [{"label": "x", "score": 0.5, "box": [0, 0.25, 0.5, 0.5]}, {"label": "y", "score": 1}]}"#;
    std::fs::write(golden.join("a.json"), list).unwrap();
    let pictures = open().golden().unwrap();
    let [GoldenPicture { image, objects }] = &pictures[..] else { panic!("{pictures:?}") };
    assert_eq!((image.width(), image.height(), objects.len()), (6, 4, 2));
    assert_eq!((objects[0].r#box, objects[1].r#box), ([0.0, 0.25, 0.5, 0.5], [0.0, 0.0, 1.0, 1.0]));

    std::fs::write(golden.join("b.json"), list).unwrap();
    let error = open().golden().unwrap_err().to_string();
    assert!(error.contains("golden/b.json: there is no picture"), "{error}");
}

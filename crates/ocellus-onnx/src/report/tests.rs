use super::memory::{Scheduled, peak};
use super::*;
use crate::limits::Limits;
use crate::samples;
use crate::testing::cases;
use crate::testing::{Model, Random, int, ints, small_network};

fn report(model: &Model) -> Report {
    Graph::parse(&model.bytes(), &Limits::default()).expect("it is sound").report()
}

fn sample(name: &str) -> Option<Report> {
    let path = samples::path(&format!("models/{name}.onnx"))?;
    Some(Graph::load(&path, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}")).report())
}

/// Millions, to the nearest hundredth.
fn millions(n: u64) -> f64 {
    (n as f64 / 1e4).round() / 100.0
}

#[test]
fn a_small_network_by_hand() {
    let report = report(&small_network());
    // The convolution: 4 channels of 4x4, each from 3 channels of 3x3; the product: 4 by 4.
    assert_eq!(report.classes[&Class::Convolution].macs, 4 * 4 * 4 * 27);
    assert_eq!(report.classes[&Class::Product].macs, 16);
    assert_eq!(report.work.macs, 4 * 4 * 4 * 27 + 16);
    assert_eq!(report.nodes[0].work.flops, 2 * 4 * 4 * 4 * 27, "{:?}", report.nodes[0]);
    assert_eq!(report.classes[&Class::Normalisation].flops, 5 * 4);
    let f32s = Parameters { count: 108 + 4 + 16, bytes: 4 * (108 + 4 + 16) };
    assert_eq!(report.parameters, BTreeMap::from([("f32".to_owned(), f32s)]));
    assert_eq!(report.file_operators.values().sum::<usize>(), 6);
    assert_eq!(report.file_operators["Softmax"], 1);
    // The picture (192 floats) is there while the convolution's output (64) is made.
    assert_eq!(report.memory.activations, 4 * (192 + 64));
    assert_eq!(report.memory.peak_at, "conv");
    // One image unfolded: 27 rows of 16 places.
    assert_eq!(report.memory.workspace, 4 * 27 * 16);
}

#[test]
fn a_branch_keeps_what_it_needs_later() {
    let model = Model::new()
        .input("x", &[1, 1000])
        .node("Sin", &["x"], &["a"])
        .node("Cos", &["a"], &["b"])
        .node("Tanh", &["b"], &["c"])
        .node("Mul", &["c", "a"], &["y"])
        .output("y");
    let memory = report(&model).memory;
    // a lives until the product: a, b, c while c is made; a, c, y while y is.
    assert_eq!(memory, Memory { weights: 0, activations: 12_000, peak_at: memory.peak_at.clone(), workspace: 0 });
}

#[test]
fn lives_of_values() {
    let step =
        |reads: &[usize], makes: &[usize], shares| Scheduled { reads: reads.into(), makes: makes.into(), shares };
    // 0 → 1 → 2, and 3 from 0 and 2.
    let steps = [step(&[0], &[1], false), step(&[1], &[2], false), step(&[0, 2], &[3], false)];
    assert_eq!(peak(&steps, &[10, 5, 7, 1], &[0], &[3]), (22, 1));
    // With 1 in the memory of 0, only 0 and 2 are there in the middle.
    let steps = [step(&[0], &[1], true), step(&[1], &[2], false), step(&[2], &[3], false)];
    assert_eq!(peak(&steps, &[10, 10, 7, 1], &[0], &[3]), (17, 1));
    // A constant and a view of it take nothing.
    let steps = [step(&[0], &[1], true), step(&[1, 2], &[3], false)];
    assert_eq!(peak(&steps, &[100, 100, 3, 4], &[2], &[3]), (7, 1));
    // What nobody reads goes at once.
    let steps = [step(&[0], &[1], false), step(&[0], &[2], false)];
    assert_eq!(peak(&steps, &[1, 50, 20], &[0], &[2]), (51, 0));
}

#[test]
fn operators_are_counted_before_and_after() {
    let model = Model::new()
        .input("x", &[1, 4])
        .floats("a", &[4], &[1.0; 4])
        .floats("b", &[4], &[2.0; 4])
        .node("Mul", &["a", "b"], &["folded"])
        .node("Identity", &["x"], &["same"])
        .node("Add", &["same", "folded"], &["sum"])
        .node("Sin", &["sum"], &["y"])
        .output("y");
    let report = report(&model);
    assert_eq!(report.file_operators.values().sum::<usize>(), 4);
    assert_eq!(report.operators.values().sum::<usize>(), 2, "{:?}", report.operators);
    assert_eq!(report.folded, 2);
}

/// Grouped and transposed convolutions: each output channel of the first sees half of the inputs, each input place of
/// the second is spread over its kernel.
#[test]
fn convolutions_of_all_kinds() {
    let mut random = Random::new(1);
    let model = Model::new()
        .input("x", &[1, 4, 6, 6])
        .floats("w", &[8, 2, 3, 3], &random.values(8 * 2 * 9, -1.0, 1.0))
        .floats("v", &[8, 5, 2, 2], &random.values(8 * 5 * 4, -1.0, 1.0))
        .node_with("Conv", &["x", "w"], &["c"], vec![int("group", 2), ints("pads", &[1, 1, 1, 1])])
        .node_with("ConvTranspose", &["c", "v"], &["y"], vec![ints("strides", &[2, 2])])
        .output("y");
    let grouped = 8 * 36 * 2 * 9;
    let transposed = 8 * 36 * 5 * 4;
    assert_eq!(report(&model).work.macs, grouped + transposed);
}

#[test]
fn burn_joins_biases_and_says_so() {
    let burn = report(&small_network()).devices.into_iter().find(|d| d.device == "burn").expect("it is listed");
    assert_eq!(burn.refused, None);
    assert_eq!((burn.fusions.convolutions, burn.fusions.with_bias), (1, 1));
    assert!(burn.fusions.steps_after <= burn.fusions.steps_before);
    assert_eq!(burn.steps.values().sum::<usize>(), burn.fusions.steps_after);
    assert_eq!(burn.steps["Conv"], 1, "{:?}", burn.steps);
    assert!(burn.memory.weights >= 4 * (108 + 4 + 16), "{:?}", burn.memory);
}

#[test]
fn what_burn_leaves_to_the_host_is_listed() {
    let case = cases::all().into_iter().find(|case| case.name == "on the host between convolutions").expect("a case");
    let burn = report(&case.model).devices.into_iter().find(|d| d.device == "burn").expect("it is listed");
    let operators: Vec<&str> = burn.host.iter().map(|step| step.operator.as_str()).collect();
    assert_eq!(operators, ["Acos", "Atan"]);
    assert!(burn.host.iter().all(|step| !step.reason.is_empty()), "{:?}", burn.host);
}

#[test]
fn published_figures_of_known_models() {
    // YOLOX-Nano: 0.91 M parameters, 1.08 GFLOPs at 416x416 (Ge et al., "YOLOX", 2021, table 5); two for each MAC.
    let Some(nano) = sample("yolox_nano_416") else { return };
    let parameters: u64 = nano.parameters.values().map(|p| p.count).sum();
    assert!((0.90..0.93).contains(&(millions(parameters))), "{parameters}");
    assert!((1.04e9..1.12e9).contains(&(nano.work.flops as f64)), "{:?}", nano.work);
    // EfficientNet-Lite0: 4.7 M parameters, 407 M MACs (TensorFlow's model card), at 224x224.
    let Some(lite) = sample("efficientnet_lite0") else { return };
    let parameters: u64 = lite.parameters.values().map(|p| p.count).sum();
    assert!((4.6..4.7).contains(&millions(parameters)), "{parameters}");
    assert!((380.0..410.0).contains(&millions(lite.work.macs)), "{:?}", lite.work);
}

/// ResNet-50 without its weights' values: 4.1 GMACs (He et al., 2015, with the stride where torchvision has it).
#[test]
fn resnet_50_from_its_table() {
    let model = resnet_50();
    let report = report(&model);
    let parameters: u64 = report.parameters.values().map(|p| p.count).sum();
    // torchvision counts two numbers a channel for each norm and biases of the last layer, 25,557,032 in all.
    assert_eq!(parameters, 25_557_032 - 26_560 - 1_000);
    assert!((4_080.0..4_120.0).contains(&millions(report.work.macs)), "{:?}", report.work);
}

/// Bottlenecks of 3, 4, 6, 3 with the stride in the 3x3 convolution; norms folded into biases, weights all alike.
fn resnet_50() -> Model {
    let mut net = Net { model: Model::new().input("x", &[1, 3, 224, 224]), convolutions: 0 };
    let mut last = net.conv("x", [3, 64, 7], 2, true);
    let pool = vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), ints("pads", &[1, 1, 1, 1])];
    net.model = net.model.node_with("MaxPool", &[&last], &["pooled"], pool);
    last = "pooled".to_owned();
    let mut channels = 64;
    for (stage, blocks) in [3, 4, 6, 3].into_iter().enumerate() {
        let width = 64 << stage;
        for block in 0..blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let short =
                if block == 0 { net.conv(&last, [channels, 4 * width, 1], stride, false) } else { last.clone() };
            let narrow = net.conv(&last, [channels, width, 1], 1, true);
            let middle = net.conv(&narrow, [width, width, 3], stride, true);
            let wide = net.conv(&middle, [width, 4 * width, 1], 1, false);
            let (sum, out) = (format!("sum{stage}_{block}"), format!("out{stage}_{block}"));
            net.model = net.model.node("Add", &[&short, &wide], &[&sum]).node("Relu", &[&sum], &[&out]);
            (last, channels) = (out, 4 * width);
        }
    }
    net.model
        .node("GlobalAveragePool", &[&last], &["mean"])
        .node_with("Flatten", &["mean"], &["flat"], vec![int("axis", 1)])
        .floats("fc", &[2048, 1000], &vec![0.01; 2_048_000])
        .node("MatMul", &["flat", "fc"], &["y"])
        .output("y")
}

struct Net {
    model: Model,
    convolutions: usize,
}

impl Net {
    fn conv(&mut self, x: &str, [from, to, kernel]: [usize; 3], stride: i64, relu: bool) -> String {
        let n = self.convolutions;
        self.convolutions += 1;
        let (w, b, y) = (format!("w{n}"), format!("b{n}"), format!("conv{n}"));
        let pad = (kernel as i64 - 1) / 2;
        let attributes = vec![ints("strides", &[stride, stride]), ints("pads", &[pad; 4])];
        let shape = [to as i64, from as i64, kernel as i64, kernel as i64];
        let mut model = std::mem::replace(&mut self.model, Model::new())
            .floats(&w, &shape, &vec![0.01; to * from * kernel * kernel])
            .floats(&b, &[to as i64], &vec![0.1; to])
            .node_with("Conv", &[x, &w, &b], &[&y], attributes);
        let last = if relu { format!("relu{n}") } else { y.clone() };
        if relu {
            model = model.node("Relu", &[&y], &[&last]);
        }
        self.model = model;
        last
    }
}

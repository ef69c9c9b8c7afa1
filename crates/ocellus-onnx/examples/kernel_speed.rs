//! Speed of the CPU kernels on layers of common vision models, one thread, in GFLOP/s of CPU time.
//!
//! `cargo run --release --example kernel_speed -p ocellus-onnx -p ocellus [avx2]`

use std::time::Instant;

use ocellus_onnx::kernel::{Activation, Buffer, Conv, ConvSpec, Isa, Layout, Shape, Window};

/// Input channels, output channels, rows, columns, window, stride, depthwise.
type Layer = (usize, usize, usize, usize, usize, usize, bool);

const LAYERS: &[Layer] = &[
    (64, 64, 26, 26, 1, 1, false),
    (64, 64, 12, 12, 1, 1, false),
    (116, 116, 20, 20, 1, 1, false),
    (96, 96, 20, 20, 1, 1, false),
    (232, 232, 10, 10, 1, 1, false),
    (24, 144, 56, 56, 1, 1, false),
    (144, 24, 56, 56, 1, 1, false),
    (192, 1152, 7, 7, 1, 1, false),
    (1152, 192, 7, 7, 1, 1, false),
    (16, 16, 104, 104, 1, 1, false),
    (48, 48, 24, 40, 3, 1, false),
    (32, 64, 24, 40, 3, 1, false),
    (48, 96, 12, 20, 3, 1, false),
    (16, 32, 96, 160, 3, 2, false),
    (3, 32, 224, 224, 3, 2, false),
    (12, 16, 208, 208, 3, 1, false),
    (64, 64, 26, 26, 3, 1, true),
    (32, 32, 52, 52, 3, 1, true),
    (96, 96, 112, 112, 3, 2, true),
    (672, 672, 14, 14, 5, 1, true),
    (96, 96, 40, 40, 5, 1, true),
];

fn main() {
    let wanted = std::env::args().nth(1);
    for isa in Isa::available() {
        let name = format!("{isa:?}").to_lowercase();
        if wanted.as_ref().is_some_and(|wanted| !name.contains(wanted.as_str())) {
            continue;
        }
        println!("{isa:?}");
        LAYERS.iter().for_each(|layer| measure(isa, *layer));
    }
}

fn measure(isa: Isa, (inputs, outputs, height, width, kernel, stride, depthwise): Layer) {
    let groups = if depthwise { inputs } else { 1 };
    let window = Window::square(kernel, stride, kernel / 2);
    let input = if inputs <= 12 { Layout::Planar } else { Layout::Blocked };
    let spec = ConvSpec { in_channels: inputs, out_channels: outputs, groups, window, input };
    let weights = vec![0.01; outputs * inputs / groups * kernel * kernel];
    let conv = Conv::new(isa, spec, &weights, &[], Activation::Relu, None).expect("a supported layer");
    let shape = Shape::new(1, inputs, height, width);
    let out_shape = conv.output(shape).expect("a window that fits");
    let mut from = Buffer::zeros(shape.len_in(input, isa.lanes()));
    from.fill(0.5);
    let mut to = Buffer::zeros(out_shape.blocked_len(isa.lanes()));
    let flops = 2 * out_shape.pixels() * outputs * inputs / groups * kernel * kernel;
    let runs = (400_000_000 / flops).clamp(20, 2000);
    // The fastest of several rounds: other work on the machine only ever slows one down.
    let fastest = (0..9)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..runs {
                conv.run(&from, shape, None, &mut to, 1).expect("lengths that fit");
            }
            start.elapsed().as_secs_f64() / runs as f64
        })
        .fold(f64::INFINITY, f64::min);
    println!(
        "{inputs:5} -> {outputs:4}  {height:3} x {width:3}  {kernel} x {kernel} / {stride}{}  {:8.1} us  {:6.1} GFLOP/s",
        if depthwise { "  depthwise" } else { "           " },
        fastest * 1e6,
        flops as f64 / fastest / 1e9,
    );
}

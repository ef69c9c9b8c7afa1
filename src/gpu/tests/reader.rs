//! What the reader brings back, against whole outputs: the same candidates, in fewer bytes.

use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use ocellus_onnx::{CpuPlan, DeviceTensor, TensorInfo};

use super::*;
use crate::model::engine;
use crate::model::heads::{Decoded, Head, HeadSpec, Level, Rows, Selection, Sparse};
use crate::model::package::Package;
use crate::model::preprocess::tests::Random;

/// Width and height of the input that heads are made for.
const SIZE: (u32, u32) = (256, 128);
const ITEMS: usize = 3;

/// A head, and the shapes of its outputs without the batch axis, each with whether it holds scores.
struct Case {
    head: Head,
    outputs: Vec<([usize; 2], bool)>,
}

fn case(spec: &HeadSpec, outputs: &[(&str, [usize; 2], bool)]) -> Case {
    let info = |(name, shape, _): &(&str, [usize; 2], bool)| TensorInfo {
        name: (*name).to_owned(),
        dtype: ocellus_onnx::ElementType::F32,
        shape: vec![1, shape[0], shape[1]],
    };
    let infos: Vec<TensorInfo> = outputs.iter().map(info).collect();
    Case {
        head: Head::new(spec, SIZE, &infos).unwrap(),
        outputs: outputs.iter().map(|(_, shape, scores)| (*shape, *scores)).collect(),
    }
}

fn cases() -> Vec<Case> {
    let boxes =
        HeadSpec::Boxes { scores: "scores".to_owned(), boxes: "boxes".to_owned(), background: true, normalised: true };
    vec![
        case(&HeadSpec::Yolox { strides: vec![8, 16, 32] }, &[("y", [672, 9], true)]),
        case(
            &HeadSpec::Gfl { strides: vec![8, 16], bins: 3 },
            &[("s8", [512, 5], true), ("d8", [512, 12], false), ("d16", [128, 12], false), ("s16", [128, 5], true)],
        ),
        case(&boxes, &[("boxes", [900, 4], false), ("scores", [900, 3], true)]),
    ]
}

/// Numbers as a network gives them, most scores being low, and now and then some that mean nothing.
fn values(random: &mut Random, count: usize, scores: bool) -> Vec<f32> {
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 7.0, -3.0, 1.0, 0.0, 1.0005];
    (0..count)
        .map(|_| {
            let unit = random.below(10_000) as f32 / 10_000.0;
            match random.below(200) {
                0 => odd[random.below(odd.len() as u32) as usize],
                _ if scores => unit.powi(4),
                _ => unit,
            }
        })
        .collect()
}

fn on_device(gpu: &Gpu, data: &[f32], shape: [usize; 3]) -> DeviceTensor {
    Tensor::<3>::from_data(TensorData::new(data.to_vec(), shape), gpu.burn()).into()
}

fn read(reader: &mut Reader, outputs: &[DeviceTensor], wanted: Wanted<'_>) -> ReadBack {
    let reading = reader.start(outputs, ITEMS, wanted).unwrap().expect("they lie as they should");
    reader.finish(reading).unwrap()
}

/// What the head finds in the rows that came back; none where they are too many.
fn decode(case: &Case, sparse: &mut Sparse, selected: &Selected, score: f32) -> Option<Decoded> {
    let Selected::Rows { rows, invalid } = selected else { return None };
    for (number, values) in rows {
        sparse.put(*number, values.iter().copied());
    }
    let decoded = case.head.decode(&sparse.outputs(), score).unwrap();
    sparse.clear();
    Some(Decoded { invalid: decoded.invalid + invalid, ..decoded })
}

#[test]
fn what_is_selected_is_what_whole_outputs_hold() {
    let Some(gpu) = device() else { return };
    let mut reader = Reader::new(gpu.clone());
    let mut random = Random(21);
    for case in cases() {
        let selection = case.head.selection().unwrap();
        let mut sparse = Sparse::new(selection.clone());
        let whole: Vec<Vec<f32>> =
            case.outputs.iter().map(|([r, c], scores)| values(&mut random, ITEMS * r * c, *scores)).collect();
        let outputs: Vec<DeviceTensor> =
            whole.iter().zip(&case.outputs).map(|(data, ([r, c], _))| on_device(&gpu, data, [ITEMS, *r, *c])).collect();
        let mut most = 0;
        for score in [0.9, 0.5, 0.25, 0.05] {
            let back = read(&mut reader, &outputs, Wanted::Above(&selection, score));
            let Values::Selected(selected) = back.values else { panic!("not selected") };
            for (item, selected) in selected.iter().enumerate() {
                let slices: Vec<&[f32]> =
                    whole.iter().map(|data| data.chunks(data.len() / ITEMS).nth(item).unwrap()).collect();
                let wanted = case.head.decode(&slices, score).unwrap();
                let got = decode(&case, &mut sparse, selected, score).expect("room for all");
                assert_eq!(got, wanted, "{} at {score}", item);
                most = most.max(wanted.candidates.len());
            }
        }
        assert!(most > 100, "too few candidates to tell: {most}");
    }
}

#[test]
fn of_the_conveyor_s_outputs_the_same_is_seen() {
    let Some(gpu) = device() else { return };
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/conveyor");
    let package = Package::open(&dir, None, None).unwrap();
    let graph = engine::load(&package, None).unwrap();
    let model = package.resolve(graph.inputs(), graph.outputs()).unwrap();
    let (selection, plan) = (model.selection().unwrap(), CpuPlan::new(&graph).unwrap());
    let (mut reader, mut sparse) = (Reader::new(gpu.clone()), Sparse::new(selection.clone()));
    let golden = package.golden().unwrap();
    assert_eq!(golden.len(), 3);
    for picture in &golden {
        let data = on_cpu(&[&picture.image], &model.input);
        let shape = vec![1, 3, model.input.height as usize, model.input.width as usize];
        let whole = plan.run(&[ocellus_onnx::Tensor { shape, data }]).unwrap().remove(0);
        let output = on_device(&gpu, &whole.data, [1, whole.shape[1], whole.shape[2]]);
        let reading = reader.start(&[output], 1, Wanted::Above(&selection, model.spec.thresholds.score)).unwrap();
        let back = reader.finish(reading.unwrap()).unwrap();
        let Values::Selected(selected) = back.values else { panic!("not selected") };
        let Selected::Rows { rows, invalid: 0 } = &selected[0] else { panic!("{selected:?}") };
        for (number, values) in rows {
            sparse.put(*number, values.iter().copied());
        }
        let placement = model.input.placement(&picture.image);
        let size = (picture.image.width(), picture.image.height());
        let seen = |outputs: &[&[f32]]| model.objects(outputs, &model.spec.thresholds, &placement, size).unwrap();
        let found = seen(&sparse.outputs());
        assert_eq!(found, seen(&[&whole.data]));
        assert_eq!(found.objects.len(), picture.objects.len());
        // 64 KiB of outputs.
        assert!(back.bytes * 4 < whole.data.len() as u64 * 4, "{} bytes", back.bytes);
        sparse.clear();
    }
}

#[test]
fn few_candidates_take_few_bytes() {
    let Some(gpu) = device() else { return };
    let mut reader = Reader::new(gpu.clone());
    // A detector for 640 x 640 pixels and 80 classes that sees three things.
    let selection = Selection {
        levels: vec![Level { scores: Rows::new(0, 8400, 85), others: Vec::new() }],
        objectness: Some(4),
        classes: 5..85,
        logits: false,
    };
    let mut data = vec![0.0; ITEMS * 8400 * 85];
    for row in [17, 4000, 8399] {
        data[(8400 + row) * 85 + 4] = 0.9;
        data[(8400 + row) * 85 + 5 + row % 80] = 0.8;
    }
    let outputs = [on_device(&gpu, &data, [ITEMS, 8400, 85])];
    let back = read(&mut reader, &outputs, Wanted::Above(&selection, 0.5));
    let Values::Selected(selected) = back.values else { panic!("not selected") };
    let rows = |selected: &Selected| match selected {
        Selected::Rows { rows, invalid: 0 } => rows.iter().map(|(row, _)| *row).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(selected.iter().map(rows).collect::<Vec<_>>(), [vec![], vec![17, 4000, 8399], vec![]]);
    let whole = read(&mut reader, &outputs, Wanted::All);
    assert_eq!(whole.bytes, (ITEMS * 8400 * 85 * 4) as u64);
    assert!(back.bytes <= (ITEMS * 16 * 1024) as u64 && back.bytes * 170 < whole.bytes, "{} bytes", back.bytes);
    let Values::All(all) = whole.values else { panic!("selected") };
    assert_eq!(all, [data]);
}

#[test]
fn more_candidates_than_are_gathered_are_reported() {
    let Some(gpu) = device() else { return };
    let mut reader = Reader::new(gpu.clone());
    let rows = MOST_ROWS + 1;
    let selection = Selection {
        levels: vec![Level { scores: Rows::new(0, rows, 2), others: Vec::new() }],
        objectness: None,
        classes: 0..2,
        logits: false,
    };
    // One picture with too many, one with just as many as there is room for, one with none.
    let mut data = vec![0.7; rows * 2];
    data.extend([0.0, 0.1]);
    data.extend(vec![0.7; MOST_ROWS * 2]);
    data.extend(vec![0.1; rows * 2]);
    let outputs = [on_device(&gpu, &data, [ITEMS, rows, 2])];
    let back = read(&mut reader, &outputs, Wanted::Above(&selection, 0.5));
    let Values::Selected(selected) = back.values else { panic!("not selected") };
    let counts: Vec<_> = selected
        .iter()
        .map(|selected| match selected {
            Selected::TooMany => None,
            Selected::Rows { rows, .. } => {
                assert!(rows.iter().all(|(_, values)| *values == [0.7, 0.7]));
                Some(rows.iter().map(|(row, _)| *row).collect::<Vec<_>>())
            }
        })
        .collect();
    assert_eq!(counts, [None, Some((1..=MOST_ROWS).collect()), Some(vec![])]);
}

#[test]
fn logits_and_transposed_outputs_are_read_as_they_lie() {
    let Some(gpu) = device() else { return };
    let mut reader = Reader::new(gpu.clone());
    let rows = Rows { output: 0, rows: 50, columns: 6, transposed: true };
    let selection = Selection {
        levels: vec![Level { scores: rows, others: Vec::new() }],
        objectness: None,
        classes: 4..6,
        logits: true,
    };
    let mut random = Random(5);
    let data: Vec<f32> = (0..ITEMS * 300).map(|_| random.below(2000) as f32 / 100.0 - 16.0).collect();
    // As a network gives it, and as one that permutes at its end.
    let plain = Tensor::<3>::from_data(TensorData::new(data.clone(), [ITEMS, 6, 50]), gpu.burn());
    let permuted = plain.clone().swap_dims(1, 2);
    let back_to_front = Selection {
        levels: vec![Level { scores: Rows { transposed: false, ..rows }, others: Vec::new() }],
        ..selection.clone()
    };
    for (tensor, selection) in [(plain, selection), (permuted, back_to_front)] {
        let back = read(&mut reader, &[tensor.into()], Wanted::Above(&selection, 0.5));
        let Values::Selected(selected) = back.values else { panic!("not selected") };
        let mut seen = 0;
        for (item, selected) in selected.iter().enumerate() {
            let Selected::Rows { rows, invalid: 0 } = selected else { panic!("{selected:?}") };
            let at = |row: usize, column: usize| data[item * 300 + column * 50 + row];
            for row in 0..50 {
                let found = rows.iter().find(|(number, _)| *number == row);
                let wanted = at(row, 4).max(at(row, 5));
                assert!(wanted.abs() < 1e-3 || found.is_some() == (wanted > 0.0), "{row}: {wanted}");
                if let Some((_, values)) = found {
                    assert_eq!(*values, (0..6).map(|column| at(row, column)).collect::<Vec<_>>());
                    seen += 1;
                }
            }
        }
        assert!(seen > 10);
    }
}

#[test]
fn batches_come_back_in_order_while_others_are_on_their_way() {
    let Some(gpu) = device() else { return };
    let mut reader = Reader::new(gpu.clone());
    let selection = Selection {
        levels: vec![Level { scores: Rows::new(0, 70, 3), others: Vec::new() }],
        objectness: None,
        classes: 0..3,
        logits: false,
    };
    let tensor = |n: usize| {
        let mut data = vec![0.0; ITEMS * 210];
        data[n * 3] = 0.9;
        on_device(&gpu, &data, [ITEMS, 70, 3])
    };
    let readings: Vec<Reading> =
        (0..6).map(|n| reader.start(&[tensor(n)], ITEMS, Wanted::Above(&selection, 0.5)).unwrap().unwrap()).collect();
    for (n, reading) in readings.into_iter().enumerate() {
        let Values::Selected(selected) = reader.finish(reading).unwrap().values else { panic!("not selected") };
        assert_eq!(selected[0], Selected::Rows { rows: vec![(n, vec![0.9, 0.0, 0.0])], invalid: 0 });
    }
}

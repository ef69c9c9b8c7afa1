//! Numbers that no network should give, to every head.

use super::families::described;
use super::*;

/// Heads with outputs that fit them for an input of 64x32 pixels.
fn all() -> Vec<(HeadSpec, Vec<TensorInfo>)> {
    let pair = |a: [usize; 3], b: [usize; 3]| vec![tensor("scores", &a), tensor("boxes", &b)];
    let maps = vec![tensor("h", &[1, 2, 8, 16]), tensor("s", &[1, 2, 8, 16]), tensor("o", &[1, 2, 8, 16])];
    let lists = vec![tensor("labels", &[1, 9]), tensor("boxes", &[1, 9, 4]), tensor("scores", &[1, 9])];
    [
        ("kind = \"yolo\"\nlayout = \"v5\"", vec![tensor("o", &[1, 40, 8])]),
        ("kind = \"yolo\"\nlayout = \"v5\"\nlogits = true", vec![tensor("o", &[1, 40, 8])]),
        ("kind = \"yolo\"\nlayout = \"v8\"", vec![tensor("o", &[1, 7, 40])]),
        ("kind = \"yolo\"\nlayout = \"v8\"\nlogits = true\nextra = 1", vec![tensor("o", &[1, 7, 40])]),
        ("kind = \"yolo\"\nlayout = \"end-to-end\"", vec![tensor("o", &[1, 40, 6])]),
        ("kind = \"yolo\"\nlayout = \"raw\"\nstrides = [16]\nanchors = [[[10, 20]]]", vec![tensor("o", &[1, 8, 2, 4])]),
        ("kind = \"detr\"", pair([1, 9, 3], [1, 9, 4])),
        ("kind = \"detr\"\nactivation = \"softmax\"", pair([1, 9, 3], [1, 9, 4])),
        ("kind = \"listed\"", lists),
        ("kind = \"ssd\"\nstrides = [16]\nanchors = [[[9, 9]]]", pair([1, 8, 3], [1, 8, 4])),
        ("kind = \"heatmap\"", maps.clone()),
        ("kind = \"heatmap\"\nsizes = \"log\"\nlogits = true", maps),
        ("kind = \"embedding\"", vec![tensor("o", &[1, 16])]),
    ]
    .map(|(head, outputs)| (described(head), outputs))
    .into()
}

#[test]
fn any_numbers_give_sound_candidates_and_the_same_where_a_device_selects() {
    let mut random = Random(17);
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 0.0, -0.0, 1.0, 1e-40, 88.8, -88.8];
    for round in 0..150 {
        for (spec, outputs) in all() {
            let head = Head::new(&spec, SIZE, &outputs).unwrap();
            let mut number = || match random.below(4) {
                0 if round % 2 == 0 => odd[random.below(odd.len() as u32) as usize],
                1 if round % 3 == 0 => f32::from_bits(random.next() as u32),
                2 => random.below(64) as f32,
                _ => random.below(1001) as f32 / 1000.0,
            };
            let values: Vec<Vec<f32>> =
                outputs.iter().map(|o| (0..o.shape.iter().product()).map(|_| number()).collect()).collect();
            let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
            let found = decode(&head, &values, 0.4);
            let (w, h) = (SIZE.0 as f32, SIZE.1 as f32);
            let sound = |c: &Candidate| {
                c.score > 0.4
                    && c.score <= 1.0
                    && [c.x1, c.x2].iter().all(|x| (-4.0 * w..=5.0 * w).contains(x))
                    && [c.y1, c.y2].iter().all(|y| (-4.0 * h..=5.0 * h).contains(y))
                    && head.classes().is_none_or(|classes| c.class < classes)
            };
            assert!(found.candidates.iter().all(sound), "{spec:?}: {found:?}");
            let length: f32 = found.embedding.iter().flatten().map(|v| v * v).sum();
            assert!(found.embedding.is_none() || (length - 1.0).abs() < 1e-3, "{spec:?}: {length}");
            if let Some(selection) = head.selection() {
                assert_eq!(selected(&head, selection, &values).candidates, found.candidates, "{spec:?}");
            }
        }
    }
}

/// What is decoded where a device brought back every row.
fn selected(head: &Head, selection: Selection, values: &[&[f32]]) -> Decoded {
    let mut sparse = Sparse::new(selection.clone());
    let mut first = 0;
    for level in &selection.levels {
        for row in 0..level.scores.rows {
            let value = |rows: &Rows, column: usize| {
                let at = if rows.transposed { column * rows.rows + row } else { row * rows.columns + column };
                values[rows.output][at]
            };
            let row_values: Vec<f32> = level
                .outputs()
                .flat_map(|rows| (0..rows.columns).map(|c| value(rows, c)).collect::<Vec<_>>())
                .collect();
            sparse.put(first + row, row_values.into_iter());
        }
        first += level.scores.rows;
    }
    decode(head, &sparse.outputs(), 0.4)
}

#[test]
fn nothing_but_nan_is_nothing() {
    for (spec, outputs) in all() {
        let head = Head::new(&spec, SIZE, &outputs).unwrap();
        let values: Vec<Vec<f32>> = outputs.iter().map(|o| vec![f32::NAN; o.shape.iter().product()]).collect();
        let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
        let found = decode(&head, &values, 0.0);
        assert!(found.candidates.is_empty() && found.embedding.is_none(), "{spec:?}");
        assert!(found.invalid >= head.rows() / 2, "{spec:?}: {} of {}", found.invalid, head.rows());
    }
}

#[test]
fn outputs_cut_short_or_of_other_shapes_are_errors() {
    for (spec, outputs) in all() {
        let head = Head::new(&spec, SIZE, &outputs).unwrap();
        let values: Vec<Vec<f32>> = outputs.iter().map(|o| vec![0.1; o.shape.iter().product::<usize>() - 1]).collect();
        let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
        assert!(matches!(head.decode(&values, 0.5), Err(HeadError::Length { .. })), "{spec:?}");
        assert!(matches!(head.decode(&[], 0.5), Err(HeadError::Length { .. })), "{spec:?}");
        for shape in [&[] as &[usize], &[1], &[1, 0], &[1, 3, 0], &[1, 0, 4], &[1, 1, 1, 42, 7]] {
            let infos: Vec<TensorInfo> = outputs.iter().map(|o| tensor(&o.name, shape)).collect();
            assert!(Head::new(&spec, SIZE, &infos).is_err(), "{spec:?} {shape:?}");
        }
        assert!(Head::new(&spec, SIZE, &[]).is_err(), "{spec:?}");
    }
}

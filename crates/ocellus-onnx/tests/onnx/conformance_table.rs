//! The table of operators in the crate's documentation.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::cases::Case;
use super::{Outcome, Outcomes};

const HEAD: &str = "\
Right answers to the ONNX standard's own backend tests, by operator. What is not right is refused when the model is
loaded. The last column counts those of burn's that need no step on the host where the device is a GPU, which has
integers of 32 bits. Written by the test `backend_cases_are_right_or_refused`; `OCELLUS_WRITE_TABLE=1` makes it write
anew.

| operator | cases | cpu | burn | all of it on a GPU |
|---|---:|---:|---:|---:|
";

/// Compares the file with what was measured, or writes it where `$OCELLUS_WRITE_TABLE` is set.
pub fn check(cases: &[Case], cpu: &Outcomes, burn: &Outcomes, on_gpu: &[bool]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operators.md");
    let table = render(cases, cpu, burn, on_gpu);
    if std::env::var_os("OCELLUS_WRITE_TABLE").is_some() {
        std::fs::write(&path, &table).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == table, "{} is not what was measured: run again with OCELLUS_WRITE_TABLE=1", path.display());
}

fn render(cases: &[Case], cpu: &Outcomes, burn: &Outcomes, on_gpu: &[bool]) -> String {
    let mut rows: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let mut sum = [0; 4];
    for (ix, case) in cases.iter().enumerate() {
        let right = |outcomes: &Outcomes| outcomes[ix].0 == Outcome::Right;
        let counted = [true, right(cpu), right(burn), right(burn) && on_gpu[ix]];
        let row = rows.entry(&case.operator).or_default();
        for (ix, counted) in counted.into_iter().enumerate() {
            row[ix] += usize::from(counted);
            sum[ix] += usize::from(counted);
        }
    }
    let mut table = HEAD.to_owned();
    for (operator, [all, cpu, burn, gpu]) in rows.into_iter().chain([("together", sum)]) {
        writeln!(table, "| {operator} | {all} | {cpu} | {burn} | {gpu} |").expect("a string takes it");
    }
    table
}

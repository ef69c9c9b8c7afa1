//! The table of operators in the crate's documentation.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

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

const VULKAN_HEAD: &str = "\
Right answers to the ONNX standard's own backend tests on a Vulkan device, by operator, steps on the host included. What
is not right is refused when the model is loaded. Written by the test `gpu_backend_cases_are_right_or_refused`, which
takes a quarter of an hour or more on a software device; `OCELLUS_WRITE_TABLE=1` makes it write anew.

| operator | cases | right |
|---|---:|---:|
";

/// Compares the table of the CPU devices with what was measured, or writes it where `$OCELLUS_WRITE_TABLE` is set.
pub fn check(cases: &[Case], cpu: &Outcomes, burn: &Outcomes, on_gpu: &[bool]) {
    let counted = |ix: usize| {
        let right = |outcomes: &Outcomes| outcomes[ix].0 == Outcome::Right;
        [true, right(cpu), right(burn), right(burn) && on_gpu[ix]]
    };
    agree("docs/operators.md", &render(HEAD, cases, counted));
}

/// Writes the table of Vulkan devices where `$OCELLUS_WRITE_TABLE` is set.
pub fn write_vulkan(cases: &[Case], outcomes: &Outcomes) {
    if writes() {
        write("docs/vulkan.md", &render(VULKAN_HEAD, cases, |ix| [true, outcomes[ix].0 == Outcome::Right]));
    }
}

fn writes() -> bool {
    std::env::var_os("OCELLUS_WRITE_TABLE").is_some()
}

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn write(file: &str, table: &str) {
    std::fs::write(path(file), table).unwrap_or_else(|e| panic!("{file}: {e}"));
}

fn agree(file: &str, table: &str) {
    if writes() {
        write(file, table);
    }
    let found = std::fs::read_to_string(path(file)).unwrap_or_default();
    assert!(found == table, "{file} is not what was measured: run again with OCELLUS_WRITE_TABLE=1");
}

/// A row for each operator: in how many of its cases each column counts.
fn render<const N: usize>(head: &str, cases: &[Case], counted: impl Fn(usize) -> [bool; N]) -> String {
    let mut rows: BTreeMap<&str, [usize; N]> = BTreeMap::new();
    let mut sum = [0; N];
    for (ix, case) in cases.iter().enumerate() {
        let row = rows.entry(&case.operator).or_insert([0; N]);
        for ((row, sum), counted) in row.iter_mut().zip(&mut sum).zip(counted(ix)) {
            *row += usize::from(counted);
            *sum += usize::from(counted);
        }
    }
    let mut table = head.to_owned();
    for (operator, counts) in rows.into_iter().chain([("together", sum)]) {
        write!(table, "| {operator} |").expect("a string takes it");
        counts.iter().for_each(|count| write!(table, " {count} |").expect("a string takes it"));
        table.push('\n');
    }
    table
}

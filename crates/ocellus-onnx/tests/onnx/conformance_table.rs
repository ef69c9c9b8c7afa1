//! The table of operators in the crate's documentation.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::cases::Case;
use super::{Outcome, Outcomes};

const HEAD: &str = "\
Right answers to the ONNX standard's own backend tests, by operator. What is not right is refused when the model is
loaded. Written by the test `backend_cases_are_right_or_refused`; `OCELLUS_WRITE_TABLE=1` makes it write anew.

| operator | cases | cpu | burn |
|---|---:|---:|---:|
";

/// Compares the file with what was measured, or writes it where `$OCELLUS_WRITE_TABLE` is set.
pub fn check(cases: &[Case], cpu: &Outcomes, burn: &Outcomes) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operators.md");
    let table = render(cases, cpu, burn);
    if std::env::var_os("OCELLUS_WRITE_TABLE").is_some() {
        std::fs::write(&path, &table).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == table, "{} is not what was measured: run again with OCELLUS_WRITE_TABLE=1", path.display());
}

fn render(cases: &[Case], cpu: &Outcomes, burn: &Outcomes) -> String {
    let mut rows: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let mut sum = [0; 3];
    for (case, (cpu, burn)) in cases.iter().zip(cpu.iter().zip(burn)) {
        let right = |outcome: Outcome| usize::from(outcome == Outcome::Right);
        let row = rows.entry(&case.operator).or_default();
        for (ix, n) in [1, right(cpu.0), right(burn.0)].into_iter().enumerate() {
            row[ix] += n;
            sum[ix] += n;
        }
    }
    let mut table = HEAD.to_owned();
    for (operator, [all, cpu, burn]) in rows.into_iter().chain([("together", sum)]) {
        writeln!(table, "| {operator} | {all} | {cpu} | {burn} |").expect("a string takes it");
    }
    table
}

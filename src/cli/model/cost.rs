//! What a model costs, for people and as JSON.

use std::collections::BTreeMap;

use ocellus_onnx::burn_plan::HostStep;
use ocellus_onnx::report::{DeviceReport, Memory, NodeReport, Report, Work};
use serde_json::{Value, json};

use super::super::{Failure, print};

/// Nodes that people are shown.
const MAX_NODES: usize = 10;

/// Facts in lines.
pub(super) fn people(report: &Report, limit_mib: u64) -> Result<(), Failure> {
    let line = |key: &str, value: String| print(&format!("{key:<11} {value}"));
    let count = |operators: &BTreeMap<String, usize>| operators.values().sum::<usize>();
    line("in the file", format!("{} nodes: {}", count(&report.file_operators), list(&report.file_operators)))?;
    let left = count(&report.operators);
    line("simplified", format!("{left} nodes, {} of the file's folded away or joined", report.folded))?;
    for (dtype, weights) in &report.parameters {
        line("weights", format!("{} of {dtype}, {}", scaled(weights.count), mib(weights.bytes)))?;
    }
    let Work { macs, flops } = report.work;
    line("arithmetic", format!("{} FLOPs, of them {} multiply-accumulates", scaled(flops), scaled(macs)))?;
    for (class, work) in report.classes.iter().filter(|(_, work)| work.flops > 0) {
        print(&format!("  {:<15} {:>9}  {}", class.name(), scaled(work.flops), share(work.flops, flops)))?;
    }
    line("memory", format!("{} of {limit_mib} MiB allowed", memory(&report.memory)))?;
    for device in &report.devices {
        line(device.device, on_device(device))?;
        for HostStep { node, operator, reason } in &device.host {
            print(&format!("  on the host: {operator} {node}: {reason}"))?;
        }
    }
    print("the most expensive nodes")?;
    for NodeReport { name, operator, shape, work, .. } in report.nodes.iter().take(MAX_NODES) {
        print(&format!("  {}  {:>9}  {operator} {shape:?} {name}", share(work.flops, flops), scaled(work.flops)))?;
    }
    Ok(())
}

fn on_device(device: &DeviceReport) -> String {
    if let Some(reason) = &device.refused {
        return format!("refused: {reason}");
    }
    let fused = device.fusions;
    let taken = [(fused.with_bias, "biases"), (fused.activations, "activations"), (fused.sums, "sums")];
    let taken: Vec<String> = taken.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let taken = if taken.is_empty() { String::new() } else { format!(" (with {})", taken.join(", ")) };
    format!(
        "{} steps made of {}, {} convolutions{taken}, {} changes of layout; {}",
        fused.steps_after,
        fused.steps_before,
        fused.convolutions,
        fused.layout_changes,
        memory(&device.memory)
    )
}

fn memory(memory: &Memory) -> String {
    let Memory { weights, activations, peak_at, workspace } = memory;
    let all = mib(memory.total());
    format!(
        "{all} (weights {}, values {} at {peak_at:?}, workspace up to {})",
        mib(*weights),
        mib(*activations),
        mib(*workspace)
    )
}

fn list(counts: &BTreeMap<String, usize>) -> String {
    counts.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Three digits or more, with the prefix that suits.
fn scaled(n: u64) -> String {
    let value = n as f64;
    match n {
        1_000_000_000.. => format!("{:.2} G", value / 1e9),
        1_000_000.. => format!("{:.2} M", value / 1e6),
        1_000.. => format!("{:.2} k", value / 1e3),
        _ => format!("{n} "),
    }
}

fn share(part: u64, whole: u64) -> String {
    format!("{:>5.1} %", part as f64 * 100.0 / whole.max(1) as f64)
}

/// Everything, sizes in bytes.
pub(super) fn json(report: &Report, limit_mib: u64) -> Value {
    let parameters: BTreeMap<&str, Value> =
        report.parameters.iter().map(|(t, p)| (t.as_str(), json!({"count": p.count, "bytes": p.bytes}))).collect();
    let classes: BTreeMap<&str, Value> = report.classes.iter().map(|(class, w)| (class.name(), work(w))).collect();
    let nodes: Vec<Value> = report
        .nodes
        .iter()
        .map(|n| json!({"name": n.name, "operator": n.operator, "class": n.class.name(), "shape": n.shape, "macs": n.work.macs, "flops": n.work.flops}))
        .collect();
    let devices: BTreeMap<&str, Value> = report.devices.iter().map(|d| (d.device, device_json(d))).collect();
    json!({
        "file_operators": report.file_operators,
        "operators": report.operators,
        "folded": report.folded,
        "parameters": parameters,
        "work": work(&report.work),
        "classes": classes,
        "memory": memory_json(&report.memory),
        "memory_limit": limit_mib.saturating_mul(1 << 20),
        "devices": devices,
        "nodes": nodes,
    })
}

fn work(work: &Work) -> Value {
    json!({"macs": work.macs, "flops": work.flops})
}

fn memory_json(memory: &Memory) -> Value {
    json!({
        "total": memory.total(),
        "weights": memory.weights,
        "activations": memory.activations,
        "peak_at": memory.peak_at,
        "workspace": memory.workspace,
    })
}

fn device_json(device: &DeviceReport) -> Value {
    if let Some(reason) = &device.refused {
        return json!({"refused": reason});
    }
    let fused = device.fusions;
    let host = device.host.iter();
    let host: Vec<Value> = host.map(|s| json!({"node": s.node, "operator": s.operator, "reason": s.reason})).collect();
    json!({
        "steps": device.steps,
        "host": host,
        "steps_before": fused.steps_before,
        "steps_after": fused.steps_after,
        "convolutions": fused.convolutions,
        "with_bias": fused.with_bias,
        "activations": fused.activations,
        "sums": fused.sums,
        "layout_changes": fused.layout_changes,
        "memory": memory_json(&device.memory),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(scaled(999), "999 ");
        assert_eq!(scaled(1_080_000_000), "1.08 G");
        assert_eq!(scaled(910_000), "910.00 k");
        assert_eq!(mib(3 << 19), "1.5 MiB");
        assert_eq!(share(1, 4), " 25.0 %");
        assert_eq!(share(0, 0), "  0.0 %");
    }
}

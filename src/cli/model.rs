//! `ocellus model`: look into model packages.

mod cost;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use ocellus_onnx::{Graph, TensorInfo};
use serde::{Serialize, Serializer};

use super::{Failure, print};
use crate::config::PrecisionChoice;
use crate::detection::ModelRef;
use crate::model::engine;
use crate::model::package::{Golden, Package, PackageError, Resolved, Spec};
use crate::model::profiles;

/// Labels that people are shown.
const MAX_SHOWN: usize = 12;

#[derive(Debug, Subcommand)]
pub(super) enum Model {
    /// What a model is: inputs, outputs, operators, size, how it is read
    Inspect(Inspect),
    /// List the built-in profiles for bare .onnx files
    Profiles,
}

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// A model package (directory) or a bare .onnx file
    #[arg(value_name = "FILE|DIR")]
    model: PathBuf,
    /// What a bare .onnx file needs to know: see `ocellus model profiles`
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Labels of a bare .onnx file, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Also what it costs: operators before and after simplification, arithmetic, memory, what devices make of it
    #[arg(long)]
    verbose: bool,
    /// Most memory that a run of the model may take, MiB; half of the machine's by default
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..))]
    memory_mib: Option<u64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Model {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Inspect(inspect) => inspect.run(),
            Self::Profiles => {
                profiles::names().try_for_each(|name| print(&format!("{name:<14} {}", profiles::describe(name))))
            }
        }
    }
}

/// What there is to say about a model.
#[derive(Debug, Serialize)]
struct Report<'a> {
    file: String,
    /// None for a bare file that no profile fits.
    model: Option<&'a ModelRef>,
    producer: &'a str,
    opset: i64,
    parameters: u64,
    #[serde(serialize_with = "tensors")]
    inputs: &'a [TensorInfo],
    #[serde(serialize_with = "tensors")]
    outputs: &'a [TensorInfo],
    operators: BTreeMap<String, usize>,
    /// Which floats it takes on a GPU, and why.
    precision: Option<String>,
    /// Bytes that one run takes.
    memory: u64,
    description: Option<&'a Spec>,
    labels: Option<Vec<&'a Arc<str>>>,
    /// None unless asked for.
    cost: Option<serde_json::Value>,
}

impl Inspect {
    fn run(self) -> Result<(), Failure> {
        let package = super::open_package(&self.model, self.profile.as_deref(), self.labels.as_deref())?;
        let graph = engine::load(&package, self.memory_mib)?;
        let resolved = match package.resolve(graph.inputs(), graph.outputs()) {
            Ok(resolved) => Some(resolved),
            // What is in the file can be said all the same.
            Err(error @ PackageError::Profile { .. }) => {
                eprintln!("note: {error}");
                None
            }
            Err(error) => return Err(error.into()),
        };
        let mut report = report(&package, &graph, resolved.as_ref());
        let limit = self.memory_mib.unwrap_or_else(engine::memory::default_mib);
        let costs = self.verbose.then(|| graph.report());
        if self.json {
            report.cost = costs.map(|costs| cost::json(&costs, limit));
            return print(&serde_json::to_string(&report)?);
        }
        report.people()?;
        if let Some(costs) = costs {
            print("\n# cost of one run")?;
            cost::people(&costs, limit)?;
        }
        Ok(())
    }
}

fn report<'a>(package: &Package, graph: &'a Graph, resolved: Option<&'a Resolved>) -> Report<'a> {
    Report {
        file: package.path().display().to_string(),
        model: resolved.map(|r| &r.reference),
        producer: graph.producer(),
        opset: graph.opset(),
        parameters: graph.parameters(),
        inputs: graph.inputs(),
        outputs: graph.outputs(),
        operators: graph.operators(),
        precision: resolved.map(|r| precision(&r.spec, package.has_golden())),
        memory: graph.memory().total(),
        description: resolved.map(|r| &r.spec),
        labels: resolved.map(|r| r.labels.iter().collect()),
        cost: None,
    }
}

fn precision(spec: &Spec, golden: bool) -> String {
    let Golden { tolerance } = spec.golden;
    match (spec.precision, golden) {
        (PrecisionChoice::F32, _) => "f32".to_owned(),
        (PrecisionChoice::Auto, false) => "auto: f32, as no golden set tells what f16 would lose".to_owned(),
        (PrecisionChoice::Auto, true) => {
            format!("auto: f16 on a GPU that has it, where it loses at most {tolerance} on the golden set, else f32")
        }
        (PrecisionChoice::F16, false) => "f16 on a GPU; no golden set tells what it loses".to_owned(),
        (PrecisionChoice::F16, true) => format!("f16 on a GPU, refused over a loss of {tolerance} on the golden set"),
    }
}

impl Report<'_> {
    /// Facts in lines, then the description as the `model.toml` that it is.
    fn people(&self) -> Result<(), Failure> {
        let line = |key: &str, value: String| print(&format!("{key:<11} {value}"));
        line("file", self.file.clone())?;
        if let Some(ModelRef { name, version, digest }) = self.model {
            line("model", format!("{name} {version}"))?;
            line("digest", digest.clone())?;
        }
        let producer = if self.producer.is_empty() { "not said" } else { self.producer };
        line("made by", format!("{producer}, operator set {}", self.opset))?;
        line("parameters", self.parameters.to_string())?;
        for (key, tensors) in [("input", self.inputs), ("output", self.outputs)] {
            for TensorInfo { name, dtype, shape } in tensors {
                line(key, format!("{name}  {dtype} {shape:?}"))?;
            }
        }
        let operators: Vec<String> = self.operators.iter().map(|(name, n)| format!("{name} {n}")).collect();
        line("operators", operators.join(", "))?;
        if let Some(precision) = &self.precision {
            line("precision", precision.clone())?;
        }
        line("memory", format!("{} MiB a run", self.memory.div_ceil(1 << 20)))?;
        if let Some(labels) = &self.labels {
            let shown: Vec<&str> = labels.iter().take(MAX_SHOWN).map(|l| &***l).collect();
            let more = if labels.len() > MAX_SHOWN { ", …" } else { "" };
            line("classes", format!("{}: {}{more}", labels.len(), shown.join(", ")))?;
        }
        if let Some(spec) = self.description {
            print(&format!("\n# model.toml\n{}", spec.to_toml()?.trim_end()))?;
        }
        Ok(())
    }
}

fn tensors<S: Serializer>(infos: &[TensorInfo], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(infos.iter().map(|i| serde_json::json!({"name": i.name, "type": i.dtype.name(), "shape": i.shape})))
}

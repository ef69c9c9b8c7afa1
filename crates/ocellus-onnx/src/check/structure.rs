//! Who defines a value, who uses it, and that this makes a graph without cycles.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb;

use super::node_label;
use crate::error::Error;

/// Values of one graph by name, with the node that makes them (`None`: inputs and initialisers).
pub(super) type Definitions<'g> = HashMap<&'g str, Option<usize>>;

/// The graphs in a node's attributes.
pub(super) fn subgraphs(node: &pb::NodeProto) -> impl Iterator<Item = &pb::GraphProto> {
    node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs))
}

/// Everything that the graph defines; each value once.
pub(super) fn definitions(graph: &pb::GraphProto) -> Result<Definitions<'_>, Error> {
    let mut defined = HashMap::new();
    let twice = |what: &str, name: &str| Err(Error::malformed(format!("{what} {name:?}"), "it is defined twice"));
    for info in &graph.input {
        if info.name.is_empty() {
            return Err(Error::malformed("the graph", "an input has no name"));
        }
        if defined.insert(info.name.as_str(), None).is_some() {
            return twice("input", &info.name);
        }
    }
    // An initialiser may give an input its default value, so only a second one of the name is too many.
    let mut initialised = HashSet::new();
    for tensor in &graph.initializer {
        if !initialised.insert(tensor.name.as_str()) {
            return twice("initialiser", &tensor.name);
        }
        defined.insert(tensor.name.as_str(), None);
    }
    for (ix, node) in graph.node.iter().enumerate() {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            if defined.insert(output, Some(ix)).is_some() {
                return twice("value", output);
            }
        }
    }
    Ok(defined)
}

/// Every output of the graph exists, and is listed once.
pub(super) fn outputs_defined(graph: &pb::GraphProto, defined: &Definitions<'_>) -> Result<(), Error> {
    let mut listed = HashSet::new();
    for output in &graph.output {
        let place = || format!("output {:?}", output.name);
        if !listed.insert(output.name.as_str()) {
            return Err(Error::malformed(place(), "it is listed twice"));
        }
        if !defined.contains_key(output.name.as_str()) {
            return Err(Error::malformed(place(), "no node gives it"));
        }
    }
    Ok(())
}

/// Every input of a node is defined here or around here, and no node waits for itself.
pub(super) fn acyclic(
    graph: &pb::GraphProto,
    defined: &Definitions<'_>,
    outer: &[&Definitions<'_>],
) -> Result<(), Error> {
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); graph.node.len()];
    let mut missing: Vec<usize> = vec![0; graph.node.len()];
    for (ix, node) in graph.node.iter().enumerate() {
        for input in node.input.iter().filter(|i| !i.is_empty()) {
            match defined.get(input.as_str()) {
                Some(Some(maker)) => link(&mut users, &mut missing, *maker, ix),
                Some(None) => {}
                None if outer.iter().any(|scope| scope.contains_key(input.as_str())) => {}
                None => {
                    let place = format!("node {:?} ({})", node_label(node), node.op_type);
                    return Err(Error::malformed(place, format!("no node, input or initialiser gives {input:?}")));
                }
            }
        }
        // A subgraph waits for what it takes from around it; names of its own may hide those, which only
        // adds an edge that a sorted file satisfies anyway.
        for used in subgraphs(node).flat_map(|g| &g.node).flat_map(|n| &n.input) {
            if let Some(Some(maker)) = defined.get(used.as_str())
                && *maker != ix
            {
                link(&mut users, &mut missing, *maker, ix);
            }
        }
    }
    let mut ready: Vec<usize> = (0..missing.len()).filter(|&ix| missing[ix] == 0).collect();
    let mut ordered = 0;
    while let Some(ix) = ready.pop() {
        ordered += 1;
        for user in std::mem::take(&mut users[ix]) {
            missing[user] -= 1;
            if missing[user] == 0 {
                ready.push(user);
            }
        }
    }
    if ordered == graph.node.len() {
        return Ok(());
    }
    let stuck = graph.node.iter().zip(&missing).find(|(_, n)| **n > 0).map(|(node, _)| node);
    let place = stuck.map_or_else(|| "the graph".into(), |n| format!("node {:?} ({})", node_label(n), n.op_type));
    Err(Error::malformed(place, "it waits for its own output, through a cycle of nodes"))
}

fn link(users: &mut [Vec<usize>], missing: &mut [usize], maker: usize, user: usize) {
    users[maker].push(user);
    missing[user] += 1;
}

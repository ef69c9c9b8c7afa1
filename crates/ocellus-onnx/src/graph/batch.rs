//! The same model for several pictures at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Graph, deep};
use crate::analyse;
use crate::error::Error;
use crate::rewrite::prove;

impl Graph {
    /// The same model for `batch` pictures at a time, along the first axis of every input.
    ///
    /// Where the file was exported for one picture, constants that carry this batch are generalised. Such a graph, and any
    /// whose file fixes the batch, is run on noise and compared with runs of single pictures before it is given.
    ///
    /// # Errors
    /// [`Error::Batch`] where the graph is bound to its batch, so that it cannot be analysed with another, an output does
    /// not grow with it, or what comes out for a picture depends on those beside it; [`Error::TooLarge`],
    /// [`Error::Memory`].
    pub fn with_batch(&self, batch: usize) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Batch { batch, reason };
        if batch == 0 {
            return Err(refuse("a batch has at least one picture".into()));
        }
        let firsts: BTreeSet<Option<usize>> = self.inputs.iter().map(|i| i.shape.first().copied()).collect();
        let Some(Some(now)) = firsts.first().copied().filter(|_| firsts.len() == 1) else {
            return Err(refuse("the inputs do not share a first axis".into()));
        };
        if batch == now {
            return Ok(self.clone());
        }
        let plain = self.with_input_shape(&self.shapes_for(batch)).and_then(|graph| self.grown(graph, batch));
        let rewrite = |_| self.rewritten(batch).and_then(|graph| self.grown(graph, batch));
        match plain {
            Ok(graph) if self.declared_inputs().iter().all(|input| input.is_open(0)) => Ok(graph),
            Ok(graph) => self.proven(graph, false),
            Err(e @ (Error::TooLarge { .. } | Error::Memory { .. })) => Err(e),
            Err(e) if now == 1 => rewrite(e).and_then(|graph| self.proven(graph, true)),
            Err(e) => Err(e),
        }
        .map_err(|e| match e {
            Error::TooLarge { .. } | Error::Memory { .. } | Error::Batch { .. } => e,
            other => refuse(format!("the graph is bound to its batch of {now}: {other}")),
        })
    }

    fn shapes_for(&self, batch: usize) -> Vec<Vec<usize>> {
        let shape = |old: &Vec<usize>| std::iter::once(batch).chain(old.iter().skip(1).copied()).collect();
        self.inputs.iter().map(|info| shape(&info.shape)).collect()
    }

    fn rewritten(&self, batch: usize) -> Result<Self, Error> {
        let own: Vec<Vec<usize>> = self.inputs.iter().map(|info| info.shape.clone()).collect();
        let shapes = self.shapes_for(batch);
        self.source.accept_shapes(&shapes)?;
        let typed = deep(|| analyse::rewritten(&self.source, &own, &shapes))?;
        Self::accepted(Arc::clone(&self.source), shapes, typed)
    }

    /// `graph`, if each of its outputs has grown along its first axis.
    fn grown(&self, graph: Self, batch: usize) -> Result<Self, Error> {
        let now = self.inputs.first().and_then(|info| info.shape.first()).copied().unwrap_or(1);
        for (old, new) in self.outputs.iter().zip(&graph.outputs) {
            let follows = match (old.shape.split_first(), new.shape.split_first()) {
                (Some((a, a_rest)), Some((b, b_rest))) => {
                    a.checked_mul(batch) == b.checked_mul(now) && a_rest == b_rest
                }
                _ => false,
            };
            if !follows {
                let reason = format!(
                    "output {:?} goes from {:?} to {:?} instead of growing along its first axis",
                    old.name, old.shape, new.shape
                );
                return Err(Error::Batch { batch, reason });
            }
        }
        Ok(graph)
    }

    /// `graph`, if it makes of two pictures what this one makes of each. What holds for two holds for more: the same
    /// constants are changed in the same way.
    fn proven(&self, graph: Self, rewritten: bool) -> Result<Self, Error> {
        let batch = graph.inputs.first().and_then(|info| info.shape.first()).copied().unwrap_or(0);
        let now = self.inputs.first().and_then(|info| info.shape.first()).copied().unwrap_or(1);
        let shapes: Vec<Vec<usize>> = self.inputs.iter().map(|info| info.shape.clone()).collect();
        let proof = self.source.proofs.get((shapes, rewritten), || {
            let two = match batch == 2 * now {
                true => Ok(graph.clone()),
                false if rewritten => self.rewritten(2 * now),
                false => self.with_input_shape(&self.shapes_for(2 * now)),
            };
            two.map_err(|e| e.to_string()).and_then(|two| prove(self, &two))
        });
        proof.map(|()| graph).map_err(|reason| Error::Batch { batch, reason })
    }
}

//! Which interface of cuDNN computes convolutions, and what is refused.

use std::collections::HashMap;

use crate::kernels::cuda::driver::{Convolution, Direction};
use crate::kernels::fault::DeviceFault;

use super::super::memory::locked;
use super::graph::Terms;
use super::{Cudnn, CudnnState, GraphRefusal, legacy, support};

/// Which interface of cuDNN computes convolutions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlannedConvolutions {
    /// The number that the graph API computes; `None` if it was not selected.
    pub by_graph: Option<usize>,
    /// Those that an interface refused, in the order of the shapes, with the reasons.
    pub refused: Vec<(Convolution, String)>,
}

impl Cudnn {
    /// Plans convolutions without running them, as the network calls them: forward with a bias, and
    /// with a residual too.
    pub(in super::super) fn plan(
        &self,
        shapes: &[Convolution],
    ) -> Result<PlannedConvolutions, DeviceFault> {
        let mut state = locked(&self.state);
        let mut by_graph = 0;
        for shape in shapes {
            if self.uses_graphs() && self.is_by_graph(&mut state, shape)? {
                by_graph += 1;
            } else {
                self.legacy_plan(&mut state, shape)?;
            }
        }
        let mut refused = self.refusals(&state);
        let place = |shape: &Convolution| shapes.iter().position(|given| given == shape);
        refused.retain(|(shape, _)| place(shape).is_some());
        refused.sort_by_key(|(shape, _)| place(shape));
        Ok(PlannedConvolutions {
            by_graph: self.graphs.as_ref().map(|_| by_graph),
            refused,
        })
    }

    /// Returns whether the graph API computes a convolution, with its terms or without.
    fn is_by_graph(
        &self,
        state: &mut CudnnState,
        shape: &Convolution,
    ) -> Result<bool, DeviceFault> {
        let with_terms = match shape.direction {
            Direction::Forward => &[Terms::Bias, Terms::ResidualAndBias][..],
            Direction::Backward => &[],
        };
        let mut supported = 0;
        for terms in with_terms {
            supported += usize::from(self.graph_plan(state, shape, *terms)?.is_ok());
        }
        Ok(!with_terms.is_empty() && supported == with_terms.len()
            || self.graph_plan(state, shape, Terms::None)?.is_ok())
    }

    /// Returns the convolutions that an interface refused although it has them, or only with terms, each
    /// with the reasons.
    pub(in super::super) fn refused(&self) -> Vec<(Convolution, String)> {
        self.refusals(&locked(&self.state))
    }

    fn refusals(&self, state: &CudnnState) -> Vec<(Convolution, String)> {
        let mut refused: HashMap<Convolution, Vec<String>> = HashMap::new();
        for ((shape, terms), plan) in &state.graphs {
            let Err(GraphRefusal { reason, .. }) = plan else {
                continue;
            };
            if support::padding(shape).is_ok() {
                let text = format!("graph API{}: {reason}", terms.text());
                refused.entry(*shape).or_default().push(text);
            }
        }
        for (shape, plan) in &state.legacy {
            let of_graphs = match &self.graphs {
                Some(Err(reason)) => Some(format!("graph API: {reason}")),
                None | Some(Ok(())) => None,
            };
            for reason in of_graphs.into_iter().chain(legacy::refusal(shape, plan)) {
                refused.entry(*shape).or_default().push(reason);
            }
        }
        let joined = refused.into_iter().map(|(shape, mut reasons)| {
            reasons.sort();
            (shape, reasons.join("; "))
        });
        joined.collect()
    }
}

//! The prompts of several clients as one.

use super::repeated;
use crate::kernels::Backend;
use crate::model::unet::Prompt;
use crate::nn::Tensor;

/// The prompt of a client, and the number of its latents.
type Part<B> = (Prompt<B>, usize);

/// The prompts that were joined last, and the result: most calls come from the same clients.
#[derive(Debug)]
pub(super) struct JoinedPrompts<B: Backend> {
    last: Option<(Vec<Part<B>>, Prompt<B>)>,
}

impl<B: Backend> Default for JoinedPrompts<B> {
    fn default() -> Self {
        Self { last: None }
    }
}

impl<B: Backend> JoinedPrompts<B> {
    /// Returns one prompt for the latents of all parts.
    pub(super) fn joined(&mut self, parts: Vec<Part<B>>) -> Prompt<B> {
        if !self
            .last
            .as_ref()
            .is_some_and(|(last, _)| are_same(last, &parts))
        {
            self.last = None;
        }
        let join = || {
            let whole = Prompt::joined(&parts, |parts| {
                let repeated = parts
                    .iter()
                    .flat_map(|(part, batch)| repeated(part, *batch));
                Tensor::stacked(&repeated.collect::<Vec<_>>())
            });
            (parts, whole)
        };
        self.last.get_or_insert_with(join).1.clone()
    }
}

/// Whether they are the same tensors.
fn are_same<B: Backend>(a: &[Part<B>], b: &[Part<B>]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|((a, m), (b, n))| a.is_same(b) && m == n)
}

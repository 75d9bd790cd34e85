//! Prompts of several lanes made one.

use super::passes::{repeated, stacked};
use crate::kernels::Backend;
use crate::model::unet::Prompt;

/// The prompt of a lane, and for how many pictures.
type Part<B> = (Prompt<B>, usize);

/// The prompts that were last made one, and what they became: most calls come from the same lanes.
#[derive(Debug)]
pub(super) struct Prompts<B: Backend> {
    last: Option<(Vec<Part<B>>, Prompt<B>)>,
}

impl<B: Backend> Default for Prompts<B> {
    fn default() -> Self {
        Self { last: None }
    }
}

impl<B: Backend> Prompts<B> {
    /// One prompt for the pictures of all parts.
    pub(super) fn joined(&mut self, parts: Vec<Part<B>>) -> Prompt<B> {
        if !self
            .last
            .as_ref()
            .is_some_and(|(last, _)| are(last, &parts))
        {
            self.last = None;
        }
        let join = || {
            let whole = Prompt::joined(&parts, |parts| {
                stacked(
                    parts
                        .iter()
                        .flat_map(|(part, count)| repeated(part, *count))
                        .collect(),
                )
            });
            (parts, whole)
        };
        self.last.get_or_insert_with(join).1.clone()
    }
}

/// Are they the same, in the same place?
fn are<B: Backend>(a: &[Part<B>], b: &[Part<B>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|((a, m), (b, n))| a.is(b) && m == n)
}

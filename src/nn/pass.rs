//! One trip through the network: whether it records for a backward trip, and what steers it.

use super::{Mutual, Shape, Tensor};
use crate::kernels::Backend;

/// What a forward layer keeps for its backward call.
#[derive(Debug)]
enum Recorded<B: Backend> {
    /// Numbers.
    Tensor(Tensor<B>),
    /// The input's shape alone.
    Shape(Shape),
}

/// The state of one trip: the tape, the LoRA parameters and their gradient, and the attention's control.
#[derive(Debug)]
pub struct Pass<'a, B: Backend> {
    tape: Option<Vec<Recorded<B>>>,
    adapters: Option<&'a Tensor<B>>,
    gradient: Option<&'a mut Tensor<B>>,
    mutual: Option<Mutual>,
    gradient_scale: f32,
}

impl<'a, B: Backend> Pass<'a, B> {
    /// A trip without a way back: nothing is kept.
    pub fn inference() -> Self {
        Self { tape: None, adapters: None, gradient: None, mutual: None, gradient_scale: 1.0 }
    }

    /// A trip that can be walked back.
    pub fn recording() -> Self {
        Self { tape: Some(Vec::new()), ..Self::inference() }
    }

    /// With the way back going through LoRA adapters too, which are merged into the weights; their parameters lie in one flat tensor.
    #[must_use]
    pub fn with_adapters(self, parameters: &'a Tensor<B>) -> Self {
        Self { adapters: Some(parameters), ..self }
    }

    /// With a flat tensor, as long as the parameters, to which the way back adds the adapters' gradients.
    #[must_use]
    pub fn with_gradient(self, gradient: &'a mut Tensor<B>) -> Self {
        Self { gradient: Some(gradient), ..self }
    }

    /// With late self-attention layers reading the keys and values of other pictures of the batch.
    #[must_use]
    pub fn with_mutual(self, mutual: Mutual) -> Self {
        Self { mutual: Some(mutual), ..self }
    }

    /// The LoRA parameters, when the way back goes through adapters.
    pub fn adapters(&self) -> Option<&'a Tensor<B>> {
        self.adapters
    }

    /// Where adapters add their gradients.
    pub fn gradient(&mut self) -> Option<&mut Tensor<B>> {
        self.gradient.as_deref_mut()
    }

    /// From here on, gradients are so many times what they should be, lest a short number format loses the small ones.
    pub fn set_gradient_scale(&mut self, scale: f32) {
        self.gradient_scale = scale;
    }

    /// How many times too large the gradients on the way back are.
    pub fn gradient_scale(&self) -> f32 {
        self.gradient_scale
    }

    /// The attention's control.
    pub fn mutual(&self) -> Option<&Mutual> {
        self.mutual.as_ref()
    }

    /// Keeps numbers for the backward call.
    pub fn keep(&mut self, tensor: &Tensor<B>) {
        if let Some(tape) = &mut self.tape {
            tape.push(Recorded::Tensor(tensor.clone()));
        }
    }

    /// Keeps a shape for the backward call.
    pub fn keep_shape(&mut self, shape: Shape) {
        if let Some(tape) = &mut self.tape {
            tape.push(Recorded::Shape(shape));
        }
    }

    /// Takes back the numbers kept last.
    ///
    /// # Panics
    /// When backward calls do not mirror the forward calls.
    pub fn take(&mut self) -> Tensor<B> {
        match self.tape.as_mut().and_then(Vec::pop) {
            Some(Recorded::Tensor(tensor)) => tensor,
            other => panic!("the way back expects numbers, the tape holds {}", describe(other.as_ref())),
        }
    }

    /// Takes back the shape kept last.
    ///
    /// # Panics
    /// When backward calls do not mirror the forward calls.
    pub fn take_shape(&mut self) -> Shape {
        match self.tape.as_mut().and_then(Vec::pop) {
            Some(Recorded::Shape(shape)) => shape,
            other => panic!("the way back expects a shape, the tape holds {}", describe(other.as_ref())),
        }
    }

    /// Entries still on the tape.
    pub fn depth(&self) -> usize {
        self.tape.as_ref().map_or(0, Vec::len)
    }

    /// Forgets everything above `depth`: the part of the way back that nobody needs.
    pub fn rewind(&mut self, depth: usize) {
        if let Some(tape) = &mut self.tape {
            tape.truncate(depth);
        }
    }
}

fn describe<B: Backend>(entry: Option<&Recorded<B>>) -> &'static str {
    match entry {
        None => "nothing",
        Some(Recorded::Tensor(_)) => "numbers",
        Some(Recorded::Shape(_)) => "a shape",
    }
}

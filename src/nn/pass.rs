//! The state of a forward pass and of its backward pass through the layers: the tape, the runs of the batch, and what steers them.
//!
//! A forward pass that records pushes tensors and shapes on a tape. The backward pass takes the tape and pops them in the reverse
//! order; it may also hold adapters that learn, to whose gradients the layers add.

use super::{KeySource, KeysAndValues, Shape, Tensor};
use crate::kernels::Backend;

/// What a forward call saves for its backward call.
#[derive(Debug, Clone)]
enum Saved<B: Backend> {
    Tensor(Tensor<B>),
    Shape(Shape),
    Factors(Vec<[f32; 2]>),
}

impl<B: Backend> Saved<B> {
    fn name(&self) -> &'static str {
        match self {
            Self::Tensor(_) => "a tensor",
            Self::Shape(_) => "a shape",
            Self::Factors(_) => "factors",
        }
    }
}

/// What a forward pass saved for its backward pass. Cloning shares the tensors.
#[derive(Debug, Clone)]
pub struct Tape<B: Backend>(Vec<Saved<B>>);

impl<B: Backend> Default for Tape<B> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<B: Backend> Tape<B> {
    /// Whether the backward pass has used everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of values of all saved tensors.
    pub fn values(&self) -> usize {
        let values = self.0.iter().map(|saved| match saved {
            Saved::Tensor(tensor) => tensor.shape().len(),
            Saved::Shape(_) | Saved::Factors(_) => 0,
        });
        values.sum()
    }
}

/// Consecutive pictures of a batch whose weights include one set of adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The number of pictures.
    pub pictures: usize,
    /// The set of adapters.
    pub set: usize,
}

/// A forward pass.
#[derive(Debug)]
pub struct Pass<B: Backend> {
    tape: Option<Tape<B>>,
    /// Whether the tape begins at the decoder.
    begins_at_decoder: bool,
    learns: bool,
    runs: Vec<Run>,
    keys: KeySource<B>,
    /// Keys and values of the self-attentions so far, from the first layer that is kept on.
    kept: Option<KeysAndValues<Tensor<B>>>,
}

impl<B: Backend> Pass<B> {
    /// A pass that saves nothing.
    pub fn inference() -> Self {
        Self {
            tape: None,
            begins_at_decoder: false,
            learns: false,
            runs: Vec::new(),
            keys: KeySource::Own,
            kept: None,
        }
    }

    /// A pass that records for the gradient of its input.
    pub fn recording() -> Self {
        Self {
            tape: Some(Tape::default()),
            ..Self::inference()
        }
    }

    /// A pass that records for the gradient of the decoder's input.
    pub fn recording_decoder() -> Self {
        Self {
            begins_at_decoder: true,
            ..Self::inference()
        }
    }

    /// A pass that records for the gradients of adapters, too.
    pub fn learning() -> Self {
        Self {
            learns: true,
            ..Self::recording()
        }
    }

    /// With these runs, which together are the batch. Without them, all pictures use set 0.
    #[must_use]
    pub fn with_runs(self, runs: Vec<Run>) -> Self {
        Self { runs, ..self }
    }

    /// Says that the layers that follow are the decoder's.
    pub fn enter_decoder(&mut self) {
        if self.begins_at_decoder {
            self.tape = Some(Tape::default());
        }
    }

    /// Whether the layers that follow are recorded.
    pub fn is_recording(&self) -> bool {
        self.tape.is_some()
    }

    /// Sets where the self-attentions that follow take their keys and values from.
    pub fn set_keys(&mut self, keys: KeySource<B>) {
        self.keys = keys;
    }

    /// Keeps the keys and values of the self-attentions that follow, from layer `first` on.
    pub fn keep_keys(&mut self, first: usize) {
        self.kept = Some(KeysAndValues::beginning_at(first));
    }

    /// Returns the runs; empty where all pictures use set 0.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Whether the pass records for the gradients of adapters.
    pub fn learns(&self) -> bool {
        self.learns
    }

    /// Returns where self-attentions take their keys and values from.
    pub fn keys(&self) -> &KeySource<B> {
        &self.keys
    }

    /// Whether the keys and values of self-attention `layer` are kept.
    pub fn keeps(&self, layer: usize) -> bool {
        self.kept.as_ref().is_some_and(|kept| layer >= kept.first())
    }

    /// Keeps keys and values of self-attention `layer`, if the pass keeps them. Layers come in order.
    pub fn keep(&mut self, layer: usize, keys_and_values: [&Tensor<B>; 2]) {
        if let Some(kept) = self.kept.as_mut().filter(|kept| layer >= kept.first()) {
            kept.push(keys_and_values.map(Tensor::clone));
        }
    }

    /// Returns the keys and values that were kept; `None` when the pass keeps none.
    pub fn take_kept(&mut self) -> Option<KeysAndValues<Tensor<B>>> {
        self.kept.take()
    }

    /// Saves a tensor for the backward call, if the pass records.
    pub fn save(&mut self, tensor: &Tensor<B>) {
        if let Some(Tape(tape)) = &mut self.tape {
            tape.push(Saved::Tensor(tensor.clone()));
        }
    }

    /// Saves a shape for the backward call, if the pass records.
    pub fn save_shape(&mut self, shape: Shape) {
        if let Some(Tape(tape)) = &mut self.tape {
            tape.push(Saved::Shape(shape));
        }
    }

    /// Saves two factors of every picture for the backward call, if the pass records.
    pub fn save_factors(&mut self, factors: Vec<[f32; 2]>) {
        if let Some(Tape(tape)) = &mut self.tape {
            tape.push(Saved::Factors(factors));
        }
    }

    /// Returns what the pass saved; empty unless it records.
    pub fn into_tape(self) -> Tape<B> {
        self.tape.unwrap_or_default()
    }
}

/// A set of adapters that learns.
#[derive(Debug)]
pub struct Learner<'a, B: Backend> {
    /// The set.
    pub set: usize,
    /// The parameters, in one flat tensor; they are merged into the weights.
    pub parameters: &'a Tensor<B>,
    /// The tensor to which the backward pass adds the gradient of the parameters.
    pub gradient: &'a mut Tensor<B>,
}

/// A backward pass.
#[derive(Debug)]
pub struct BackwardPass<'a, B: Backend> {
    tape: Tape<B>,
    runs: Vec<Run>,
    learners: Vec<Learner<'a, B>>,
    /// Sum of the scaled gradients of the prompt's tokens so far, if they are wanted.
    text: Option<Tensor<B>>,
    loss_scale: f32,
}

impl<'a, B: Backend> BackwardPass<'a, B> {
    /// The backward pass of a recorded forward pass.
    pub fn new(tape: Tape<B>) -> Self {
        Self {
            tape,
            runs: Vec::new(),
            learners: Vec::new(),
            text: None,
            loss_scale: 1.0,
        }
    }

    /// With the runs of the forward pass.
    #[must_use]
    pub fn with_runs(self, runs: Vec<Run>) -> Self {
        Self { runs, ..self }
    }

    /// With one more set of adapters that learns. The forward pass must be one that [learns](Pass::learning).
    #[must_use]
    pub fn with_learner(mut self, learner: Learner<'a, B>) -> Self {
        self.learners.push(learner);
        self
    }

    /// With the gradient of the prompt's tokens added to `gradient`, stored as f32, in the tokens' shape (b or 1, 1, tokens, channels). The
    /// forward pass must have had tokens, not a prepared prompt.
    #[must_use]
    pub fn with_text(self, gradient: Tensor<B>) -> Self {
        Self {
            text: Some(gradient),
            ..self
        }
    }

    /// Multiplies gradients by `loss_scale`, to avoid underflow in a short number format. Gradients of adapters are added unscaled.
    pub fn set_loss_scale(&mut self, loss_scale: f32) {
        self.loss_scale = loss_scale;
    }

    /// Returns the runs; empty where all pictures use set 0.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Whether adapters learn.
    pub fn learns(&self) -> bool {
        !self.learners.is_empty()
    }

    /// Whether the gradient of the prompt's tokens is wanted.
    pub fn needs_text(&self) -> bool {
        self.text.is_some()
    }

    /// Adds to the gradient of the prompt's tokens, if it is wanted.
    pub fn add_to_text(&mut self, gradient: &Tensor<B>) {
        if let Some(text) = &mut self.text {
            let backend = text.backend().clone();
            backend.combine(1.0, text.buffer_mut(), 1.0, gradient.buffer());
        }
    }

    /// Takes the gradient of the prompt's tokens, without the loss scale; `None` when it was not wanted.
    pub fn take_text(&mut self) -> Option<Tensor<B>> {
        let unscale = 1.0 / self.loss_scale;
        self.text.take().map(|text| text.full(unscale))
    }

    /// Returns the adapters of a set, if they learn.
    pub fn learner(&mut self, set: usize) -> Option<&mut Learner<'a, B>> {
        self.learners.iter_mut().find(|learner| learner.set == set)
    }

    /// Returns the factor by which the gradients are multiplied.
    pub fn loss_scale(&self) -> f32 {
        self.loss_scale
    }

    /// Pops the tensor that was saved last.
    ///
    /// # Panics
    /// When backward calls do not mirror the forward calls.
    pub fn take(&mut self) -> Tensor<B> {
        match self.tape.0.pop() {
            Some(Saved::Tensor(tensor)) => tensor,
            Some(other) => panic!("expected a tensor on the tape, found {}", other.name()),
            None => panic!("expected a tensor on the tape, found its end"),
        }
    }

    /// Pops the shape that was saved last.
    ///
    /// # Panics
    /// When backward calls do not mirror the forward calls.
    pub fn take_shape(&mut self) -> Shape {
        match self.tape.0.pop() {
            Some(Saved::Shape(shape)) => shape,
            Some(other) => panic!("expected a shape on the tape, found {}", other.name()),
            None => panic!("expected a shape on the tape, found its end"),
        }
    }

    /// Pops the factors that were saved last.
    ///
    /// # Panics
    /// When backward calls do not mirror the forward calls.
    pub fn take_factors(&mut self) -> Vec<[f32; 2]> {
        match self.tape.0.pop() {
            Some(Saved::Factors(factors)) => factors,
            Some(other) => panic!("expected factors on the tape, found {}", other.name()),
            None => panic!("expected factors on the tape, found its end"),
        }
    }

    /// Returns what the backward pass has not used: nothing, after the backward calls of all layers.
    pub fn into_tape(self) -> Tape<B> {
        self.tape
    }
}

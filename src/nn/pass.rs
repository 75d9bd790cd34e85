//! One trip through the network: whether it records for a backward trip, what steers it, and whose adapters its pictures go through.

use super::{Mutual, Shape, Tensor};
use crate::kernels::Backend;

/// What a forward layer keeps for its backward call.
#[derive(Debug, Clone)]
enum Recorded<B: Backend> {
    /// Numbers.
    Tensor(Tensor<B>),
    /// The input's shape alone.
    Shape(Shape),
}

/// What a recorded forward pass keeps for its backward pass.
#[derive(Debug, Clone)]
pub struct Tape<B: Backend>(Vec<Recorded<B>>);

/// A run of a batch's pictures whose weights hold one set of adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// How many pictures.
    pub pictures: usize,
    /// The set of adapters.
    pub set: usize,
}

/// A set of adapters that learns.
#[derive(Debug)]
pub struct Learner<'a, B: Backend> {
    /// Which one.
    pub set: usize,
    /// Its parameters, in one flat tensor; they are merged into the weights.
    pub parameters: &'a Tensor<B>,
    /// A flat tensor, as long as the parameters, to which the way back adds their gradient.
    pub gradient: Option<&'a mut Tensor<B>>,
}

/// The state of one trip: the tape, the adapters that learn, and the attention's control.
#[derive(Debug)]
pub struct Pass<'a, B: Backend> {
    tape: Option<Tape<B>>,
    runs: Vec<Run>,
    learners: Vec<Learner<'a, B>>,
    mutual: Option<Mutual>,
    loss_scale: f32,
}

impl<'a, B: Backend> Pass<'a, B> {
    /// A trip without a way back: nothing is kept.
    pub fn inference() -> Self {
        Self {
            tape: None,
            runs: Vec::new(),
            learners: Vec::new(),
            mutual: None,
            loss_scale: 1.0,
        }
    }

    /// A trip that can be walked back.
    pub fn recording() -> Self {
        Self::resumed(Tape(Vec::new()))
    }

    /// A trip that was recorded before, for its way back.
    pub fn resumed(tape: Tape<B>) -> Self {
        Self {
            tape: Some(tape),
            ..Self::inference()
        }
    }

    /// With the way back going through the LoRA adapters of set 0, which are merged into the weights; their parameters lie in one flat tensor.
    #[must_use]
    pub fn with_adapters(self, parameters: &'a Tensor<B>) -> Self {
        self.with_learner(Learner {
            set: 0,
            parameters,
            gradient: None,
        })
    }

    /// With a flat tensor, as long as the parameters, to which the way back adds the adapters' gradients.
    ///
    /// # Panics
    /// When there are no adapters.
    #[must_use]
    pub fn with_gradient(mut self, gradient: &'a mut Tensor<B>) -> Self {
        let Some(learner) = self.learners.last_mut() else {
            panic!("a gradient belongs to adapters")
        };
        learner.gradient = Some(gradient);
        self
    }

    /// With the way back going through one more set of adapters.
    #[must_use]
    pub fn with_learner(mut self, learner: Learner<'a, B>) -> Self {
        self.learners.push(learner);
        self
    }

    /// With pictures that go through other sets of adapters than set 0. Together the runs are the batch.
    #[must_use]
    pub fn with_runs(self, runs: Vec<Run>) -> Self {
        Self { runs, ..self }
    }

    /// With late self-attention layers reading the keys and values of other pictures of the batch.
    #[must_use]
    pub fn with_mutual(self, mutual: Mutual) -> Self {
        Self {
            mutual: Some(mutual),
            ..self
        }
    }

    /// Whose adapters the pictures go through, one run after the other; nothing where it is set 0 for all.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Do adapters learn?
    pub fn learns(&self) -> bool {
        !self.learners.is_empty()
    }

    /// The adapters that learn.
    pub fn learners(&mut self) -> &mut [Learner<'a, B>] {
        &mut self.learners
    }

    /// What was recorded, for [`Pass::resumed`]; empty when the pass does not record.
    pub fn into_tape(self) -> Tape<B> {
        self.tape.unwrap_or(Tape(Vec::new()))
    }

    /// From here on, gradients are so many times what they should be, lest a short number format loses the small ones.
    pub fn set_loss_scale(&mut self, scale: f32) {
        self.loss_scale = scale;
    }

    /// How many times too large the gradients on the way back are.
    pub fn loss_scale(&self) -> f32 {
        self.loss_scale
    }

    /// The attention's control.
    pub fn mutual(&self) -> Option<&Mutual> {
        self.mutual.as_ref()
    }

    /// Keeps numbers for the backward call.
    pub fn keep(&mut self, tensor: &Tensor<B>) {
        if let Some(Tape(tape)) = &mut self.tape {
            tape.push(Recorded::Tensor(tensor.clone()));
        }
    }

    /// Keeps a shape for the backward call.
    pub fn keep_shape(&mut self, shape: Shape) {
        if let Some(Tape(tape)) = &mut self.tape {
            tape.push(Recorded::Shape(shape));
        }
    }

    /// Takes back the numbers kept last.
    ///
    /// # Panics
    /// When backward calls do not mirror the forward calls.
    pub fn take(&mut self) -> Tensor<B> {
        match self.pop() {
            Some(Recorded::Tensor(tensor)) => tensor,
            other => panic!(
                "the way back expects numbers, the tape holds {}",
                describe(other.as_ref())
            ),
        }
    }

    /// Takes back the shape kept last.
    ///
    /// # Panics
    /// When backward calls do not mirror the forward calls.
    pub fn take_shape(&mut self) -> Shape {
        match self.pop() {
            Some(Recorded::Shape(shape)) => shape,
            other => panic!(
                "the way back expects a shape, the tape holds {}",
                describe(other.as_ref())
            ),
        }
    }

    fn pop(&mut self) -> Option<Recorded<B>> {
        self.tape.as_mut().and_then(|Tape(tape)| tape.pop())
    }

    /// Entries still on the tape.
    pub fn depth(&self) -> usize {
        self.tape.as_ref().map_or(0, |Tape(tape)| tape.len())
    }
}

fn describe<B: Backend>(entry: Option<&Recorded<B>>) -> &'static str {
    match entry {
        None => "nothing",
        Some(Recorded::Tensor(_)) => "numbers",
        Some(Recorded::Shape(_)) => "a shape",
    }
}

//! The sides of an evaluation: which edits every item has.

/// The edits that every item has, in their order: one, one for each method, and what they are compared with.
#[derive(Debug, Clone)]
pub(crate) struct Sides {
    /// What each is called in tables: a method, or where the edits come from. Never empty.
    pub names: Vec<String>,
    /// The one that the others are compared with.
    pub reference: Option<usize>,
    /// How many of them, from the first on, are methods of one folder or of one list of records; 0 where results are not told apart by methods.
    pub methods: usize,
}

impl Sides {
    /// Returns the positions of all.
    pub(crate) fn all(&self) -> std::ops::Range<usize> {
        0..self.names.len()
    }

    /// Returns the positions of all but the reference.
    pub(crate) fn judged(&self) -> impl Iterator<Item = usize> {
        self.all().filter(|side| Some(*side) != self.reference)
    }

    /// Returns whether results are told apart by methods.
    pub(crate) fn are_methods(&self) -> bool {
        self.methods > 0
    }
}

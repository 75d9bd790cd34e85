//! The warped picture: what a drag means for pixels, without a model.


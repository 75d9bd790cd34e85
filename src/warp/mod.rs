//! The warped picture: what a drag means for pixels, without a model.
#![expect(dead_code)]

mod component;
mod crop;
mod fill;
mod object;

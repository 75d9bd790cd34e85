//! Pixels as the image tower reads them: normalised, patch by patch.

/// Mean of each channel in CLIP's training data, for pixels in 0..1.
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// Standard deviation of each channel.
const DEVIATION: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// The order of a square picture's values in its patches.
#[derive(Debug, Clone, Copy)]
pub(super) struct PatchOrder {
    /// Width and height of the picture.
    pub(super) side: usize,
    /// Width and height of a patch.
    pub(super) patch: usize,
}

impl PatchOrder {
    /// Returns, for each value of the patches (row of patches, column of patches, channel, row, column), its channel and its index in the picture
    /// (row, column, channel).
    fn indices(self) -> impl Iterator<Item = (usize, usize)> {
        let Self { side, patch } = self;
        let across = side / patch;
        (0..side * side * 3).map(move |at| {
            let (column, at) = (at % patch, at / patch);
            let (row, at) = (at % patch, at / patch);
            let (channel, at) = (at % 3, at / 3);
            let (x, y) = (at % across * patch + column, at / across * patch + row);
            (channel, 3 * (y * side + x) + channel)
        })
    }

    /// Returns the normalised patches of pixels in 0..1.
    pub(super) fn patches(self, pixels: &[f32]) -> Vec<f32> {
        self.indices()
            .map(|(channel, index)| (pixels[index] - MEAN[channel]) / DEVIATION[channel])
            .collect()
    }

    /// Returns the gradient with respect to the pixels, from that with respect to the patches.
    pub(super) fn backward(self, d_patches: &[f32]) -> Vec<f32> {
        let mut gradient = vec![0.0; d_patches.len()];
        for ((channel, index), d) in self.indices().zip(d_patches) {
            gradient[index] = d / DEVIATION[channel];
        }
        gradient
    }
}

//! Similarity of CLIP's features (Radford et al., arXiv 2103.00020): of the edit with its original, as DragDiffusion's script measures it, and with the
//! caption.
//!
//! A picture is resized so that its shorter side is CLIP's (Pillow's bicubic filter) and cropped in the middle, as the preprocessing of OpenAI's
//! package and of transformers does.

use super::case::Case;
use super::metric::{Better, Figure, MeanOver, Metric, Reading};
use crate::error::Result;
use crate::geometry::Size;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::model::Clip;
use crate::picture::Picture;
use crate::picture::pillow::{Filter, resize};

/// The similarity of pictures: its name without the model's, and its meaning.
const OF_PICTURES: [&str; 2] = [
    "CLIP-I",
    "cosine between CLIP's features of original and edit, as DragDiffusion's script with ViT-B/32",
];
/// The similarity with the caption.
const OF_TEXT: [&str; 2] = [
    "CLIP-T",
    "cosine between CLIP's features of the edit and of the caption",
];

/// Similarities by one CLIP.
#[derive(Debug)]
pub(crate) struct ClipSimilarity<B: Backend> {
    clip: Clip<B>,
    figures: [Figure; 2],
}

impl<B: Backend> ClipSimilarity<B> {
    /// Returns the names of the figures, without the model's.
    pub(crate) fn names() -> Vec<String> {
        [OF_PICTURES, OF_TEXT].map(|[name, _]| name.into()).to_vec()
    }

    /// Measures with a CLIP, whose form or name and whose SHA-256 the figures have.
    pub(crate) fn new(clip: Clip<B>, name: &str, sha256: &str) -> Self {
        let figure = |[figure, meaning]: [&'static str; 2]| Figure {
            name: format!("{figure} [{name}]"),
            meaning,
            better: Better::Higher,
            mean_over: MeanOver::Edits,
            weights: Some(sha256.into()),
            digits: 4,
        };
        Self {
            clip,
            figures: [OF_PICTURES, OF_TEXT].map(figure),
        }
    }

    fn feature(&self, picture: &Picture) -> Vec<f32> {
        let pixels = pixels(&picture.rgb(), picture.size(), self.clip.side());
        self.clip.image(&pixels)
    }
}

impl<B: Backend> Metric for ClipSimilarity<B> {
    fn figures(&self) -> &[Figure] {
        &self.figures
    }

    fn measure(&mut self, case: &Case, interrupt: &Interrupt) -> Result<Vec<Reading>> {
        let edited = self.feature(case.edited);
        interrupt.check()?;
        let of_pictures = Reading::Value(cosine(&self.feature(case.original), &edited));
        let of_text = match case.drag.prompt.trim() {
            "" => Reading::Undefined("the drag file has no prompt".into()),
            prompt => Reading::Value(cosine(&self.clip.text(prompt)?, &edited)),
        };
        Ok(vec![of_pictures, of_text])
    }
}

/// Returns the cosine of features of unit length.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let products = a.iter().zip(b);
    products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// Returns 8-bit RGB pixels as CLIP reads them: (side, side, 3) in 0..1.
fn pixels(rgb: &[u8], size: Size, side: usize) -> Vec<f32> {
    let shorter = size.width.min(size.height);
    // The longer side is rounded down, the crop's corner half to even.
    let resized = Size::new(side * size.width / shorter, side * size.height / shorter);
    let rgb = resize(rgb, size, resized, Filter::Bicubic);
    let corner = |length: usize| ((length - side) as f64 / 2.0).round_ties_even() as usize;
    let [left, top] = [resized.width, resized.height].map(corner);
    let rows = rgb.chunks_exact(3 * resized.width).skip(top).take(side);
    rows.flat_map(|row| &row[3 * left..3 * (left + side)])
        .map(|value| f32::from(*value) / 255.0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::Cpu;
    use crate::model::ClipModel;

    /// Features of transformers' `CLIPModel` and `CLIPImageProcessor` (slow, with Pillow) for the tiny CLIP (`tests/peer/clip_similarity.py`).
    #[test]
    fn similarities_are_those_of_transformers() {
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
        let clip = ClipModel::open(&format!("{fixtures}/clip/model")).expect("a CLIP");
        let clip = clip.load(&Cpu, &Interrupt::never()).expect("its weights");
        let text = std::fs::read_to_string(format!("{fixtures}/clip/similarity.json"))
            .expect("the fixture is there");
        let cases: Vec<serde_json::Value> = serde_json::from_str(&text).expect("it is JSON");
        assert!(cases.len() >= 4);
        for case in cases {
            let number = |key: &str| case[key].as_u64().expect("a number") as usize;
            let size = Size::new(number("width"), number("height"));
            let [first, second] = [0, 1].map(|phase| {
                let rgb = waves(size, phase);
                clip.image(&pixels(&rgb, size, clip.side()))
            });
            let text = clip.text("a cat on a sofa").expect("a short prompt");
            for (key, found) in [
                ("pictures", cosine(&first, &second)),
                ("text", cosine(&second, &text)),
            ] {
                let expected = case[key].as_f64().expect("a number");
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{key} at {size}: {found}, not {expected}"
                );
            }
        }
    }

    /// A picture without randomness.
    fn waves(size: Size, phase: usize) -> Vec<u8> {
        let value = |at: usize| {
            let (c, x, y) = (at % 3, at / 3 % size.width, at / 3 / size.width);
            ((x * (5 + 2 * phase) + y * (3 + c) + x * y / 9 + 60 * c) % 256) as u8
        };
        (0..3 * size.area()).map(value).collect()
    }
}

//! CLIP against transformers: features of texts and pictures, and the gradient of their similarity.

use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::clip::ClipView;
use dragnext::model::{Clip, ClipModel};

use super::FORWARD;
use super::gradients::assert_slopes;
use crate::bench::fixture::{self, Fixture, assert_close, assert_gradient, dot};

/// Weight of the loss in the fixture.
const WEIGHT: f64 = 300.0;

fn clip() -> Clip<Cpu> {
    let path = fixture::path("clip/model");
    ClipModel::open(&path.to_string_lossy())
        .expect("the fixture is a CLIP")
        .load(&Cpu, &Interrupt::never())
        .expect("the fixture has weights")
}

fn fixture() -> Fixture {
    Fixture::open("clip/parity.safetensors")
}

fn loss_gradient(gradient: &[f32]) -> Vec<f32> {
    gradient.iter().map(|x| -WEIGHT as f32 * x).collect()
}

#[test]
fn features_of_texts() {
    let (clip, fixture) = (clip(), fixture());
    let prompts = [
        "",
        "a cat on a sofa",
        "a red disc and a blue bar on a sky background",
    ];
    for (index, prompt) in prompts.into_iter().enumerate() {
        let name = format!("text.{index}.feature");
        let feature = clip.text(prompt).expect("a short prompt");
        assert_close(&name, &feature, &fixture.numbers(&name), FORWARD);
    }
}

#[test]
fn feature_of_a_picture_and_gradient_of_its_similarity() {
    let (clip, fixture) = (clip(), fixture());
    let pixels = fixture.picture("picture").to_host();
    let feature = fixture.numbers("feature");
    assert_close("feature", &clip.image(&pixels), &feature, FORWARD);

    let similarity = clip.similarity(&pixels, &fixture.numbers("text.1.feature"));
    let loss = WEIGHT * (1.0 - similarity.cosine);
    let expected = f64::from(fixture.numbers("loss")[0]);
    assert!(
        (loss / expected - 1.0).abs() < 1e-5,
        "loss {loss}, not {expected}"
    );
    let expected = fixture.picture("picture.gradient").to_host();
    let gradient = loss_gradient(&similarity.gradient);
    assert_gradient("picture.gradient", &gradient, &expected);
    assert_close("picture.gradient", &gradient, &expected, FORWARD);
}

/// The pool's cells are of unequal size in one direction, and a sixth of the values is clamped.
#[test]
fn a_decoded_picture_is_clamped_and_pooled() {
    let (clip, fixture) = (clip(), fixture());
    let decoded = fixture.picture("decoded");
    let size = [decoded.shape().height, decoded.shape().width];
    let view = ClipView {
        padded: size,
        content: size,
        side: clip.side(),
    };
    let decoded = decoded.to_host();
    let pixels = view.pixels(&decoded);
    let expected = fixture.picture("picture").to_host();
    assert_close("picture", &pixels, &expected, 1e-6);

    let similarity = clip.similarity(&pixels, &fixture.numbers("text.1.feature"));
    let gradient = view.backward(&decoded, &loss_gradient(&similarity.gradient));
    let expected = fixture.picture("decoded.gradient").to_host();
    assert_gradient("decoded.gradient", &gradient, &expected);
    assert_close("decoded.gradient", &gradient, &expected, FORWARD);
    let are_alike = gradient
        .iter()
        .zip(&expected)
        .all(|(found, expected)| (*found == 0.0) == (*expected == 0.0));
    assert!(are_alike, "exactly the clamped values have no gradient");
}

#[test]
fn gradient_of_the_similarity_matches_finite_differences() {
    let (clip, fixture) = (clip(), fixture());
    let pixels = fixture.picture("picture").to_host();
    let text = fixture.numbers("text.2.feature");
    let gradient = clip.similarity(&pixels, &text).gradient;
    assert_slopes("gradient of the pixels", &gradient, |step, v| {
        let moved: Vec<f32> = pixels.iter().zip(v).map(|(x, v)| x + step * v).collect();
        dot(&clip.image(&moved), &text)
    });
}

//! Parity with the `lpips` package; `tests/peer/eval_fixtures.py` writes what it computes and describes the formulas.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;

use super::weights::ConvValues;
use super::*;
use crate::error::ErrorKind;
use crate::kernels::cpu::Cpu;
use crate::mask::Mask;
use crate::metrics::bilinear;
use crate::model::safetensors::SafetensorsFile;
use crate::model::weights::channels_last;
use crate::picture::Picture;

const FIXTURES: &str = "tests/fixtures/eval";
const SIZE: Size = Size::new(97, 80);
const LARGE: Size = Size::new(194, 160);

/// Returns numbers from 0 to 1: a hash of each index.
fn uniform(stream: u32, count: usize) -> impl Iterator<Item = f64> {
    (0..count as u32).map(move |index| {
        let mut x = index.wrapping_add(stream << 22);
        for (shift, factor) in [(16, 0x7feb_352d), (15, 0x846c_a68b), (16, 1)] {
            x = (x ^ (x >> shift)).wrapping_mul(factor);
        }
        f64::from(x) / 4_294_967_296.0
    })
}

/// Returns the network of the fixture.
pub(in crate::metrics) fn network() -> Lpips<Cpu> {
    Lpips::new(&Cpu, values())
}

fn values() -> LpipsFile {
    let path = Path::new(FIXTURES).join("heads.safetensors");
    let file = std::fs::File::open(&path).expect("the fixture");
    let mut file =
        SafetensorsFile::open("heads".into(), Box::new(file)).expect("a safetensors file");
    let mut stream = 0;
    let convs = CONVS.map(|[outputs, inputs, kernel, ..]| {
        let fan = inputs * kernel * kernel;
        let scale = 2.0 * (6.0 / fan as f64).sqrt();
        let weight = uniform(stream, outputs * fan).map(|u| ((u - 0.5) * scale) as f32);
        let bias = uniform(stream + 1, outputs).map(|u| ((u - 0.5) * 0.2) as f32);
        stream += 2;
        ConvValues {
            weight: channels_last(&weight.collect::<Vec<_>>(), inputs, kernel * kernel),
            bias: bias.collect(),
        }
    });
    let heads = [0, 1, 2, 3, 4].map(|layer| {
        file.read(&format!("lin{layer}.model.1.weight"))
            .expect("a head")
    });
    LpipsFile {
        convs,
        heads,
        sha256: String::new(),
    }
}

/// The tensors of the fixture's network in the layout of the `lpips` package, by name: shape and values.
fn tensors() -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let names = [
        "net.slice1.0",
        "net.slice2.3",
        "net.slice3.6",
        "net.slice4.8",
        "net.slice5.10",
    ];
    let LpipsFile { convs, heads, .. } = values();
    let mut tensors = BTreeMap::new();
    for ((name, [outputs, inputs, kernel, ..]), conv) in names.iter().zip(CONVS).zip(convs) {
        // (out, taps, in) to (out, in, taps): the same reordering with other sizes.
        let weight = channels_last(&conv.weight, kernel * kernel, inputs);
        let shape = vec![outputs, inputs, kernel, kernel];
        tensors.insert(format!("{name}.weight"), (shape, weight));
        tensors.insert(format!("{name}.bias"), (vec![outputs], conv.bias));
    }
    for (layer, head) in heads.into_iter().enumerate() {
        let shape = vec![1, head.len(), 1, 1];
        tensors.insert(format!("lins.{layer}.model.1.weight"), (shape, head));
    }
    let shift = (vec![1, 3, 1, 1], SHIFT.to_vec());
    tensors.insert("scaling_layer.shift".into(), shift);
    tensors
}

/// Writes tensors to a file and reads it as weights of LPIPS.
fn written(tensors: &BTreeMap<String, (Vec<usize>, Vec<f32>)>) -> Result<LpipsFile> {
    let bytes: BTreeMap<&String, (&[usize], Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, values))| {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes());
            (name, (shape.as_slice(), bytes.collect()))
        })
        .collect();
    let views = bytes.iter().map(|(name, (shape, bytes))| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes).expect("bytes of the shape");
        (name.as_str(), view)
    });
    let folder = tempfile::tempdir().expect("a folder for the file");
    let path = folder.path().join("lpips.safetensors");
    std::fs::write(&path, safetensors::serialize(views, None).expect("tensors")).expect("a file");
    LpipsFile::read(&path)
}

#[test]
fn a_file_in_the_packages_layout_is_read() {
    let file = written(&tensors()).expect("all tensors");
    assert_eq!(file.sha256.len(), 64);
    let [x, y] = [false, true].map(|edit| Pixels::of(&picture(SIZE, edit)));
    let distance = Lpips::new(&Cpu, file).distance(&x, &y);
    check("native", distance.expect("finite features"), 1e-6);
}

#[test]
fn every_tensor_that_does_not_fit_is_named() {
    let mut tensors = tensors();
    tensors.remove("net.slice5.10.bias");
    tensors.insert("lins.0.model.1.weight".into(), (vec![64], vec![0.0; 64]));
    let error = written(&tensors).expect_err("two faults");
    assert_eq!(error.kind(), ErrorKind::WeightsMismatch);
    let message = error.to_string();
    for fault in [
        "2 tensors are not those of LPIPS",
        "`net.slice5.10.bias` [256] is missing",
        "`lins.0.model.1.weight` is [64], not [1, 64, 1, 1]",
    ] {
        assert!(message.contains(fault), "{message}");
    }
}

/// The first convolution's NaN would become 0 in a rectifier that takes the larger of two numbers.
#[test]
fn values_that_weights_cannot_have_are_named_when_they_are_read() {
    for (name, value, fault) in [
        (
            "net.slice1.0.weight",
            f32::NAN,
            "1 values, the first is NaN or infinite",
        ),
        (
            "net.slice3.6.bias",
            f32::NEG_INFINITY,
            "1 values, the first is NaN or infinite",
        ),
        (
            "lins.1.model.1.weight",
            f32::INFINITY,
            "1 values, the first is NaN or infinite",
        ),
        (
            "lins.4.model.1.weight",
            -1e-3,
            "1 values, the first is negative",
        ),
    ] {
        let mut tensors = tensors();
        tensors.get_mut(name).expect("a tensor of the network").1[7] = value;
        let error = written(&tensors).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::WeightsDamaged);
        assert!(
            error
                .to_string()
                .contains(&format!("tensor `{name}`: {fault}")),
            "{error}"
        );
        assert!(
            error
                .hint()
                .is_some_and(|hint| hint.contains("pip install"))
        );
    }
}

/// Finite weights can overflow: the features are infinite, their norms too, and a quotient of both must not count as no difference.
#[test]
fn features_that_overflow_are_an_error() {
    for scale in [1e20, 1e37] {
        let mut tensors = tensors();
        for value in &mut tensors.get_mut("net.slice1.0.weight").expect("a tensor").1 {
            *value *= scale;
        }
        let network = Lpips::new(&Cpu, written(&tensors).expect("finite weights"));
        let [x, y] = [false, true].map(|edit| Pixels::of(&picture(SIZE, edit)));
        let error = network.distance(&x, &y).expect_err("an overflow");
        assert_eq!(error.kind(), ErrorKind::ComputeNotFinite, "{scale}");
    }
    let mut values = [-1.0, 2.0, f32::NAN];
    rectify(&mut values);
    assert!(values[..2] == [0.0, 2.0] && values[2].is_nan());
}

fn picture(size: Size, edit: bool) -> Picture {
    let Size { width, height } = size;
    let mut rgb = Vec::new();
    for y in 0..height {
        for x in 0..width {
            for c in 0..3 {
                let value = (x * 97 / width * 5 + y * 80 / height * 3 + c * 60) % 200 + 20;
                let change = if edit { (x * y / 7 + c * 11) % 36 } else { 0 };
                rgb.push((value + change) as u8);
            }
        }
    }
    Picture::from_rgb(size, rgb)
}

fn expected(name: &str) -> f64 {
    let text = std::fs::read(Path::new(FIXTURES).join("expected.json")).expect("the fixture");
    let values: Value = serde_json::from_slice(&text).expect("numbers");
    values[name].as_f64().expect("a number")
}

fn check(name: &str, found: f64, tolerance: f64) {
    let expected = expected(name);
    assert!(
        (found - expected).abs() <= tolerance,
        "{name}: {found}, not {expected}"
    );
}

#[test]
fn distances_are_those_of_the_package() {
    let network = network();
    let [x, y] = [false, true].map(|edit| Pixels::of(&picture(SIZE, edit)));
    let distance = |x: &Pixels, y: &Pixels| network.distance(x, y).expect("finite features");
    check("native", distance(&x, &y), 1e-6);
    let mask = Mask {
        width: SIZE.width,
        height: SIZE.height,
        data: (0..SIZE.area())
            .map(|place| (place / SIZE.width + place % SIZE.width) % 100 < 45)
            .collect(),
    };
    check("masked", distance(&x.within(&mask), &y.within(&mask)), 1e-6);
    assert!((distance(&y, &x) - distance(&x, &y)).abs() < 1e-7);
}

#[test]
fn fidelity_at_224_is_that_of_dragdiffusions_script() {
    let network = network();
    let small = |picture: &Picture| Pixels::of(picture).resized(Size::new(224, 224));
    let distance = |edit: &Picture| {
        let original = small(&picture(SIZE, false));
        let distance = network.distance(&original, &small(edit));
        distance.expect("finite features")
    };
    check("at_224", distance(&picture(SIZE, true)), 1e-6);
    let resized = bilinear(&picture(LARGE, true), SIZE);
    check("resized_at_224", distance(&resized), 1e-6);
}

#[test]
fn an_equal_picture_has_no_distance_and_the_smallest_one_is_read() {
    let network = network();
    let small = |edit| {
        let side = Size::new(MIN_SIDE, MIN_SIDE);
        Pixels::of(&picture(SIZE, edit)).cropped([20, 30], side)
    };
    assert_eq!(network.distance(&small(true), &small(true)).ok(), Some(0.0));
    let distance = network
        .distance(&small(false), &small(true))
        .expect("finite features");
    assert!(distance > 0.0);
}

#[test]
fn damaged_weights_are_an_error() {
    let mut network = network();
    network.heads[2][5] = f32::NAN;
    let [x, y] = [false, true].map(|edit| Pixels::of(&picture(SIZE, edit)));
    let error = network.distance(&x, &y).expect_err("a NaN");
    assert_eq!(
        error.to_string(),
        "LPIPS, step 3: a distance of features is not finite"
    );
}

//! DIFT features and mean distances against PyTorch (`tests/fixtures/sd2`), what they are for pictures whose answer is known, and what a search allocates.

use dragnext::correspondence::distance::{matches, resized};
use dragnext::correspondence::{
    Dift, Dragged, Enlargement, FeatureMap, Matcher, Posterior, Variant, distances,
};
use dragnext::diffusion::noise::Draw;
use dragnext::diffusion::{NoiseSource, Stream};
use dragnext::drag_file::DragFile;
use dragnext::geometry::{Point, PointPair, Size};
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::mask::Mask;
use dragnext::model::Model;
use dragnext::model::unet::AdapterPlace;

use crate::allocation;
use crate::bench::fixture::{Fixture, assert_close, path};
use crate::bench::report;

/// The noise of the fixture.
struct Given<'a> {
    fixture: &'a Fixture,
    drawn: [usize; 2],
}

impl NoiseSource for Given<'_> {
    fn adapters(&mut self, _: &[AdapterPlace]) -> Vec<f32> {
        panic!("features need no adapters")
    }

    fn fine_tuning(&mut self, _: usize, _: usize, _: usize) -> Draw {
        panic!("features need no training")
    }

    fn normal(&mut self, stream: Stream, len: usize) -> Vec<f32> {
        let (index, name) = match stream.name() {
            "dift posterior" => (0, "dift.posterior"),
            _ => (1, "dift.noise"),
        };
        let number = self.drawn[index];
        self.drawn[index] += 1;
        let noise = self.fixture.picture(&format!("{name}.{number}")).to_host();
        assert_eq!(noise.len(), len);
        noise
    }
}

fn dift(model: &str) -> Dift<Cpu> {
    let model = Model::open(model, None).expect("a model");
    Dift::load(Cpu, &model, &Interrupt::never()).expect("its weights")
}

#[test]
fn features_are_those_of_pytorch() {
    let fixture = Fixture::open("sd2/parity.safetensors");
    let dift = dift(path("sd2").to_str().expect("a path of letters"));
    let (picture, context) = (
        fixture.picture("dift.image"),
        fixture.tokens("ddim.context"),
    );
    for (posterior, name) in [
        (Posterior::Sample, "dift.features"),
        (Posterior::Mode, "dift.mode.features"),
    ] {
        let drawn = [0, 0];
        let noise = &mut Given {
            fixture: &fixture,
            drawn,
        };
        let found = dift
            .features_of(&picture, &context, posterior, 2, noise, &Interrupt::never())
            .expect("finite numbers");
        let expected = fixture.picture(name);
        let shape = expected.shape();
        assert_eq!(found.shape(), [shape.height, shape.width, shape.channels]);
        assert_close(name, found.values(), &expected.to_host(), 1e-4);
    }
}

fn map(fixture: &Fixture, name: &str) -> FeatureMap {
    let tensor = fixture.picture(name);
    let shape = tensor.shape();
    FeatureMap::new(
        [shape.height, shape.width, shape.channels],
        tensor.to_host(),
    )
}

#[test]
fn matches_are_those_of_the_published_scripts() {
    let fixture = Fixture::open("sd2/parity.safetensors");
    let size = Size::new(56, 40);
    let (source, edited) = (map(&fixture, "md.source"), map(&fixture, "md.edited"));
    let editable = Mask {
        width: 56,
        height: 40,
        data: fixture
            .numbers("md.mask")
            .iter()
            .map(|v| *v > 0.0)
            .collect(),
    };
    let centre = |index: i64| index as f64 + 0.5;
    let pairs: Vec<PointPair> = fixture
        .integers("md.points")
        .chunks_exact(4)
        .map(|p| PointPair {
            handle: Point::new(centre(p[0]), centre(p[1])),
            target: Point::new(centre(p[2]), centre(p[3])),
        })
        .collect();
    for (variant, name) in [
        (Variant::A, "md.A"),
        (Variant::B, "md.B"),
        (Variant::C, "md.C"),
        (Variant::D1, "md.B"),
        (Variant::D2, "md.C"),
    ] {
        let found: Vec<[f64; 2]> = matches(variant, &source, &edited, size, &editable, &pairs)
            .into_iter()
            .map(|point| point.map(|p| [p.y, p.x]).expect("there are candidates"))
            .collect();
        let expected: Vec<[f64; 2]> = fixture
            .integers(name)
            .chunks_exact(2)
            .map(|p| [centre(p[0]), centre(p[1])])
            .collect();
        assert_eq!(found, expected, "{variant:?}");
    }
}

#[test]
fn nearest_neighbours_are_those_of_pytorch() {
    let fixture = Fixture::open("sd2/parity.safetensors");
    let image = fixture.picture("nearest.image").to_host();
    let found = resized(&image, Size::new(9, 13), Size::new(20, 20));
    assert_eq!(found, fixture.picture("nearest.out").to_host());
}

/// Reads a picture as 8-bit RGB.
fn rgb(path: &str) -> (Size, Vec<u8>) {
    let picture = image::open(path).expect("a picture").into_rgb8();
    let size = Size::new(picture.width() as usize, picture.height() as usize);
    (size, picture.into_raw())
}

/// Without an edit, every variant has the length of the drag; for the true result, the demo model finds the content where it is.
#[test]
fn no_edit_has_the_length_of_the_drag_and_the_true_result_almost_none() {
    let dift = dift("demo");
    let mut totals = [0.0; 2];
    for scene in [
        "translation-00",
        "translation-03",
        "deformation-02",
        "rotation-06",
    ] {
        let folder = format!(
            "{}/tests/scenebench/suite/{scene}",
            env!("CARGO_MANIFEST_DIR")
        );
        let drag = DragFile::read(format!("{folder}/drag.json").as_ref()).expect("a drag file");
        let points: Vec<PointPair> = drag
            .regions
            .iter()
            .flat_map(|region| region.drag.pairs())
            .collect();
        let (size, source) = rgb(&format!("{folder}/input.png"));
        let (_, truth) = rgb(&format!("{folder}/truth.png"));
        let editable = Mask::filled(size, true);
        let of = |edited: &[u8], variants: &[Variant]| {
            let dragged = Dragged {
                size,
                source: &source,
                edited,
                prompt: &drag.prompt,
                points: &points,
                centroids: &points,
                editable: &editable,
            };
            distances(&dift, &dragged, variants, &Interrupt::never()).expect("finite numbers")
        };
        let still = of(&source, &[Variant::A, Variant::B, Variant::D1]);
        for (variant, found) in still {
            assert_eq!(found.len(), points.len());
            for (found, pair) in found.iter().zip(&points) {
                let length = pair.handle.distance(pair.target);
                assert!(
                    (found - length).abs() < 1e-9,
                    "{scene} {variant:?}: {found}, not {length}"
                );
            }
        }
        let moved = of(&truth, &[Variant::A]);
        let lengths = points.iter().map(|pair| pair.handle.distance(pair.target));
        let [length, left] = [lengths.sum::<f64>(), moved[0].1.iter().sum()];
        report(&format!(
            "{scene}: drags of {length:.1} px, {left:.1} px left in the true result"
        ));
        totals = [totals[0] + length, totals[1] + left];
    }
    assert!(totals[1] < 0.35 * totals[0], "{totals:?}");
}

/// An enlarged map of 1280 channels at 512 x 512 takes 1.3 GB. The search holds a few numbers for each cell.
#[test]
fn a_search_of_1280_channels_stores_no_enlarged_map() {
    let shape = [64, 64, 1280];
    let values = |seed: f32| -> Vec<f32> {
        (0..64 * 64 * 1280)
            .map(|at| (at as f32 * 0.37 + seed).sin())
            .collect()
    };
    let maps = [0.0, 1.0].map(|seed| FeatureMap::new(shape, values(seed)));
    let size = Size::new(512, 512);
    let alone = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .expect("a thread");
    let peak = alone.install(|| {
        allocation::peak(|| {
            let matcher = Matcher::new(&maps[1], size, Enlargement::Bilinear);
            matcher
                .best(&maps[0], [200, 300], |_| true)
                .expect("a match");
        })
    });
    let bound = Matcher::bytes(shape, size.width);
    report(&format!("{peak} bytes at once, at most {bound} stated"));
    assert!(
        bound < 2_000_000 && peak <= bound + 65_536,
        "{peak} bytes, stated are {bound}"
    );
    assert!(peak > 64 * 64 * 8, "the search was counted: {peak}");
}

//! `dragnext preview` and the strip of `dragnext edit`, through the binary.

mod inputs;
mod marks;
mod outputs;

use image::{Rgb, RgbImage};

use crate::bench::{Bench, Run};

/// Writes a smooth picture without the colours of the marks, and returns it.
pub(super) fn picture(bench: &Bench, name: &str, width: u32, height: u32) -> RgbImage {
    let wave = |x: u32, y: u32| (((x as f32) * 0.05).sin() + ((y as f32) * 0.03).cos()) * 20.0;
    let picture = RgbImage::from_fn(width, height, |x, y| {
        let value = (150.0 + wave(x, y)) as u8;
        Rgb([value, value - 12, value - 30])
    });
    picture.save(bench.path(name)).unwrap();
    picture
}

/// `dragnext preview` with these arguments.
pub(super) fn run(bench: &Bench, arguments: &[&str]) -> Run {
    bench.dragnext(["preview"]).args(arguments)
}

pub(super) fn open(bench: &Bench, name: &str) -> RgbImage {
    image::open(bench.path(name)).unwrap().into_rgb8()
}

/// The preview of `image` with a drag file of this content.
pub(super) fn preview(bench: &Bench, image: &str, drag: &str) -> RgbImage {
    bench.write("drag.json", drag);
    run(bench, &[image, "--drag", "drag.json", "-o", "look.png"])
        .arg("--overwrite")
        .any_stderr()
        .run();
    open(bench, "look.png")
}

pub(super) fn drag_file(editable: &str, regions: &str) -> String {
    format!(r#"{{ "version": 1, {editable} "regions": [ {regions} ] }}"#)
}

pub(super) fn is_red(Rgb([red, green, blue]): Rgb<u8>) -> bool {
    red > 190 && green < 70 && blue < 70
}

pub(super) fn is_blue(Rgb([red, green, blue]): Rgb<u8>) -> bool {
    blue > 190 && green < 130 && red < 70
}

pub(super) fn is_green(Rgb([red, green, blue]): Rgb<u8>) -> bool {
    green > 120 && red < 60 && blue < 100
}

pub(super) fn count(picture: &RgbImage, is: fn(Rgb<u8>) -> bool) -> usize {
    picture.pixels().filter(|pixel| is(**pixel)).count()
}

/// Returns the pixel of a preview at a point of the picture, given the picture's width.
pub(super) fn under(preview: &RgbImage, width: u32, [x, y]: [f64; 2]) -> Rgb<u8> {
    let scale = f64::from(preview.width()) / f64::from(width);
    *preview.get_pixel((x * scale) as u32, (y * scale) as u32)
}

pub(super) const TRANSLATION: &str = r#"{ "type": "translation", "region": { "ellipse": [40, 40, 14, 12] }, "handle": [40, 40], "target": [60, 45] }"#;

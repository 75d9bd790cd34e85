use super::*;
use crate::geometry::{Point, Size};

const KINDS: [Fill; 2] = [Fill::Smooth, Fill::Patches];

fn painted(size: Size, colour: impl Fn(Point) -> [f32; 3]) -> Raster {
    Raster::new(size, size.centres().map(colour).collect())
}

fn disc(size: Size, centre: Point, radius: f64) -> Mask {
    Mask::from_fn(size, |point| point.distance(centre) < radius)
}

/// Colours without any pattern.
fn speckled(size: Size) -> Raster {
    painted(size, |Point { x, y }| {
        let wave = |a: f64, b: f64| (0.5 + 0.4 * (a * x * x + b * y).sin()) as f32;
        [wave(0.7, 1.3), wave(1.1, 0.3), wave(0.2, 2.9)]
    })
}

fn largest_error(a: &Raster, b: &Raster) -> f32 {
    let pairs = a.pixels().iter().flatten().zip(b.pixels().iter().flatten());
    255.0 * pairs.fold(0.0_f32, |largest, (a, b)| largest.max((a - b).abs()))
}

#[test]
fn the_smooth_fill_of_a_harmonic_picture_is_the_picture() {
    for side in [3, 20, 301] {
        let size = Size::new(side + 8, side + 3);
        let unit = side as f64;
        let truth = painted(size, |point| {
            let (x, y) = (point.x / unit, point.y / unit);
            let values = [
                0.5 + 0.4 * (x * x - y * y),
                0.2 + 0.5 * x * y,
                0.3 + 0.2 * x,
            ];
            values.map(|value| value as f32)
        });
        let middle = Point::new(unit / 2.0 + 4.0, unit / 2.0 + 1.5);
        let hole = disc(size, middle, unit / 2.0);
        let filled = fill(&truth, &hole, &Mask::filled(size, false), Fill::Smooth);
        let error = largest_error(&filled, &truth);
        assert!(error < 0.1, "{error} levels with a side of {side}");
    }
}

#[test]
fn the_holes_own_pixels_are_never_read() {
    let size = Size::new(70, 61);
    let picture = speckled(size);
    let hole = disc(size, Point::new(30.0, 5.0), 14.0);
    let excluded = disc(size, Point::new(45.0, 20.0), 9.0);
    let mut other = picture.clone();
    for index in 0..size.area() {
        if hole.data[index] || excluded.data[index] {
            other.pixels_mut()[index] = [f32::NAN, 9.0, -3.0];
        }
    }
    for how in KINDS {
        let (a, b) = (
            fill(&picture, &hole, &excluded, how),
            fill(&other, &hole, &excluded, how),
        );
        for index in 0..size.area() {
            if hole.data[index] {
                assert_eq!(a.pixels()[index], b.pixels()[index], "{how:?}");
                assert!(a.pixels()[index].iter().all(|value| value.is_finite()));
            } else {
                assert_eq!(a.pixels()[index], picture.pixels()[index], "{how:?}");
            }
        }
    }
}

#[test]
fn excluded_pixels_are_no_border() {
    let size = Size::new(40, 30);
    let excluded = disc(size, Point::new(20.0, 15.0), 8.0);
    let picture = painted(size, |point| {
        if excluded.at(point) {
            [1.0; 3]
        } else {
            [0.25; 3]
        }
    });
    let hole = disc(size, Point::new(26.0, 15.0), 8.0);
    for how in KINDS {
        let filled = fill(&picture, &hole, &excluded, how);
        for index in (0..size.area()).filter(|index| hole.data[*index]) {
            let value = filled.pixels()[index][0];
            assert!((value - 0.25).abs() < 1e-3, "{how:?} gives {value}");
        }
    }
}

#[test]
fn a_smooth_fill_stays_within_the_range_of_the_holes_border() {
    let size = Size::new(50, 50);
    let picture = speckled(size);
    let hole = disc(size, Point::new(25.0, 25.0), 12.0);
    let filled = fill(&picture, &hole, &Mask::filled(size, false), Fill::Smooth);
    let border = hole.dilated(1);
    for channel in 0..3 {
        let known = (0..size.area()).filter(|i| border.data[*i] && !hole.data[*i]);
        let (low, high) = known.fold((1.0_f32, 0.0_f32), |(low, high), index| {
            let value = picture.pixels()[index][channel];
            (low.min(value), high.max(value))
        });
        for index in (0..size.area()).filter(|index| hole.data[*index]) {
            let value = filled.pixels()[index][channel];
            assert!((low..=high).contains(&value));
        }
    }
}

#[test]
fn pictures_without_a_source_come_back_unchanged() {
    for size in [Size::new(1, 1), Size::new(1, 7), Size::new(12, 9)] {
        let picture = speckled(size);
        let (all, none) = (Mask::filled(size, true), Mask::filled(size, false));
        for how in KINDS {
            assert_eq!(fill(&picture, &all, &none, how), picture);
            assert_eq!(fill(&picture, &none, &none, how), picture);
            assert_eq!(fill(&picture, &none, &all, how), picture);
        }
    }
}

#[test]
fn tiny_pictures_and_single_pixels_are_filled() {
    for (width, height) in [(2, 1), (1, 5), (3, 3), (9, 2), (11, 13)] {
        let size = Size::new(width, height);
        let picture = painted(size, |_| [0.5, 0.25, 0.75]);
        for index in 0..size.area() {
            let mut hole = Mask::filled(size, false);
            hole.data[index] = true;
            let mut damaged = picture.clone();
            damaged.pixels_mut()[index] = [f32::NAN; 3];
            for how in KINDS {
                let filled = fill(&damaged, &hole, &Mask::filled(size, false), how);
                assert!(
                    largest_error(&filled, &picture) < 0.01,
                    "{how:?} of {size} at {index}"
                );
            }
        }
    }
}

#[test]
fn fills_do_not_depend_on_the_number_of_threads() {
    let size = Size::new(80, 72);
    let picture = speckled(size);
    let hole = disc(size, Point::new(38.0, 40.0), 16.0);
    for how in KINDS {
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let run = || fill(&picture, &hole, &Mask::filled(size, false), how);
            pool.expect("threads start").install(run)
        };
        assert_eq!(with(1), with(3));
    }
}

/// Returns the mean error in levels within a mask.
fn mean_error(a: &Raster, b: &Raster, mask: &Mask) -> f32 {
    let inside = (0..mask.data.len()).filter(|index| mask.data[*index]);
    let sum: f32 = inside
        .flat_map(|index| (0..3).map(move |channel| (index, channel)))
        .map(|(index, channel)| (a.pixels()[index][channel] - b.pixels()[index][channel]).abs())
        .sum();
    255.0 * sum / (3 * mask.count()) as f32
}

#[test]
fn patches_continue_horizons_stripes_and_dots_where_a_smooth_fill_blurs_them() {
    let size = Size::new(150, 140);
    let light = |point: Point| (0.6 + 0.1 * point.x / 150.0) as f32;
    let soft = |distance: f64| (0.5 - distance).clamp(0.0, 1.0) as f32;
    let scenes: [(&str, &dyn Fn(Point) -> f32); 3] = [
        ("horizon", &|point| soft(point.y - 0.1 * point.x - 60.0)),
        ("stripes", &|point| {
            soft(((0.8 * point.x + 0.6 * point.y) % 12.0 - 6.0).abs() - 3.0)
        }),
        ("dots", &|point| {
            soft((point.x % 14.0 - 7.0).hypot(point.y % 14.0 - 7.0) - 4.0)
        }),
    ];
    let hole = disc(size, Point::new(70.0, 68.0), 22.0);
    for (name, pattern) in scenes {
        let truth = painted(size, |point| {
            let value = light(point) - 0.25 * pattern(point);
            [value, value, 0.8 * value]
        });
        let [smooth, patches] = KINDS.map(|how| {
            let filled = fill(&truth, &hole, &Mask::filled(size, false), how);
            mean_error(&filled, &truth, &hole)
        });
        assert!(patches < 1.5, "{name}: {patches} levels");
        assert!(
            patches < 0.25 * smooth,
            "{name}: {patches} and {smooth} levels"
        );
    }
}

#[test]
fn patches_continue_smooth_light_without_steps() {
    let size = Size::new(120, 110);
    let truth = painted(size, |point| {
        let (x, y) = (point.x / 60.0 - 1.0, point.y / 60.0 - 1.0);
        [
            0.9 - 0.2 * (x * x + y * y),
            0.5 + 0.2 * x,
            0.4 + 0.1 * x * y,
        ]
        .map(|value| value as f32)
    });
    let hole = disc(size, Point::new(50.0, 60.0), 25.0);
    let filled = fill(&truth, &hole, &Mask::filled(size, false), Fill::Patches);
    let error = largest_error(&filled, &truth);
    assert!(error < 1.0, "{error} levels");
}

use super::likeness::difference;
use super::*;
use crate::geometry::Point;
use crate::picture::mixed;

const SIZE: Size = Size::new(120, 110);
const CENTRE: Point = Point::new(60.3, 54.6);

/// Paints `colour` over a background, with an antialiased edge where the signed distance is 0; returns the opacity, too.
fn scene(
    background: impl Fn(Point) -> Pixel,
    colour: Pixel,
    distance: impl Fn(Point) -> f64,
) -> (Raster, Vec<f32>) {
    let opacity: Vec<f32> = (SIZE.centres())
        .map(|point| (0.5 - distance(point)).clamp(0.0, 1.0) as f32)
        .collect();
    let pixels = (SIZE.centres().zip(&opacity))
        .map(|(point, opacity)| mixed(background(point), colour, *opacity));
    (Raster::new(SIZE, pixels.collect()), opacity)
}

fn disc(radius: f64) -> Mask {
    Mask::from_fn(SIZE, |point| point.distance(CENTRE) < radius)
}

fn gradient(point: Point) -> Pixel {
    [
        0.6,
        0.7 + point.x as f32 / 800.0,
        0.9 - point.y as f32 / 700.0,
    ]
}

fn horizon(point: Point) -> Pixel {
    let ground_share = (point.y - 50.0 - 0.1 * point.x).clamp(0.0, 1.0) as f32;
    mixed(gradient(point), [0.3, 0.5, 0.2], ground_share)
}

/// Returns the error of an opacity in shares of the true object's area.
fn error(found: &Object, truth: &[f32]) -> f32 {
    let sum: f32 = found
        .opacity
        .iter()
        .zip(truth)
        .map(|(a, b)| (a - b).abs())
        .sum();
    sum / truth.iter().sum::<f32>()
}

const RED: Pixel = [0.85, 0.2, 0.15];

#[test]
fn loose_and_tight_regions_give_the_same_object_on_any_background() {
    for background in [gradient, horizon] {
        let (picture, truth) = scene(background, RED, |point| point.distance(CENTRE) - 20.0);
        for radius in [18.0, 24.0, 30.0] {
            let found = object(&picture, &disc(radius));
            assert!(found.found, "radius {radius}");
            assert!(
                error(&found, &truth) < 0.02,
                "radius {radius}: {}",
                error(&found, &truth)
            );
        }
    }
}

#[test]
fn soft_pixels_have_the_objects_own_colour() {
    let (picture, _) = scene(gradient, RED, |point| point.distance(CENTRE) - 20.0);
    let found = object(&picture, &disc(28.0));
    for (index, opacity) in found.opacity.iter().enumerate().filter(|(_, o)| **o > 0.02) {
        let difference = difference(found.colour.pixels()[index], RED);
        assert!(
            difference < 0.03,
            "opacity {opacity} differs by {difference}"
        );
    }
}

#[test]
fn background_is_seen_through_a_ring_but_other_colours_inside_stay() {
    let ring = |point: Point| (point.distance(CENTRE) - 16.0).abs() - 5.0;
    let (picture, truth) = scene(horizon, RED, ring);
    let found = object(&picture, &disc(26.0));
    assert!(found.found);
    assert!(error(&found, &truth) < 0.03, "{}", error(&found, &truth));

    // A white inside is part of the object.
    let filled = disc(10.5);
    let mut picture = picture;
    for (index, pixel) in picture.pixels_mut().iter_mut().enumerate() {
        if filled.data[index] {
            *pixel = [1.0; 3];
        }
    }
    let found = object(&picture, &disc(26.0));
    assert!(found.found);
    assert!(
        filled
            .data
            .iter()
            .zip(&found.opacity)
            .all(|(inside, opacity)| !inside || *opacity > 0.9)
    );
}

#[test]
fn a_neighbour_that_reaches_far_out_of_the_region_is_not_the_object() {
    let neighbour = |point: Point| (point.x - 84.0).max(40.0 - point.y).abs() - 10.0;
    let (with_neighbour, _) = scene(gradient, [0.1, 0.2, 0.5], neighbour);
    let background = |point: Point| {
        let index = point.y as usize * SIZE.width + point.x as usize;
        with_neighbour.pixels()[index]
    };
    let (picture, truth) = scene(background, RED, |point| point.distance(CENTRE) - 16.0);
    let found = object(&picture, &disc(24.0));
    assert!(found.found);
    assert!(error(&found, &truth) < 0.06, "{}", error(&found, &truth));
}

const BLUE: Pixel = [0.15, 0.25, 0.7];

/// A red disc with a blue box that reaches out of its region; returns the picture and the box's opacity. The disc is in front when `front` says
/// so.
fn disc_and_box(front: bool) -> (Raster, Vec<f32>) {
    let round = |point: Point| point.distance(CENTRE) - 20.0;
    let square = |point: Point| (70.0 - point.x).max((point.y - CENTRE.y).abs() - 26.0);
    let (boxed, opacity) = scene(gradient, BLUE, square);
    let at = |picture: &Raster, point: Point| {
        picture.pixels()[point.y as usize * SIZE.width + point.x as usize]
    };
    if front {
        return (scene(|point| at(&boxed, point), RED, round).0, opacity);
    }
    let (disc, _) = scene(gradient, RED, round);
    (scene(|point| at(&disc, point), BLUE, square).0, opacity)
}

#[test]
fn what_hides_a_part_of_the_object_is_cut_out_too() {
    let (picture, truth) = disc_and_box(false);
    let found = object(&picture, &disc(25.0));
    let front = found.front.expect("the box hides a part of the disc");
    let guessed = found.guessed.expect("the disc goes on behind the box");
    for (index, point) in SIZE.centres().enumerate() {
        if (point.y - CENTRE.y).abs() < 20.0 && point.x < 90.0 {
            let error = (front.opacity[index] - truth[index]).abs();
            assert!(
                error < 0.25,
                "the box's opacity at {point:?} is off by {error}"
            );
        }
        // The hidden part of the disc is 10 pixels deep; its guess is at most as deep again.
        if found.opacity[index] > 0.0 {
            assert!(point.x < 83.0, "the object reaches {point:?}");
        }
        if point.distance(CENTRE) < 18.0 {
            let off = difference(found.colour.pixels()[index], RED);
            let (there, visible) = (found.opacity[index], point.x < 68.0);
            assert!(
                !visible || there > 0.9,
                "the disc's opacity at {point:?} is {there}"
            );
            assert!(
                there < 0.5 || off < 0.03,
                "its colour at {point:?} is off by {off}"
            );
            assert!(
                visible || guessed[index] > 0.3 || there == 0.0,
                "{point:?} is no guess"
            );
        }
    }
    let hidden = |index: &usize| truth[*index] == 1.0;
    let continued: f32 = (0..SIZE.area())
        .filter(hidden)
        .map(|index| found.opacity[index])
        .sum();
    assert!(continued > 100.0, "{continued} pixels are continued");
}

#[test]
fn what_the_object_hides_is_not_in_front() {
    let (picture, _) = disc_and_box(true);
    let found = object(&picture, &disc(25.0));
    assert!(found.found);
    assert_eq!((found.front, found.guessed), (None, None));
}

#[test]
fn a_region_without_an_object_is_used_as_drawn() {
    let speckled = |Point { x, y }: Point| {
        let wave = |a: f64, b: f64| (0.5 + 0.4 * (a * x * x + b * y * x + y).sin()) as f32;
        [wave(0.7, 1.3), wave(1.1, 0.3), wave(0.2, 2.9)]
    };
    for background in [gradient, speckled] {
        let (picture, _) = scene(background, RED, |_| 9.0);
        let drawn = disc(20.0);
        let found = object(&picture, &drawn);
        assert!(!found.found);
        assert_eq!(found.colour, picture);
        assert_eq!(found.opacity, softened(&drawn));
    }
}

#[test]
fn fragments_of_a_textured_thing_are_not_an_object_but_the_halves_of_a_crossed_one_are() {
    let textured = |point: Point| {
        let wave = (0.9 * point.x).sin() * (0.7 * point.y + 0.2 * point.x).sin();
        gradient(point).map(|value| value + 0.02 * wave as f32)
    };
    let spots = |apart: f64| {
        move |point: Point| {
            let distance = |side: f64| {
                point.distance(Point::new(CENTRE.x + side * apart, CENTRE.y - side * apart)) - 7.0
            };
            distance(1.0).min(distance(-1.0))
        }
    };
    let (picture, _) = scene(textured, RED, spots(12.0));
    let drawn = disc(30.0);
    let found = object(&picture, &drawn);
    assert!(!found.found);
    assert_eq!(found.opacity, softened(&drawn));

    let (picture, truth) = scene(textured, RED, spots(4.0));
    let found = object(&picture, &drawn);
    assert!(found.found);
    assert!(error(&found, &truth) < 0.1, "{}", error(&found, &truth));

    let halves = |point: Point| (point.distance(CENTRE) - 20.0).max(2.0 - (point.x - 62.0).abs());
    let (picture, truth) = scene(textured, RED, halves);
    let found = object(&picture, &drawn);
    assert!(found.found);
    assert!(error(&found, &truth) < 0.1, "{}", error(&found, &truth));
}

#[test]
fn opacities_are_shares_and_absent_far_from_the_region() {
    let (picture, _) = scene(horizon, RED, |point| point.distance(CENTRE) - 15.0);
    let far = disc(30.0);
    let found = object(&picture, &disc(20.0));
    for (index, opacity) in found.opacity.iter().enumerate() {
        assert!((0.0..=1.0).contains(opacity));
        assert!(far.data[index] || *opacity == 0.0);
    }
}

/// Darkens a picture's background as a shadow of the disc around `centre` with a soft edge does.
fn shaded(
    background: impl Fn(Point) -> Pixel,
    centre: Point,
    radius: f64,
) -> impl Fn(Point) -> Pixel {
    move |point| {
        let share = (0.5 - (point.distance(centre) - radius) / 8.0).clamp(0.0, 1.0);
        background(point).map(|value| value * (1.0 - 0.35 * share as f32))
    }
}

#[test]
fn a_soft_shadow_goes_with_its_object_and_the_ground_below_it_stays() {
    let offset = Point::new(9.0, -6.0);
    let place = Point::new(CENTRE.x + offset.x, CENTRE.y + offset.y);
    let (picture, truth) = scene(shaded(gradient, place, 16.0), RED, |point| {
        point.distance(CENTRE) - 16.0
    });
    let found = object(&picture, &disc(19.0));
    assert!(found.found);
    assert!(error(&found, &truth) < 0.03, "{}", error(&found, &truth));
    let cast = found.cast.expect("a shadow");
    assert!(cast.offset.distance(offset) < 4.0, "{:?}", cast.offset);
    for (index, point) in SIZE.centres().enumerate() {
        if point.distance(CENTRE) < 19.0 {
            continue;
        }
        let ground = gradient(point);
        let shown = mixed(ground, cast.colour.pixels()[index], cast.opacity[index]);
        assert!(
            difference(shown, picture.pixels()[index]) < 0.02,
            "{point:?}"
        );
        if point.distance(place) > 22.0 {
            assert_eq!(cast.opacity[index], 0.0, "{point:?}");
        }
    }
}

#[test]
fn patterns_and_hard_things_are_not_shadows() {
    let striped = |point: Point| {
        let wave = (3.0 * (point.x * 0.4).sin()).tanh() as f32;
        gradient(point).map(|value| value * (0.9 + 0.1 * wave))
    };
    let dotted = |point: Point| {
        let wave = (6.0 * ((point.x * 0.4).sin() * (point.y * 0.4).sin() - 0.4)).tanh() as f32;
        gradient(point).map(|value| value * (0.9 - 0.1 * wave))
    };
    let dark_disc = |point: Point| {
        let share = (0.5 - point.distance(Point::new(74.0, 46.0)) + 16.0).clamp(0.0, 1.0);
        gradient(point).map(|value| value * (1.0 - 0.35 * share as f32))
    };
    let backgrounds: [&dyn Fn(Point) -> Pixel; 3] = [&striped, &dotted, &dark_disc];
    for (number, background) in backgrounds.into_iter().enumerate() {
        let (picture, _) = scene(background, RED, |point| point.distance(CENTRE) - 16.0);
        let found = object(&picture, &disc(19.0));
        assert!(found.cast.is_none(), "background {number}");
    }
}

#[test]
fn a_shadow_that_another_thing_shares_stays() {
    let place = Point::new(CENTRE.x + 20.0, CENTRE.y);
    let other = Point::new(CENTRE.x + 38.0, CENTRE.y);
    let background = |point: Point| {
        let share = (0.5 - point.distance(other) + 12.0).clamp(0.0, 1.0) as f32;
        mixed(shaded(gradient, place, 16.0)(point), [0.1, 0.2, 0.6], share)
    };
    let (picture, _) = scene(background, RED, |point| point.distance(CENTRE) - 16.0);
    assert!(object(&picture, &disc(19.0)).cast.is_none());
}

#[test]
fn tiny_pictures_and_regions_do_not_fail() {
    for (width, height) in [(1, 1), (2, 1), (3, 5), (16, 9)] {
        let size = Size::new(width, height);
        let pixels = size
            .centres()
            .map(|point| [(point.x * 0.05) as f32, 0.5, 0.2]);
        let picture = Raster::new(size, pixels.collect());
        for inside in [false, true] {
            let found = object(&picture, &Mask::filled(size, inside));
            assert!(!found.found);
        }
        let mut single = Mask::filled(size, false);
        single.data[size.area() / 2] = true;
        assert_eq!(object(&picture, &single).opacity.len(), size.area());
    }
}

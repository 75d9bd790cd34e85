use super::*;
use image::{DynamicImage, GrayImage, ImageBuffer, Luma, LumaA, Rgba};

fn from_rows(rows: &[&str]) -> Mask {
    let data = rows
        .iter()
        .flat_map(|row| row.chars().map(|c| c == '#'))
        .collect();
    Mask {
        width: rows[0].len(),
        height: rows.len(),
        data,
    }
}

#[test]
fn the_far_edge_belongs_to_the_last_pixel() {
    let mask = from_rows(&["..#", ".##"]);
    assert!(
        mask.at(Point::new(3.0, 2.0))
            && mask.at(Point::new(3.0, 0.5))
            && mask.at(Point::new(2.0, 0.0))
    );
    assert!(
        !mask.at(Point::new(3.000_001, 1.0))
            && !mask.at(Point::new(2.5, -0.001))
            && !mask.at(Point::new(f64::NAN, 1.0))
    );
    assert!(!mask.at(Point::new(0.0, 0.0)));
}

#[test]
fn dilation_is_a_square() {
    let mask = from_rows(&["......", "......", "..#...", "......", ".....#"]);
    assert_eq!(
        mask.dilated(1),
        from_rows(&["......", ".###..", ".###..", ".#####", "....##"])
    );
    assert_eq!(mask.dilated(0), mask);
    assert_eq!(mask.dilated(9).count(), 30);
}

#[test]
fn resizing_takes_the_first_pixel_of_each_block() {
    let mask = from_rows(&["#..#", "....", "..#.", "...#"]);
    assert_eq!(mask.resized(Size::new(2, 2)), from_rows(&["#.", ".#"]));
    assert_eq!(
        from_rows(&["#."]).resized(Size::new(4, 2)),
        from_rows(&["##..", "##.."])
    );
}

#[test]
fn depth_is_the_distance_to_the_area_s_edge_not_to_the_picture_s() {
    let depth = from_rows(&[".###", "####"]).depth();
    let diagonal = std::f32::consts::SQRT_2;
    assert_eq!(depth.largest(), 2.0 + diagonal);
    assert_eq!(
        depth.0,
        [
            0.0,
            1.0,
            2.0,
            3.0,
            1.0,
            diagonal,
            1.0 + diagonal,
            2.0 + diagonal
        ]
    );
    let everywhere = Mask::filled(Size::new(3, 2), true).depth();
    assert!(everywhere.0.iter().all(|depth| depth.is_infinite()));
    assert_eq!(everywhere.largest(), 0.0);
}

#[test]
fn bounds_enclose_whole_pixels() {
    assert_eq!(
        from_rows(&["....", ".#..", "...#"]).bounds(),
        Some((Point::new(1.0, 1.0), Point::new(4.0, 3.0)))
    );
    assert_eq!(Mask::filled(Size::new(4, 4), false).bounds(), None);
}

#[test]
fn every_pixel_format_is_read_by_its_luma() {
    let folder = tempfile::tempdir().expect("a folder for the masks");
    let pictures: [DynamicImage; 4] = [
        GrayImage::from_vec(3, 1, vec![127, 128, 255])
            .expect("three pixels")
            .into(),
        ImageBuffer::<Luma<u16>, _>::from_vec(3, 1, vec![0x7f00_u16, 0x8100, 0xffff])
            .expect("three pixels")
            .into(),
        ImageBuffer::<LumaA<u8>, _>::from_vec(3, 1, vec![0_u8, 255, 200, 0, 255, 7])
            .expect("three pixels")
            .into(),
        ImageBuffer::<Rgba<u8>, _>::from_vec(
            3,
            1,
            vec![0_u8, 0, 0, 255, 255, 255, 255, 0, 0, 255, 0, 1],
        )
        .expect("three pixels")
        .into(),
    ];
    for (index, picture) in pictures.iter().enumerate() {
        let path = folder.path().join(format!("{index}.png"));
        picture.save(&path).expect("the mask is written");
        let reading = MaskReading {
            channel: Some(MaskChannel::Luma),
            invert: false,
        };
        let source = MaskSource::File(path.clone());
        let read = Mask::from_source(&source, reading, Size::new(3, 1)).expect("a mask");
        assert_eq!(read.mask, from_rows(&[".##"]), "picture {index}");
        assert_eq!(read.note, None);
    }
}

#[test]
fn another_size_is_rejected_with_both_sizes() {
    let folder = tempfile::tempdir().expect("a folder for the mask");
    let path = folder.path().join("mask.png");
    GrayImage::new(3, 2)
        .save(&path)
        .expect("the mask is written");
    let message = Mask::read(&path, Size::new(4, 2))
        .expect_err("3 x 2 is not 4 x 2")
        .to_string();
    assert!(
        message.ends_with("is 3 x 2 pixels, the image is 4 x 2"),
        "{message}"
    );
    assert!(matches!(
        Mask::read(folder.path(), Size::new(4, 2)),
        Err(MaskError::File { .. })
    ));
}

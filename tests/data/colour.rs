//! Images in colour, from arrays and from pictures, and grey ones beside them.

#![allow(clippy::type_complexity, reason = "tables of cases")]

use std::fs;

use elbo::data::{Channels, Dataset, Fit, MNIST, Options, load, open};
use elbo::report::figures::{Layout, grid};
use elbo::{ImageShape, Images};
use image::{
    DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage,
};
use safetensors::Dtype;

use crate::formats::{
    AS_IS, assert_words, encoded, folder, load_file, npy, pixels, ramp, safetensors,
};

const GREY: Options = Options { channels: Some(Channels::Grey), ..AS_IS };
const COLOUR: Options = Options { channels: Some(Channels::Colour), ..AS_IS };

/// Three images of 2x5 pixels, (N, height, width, 3), and the same as (N, 3, height, width).
fn both_orders() -> [Vec<u8>; 2] {
    let last = ramp(3 * 2 * 5 * 3);
    let mut first = Vec::new();
    for image in last.chunks_exact(30) {
        for channel in 0..3 {
            first.extend(image.iter().skip(channel).step_by(3));
        }
    }
    [last, first]
}

fn shape(data: &Dataset) -> ImageShape {
    assert_eq!(data.train.shape(), data.test.shape());
    data.train.shape()
}

#[test]
fn arrays_in_colour() {
    let [last, first] = both_orders();
    let floats = |bytes: &[u8]| -> Vec<u8> {
        bytes.iter().flat_map(|&v| (f32::from(v) / 255.0).to_le_bytes()).collect()
    };
    for (shape_of, bytes) in [([3, 2, 5, 3], &last), ([3, 3, 2, 5], &first)] {
        for (descr, dtype, bytes) in
            [("|u1", Dtype::U8, bytes.clone()), ("<f4", Dtype::F32, floats(bytes))]
        {
            let files = [
                ("a.npy", npy(descr, &shape_of, &bytes)),
                ("a.safetensors", safetensors(&[("x", dtype, &shape_of, &bytes)])),
            ];
            for (name, file) in files {
                let data = load_file(name, &file, AS_IS).unwrap();
                assert_eq!(shape(&data), ImageShape { height: 2, width: 5, channels: 3 });
                assert_eq!((data.train.n_images, data.test.n_images), (2, 1));
                assert_eq!(pixels(&data), last, "{name} {descr} {shape_of:?}");
                let same = load_file(name, &file, COLOUR).unwrap();
                assert_eq!((same.train, same.test), (data.train, data.test));
            }
        }
    }
    // As grey, by the image crate's own luma.
    let data = load_file("a.npy", &npy("|u1", &[3, 2, 5, 3], &last), GREY).unwrap();
    let luma = RgbImage::from_raw(5, 6, last.clone()).map(DynamicImage::from).unwrap().into_luma8();
    assert_eq!((shape(&data), pixels(&data)), ((2, 5).into(), luma.into_raw()));
    // Bits are bits in colour, too, and become grey after they were spread.
    let bits: Vec<u8> = (0..90).map(|i| u8::from(i % 3 == 1)).collect();
    let data = load_file("a.npy", &npy("|u1", &[3, 2, 5, 3], &bits), AS_IS).unwrap();
    assert!(data.train.is_binary() && data.train.channels == 3);
    let data = load_file("a.npy", &npy("|u1", &[3, 2, 5, 3], &bits), GREY).unwrap();
    assert_eq!(pixels(&data), [182; 30]);
    // Another size, of each channel by itself.
    let red: Vec<u8> = (0..90).map(|i| if i % 3 == 0 { 200 } else { 0 }).collect();
    let options = Options { size: Some((3, 4)), ..AS_IS };
    let data = load_file("a.npy", &npy("|u1", &[3, 2, 5, 3], &red), options).unwrap();
    assert_eq!(shape(&data), ImageShape { height: 3, width: 4, channels: 3 });
    assert!(pixels(&data).chunks_exact(3).all(|pixel| pixel == [200, 0, 0]));
}

#[test]
fn shapes_that_say_too_little_are_refused() {
    let file = |shape: &[usize]| npy("|u1", shape, &ramp(shape.iter().product()));
    let size = Options { size: Some((2, 5)), ..AS_IS };
    for (shape, options, words) in [
        (&[2, 3, 7, 3][..], AS_IS, &["(2, 3, 7, 3)", "3 both where colours come first and"][..]),
        (&[2, 4, 5, 4], AS_IS, &["(2, 4, 5, 4) looks like colours with an alpha", "(N, 3, height"]),
        (&[2, 5, 7, 2], AS_IS, &["its shape is (2, 5, 7, 2)", "in colour (N, height, width, 3)"]),
        (
            &[2, 30],
            size.clone(),
            &["(2, 30) could be colour images of 2x5", "(N, 2, 5, 3) or (N, 3, 2, 5)"],
        ),
        (&[2, 31], size.clone(), &["images of 31 pixels"]),
    ] {
        assert_words(load_file("a.npy", &file(shape), options), words);
    }
    // One channel, which a 3 beside it does not change.
    for shape in [[2, 1, 7, 3], [2, 3, 7, 1]] {
        assert_eq!(load_file("a.npy", &file(&shape), AS_IS).unwrap().train.channels, 1);
    }
    // One channel beside three.
    let parts = folder(&[("train.npy", &file(&[2, 2, 5, 3])), ("test.npy", &file(&[2, 2, 5]))]);
    for options in [AS_IS, size] {
        let words = ["test.npy: test images are grey but", "in colour; `channels` grey or colour"];
        assert_words(load(parts.path(), options), &words);
    }
    for (options, channels) in [(GREY, 1), (COLOUR, 3)] {
        assert_eq!(shape(&load(parts.path(), options).unwrap()).channels, channels);
    }
}

/// A picture of its own for each `i`.
fn sprite(i: u32) -> RgbImage {
    RgbImage::from_fn(6, 4, |x, y| Rgb([(40 * x + i) as u8, (60 * y) as u8, (9 * i) as u8]))
}

#[test]
fn pictures_keep_their_colours() {
    let names: Vec<String> = (0..12).map(|i| format!("{i:02}.png")).collect();
    let files: Vec<Vec<u8>> = (0..12).map(|i| encoded(sprite(i), ImageFormat::Png)).collect();
    let files: Vec<(&str, &[u8])> =
        names.iter().zip(&files).map(|(name, file)| (&name[..], &file[..])).collect();
    let home = folder(&files);
    let data = load(home.path(), AS_IS).unwrap();
    assert_eq!(shape(&data), ImageShape { height: 4, width: 6, channels: 3 });
    let mut images: Vec<&[u8]> = (0..10).map(|i| data.train.image(i)).collect();
    images.extend((0..2).map(|i| data.test.image(i)));
    images.sort_by_key(|image| image[2]);
    for (i, image) in images.into_iter().enumerate() {
        assert_eq!(image, sprite(i as u32).as_raw(), "{i}");
    }
    // Another order of the same bytes is other data; grey is the luma of each.
    let grey = load(home.path(), GREY).unwrap();
    assert_eq!(shape(&grey), (4, 6).into());
    let mut lumas: Vec<Vec<u8>> =
        (0..12).map(|i| DynamicImage::from(sprite(i)).into_luma8().into_raw()).collect();
    lumas.sort();
    let mut greys: Vec<&[u8]> = (0..10).map(|i| grey.train.image(i)).collect();
    greys.extend((0..2).map(|i| grey.test.image(i)));
    greys.sort();
    assert_eq!(greys, lumas);
}

#[test]
fn depth_alpha_and_palettes() {
    let deep = ImageBuffer::from_pixel(4, 4, Rgb([0xffff_u16, 0x8080, 0]));
    let clear = RgbaImage::from_pixel(4, 4, Rgba([255, 0, 10, 51]));
    let grey_clear = image::GrayAlphaImage::from_pixel(4, 4, LumaA([0, 51]));
    let home = folder(&[
        ("train/a.png", &encoded(DynamicImage::from(deep), ImageFormat::Png)),
        ("train/b.png", &encoded(clear, ImageFormat::Png)),
        ("test/c.png", &encoded(grey_clear, ImageFormat::Png)),
    ]);
    let mut lines = Vec::new();
    let path = home.path().to_str().unwrap();
    let data = elbo::data::open_with(path, AS_IS, &mut |line| lines.push(line)).unwrap();
    assert_eq!(data.train.image(0)[..3], [255, 128, 0]);
    // A fifth of it over white.
    assert_eq!(data.train.image(1)[..3], [255, 204, 206]);
    assert_eq!(data.test.image(0)[..3], [204, 204, 204]);
    let said = "1 of the 3 pictures is grey, the others are in colour, and so all are read; `channels` grey";
    assert!(lines.len() == 1 && lines[0].contains(said), "{lines:?}");
    // Whoever asked for something is not told what he gets.
    lines.clear();
    for options in [GREY, COLOUR] {
        elbo::data::open_with(path, options, &mut |line| lines.push(line)).unwrap();
    }
    assert!(lines.is_empty(), "{lines:?}");
}

/// Files in colour without any colour are what they were before there was colour.
#[test]
fn colourless_files_are_grey() {
    let file = |i: u8| RgbImage::from_fn(5, 4, |x, y| Rgb([i * 20 + (9 * x + y) as u8; 3]));
    let [a, b] = [1, 2].map(|i| encoded(file(i), ImageFormat::Png));
    let home = folder(&[("train/a.png", &a), ("test/b.png", &b)]);
    let size = Options { size: Some((3, 3)), ..AS_IS };
    for options in [AS_IS, size] {
        let data = load(home.path(), options.clone()).unwrap();
        assert_eq!(shape(&data).channels, 1);
        assert_eq!(
            data,
            load(home.path(), Options { channels: GREY.channels, ..options.clone() }).unwrap()
        );
    }
    // Of all levels, as red, green and blue.
    let all: Vec<u8> = (0..256 * 3).map(|i| (i / 3) as u8).collect();
    let data = load_file("a.npy", &npy("|u1", &[2, 8, 16, 3], &all), GREY).unwrap();
    assert_eq!(pixels(&data), (0..=255).collect::<Vec<u8>>());
    let grey = |v| encoded(GrayImage::from_pixel(2, 2, Luma([v])), ImageFormat::Jpeg);
    let home = folder(&[("a.jpg", &grey(3)), ("b.jpg", &grey(200))]);
    assert_eq!(load(home.path(), AS_IS).unwrap().train.channels, 1);
    assert_eq!(load(home.path(), COLOUR).unwrap().train.image(0).len(), 12);
}

#[test]
fn pictures_of_more_than_a_still_in_rgb_are_refused() {
    let png = encoded(sprite(1), ImageFormat::Png);
    let mut animated = png.clone();
    // Behind the header's chunk: how many frames there are, and how often they are shown.
    let chunk = [&8_u32.to_be_bytes()[..], b"acTL\0\0\0\x02\0\0\0\0", b"\xf3\x8d\x93\x70"].concat();
    animated.splice(33..33, chunk);
    let jpeg = encoded(sprite(1), ImageFormat::Jpeg);
    let mut inks = jpeg.clone();
    let frame = inks.windows(2).position(|w| w == [0xff, 0xc0]).expect("a baseline frame");
    inks[frame + 9] = 4;
    for (name, bytes, what) in [
        ("b.png", &animated, "b.png: this picture is animated; save one frame"),
        ("b.jpg", &inks, "b.jpg: this JPEG has four inks (CMYK)"),
    ] {
        let home = folder(&[("a.png", &png), (name, bytes)]);
        for options in [AS_IS, GREY] {
            assert_words(load(home.path(), options), &[what]);
        }
    }
    let home = folder(&[("a.png", &png), ("b.jpg", &jpeg)]);
    assert_eq!(load(home.path(), AS_IS).unwrap().train.channels, 3);
    // Nor does a header that ends early hold anything up.
    for length in [2, 3, 9, frame + 5, frame + 9] {
        fs::write(home.path().join("b.jpg"), &inks[..length]).unwrap();
        assert_words(load(home.path(), AS_IS), &["b.jpg: this is no PNG or JPEG picture"]);
    }
}

#[test]
fn named_sets_in_colour() {
    let grey = open(MNIST, AS_IS).unwrap();
    assert_eq!(open(MNIST, GREY).unwrap(), grey);
    let data = open(MNIST, COLOUR).unwrap();
    assert_eq!(shape(&data), ImageShape { height: 28, width: 28, channels: 3 });
    let tripled: Vec<u8> = grey.test.image(7).iter().flat_map(|&v| [v; 3]).collect();
    assert_eq!(data.test.image(7), tripled);
    assert_ne!(data.digest(), grey.digest());
}

/// (28, 28, 3) and (84, 28) hold the same bytes, and are not the same data.
#[test]
fn images_in_memory() {
    let bytes = ramp(2 * 3 * 2 * 3);
    let colour = Images::colour(3, 2, bytes.clone()).unwrap();
    assert_eq!((colour.n_images, colour.n_pixels()), (2, 18));
    let grey = Images::new(9, 2, bytes.clone()).unwrap();
    let digest = |images: &Images| {
        Dataset::new("a", images.clone(), images.clone()).expect("a set").digest()
    };
    assert_ne!(digest(&colour), digest(&grey));
    let message =
        Dataset::new("a", colour.clone(), Images::new(3, 2, ramp(6)).unwrap()).unwrap_err();
    assert!(message.to_string().contains("must be 3x2x3, got 3x2"), "{message}");
    assert!(Images::colour(3, 2, ramp(17)).is_err() && Images::colour(0, 2, ramp(18)).is_err());
}

/// A picture of colour images is one, and shows the levels that it is given.
#[test]
fn grids_in_colour() {
    let shape = ImageShape { height: 2, width: 1, channels: 3 };
    let images = vec![vec![1.0, 0.0, 0.2, 0.0, 0.4, 0.0], vec![0.0, 0.0, 1.0, 0.6, 0.0, 0.0]];
    let png = grid(&images, shape, Layout::Square).unwrap();
    let picture = image::load_from_memory(&png).unwrap();
    assert_eq!(picture.color(), image::ColorType::Rgb8);
    let picture = picture.into_rgb8();
    // 28 times as large, with a line around each.
    assert_eq!(picture.dimensions(), (2 * 28 + 3, 2 * 28 + 2));
    for (x, y, levels) in [
        (1, 1, [255, 0, 51]),
        (28, 28, [255, 0, 51]),
        (28, 29, [0, 102, 0]),
        (30, 28, [0, 0, 255]),
        (57, 56, [153, 0, 0]),
        (29, 9, [96; 3]),
    ] {
        assert_eq!(picture.get_pixel(x, y).0, levels, "{x}, {y}");
    }
}

/// A picture of 8x4 (height x width), its upper half red, its lower blue, with a green line around.
fn framed() -> RgbImage {
    RgbImage::from_fn(4, 8, |x, y| match (x, y) {
        (0 | 3, _) | (_, 0 | 7) => Rgb([0, 200, 0]),
        (_, 1..=3) => Rgb([200, 0, 0]),
        _ => Rgb([0, 0, 200]),
    })
}

#[test]
fn pictures_are_cropped_padded_or_stretched() {
    let home = folder(&[
        ("train/a.png", &encoded(framed(), ImageFormat::Png)),
        ("test/a.png", &encoded(image::imageops::rotate90(&framed()), ImageFormat::Png)),
    ]);
    let load = |size, fit| {
        load(home.path(), Options { size: Some(size), fit, ..AS_IS }).expect("two pictures")
    };
    let (red, green, blue, black) = ([200, 0, 0], [0, 200, 0], [0, 0, 200], [0; 3]);
    let pixel = |image: &[u8], width: usize, (y, x): (usize, usize)| -> [u8; 3] {
        image[3 * (y * width + x)..][..3].try_into().expect("a pixel")
    };

    // The middle, without what lies above and below, pixel by pixel.
    let data = load((4, 4), Fit::Crop);
    for (at, colour) in [
        ((0, 0), green),
        ((0, 1), red),
        ((1, 2), red),
        ((2, 1), blue),
        ((3, 2), blue),
        ((3, 3), green),
    ] {
        assert_eq!(pixel(data.train.image(0), 4, at), colour, "{at:?}");
    }
    // The other is turned to the right: what was above is on the right, and left and right are cut.
    for (at, colour) in [((0, 1), green), ((1, 0), blue), ((1, 3), red), ((2, 2), red)] {
        assert_eq!(pixel(data.test.image(0), 4, at), colour, "{at:?}");
    }
    // The whole of it, in the middle of black.
    let data = load((8, 8), Fit::Pad);
    for y in 0..8 {
        let row =
            |image: &[u8]| -> Vec<[u8; 3]> { (0..8).map(|x| pixel(image, 8, (y, x))).collect() };
        let kept: Vec<[u8; 3]> = (0..4).map(|x| framed().get_pixel(x, y as u32).0).collect();
        assert_eq!(row(data.train.image(0)), [&[black; 2][..], &kept, &[black; 2]].concat());
        let is_black = row(data.test.image(0)).iter().all(|p| *p == black);
        assert_eq!(is_black, !(2..6).contains(&y), "{y}");
    }
    // All of it, out of proportion.
    let data = load((8, 8), Fit::Stretch);
    assert_eq!(pixel(data.train.image(0), 8, (4, 0)), green);
    assert!(data.train.pixels.chunks_exact(3).all(|p| p != black));
    // The same shape in another size is cut by none of them.
    let same: Vec<Images> =
        [Fit::Crop, Fit::Pad, Fit::Stretch].map(|fit| load((4, 2), fit).train).into();
    assert!(same.iter().all(|images| *images == same[0]));
    // Grey arrays, and shapes that are not whole multiples: rounded to the nearest, at least one.
    let array = npy("|u1", &[2, 3, 40], &[90; 240]);
    for (size, fit, lit) in [
        ((2, 2), Fit::Crop, 4),
        ((7, 5), Fit::Crop, 35),
        ((9, 10), Fit::Pad, 10),
        ((40, 1), Fit::Pad, 1),
        ((1, 90), Fit::Pad, 13),
    ] {
        let options = Options { size: Some(size), fit, ..AS_IS };
        let data = load_file("a.npy", &array, options).unwrap();
        let image = data.train.image(0);
        assert!(image.iter().all(|v| [0, 90].contains(v)), "{size:?}");
        assert_eq!(image.iter().filter(|v| **v == 90).count(), lit, "{size:?} {fit}");
    }
}

/// Records as CIFAR-10 has them: a class, then the red, green and blue of 32x32 pixels.
fn records(classes: &[u8]) -> Vec<u8> {
    let record = |&class: &u8| {
        let plane = |of: u8| (0..1024).map(move |i| of + class + (i % 7) as u8);
        [class].into_iter().chain(plane(0)).chain(plane(100)).chain(plane(200))
    };
    classes.iter().flat_map(record).collect()
}

#[test]
fn cifar_10() {
    let names = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    let own = names.replace("bird", "Vogel");
    let files = [
        ("data_batch_1.bin", records(&[3, 0])),
        ("data_batch_2.bin", records(&[9])),
        ("test_batch.bin", records(&[2, 1])),
    ];
    let of = |prefix: &str, meta: Option<&str>| {
        let names: Vec<String> = files.iter().map(|(name, _)| format!("{prefix}{name}")).collect();
        let mut all: Vec<(&str, &[u8])> =
            names.iter().zip(&files).map(|(name, (_, bytes))| (&name[..], &bytes[..])).collect();
        let path = format!("{prefix}batches.meta.txt");
        all.extend(meta.map(|meta| (&path[..], meta.as_bytes())));
        folder(&all)
    };
    for (home, bird) in [
        (of("", Some(names)), "bird"),
        (of("cifar-10-batches-bin/", Some(&own)), "Vogel"),
        (of("", None), "bird"),
    ] {
        let data = load(home.path(), AS_IS).unwrap();
        assert_eq!(shape(&data), ImageShape { height: 32, width: 32, channels: 3 });
        assert_eq!((data.train.n_images, data.test.n_images), (3, 2));
        let labels = data.train.labels.as_ref().unwrap();
        assert_eq!((&labels.classes[..], labels.name(2)), (&[3, 0, 9][..], "truck"));
        assert_eq!(data.test.labels.as_ref().unwrap().name(0), bird);
        // Pixel 40 of the third image: 40 % 7 = 5.
        assert_eq!(data.train.image(2)[3 * 40..][..3], [14, 114, 214]);
        let small = Options { size: Some((16, 16)), ..GREY };
        assert_eq!(shape(&load(home.path(), small).unwrap()), (16, 16).into());
    }
    let short = &records(&[1])[..3000];
    let wrong: [(&[(&str, &[u8])], &[&str]); 6] = [
        (&[("data_batch_1.bin", &records(&[1]))], &["batches of CIFAR-10 but no test_batch.bin"]),
        (
            &[("data_batch_1.bin", &records(&[1, 10])), ("test_batch.bin", &records(&[1]))],
            &["data_batch_1.bin: record 1 is of class 10; they are 0 to 9"],
        ),
        (
            &[("data_batch_4.bin", short), ("test_batch.bin", &records(&[1]))],
            &["data_batch_4.bin: 3000 bytes are no whole number of records of 3073"],
        ),
        (
            &[("data_batch_1.bin", &records(&[1])), ("test_batch.bin", b"")],
            &["test_batch.bin: 0 bytes"],
        ),
        (
            &[
                ("data_batch_1.bin", &records(&[1])),
                ("test_batch.bin", &records(&[1])),
                ("batches.meta.txt", b"a\nb\n"),
            ],
            &["batches.meta.txt: 2 names of classes; CIFAR-10 has 10"],
        ),
        (&[("data_batch_1", b"a pickle")], &["as Python objects", "cifar-10-binary.tar.gz"]),
    ];
    for (files, words) in wrong {
        assert_words(load(folder(files).path(), AS_IS), words);
    }
}

//! The files of a run: pictures pixel by pixel, models tensor by tensor.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use elbo::checkpoint::{MODEL, RunFolder, write_whole};
use elbo::kernels::activation::Activation;
use elbo::report::figures::{Layout, grid};
use elbo::train::Settings;
use elbo::vae::{Architecture, Binarization, Likelihood, Objective, Prior};
use image::GrayImage;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use tempfile::TempDir;

const LINE: u8 = 96;

fn picture(images: &[Vec<f32>], size: (usize, usize), layout: Layout) -> GrayImage {
    let png = grid(images, size, layout).unwrap();
    let picture = image::load_from_memory_with_format(&png, image::ImageFormat::Png).unwrap();
    assert_eq!(picture.color(), image::ColorType::L8);
    picture.into_luma8()
}

/// Images of 2x3 pixels with a level of its own for each pixel of each image.
fn level(image: usize, y: usize, x: usize) -> u8 {
    (image * 17 + y * 3 + x + 120) as u8
}

/// Checks that image `i` lies at `place(i)` = (row, column) of `rows` times `columns` tiles, each pixel
/// enlarged to a square, and that all else is lines.
#[track_caller]
fn check_grid(n: usize, layout: Layout, rows: u32, columns: u32, place: fn(usize) -> (u32, u32)) {
    let images: Vec<Vec<f32>> = (0..n)
        .map(|i| (0..6).map(|p| f32::from(level(i, p / 3, p % 3)) / 255.0).collect())
        .collect();
    let picture = picture(&images, (2, 3), layout);
    let zoom = 18; // 56 / 3
    let (tile_height, tile_width) = (2 * zoom + 1, 3 * zoom + 1);
    assert_eq!(picture.dimensions(), (columns * tile_width + 1, rows * tile_height + 1), "{n}");
    let mut expected =
        GrayImage::from_pixel(picture.width(), picture.height(), image::Luma([LINE]));
    for i in 0..n {
        let (row, column) = place(i);
        for (y, x) in (0..2 * zoom).flat_map(|y| (0..3 * zoom).map(move |x| (y, x))) {
            let value = level(i, (y / zoom) as usize, (x / zoom) as usize);
            let (left, top) = (column * tile_width + 1 + x, row * tile_height + 1 + y);
            expected.put_pixel(left, top, image::Luma([value]));
        }
    }
    let different = picture.enumerate_pixels().find(|(x, y, p)| expected.get_pixel(*x, *y) != *p);
    assert_eq!(different, None, "{n} images");
}

#[test]
fn grid_is_near_a_square() {
    check_grid(1, Layout::Square, 1, 1, |_| (0, 0));
    check_grid(2, Layout::Square, 1, 2, |i| (0, i as u32));
    check_grid(5, Layout::Square, 2, 3, |i| (i as u32 / 3, i as u32 % 3));
    check_grid(7, Layout::Square, 3, 3, |i| (i as u32 / 3, i as u32 % 3));
}

#[test]
fn grid_has_the_second_of_a_pair_below_the_first() {
    check_grid(2, Layout::Pairs, 2, 1, |i| (i as u32, 0));
    check_grid(4, Layout::Pairs, 2, 2, |i| (i as u32 % 2, i as u32 / 2));
    check_grid(6, Layout::Pairs, 2, 3, |i| (i as u32 % 2, i as u32 / 2));
    let place = |i| ([0, 1, 0, 1, 0, 1, 2, 3][i], [0, 0, 1, 1, 2, 2, 0, 0][i]);
    check_grid(8, Layout::Pairs, 4, 3, place);
}

#[test]
fn grid_enlarges_small_images_only_and_clamps() {
    for (size, zoom) in [((28, 28), 2), ((56, 9), 1), ((9, 57), 1), ((1, 1), 56), ((19, 6), 2)] {
        let image = vec![1.0; size.0 * size.1];
        let (width, height) = picture(&[image], size, Layout::Square).dimensions();
        assert_eq!((height, width), ((size.0 * zoom + 2) as u32, (size.1 * zoom + 2) as u32));
    }
    let values = [-1.0, 0.0, 0.5, 1.0, 7.0, 0.2501];
    let picture = picture(&[values.to_vec()], (2, 3), Layout::Square);
    let at = |y: u32, x: u32| picture.get_pixel(1 + 18 * x, 1 + 18 * y).0[0];
    assert_eq!([at(0, 0), at(0, 1), at(0, 2)], [0, 0, 128]);
    assert_eq!([at(1, 0), at(1, 1), at(1, 2)], [255, 255, 64]);
}

fn settings(hidden: &[usize], decoder_hidden: &[usize]) -> Settings {
    Settings {
        architecture: Architecture {
            image: (2, 3),
            channels: 1,
            hidden: hidden.into(),
            decoder_hidden: decoder_hidden.into(),
            latent: 2,
            activation: Activation::Relu,
            posterior: Default::default(),
            likelihood: Likelihood::Bernoulli,
            classes: Vec::new(),
            prior: Prior::Normal,
        },
        binarization: Binarization::Fixed,
        epochs: 3,
        steps: Some(7),
        batch: 5,
        samples: 2,
        learning_rate: 1e-3,
        objective: Objective { beta: 0.5, ..Objective::default() },
        seed: u64::MAX,
        ..Settings::default()
    }
}

/// Parameters in the network's order, every element another number.
fn parameters(a: &Architecture) -> Vec<Vec<f32>> {
    let encoder = [&[6], &widths(&a.hidden)[..], &[2 * a.latent]].concat();
    let decoder = [&[a.latent], &widths(&a.decoder_hidden)[..], &[6]].concat();
    let mut next = 0.0;
    let mut count = |n: usize| {
        let values = (0..n).map(|i| next + i as f32).collect();
        next += n as f32;
        values
    };
    encoder
        .windows(2)
        .chain(decoder.windows(2))
        .flat_map(|w| [count(w[0] * w[1]), count(w[1])])
        .collect()
}

fn written(hidden: &[usize], decoder_hidden: &[usize]) -> (TempDir, RunFolder, Settings) {
    let home = tempfile::tempdir().unwrap();
    let settings = settings(hidden, decoder_hidden);
    let folder = RunFolder::create(&home.path().join("run"), &settings).unwrap();
    folder.write_model(&settings, &parameters(&settings.architecture)).unwrap();
    (home, folder, settings)
}

#[test]
fn a_model_comes_back_as_it_was() {
    for (hidden, decoder_hidden) in
        [(&[][..], &[][..]), (&[4], &[4]), (&[5, 4], &[3]), (&[], &[3, 4]), (&[7, 2], &[2, 7])]
    {
        let (_home, folder, settings) = written(hidden, decoder_hidden);
        let (folder, read) = RunFolder::open(folder.path()).unwrap();
        assert_eq!(read, settings);
        let a = &settings.architecture;
        assert_eq!(folder.read_model(a).unwrap(), parameters(a), "{a}");

        // The layers of PyTorch: (outputs, inputs) weights, a layer for each head.
        let mut shapes = Vec::new();
        let widths = [&[6], hidden].concat();
        for (i, w) in widths.windows(2).enumerate() {
            shapes.push((format!("encoder.{}", 2 * i), w[1], w[0]));
        }
        for head in ["mu", "log_variance"] {
            shapes.push((head.to_string(), 2, *widths.last().unwrap()));
        }
        let widths = [&[2], decoder_hidden, &[6]].concat();
        for (i, w) in widths.windows(2).enumerate() {
            shapes.push((format!("decoder.{}", 2 * i), w[1], w[0]));
        }
        // With one hidden layer each side it is the VAE of pytorch/examples.
        if let (&[h], &[g]) = (hidden, decoder_hidden) {
            shapes = vec![("fc1".to_string(), h, 6)];
            let more = [("fc21", 2, h), ("fc22", 2, h), ("fc3", g, 2), ("fc4", 6, g)];
            shapes.extend(more.map(|(name, o, i)| (name.to_string(), o, i)));
        }
        let bytes = fs::read(folder.file(MODEL)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.len(), 2 * shapes.len(), "{:?}", file.names());
        for (name, outputs, inputs) in shapes {
            let weight = file.tensor(&format!("{name}.weight")).unwrap();
            let bias = file.tensor(&format!("{name}.bias")).unwrap();
            assert_eq!((weight.dtype(), weight.shape()), (Dtype::F32, &[outputs, inputs][..]));
            assert_eq!((bias.dtype(), bias.shape()), (Dtype::F32, &[outputs][..]));
        }
    }
}

#[test]
fn the_heads_are_split_mu_first() {
    for hidden in [&[][..], &[4], &[5, 4]] {
        let (_home, folder, settings) = written(hidden, &[3]);
        let bytes = fs::read(folder.file(MODEL)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let stored = |name: &str| -> Vec<f32> {
            let data = file.tensor(name).unwrap().data().to_vec();
            data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
        };
        // Rows 0..Z of the joint matrix are mu's, rows Z..2Z those of the log variance.
        let all = parameters(&settings.architecture);
        for (kind, joint) in ["weight", "bias"].into_iter().zip(&all[2 * hidden.len()..]) {
            let (mu, log_variance) = joint.split_at(joint.len() / 2);
            let heads = if hidden.len() == 1 { ["fc21", "fc22"] } else { ["mu", "log_variance"] };
            assert_eq!(stored(&format!("{}.{kind}", heads[0])), mu);
            assert_eq!(stored(&format!("{}.{kind}", heads[1])), log_variance);
        }
    }
}

/// One changed bit or a missing byte, wherever it is, is told in one line.
#[test]
fn a_damaged_model_is_refused() {
    let (_home, folder, settings) = written(&[4], &[4]);
    let (path, architecture) = (folder.file(MODEL), &settings.architecture);
    let good = fs::read(&path).unwrap();
    // In place: a disk takes its time with new files.
    let mut file = fs::File::options().write(true).open(&path).unwrap();
    let mut put = |at: usize, bytes: &[u8]| {
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(bytes).unwrap();
    };
    let refused = |what: &str, at: usize| {
        let Err(error) = folder.read_model(architecture) else { panic!("{what} at {at}") };
        let message = error.to_string();
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(message.starts_with(path.to_str().unwrap()), "{message}");
    };
    for (at, byte) in good.iter().enumerate() {
        put(at, &[byte ^ (1 << (at % 8))]);
        refused("a changed bit", at);
        put(at, &[*byte]);
    }
    folder.read_model(architecture).unwrap();
    put(good.len(), b"x");
    refused("a byte too many", good.len());
    let file = fs::File::options().write(true).open(&path).unwrap();
    for length in (0..good.len()).rev().step_by(7) {
        file.set_len(length as u64).unwrap();
        refused("a cut", length);
    }
}

#[test]
fn a_run_folder_is_claimed_once_and_can_be_taken_back() {
    let home = tempfile::tempdir().unwrap();
    let (path, settings) = (home.path().join("new/deep/run"), settings(&[4], &[4]));
    let make = || RunFolder::create(&path, &settings);
    let folder = make().unwrap();
    assert!(make().unwrap_err().to_string().contains("never overwritten"));
    folder.discard();
    assert!(!home.path().join("new").exists(), "what was made for it goes with it");

    fs::create_dir_all(&path).unwrap();
    make().unwrap().discard();
    assert!(path.is_dir(), "an empty folder that was there stays");
    let folder = make().unwrap();
    fs::write(folder.file("notes"), "mine").unwrap();
    folder.discard();
    assert_eq!(fs::read(path.join("notes")).unwrap(), b"mine");
}

#[cfg(unix)]
#[test]
fn a_link_and_a_pipe_stay_what_they_are() {
    use std::io::Read;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    fs::create_dir(at("elsewhere")).unwrap();
    fs::write(at("elsewhere/file"), "old").unwrap();
    symlink("elsewhere/file", at("link")).unwrap();
    write_whole(&at("link"), b"new").unwrap();
    assert!(at("link").is_symlink());
    assert_eq!(fs::read(at("elsewhere/file")).unwrap(), b"new");

    let made = std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap();
    assert!(made.success());
    let mut pipe = fs::File::options().read(true).write(true).open(at("pipe")).unwrap();
    write_whole(&at("pipe"), b"through").unwrap();
    assert!(at("pipe").metadata().unwrap().file_type().is_fifo());
    let mut got = [0; 7];
    pipe.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"through");

    // As readable as a file that is made the ordinary way.
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
    fs::write(at("ordinary"), "").unwrap();
    write_whole(&at("whole"), b"").unwrap();
    assert_eq!(mode(&at("whole")), mode(&at("ordinary")));
}

/// Of fully connected layers.
fn widths(layers: &elbo::nn::Layers) -> Vec<usize> {
    layers.iter().map(|layer| layer.to_string().parse().expect("a width")).collect()
}

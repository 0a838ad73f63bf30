//! Data that people have: arrays of NumPy and safetensors, folders of pictures, and the parts that are held
//! out, with each of their errors.
#![allow(clippy::type_complexity, reason = "tables of cases")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Cursor, Write};

use elbo::data::{self, Channels, DataError, Dataset, Fit, MNIST, Options, load};
use image::{DynamicImage, GrayImage, ImageFormat, LumaA, Rgb, RgbImage};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tempfile::TempDir;
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

pub const AS_IS: Options = Options {
    size: None,
    fit: Fit::Stretch,
    channels: None,
    valid: None,
    table: None,
    whole: false,
};

/// A `.npy` file as NumPy writes it, its header padded to 64 bytes.
pub fn npy(descr: &str, shape: &[usize], elements: &[u8]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    npy_of(
        &format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}"),
        elements,
    )
}

fn npy_of(header: &str, elements: &[u8]) -> Vec<u8> {
    let length = (header.len() + 11).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{header:<width$}\n", width = length - 1).bytes());
    bytes.extend(elements);
    bytes
}

pub fn npz(arrays: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in arrays {
        writer.start_file(format!("{name}.npy"), options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

pub fn safetensors(arrays: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
    let views = arrays.iter().map(|(name, dtype, shape, bytes)| {
        (name.to_string(), TensorView::new(*dtype, shape.to_vec(), bytes).unwrap())
    });
    safetensors::serialize(views.collect::<BTreeMap<_, _>>(), None).unwrap()
}

pub fn ramp(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

pub fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

/// Loads a file of this name with these bytes.
pub fn load_file(name: &str, bytes: &[u8], options: Options) -> Result<Dataset, DataError> {
    let folder = folder(&[(name, bytes)]);
    load(&folder.path().join(name), options)
}

/// All images, also those that were held out.
pub fn pixels(data: &Dataset) -> Vec<u8> {
    [&data.train.pixels[..], &data.test.pixels].concat()
}

#[track_caller]
pub fn assert_words(result: Result<Dataset, DataError>, words: &[&str]) {
    let message = result.expect_err("loading should fail").to_string();
    assert!(!message.contains(char::is_control), "{message:?}");
    for word in words {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
}

/// Every element type and shape, in every container.
#[test]
fn arrays_in_every_form() {
    let grey: Vec<u8> = ramp(6 * 9);
    let floats: Vec<f64> = grey.iter().map(|&v| f64::from(v) / 255.0).collect();
    let bits: Vec<u8> = grey.iter().map(|v| v % 2).collect();
    let white = |bits: &[u8]| bits.iter().map(|v| v * 255).collect::<Vec<_>>();
    let f32s =
        |f: fn(f32) -> [u8; 4]| -> Vec<u8> { floats.iter().flat_map(|&v| f(v as f32)).collect() };
    let f64s = |f: fn(f64) -> [u8; 8]| -> Vec<u8> { floats.iter().flat_map(|&v| f(v)).collect() };
    let forms: [(&str, Option<Dtype>, Vec<u8>, Vec<u8>); 8] = [
        ("|u1", Some(Dtype::U8), grey.clone(), grey.clone()),
        ("|u1", Some(Dtype::U8), bits.clone(), white(&bits)), // none above 1
        ("|b1", Some(Dtype::BOOL), bits.clone(), white(&bits)),
        ("<f4", Some(Dtype::F32), f32s(f32::to_le_bytes), grey.clone()),
        (">f4", None, f32s(f32::to_be_bytes), grey.clone()),
        ("<f8", Some(Dtype::F64), f64s(f64::to_le_bytes), grey.clone()),
        (">f8", None, f64s(f64::to_be_bytes), grey.clone()),
        // Floats are no bits, however small.
        ("<f4", None, 0.004_f32.to_le_bytes().repeat(54), vec![1; 54]),
    ];
    for (descr, dtype, bytes, expected) in &forms {
        for shape in [&[6, 9][..], &[6, 3, 3], &[6, 1, 3, 3], &[6, 3, 3, 1]] {
            let array = npy(descr, shape, bytes);
            let mut files = vec![
                ("a.npy", array.clone()),
                ("a.NPZ", npz(&[("arr_0", &array)], CompressionMethod::Stored)),
                ("a.npz", npz(&[("images", &array)], CompressionMethod::Deflated)),
            ];
            if let Some(dtype) = dtype {
                files.push(("a.safetensors", safetensors(&[("x", *dtype, shape, bytes)])));
            }
            for (name, file) in files {
                let data = load_file(name, &file, AS_IS).unwrap();
                let label = format!("{name} {descr} {shape:?}");
                assert_eq!((data.train.n_images, data.test.n_images), (5, 1), "{label}");
                assert_eq!((data.train.height, data.train.width), (3, 3), "{label}");
                assert_eq!(&pixels(&data), expected, "{label}");
                assert_eq!(data.train.labels, None);
            }
        }
    }
    // A newer version's header, and one that another program wrote.
    let mut second = npy("|u1", &[6, 9], &grey);
    second[6] = 2;
    second.splice(10..10, [0, 0]);
    assert_eq!(pixels(&load_file("a.npy", &second, AS_IS).unwrap()), grey);
    let odd = npy_of(r#"{"shape":(6,9),"fortran_order":False,"descr":"|u1"}"#, &grey);
    assert_eq!(pixels(&load_file("a.npy", &odd, AS_IS).unwrap()), grey);
}

#[test]
fn rows_of_pixels_that_are_no_squares_need_a_size() {
    let array = npy("|u1", &[3, 6], &ramp(18));
    assert_words(
        load_file("a.npy", &array, AS_IS),
        &["(3, 6)", "no square", "`size` HEIGHTxWIDTH"],
    );
    let data = load_file("a.npy", &array, Options { size: Some((2, 3)), ..AS_IS }).unwrap();
    assert_eq!((data.train.height, data.train.width, pixels(&data)), (2, 3, ramp(18)));
}

#[test]
fn names_say_which_array_is_what() {
    let (x, y) = (npy("|u1", &[4, 2, 2], &ramp(16)), npy("<i8", &[4], &words(&[3, 0, 1, 3])));
    let (x_test, y_test) = (npy("|u1", &[2, 2, 2], &[9; 8]), npy("|u1", &[2, 1], &[4, 0]));
    let stray = npy("<f8", &[], &[0; 8]);
    let npz = |names: [&str; 4]| {
        let arrays: Vec<(&str, &[u8])> =
            names.into_iter().zip([&x, &y, &x_test, &y_test].map(|a| &a[..])).collect();
        npz(
            &[&arrays[..], &[("mean", &stray), ("val_images", &x)]].concat(),
            CompressionMethod::Deflated,
        )
    };
    let all = [
        npz(["x_train", "y_train", "x_test", "y_test"]),
        npz(["train_images", "train_labels", "test_images", "test_labels"]),
        npz(["train/X", "train/Y", "t10k/X", "t10k/Y"]),
    ];
    let mut folders: Vec<TempDir> = all.iter().map(|npz| folder(&[("data.npz", npz)])).collect();
    folders.push(folder(&[
        ("train.npy", &x),
        ("train_labels.npy", &y),
        ("test.npy", &x_test),
        ("test_labels.npy", &y_test),
        ("validation.npy", &x),
        ("notes.txt", b"not read"),
    ]));
    let one = |array: &[u8]| self::npz(&[("arr_0", array)], CompressionMethod::Stored);
    folders.push(folder(&[
        ("k-train-imgs.npz", &one(&x)),
        ("k-train-labels.npz", &one(&y)),
        ("k-test-imgs.npz", &one(&x_test)),
        ("k-test-labels.npz", &one(&y_test)),
    ]));
    for folder in folders {
        let data = load(folder.path(), AS_IS).unwrap();
        assert_eq!((data.train.pixels, data.test.pixels), (ramp(16).into(), vec![9; 8].into()));
        let (train, test) = (data.train.labels.unwrap(), data.test.labels.unwrap());
        assert_eq!((train.classes, test.classes), (vec![3, 0, 1, 3], vec![4, 0]));
        assert_eq!(*train.names, ["0", "1", "2", "3", "4"]);
        assert_eq!(train.names, test.names);
    }
    // A file alone finds the test images beside it.
    let folder = folder(&[("my_train.npy", &x), ("my_test.npy", &x_test)]);
    let data = load(&folder.path().join("my_train.npy"), AS_IS).unwrap();
    assert_eq!((data.train.n_images, data.test.n_images), (4, 2));
    // Images and integers, as numpy.savez names them.
    let pair = self::npz(&[("arr_0", &x), ("arr_1", &y)], CompressionMethod::Stored);
    let data = load_file("a.npz", &pair, AS_IS).unwrap();
    assert_eq!(data.train.labels.unwrap().classes, [3, 0, 1]);
}

fn words(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A file alone is all there is: its name is no reason to refuse it.
#[test]
fn a_test_file_alone_is_a_whole_set() {
    let x = npy("|u1", &[6, 2, 2], &ramp(24));
    let data = load_file("mnist_test.npy", &x, AS_IS).unwrap();
    assert_eq!((data.train.n_images, data.test.n_images), (5, 1));
    for name in ["y.npy", "labels.npy"] {
        assert_eq!(load_file(name, &x, AS_IS).unwrap().train.n_images, 5, "{name}");
    }
    let classes = npy("<i8", &[6], &words(&[0; 6]));
    assert_words(load_file("y.npy", &classes, AS_IS), &["no training images"]);
}

/// Half precision, as PyTorch saves much: every grey level, and what is none.
#[test]
fn floats_of_two_bytes_are_read() {
    // 0, 1/4, 1/2, 1, the smallest subnormal, 2047/2048.
    let bits: [u16; 6] = [0, 0x3400, 0x3800, 0x3c00, 1, 0x3bff];
    let bytes: Vec<u8> = bits.iter().flat_map(|b| b.to_le_bytes()).collect();
    let grey = [0, 64, 128, 255, 0, 255];
    let data = load_file("a.npy", &npy("<f2", &[6, 1], &bytes), AS_IS).unwrap();
    assert_eq!(pixels(&data), grey);
    let file = safetensors(&[("x", Dtype::F16, &[6, 1], &bytes)]);
    assert_eq!(pixels(&load_file("a.safetensors", &file, AS_IS).unwrap()), grey);
    for bad in [0x3c01_u16, 0x7c00, 0x7e00, 0xbc00] {
        let bytes: Vec<u8> = [0, bad].iter().flat_map(|b| b.to_le_bytes()).collect();
        let file = npy("<f2", &[2, 1], &bytes);
        assert_words(load_file("a.npy", &file, AS_IS), &["element [1, 0]", "from 0 to 1"]);
    }
}

/// What a few bytes on the disk unpack to is bounded, and what is no file is not waited for.
#[test]
fn small_files_do_not_take_much_memory() {
    let large = encoded(GrayImage::new(8200, 8200), ImageFormat::Png);
    let folder = folder(&[("a.png", &large), ("b.png", &large)]);
    let small = Options { size: Some((4, 4)), ..AS_IS };
    assert_words(load(folder.path(), small), &["a.png", "more than 67108864 pixels"]);
    // More images than there is memory for are refused before they are made.
    let x = npy("|u1", &[1 << 20, 1, 1], &vec![7; 1 << 20]);
    let huge = Options { size: Some((4096, 4096)), ..AS_IS };
    let begin = std::time::Instant::now();
    assert_words(
        load_file("a.npy", &x, huge),
        &["1048576 images of 4096x4096 need 17592186044416 bytes", "more than is free", "`size`"],
    );
    assert!(begin.elapsed().as_secs() < 5);
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused() {
    let png = grey(2, 2, 0);
    let folder = folder(&[("a.png", &png)]);
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("b.png")).unwrap();
    assert_words(load(folder.path(), AS_IS), &["b.png", "not a file"]);
    let pipe = |name: &str| {
        let path = folder.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    };
    fs::remove_file(folder.path().join("b.png")).unwrap();
    pipe("c.png");
    assert_words(load(folder.path(), AS_IS), &["c.png", "not a file"]);
    assert_words(load(&pipe("d.npy"), AS_IS), &["d.npy", "not a file"]);
    let set = tempfile::tempdir().unwrap();
    for name in ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte"] {
        let path = set.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    }
    assert_words(load(set.path(), AS_IS), &["train-images-idx3-ubyte", "not a file"]);
}

#[test]
fn arrays_whose_names_do_not_tell() {
    let x = npy("|u1", &[4, 2, 2], &ramp(16));
    let cases: [(&[&str], &[&str]); 4] = [
        (&["x_train", "train_images"], &["x_train (uint8 (4, 2, 2))", "train_images", "same part"]),
        (&["a", "b"], &["a (uint8", "b (uint8", "x_train and x_test"]),
        (&["x_test"], &["x_test", "no training images", "y_train"]),
        (&[], &["there are no arrays"]),
    ];
    for (names, words) in cases {
        let arrays: Vec<(&str, &[u8])> = names.iter().map(|name| (*name, &x[..])).collect();
        let file = npz(&arrays, CompressionMethod::Stored);
        assert_words(load_file("a.npz", &file, AS_IS), words);
    }
    // Classes that are none, or not one per image.
    let classes: [(&str, &[usize], Vec<u8>, &[&str]); 6] = [
        ("<i8", &[3], words(&[0; 3]), &["3 classes for the 4 images", "x_train", "one per image"]),
        ("<i8", &[4], words(&[0, 1, -1, 2]), &["array y_train: element [2]", "from 0 to 65535"]),
        ("<i8", &[4], words(&[0, 1, 2, 65_536]), &["element [3]", "from 0 to 65535"]),
        ("<i2", &[4], vec![0, 0, 0, 0x80, 0, 0, 0, 0], &["element [1]"]),
        ("<f4", &[4], vec![0; 16], &["float32", "classes must be integers"]),
        ("|u1", &[4, 10], vec![0; 40], &["shape is (4, 10)", "(N,), one an image"]),
    ];
    for (descr, shape, bytes, words) in classes {
        let y = npy(descr, shape, &bytes);
        let file = npz(&[("x_train", &x), ("y_train", &y)], CompressionMethod::Deflated);
        assert_words(load_file("a.npz", &file, AS_IS), words);
    }
}

#[test]
fn arrays_that_are_no_images() {
    let float = |at: usize, v: f32| {
        let mut values = vec![0.5_f32; 12];
        values[at] = v;
        values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>()
    };
    let cases: [(Vec<u8>, &[&str]); 22] = [
        (npy("<f4", &[3, 2, 2], &float(7, 1.5)), &["element [1, 1, 1] is 1.5", "0 to 1", "uint8"]),
        (npy("<f4", &[3, 4], &float(0, -0.25)), &["element [0, 0] is -0.25", "from 0 to 1"]),
        (npy("<f4", &[3, 4], &float(11, f32::NAN)), &["element [2, 3] is NaN"]),
        (npy("<f4", &[3, 4], &float(11, f32::INFINITY)), &["element [2, 3] is inf"]),
        (
            npy("<i8", &[1, 2, 2], &words(&[0; 4])),
            &["int64", "uint8 (0 to 255), float32, float64 or float16"],
        ),
        (npy("<f16", &[1, 2, 2], &[0; 64]), &["elements are <f16", "float32"]),
        (npy("<c8", &[1, 2, 2], &[0; 32]), &["elements are <c8"]),
        (npy("|O", &[1, 2, 2], &[0; 32]), &["elements are |O"]),
        (npy("|u1", &[2, 4, 5, 5], &[0; 200]), &["(2, 4, 5, 5)", "alpha", "(N, height, width, 3)"]),
        (npy("|u1", &[2, 5, 5, 4], &[0; 200]), &["alpha"]),
        (npy("|u1", &[2, 2, 5, 5], &[0; 100]), &["(2, 2, 5, 5)", "(N, 1, height, width)"]),
        (npy("|u1", &[16], &[0; 16]), &["(16)", "no training images"]),
        (npy("|u1", &[0, 4, 4], &[]), &["(0, 4, 4)", "at least 1"]),
        (npy("|u1", &[3, 4], &[0; 11]), &["(3, 4) of uint8 need 140 bytes", "there are 139"]),
        (npy("|u1", &[3, 4], &[0; 13]), &["need 140 bytes", "there are 141"]),
        (npy("<f8", &[usize::MAX, 9], &[0; 13]), &["need 2^64 bytes", "there are 141"]),
        (
            npy_of("{'descr': '|u1', 'fortran_order': True, 'shape': (3, 4)}", &[0; 12]),
            &["Fortran", "ascontiguous"],
        ),
        (
            npy_of("{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (3,)}", &[0; 3]),
            &["plain numbers"],
        ),
        (npy_of("{'descr': '|u1', 'fortran_order': False}", &[0; 3]), &["plain numbers"]),
        (npy_of("{'descr': '|u1', 'descr': '|u1', 'shape': (3,)}", &[0; 3]), &["plain numbers"]),
        (b"\x93NUMPY\x07\x00\x10\x00".to_vec(), &["version 7"]),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), &["longer than that of any"]),
    ];
    for (file, words) in cases {
        assert_words(load_file("a.npy", &file, AS_IS), words);
    }
    assert_words(load_file("a.npy", b"", AS_IS), &["a.npy", "empty"]);
    assert_words(load_file("a.npy", b"PK\x03\x04", AS_IS), &["not a .npy file"]);
    assert_words(load_file("a.npz", b"hello", AS_IS), &["no .npz file"]);
    assert_words(load_file("a.safetensors", b"hello", AS_IS), &["not a safetensors file"]);
    // What a file says is quoted harmlessly: this was found by fuzzing.
    let header = br#"{"y\u007f\ntrain":{"dtype":"U8","shape":[6],"data_offsets":[5,48]}}"#;
    let quoted = [&(header.len() as u64).to_le_bytes()[..], header].concat();
    assert_words(
        load_file("a.safetensors", &quoted, AS_IS),
        &["not a safetensors file", r"\u{7f}"],
    );
    let half = safetensors(&[("x", Dtype::BF16, &[1, 2, 2], &[0; 8])]);
    assert_words(load_file("a.safetensors", &half, AS_IS), &["array x: its elements are BF16"]);
}

/// Cut short anywhere, or with any byte of the header changed, it is an error or harmless; memory follows
/// the bytes that are there.
#[test]
fn damaged_arrays_fail_in_one_line() {
    let (x, y) = (npy("|u1", &[6, 2, 2], &ramp(24)), npy("<i8", &[6], &words(&[1; 6])));
    let files = [
        ("a.npy", x.clone(), 10..127),
        ("a.npz", npz(&[("x", &x), ("y", &y)], CompressionMethod::Deflated), 0..usize::MAX),
        ("a.npz", npz(&[("x", &x)], CompressionMethod::Stored), 0..usize::MAX),
        ("a.safetensors", safetensors(&[("x", Dtype::U8, &[6, 2, 2], &ramp(24))]), 0..72),
    ];
    let folder = folder(&[]);
    for (name, good, header) in files {
        let path = folder.path().join(name);
        let check = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            match load(&path, AS_IS) {
                Ok(data) => Some(pixels(&data)),
                Err(error) => {
                    let message = error.to_string();
                    assert!(!message.contains(char::is_control), "{message:?}");
                    assert!(message.starts_with(path.to_str().unwrap()), "{message}");
                    None
                }
            }
        };
        for length in 0..good.len() {
            assert_eq!(check(&good[..length]), None, "{name} cut to {length}");
        }
        for at in 0..good.len() {
            for flip in [1, 0x20, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[at] ^= flip;
                let outcome = check(&bytes);
                // A checksum guards the pixels of an archive.
                if let (usize::MAX, Some(pixels)) = (header.end, outcome) {
                    assert_eq!(pixels.len() % 4, 0, "{name} at {at}");
                }
            }
        }
    }
}

/// 2 GiB of zeros deflate to 2 MB: the archive's promise is believed so far and no further.
#[test]
fn a_zip_bomb_is_not_unpacked() {
    for (n, words) in
        [(524_289, "unpack to 2147487744 bytes; at most 2147483648"), (1000, "corrupt zip data")]
    {
        let header = npy("|u1", &[n, 64, 64], &[]);
        let honest = npz(&[("x", &header)], CompressionMethod::Deflated);
        let said = "there are 128; is the copy incomplete?";
        assert_words(load_file("a.npz", &honest, AS_IS), &["array x", said]);
        // The directory says that all of it is there.
        let mut forged = honest;
        let directory = forged.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
        let size = (header.len() + n * 4096) as u32;
        forged[directory + 24..directory + 28].copy_from_slice(&size.to_le_bytes());
        assert_words(load_file("a.npz", &forged, AS_IS), &["array x", words]);
    }
}

/// A file that is too large to read is mapped.
#[test]
fn a_large_file_is_mapped() {
    let (n, d) = (400_000, 784);
    let folder = folder(&[("large.npy", &npy("|u1", &[n, 28, 28], &[9]))]);
    let path = folder.path().join("large.npy");
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len((128 + n * d) as u64).unwrap(); // a hole: it takes no room on the disk
    let data = load(&path, Options { valid: Some(0.5), ..AS_IS }).unwrap();
    assert_eq!((data.train.n_images, data.test.n_images), (n / 2, n / 2));
    assert_eq!((data.train.image(0)[0], data.test.image(n / 2 - 1)), (9, &[0; 784][..]));
    let maps = fs::read_to_string("/proc/self/maps");
    assert!(maps.is_err() || maps.unwrap().contains("large.npy"));
}

pub fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn grey(width: u32, height: u32, v: u8) -> Vec<u8> {
    encoded(GrayImage::from_pixel(width, height, image::Luma([v])), ImageFormat::Png)
}

#[test]
fn pictures_become_grey_upright_and_equal_in_size() {
    // Four corners of a picture of 2x3, which its EXIF data say is to be turned by 90 degrees.
    let turned = {
        let picture = GrayImage::from_fn(16, 8, |x, _| image::Luma([if x < 8 { 0 } else { 255 }]));
        let mut jpeg = encoded(picture, ImageFormat::Jpeg);
        let exif = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        jpeg.splice(2..2, exif.iter().copied());
        jpeg
    };
    let colour = encoded(RgbImage::from_pixel(8, 16, Rgb([0, 255, 0])), ImageFormat::Png);
    let clear = encoded(image::GrayAlphaImage::from_pixel(8, 16, LumaA([0, 51])), ImageFormat::Png);
    let folder =
        folder(&[("a.jpg", &turned), ("b.PNG", &colour), ("c.png", &clear), (".d.png", b"hidden")]);
    let options = Options { size: Some((16, 8)), channels: Some(Channels::Grey), ..AS_IS };
    let data = load(folder.path(), options).unwrap();
    assert_eq!((data.train.n_images, data.test.n_images), (2, 1));
    let mut images: Vec<&[u8]> = pixels_of(&data);
    images.sort_by_key(|image| (image[0], image[127]));
    let [turned, clear, colour] = [0, 2, 1].map(|i| images[i]);
    assert!(
        turned[..40].iter().all(|&v| v < 10) && turned[88..].iter().all(|&v| v > 245),
        "{turned:?}"
    );
    // Rec. 709: green is 0.7152 of white. A fifth of black over white is 204.
    assert!(colour.iter().all(|&v| (181..=184).contains(&v)), "{colour:?}");
    assert_eq!(clear, [204; 128]);
    // Without a size they have to be equal, and the message says how.
    let flat = self::folder(&[("a.png", &grey(16, 8, 0)), ("b.png", &grey(8, 16, 0))]);
    assert_words(
        load(flat.path(), AS_IS),
        &[
            "b.png: this picture is 16x8 (height x width)",
            "a.png is 8x16",
            "for example `size` 8x16",
        ],
    );
    let data = load(flat.path(), Options { size: Some((4, 5)), ..AS_IS }).unwrap();
    assert_eq!((data.train.height, data.train.width), (4, 5));
}

/// The size that is suggested is one that somebody would train with: the commonest, and of photos one of
/// their shape that is small.
#[test]
fn a_size_is_suggested_that_suits() {
    let upright = |n: usize| -> Vec<(u32, u32)> { vec![(300, 400); n] };
    for (sizes, suggested) in [
        (vec![(3, 4), (5, 6), (5, 6)], "`size` 6x5"),
        (vec![(9, 9), (3, 4)], "`size` 4x3"),
        ([vec![(400, 300)], upright(2)].concat(), "`size` 64x48"),
        ([vec![(1000, 2), (1000, 3)], vec![(1000, 2)]].concat(), "`size` 1x64"),
    ] {
        let pictures: Vec<Vec<u8>> = sizes.iter().map(|&(w, h)| grey(w, h, 0)).collect();
        let names: Vec<String> = (0..sizes.len()).map(|i| format!("{i}.png")).collect();
        let files: Vec<(&str, &[u8])> =
            names.iter().map(String::as_str).zip(pictures.iter().map(|p| &p[..])).collect();
        assert_words(
            load(folder(&files).path(), AS_IS),
            &[&format!("brings all to one size, for example {suggested}")],
        );
    }
}

fn pixels_of(data: &Dataset) -> Vec<&[u8]> {
    let train = (0..data.train.n_images).map(|i| data.train.image(i));
    train.chain((0..data.test.n_images).map(|i| data.test.image(i))).collect()
}

#[test]
fn sub_folders_are_classes() {
    let shades: Vec<Vec<u8>> = (0..12).map(|v| grey(2, 2, 10 * v)).collect();
    let name = |i: usize| format!("{}/deep/{i}.png", ["cat", "dog", "ant"][i % 3]);
    let names: Vec<String> = (0..12).map(name).collect();
    let files: Vec<(&str, &[u8])> =
        names.iter().map(String::as_str).zip(shades.iter().map(|s| &s[..])).collect();
    let whole = folder(&files);
    fs::create_dir(whole.path().join("no pictures")).unwrap();
    let data = load(whole.path(), AS_IS).unwrap();
    assert_eq!((data.train.n_images, data.test.n_images), (10, 2));
    let mut seen = Vec::new();
    for images in [&data.train, &data.test] {
        let labels = images.labels.as_ref().unwrap();
        assert_eq!(*labels.names, ["ant", "cat", "dog"]);
        for i in 0..images.n_images {
            let shade = usize::from(images.image(i)[0] / 10);
            assert_eq!(labels.name(i), ["cat", "dog", "ant"][shade % 3]);
            seen.push(shade);
        }
    }
    // All of them, in an order that is not that of their names, and the same the next time.
    assert!(!seen.is_sorted() && data.name.contains("in random order"));
    assert!(load(whole.path(), AS_IS).unwrap() == data);
    seen.sort();
    assert_eq!(seen, (0..12).collect::<Vec<_>>());

    // train, test and validation images are respected, with the classes of all.
    let parts = folder(&[
        ("train/b/1.png", &grey(2, 2, 1)),
        ("train/c/1.png", &grey(2, 2, 2)),
        ("test/a/1.png", &grey(2, 2, 3)),
        ("valid/a/1.png", &grey(2, 2, 4)),
    ]);
    let data = load(parts.path(), AS_IS).unwrap();
    assert_eq!(
        (&data.train.pixels[..], &data.test.pixels[..]),
        (&[1, 1, 1, 1, 2, 2, 2, 2][..], &[3; 4][..])
    );
    assert_eq!(data.watched().0, "valid");
    assert_eq!(data.valid.unwrap().pixels[..], [4; 4]);
    let (train, test) = (data.train.labels.unwrap(), data.test.labels.unwrap());
    assert_eq!((train.classes, test.classes), (vec![1, 2], vec![0]));
    assert_eq!(
        (&*train.names, &*test.names),
        (&["a", "b", "c"].map(String::from)[..], &*train.names)
    );
}

/// As torchvision's and ImageNet's: nobody's validation images are trained on, and `train` is no class.
#[test]
fn validation_images_are_never_trained_on() {
    let x = |v: u8| grey(2, 2, v);
    for (train, held) in [("train", "val"), ("Training", "validation"), ("train", "testing")] {
        let names = [("cat/1", 1), ("cat/2", 2), ("dog/1", 3)];
        let mut files: Vec<(String, Vec<u8>)> =
            names.iter().map(|(name, v)| (format!("{train}/{name}.png"), x(*v))).collect();
        files.push((format!("{held}/cat/1.png"), x(4)));
        files.push((format!("{held}/eel/1.png"), x(5)));
        let files: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (&n[..], &b[..])).collect();
        let parts = folder(&files);
        let data = load(parts.path(), AS_IS).unwrap();
        assert_eq!(data.train.pixels[..], [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3], "{held}");
        assert_eq!(data.test.pixels[..], [4, 4, 4, 4, 5, 5, 5, 5], "{held}");
        assert_eq!(*data.train.labels.as_ref().unwrap().names, ["cat", "dog", "eel"]);
        assert_eq!((data.watched().0, data.source()), ("test", parts.path().to_str().unwrap()));
        assert_eq!(data.name.contains("(val as test images)"), held == "val", "{}", data.name);
        // What is held out of the training images beside them is only what is asked for.
        let some = load(parts.path(), Options { valid: Some(0.34), ..AS_IS }).unwrap();
        assert_eq!((some.train.n_images, some.valid.unwrap().n_images), (2, 1));
        assert_eq!(some.test, data.test);
    }
    // Three parts, and more to hold out: one must go.
    let all = folder(&[
        ("train/1.png", &x(1)),
        ("train/2.png", &x(2)),
        ("val/1.png", &x(3)),
        ("test/1.png", &x(4)),
    ]);
    let data = load(all.path(), AS_IS).unwrap();
    assert_eq!(
        (&data.test.pixels[..], &data.valid.unwrap().pixels[..]),
        (&[4; 4][..], &[3; 4][..])
    );
    assert_words(
        load(all.path(), Options { valid: Some(0.5), ..AS_IS }),
        &["`valid` 0.5", "validation images", "leave `valid` out"],
    );
    let two = folder(&[("train/1.png", &x(1)), ("val/1.png", &x(2)), ("valid/1.png", &x(3))]);
    assert_words(load(two.path(), AS_IS), &["val and", "valid could be the same part"]);
    // A folder of training images alone is no class; beside others it is.
    let alone =
        folder(&[("train/cat/1.png", &x(1)), ("train/dog/1.png", &x(2)), ("notes/a.txt", b"")]);
    let data = load(alone.path(), AS_IS).unwrap();
    assert_eq!(*data.train.labels.unwrap().names, ["cat", "dog"]);
    let vehicles = folder(&[("train/1.png", &x(1)), ("car/1.png", &x(2)), ("car/2.png", &x(3))]);
    let data = load(vehicles.path(), AS_IS).unwrap();
    assert_eq!(*data.train.labels.unwrap().names, ["car", "train"]);
    // Arrays are parted alike.
    let array = |v: u8| npy("|u1", &[2, 2, 2], &[v; 8]);
    let npz = npz(
        &[("x_train", &array(1)), ("x_val", &array(2)), ("x_test", &array(3))],
        CompressionMethod::Stored,
    );
    let data = load_file("a.npz", &npz, AS_IS).unwrap();
    assert_eq!((data.valid.unwrap().pixels[0], data.test.pixels[0]), (2, 3));
    let two = folder(&[("x_train.npy", &array(1)), ("x_val.npy", &array(2))]);
    for path in [two.path().to_path_buf(), two.path().join("x_train.npy")] {
        let data = load(&path, AS_IS).unwrap();
        assert_eq!(
            (data.train.pixels[..].to_vec(), data.test.pixels[..].to_vec()),
            (vec![1; 8], vec![2; 8])
        );
    }
}

#[test]
fn folders_that_are_no_pictures() {
    let png = grey(2, 2, 0);
    // A header of 60000 x 60000 pixels with nothing behind it.
    let mut forged = png.clone();
    forged[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let cases: [(&[(&str, &[u8])], &[&str]); 6] = [
        (&[], &["no images in this folder", "PNG or JPEG", ".npy"]),
        (&[("a.gif", b"GIF89a")], &["no images in this folder"]),
        (&[("a.png", &png), ("b/c.png", &png)], &["both in this folder and in its sub-folder b"]),
        (&[("a.png", &png), ("b.jpg", b"\xff\xd8\xff\xe0")], &["b.jpg: this is no PNG or JPEG"]),
        (&[("a.png", &png), ("b.png", &forged)], &["b.png: this is no PNG or JPEG"]),
        (&[("a.png", &png)], &["only 1 image"]),
    ];
    for (files, words) in cases {
        assert_words(load(folder(files).path(), AS_IS), words);
    }
    let folder = folder(&[("a.png", &png)]);
    assert_words(load(&folder.path().join("a.png"), AS_IS), &["PNG image; name the folder"]);
}

/// A fuzzer's find: minutes of decoding for some hundred bytes.
#[test]
fn a_picture_that_claims_more_than_its_bytes_can_hold() {
    let mut jpeg = encoded(RgbImage::from_pixel(8, 8, Rgb([9, 9, 9])), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).expect("a baseline frame");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x4e, 0x20, 0x4e, 0x20]);
    let folder = folder(&[("a.jpg", &jpeg), ("b.jpg", &jpeg)]);
    let options = Options { size: Some((4, 4)), ..AS_IS };
    let begin = std::time::Instant::now();
    assert_words(load(folder.path(), options), &["a.jpg", "it claims 20000x20000 pixels in"]);
    assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
}

#[test]
fn a_share_is_held_out() {
    let valid = |share| Options { valid: Some(share), ..AS_IS };
    // Of a file without test images it is the test set.
    let file = npy("|u1", &[10, 1, 1], &ramp(10));
    for (share, n) in [(0.3, 3), (0.05, 1), (0.94, 9), (0.25, 3)] {
        let data = load_file("a.npy", &file, valid(share)).unwrap();
        assert_eq!((data.train.n_images, data.test.n_images), (10 - n, n));
        assert_eq!(data.valid, None);
        assert_eq!(pixels(&data), ramp(10));
    }
    // A share that is no image, or all of them, is refused with one that is.
    for (share, words) in [
        (0.0499, ["`valid` 0.0499 of the 10 images of", "is not one image: give 0.05"]),
        (1e-300, ["`valid` 0.00", "is not one image: give 0.05"]),
        (0.9501, ["`valid` 0.9501 of the 10 images of", "leaves none to train on"]),
    ] {
        assert_words(load_file("a.npy", &file, valid(share)), &words);
    }
    assert_words(data::open(MNIST, valid(8e-6)), &["60000 images", "give 0.0000084 or more"]);
    assert_eq!(data::open(MNIST, valid(8.4e-6)).unwrap().valid.unwrap().n_images, 1);
    // Beside test images it is a set of its own, the last of the training images, with their labels.
    let data = data::open(MNIST, valid(0.1)).unwrap();
    let held = data.valid.as_ref().unwrap();
    assert_eq!((data.train.n_images, held.n_images, data.test.n_images), (54_000, 6000, 10_000));
    assert_eq!(data.watched(), ("valid", held));
    let whole = data::open(MNIST, AS_IS).unwrap();
    assert_eq!(held.image(5999), whole.train.image(59_999));
    assert_eq!(
        held.labels.as_ref().unwrap().classes,
        whole.train.labels.as_ref().unwrap().classes[54_000..]
    );
    assert_eq!(whole.watched().0, "test");
    for share in [0.0, 1.0, -0.5, f64::NAN, f64::INFINITY] {
        assert_words(data::open(MNIST, valid(share)), &["`valid`", "between 0 and 1"]);
    }
    // Images sorted by class would leave out the last classes.
    let x = npy("|u1", &[6, 1, 1], &ramp(6));
    for (classes, is_fine) in
        [([0, 0, 1, 1, 2, 2], true), ([0, 0, 0, 0, 0, 1], false), ([1, 0, 0, 0, 0, 1], true)]
    {
        let file = npz(&[("x", &x), ("y", &npy("|u1", &[6], &classes))], CompressionMethod::Stored);
        match is_fine {
            true => drop(load_file("a.npz", &file, AS_IS).unwrap()),
            false => {
                assert_words(load_file("a.npz", &file, AS_IS), &["sorted by class", "shuffle"]);
            }
        }
    }
}

#[test]
fn images_are_stretched() {
    let options = |size| Options { size: Some(size), ..AS_IS };
    let data = data::open(MNIST, options((14, 7))).unwrap();
    assert_eq!((data.train.height, data.train.width, data.test.n_pixels()), (14, 7, 98));
    let mean =
        |pixels: &[u8]| pixels.iter().map(|&v| f64::from(v)).sum::<f64>() / pixels.len() as f64;
    let whole = data::open(MNIST, AS_IS).unwrap();
    assert!((mean(&data.test.pixels) - mean(&whole.test.pixels)).abs() < 0.5);
    for size in [(0, 4), (1 << 20, 1 << 20)] {
        assert_words(data::open(MNIST, options(size)), &["`size`", "from 1 to 16777216 pixels"]);
    }
    // Train and test of different sizes become one.
    let (a, b) = (npy("|u1", &[2, 2, 2], &[7; 8]), npy("|u1", &[1, 3, 3], &[8; 9]));
    let folder = folder(&[("train.npy", &a), ("test.npy", &b)]);
    assert_words(
        load(folder.path(), AS_IS),
        &["test.npy: test images are 3x3", "train.npy are 2x2", "`size`"],
    );
    assert_eq!(load(folder.path(), options((1, 2))).unwrap().test.pixels, [8, 8]);
}

/// Rows of a forged header's count that are not there are not allocated.
#[test]
fn forged_counts_cost_no_memory() {
    let n = 1_usize << 40;
    let forged = [
        ("a.npy", npy("|u1", &[n, 16, 16], &[0; 64])),
        ("a.npz", npz(&[("x", &npy("<f8", &[n, 16, 16], &[0; 64]))], CompressionMethod::Deflated)),
    ];
    for (name, file) in forged {
        assert_words(load_file(name, &file, AS_IS), &["need ", "but there are"]);
    }
    let header =
        format!(r#"{{"x":{{"dtype":"U8","shape":[{n},16],"data_offsets":[0,{}]}}}}"#, n * 16);
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    assert_words(load_file("a.safetensors", &file, AS_IS), &["not a safetensors file"]);
}

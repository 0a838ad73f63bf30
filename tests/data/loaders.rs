//! The built-in MNIST, and the loaders of IDX and `.amat` files with each of their errors.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use elbo::data::{self, DataError, Dataset, Images, Labels, Options, mnist};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::harness;

const TRAIN: &str = "train-images-idx3-ubyte";
const TEST: &str = "t10k-images-idx3-ubyte";
const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";
const TEST_LABELS: &str = "t10k-labels-idx1-ubyte";

/// An IDX file with the given magic number, sizes and elements.
fn idx(magic: u32, sizes: &[u32], elements: &[u8]) -> Vec<u8> {
    let words = [&[magic], sizes].concat();
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend(elements);
    bytes
}

/// `n` images in which each pixel of the file has another value (modulo 251).
fn images(n: u32, height: u32, width: u32) -> Vec<u8> {
    idx(0x803, &[n, height, width], &ramp(n * height * width))
}

fn load(path: &Path) -> Result<Dataset, DataError> {
    data::load(path, Options::default())
}

fn labels(labels: &[u8]) -> Vec<u8> {
    idx(0x801, &[labels.len() as u32], labels)
}

fn ramp(len: u32) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// Checks that loading fails in one line that contains `words` and the path `at`.
#[track_caller]
fn assert_fails_at(path: &Path, at: &Path, words: &[&str]) {
    let message = load(path).expect_err("loading should fail").to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    for word in [at.to_str().unwrap()].iter().chain(words) {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
}

/// Checks that a single file with these bytes fails, raw and, with the same words, compressed.
#[track_caller]
fn assert_file_fails(bytes: &[u8], words: &[&str]) {
    let folder = folder(&[("raw", bytes), ("packed", &gzip(bytes))]);
    for name in ["raw", "packed"] {
        let path = folder.path().join(name);
        assert_fails_at(&path, &path, words);
    }
}

/// Checks that a folder with these files fails, and that `at` is the file blamed.
#[track_caller]
fn assert_folder_fails(files: &[(&str, &[u8])], at: &str, words: &[&str]) {
    let folder = folder(files);
    assert_fails_at(folder.path(), &folder.path().join(at), words);
}

fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets")
}

fn sha256(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    let digest = hasher.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn embedded_mnist_is_the_original() {
    let mnist = mnist().unwrap();
    assert_eq!(mnist.name, "MNIST");
    let cases = [
        (
            &mnist.train,
            60_000,
            [5, 0, 4, 1, 9],
            [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        (
            &mnist.test,
            10_000,
            [7, 2, 1, 0, 4],
            [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ];
    let sources = fs::read_to_string(assets().join("SOURCES.md")).unwrap();
    for (set, n, first_labels, counts, images_sha256, labels_sha256) in cases {
        assert_eq!((set.n_images, set.height, set.width), (n, 28, 28));
        assert_eq!(set.n_pixels(), 784);
        let Labels { classes, names } = set.labels.as_ref().unwrap();
        assert_eq!(**names, std::array::from_fn::<String, 10, _>(|digit| digit.to_string()));
        let labels: Vec<u8> = classes.iter().map(|&class| class as u8).collect();
        assert_eq!(labels[..5], first_labels);
        assert_eq!(set.labels.as_ref().unwrap().name(1), first_labels[1].to_string());
        let count = |digit| labels.iter().filter(|&&label| label == digit).count();
        assert_eq!(std::array::from_fn(|digit| count(digit as u8)), counts);

        // With the header put back, these are the original files.
        let header = idx(0x803, &[n as u32, 28, 28], &[]);
        assert_eq!(sha256(&[&header, &set.pixels]), images_sha256);
        let header = idx(0x801, &[n as u32], &[]);
        assert_eq!(sha256(&[&header, &labels]), labels_sha256);
        for digest in [images_sha256, labels_sha256] {
            assert!(sources.contains(digest), "{digest} is not listed");
        }
    }
}

#[test]
fn the_listed_sources_are_the_files() {
    let table = fs::read_to_string(assets().join("SOURCES.md")).unwrap();
    for name in [TRAIN, TRAIN_LABELS, TEST, TEST_LABELS] {
        let folder = if name == TRAIN { "mnist-train" } else { "mnist" };
        let bytes = fs::read(assets().join(format!("{folder}/{name}.gz"))).unwrap();
        let row = format!("| {name} | gz | {} | `{}` |", bytes.len(), sha256(&[&bytes]));
        assert!(table.contains(&row), "no row {row}");
    }
}

#[test]
fn folder_in_every_spelling() {
    let files = [
        (TRAIN, images(5, 3, 7)),
        (TRAIN_LABELS, labels(&[4, 3, 2, 1, 0])),
        (TEST, images(2, 3, 7)),
        (TEST_LABELS, labels(&[8, 9])),
    ];
    for dotted in [false, true] {
        for suffix in ["", ".gz"] {
            // The suffix must not matter, so the content is compressed in the other half too.
            for compressed in [false, true] {
                let folder = tempfile::tempdir().unwrap();
                for (name, bytes) in &files {
                    let name = if dotted { name.replace("-idx", ".idx") } else { name.to_string() };
                    let bytes = if compressed { gzip(bytes) } else { bytes.clone() };
                    fs::write(folder.path().join(name + suffix), bytes).unwrap();
                }
                let data = load(folder.path()).unwrap();
                assert_eq!(data.name, folder.path().to_str().unwrap());
                let train = Images {
                    n_images: 5,
                    height: 3,
                    width: 7,
                    channels: 1,
                    pixels: ramp(105).into(),
                    labels: Some(Labels {
                        classes: vec![4, 3, 2, 1, 0],
                        // The test images' classes are the last.
                        names: (0..10).map(|class| class.to_string()).collect(),
                    }),
                };
                assert_eq!(data.train, train);
                assert_eq!(data.train.image(4), &ramp(105)[84..]);
                assert_eq!((data.test.n_images, &data.test.pixels[..]), (2, &ramp(42)[..]));
                assert_eq!(data.test.labels.unwrap().classes, [8, 9]);
            }
        }
    }
}

#[test]
fn odd_sizes_and_no_labels() {
    for (height, width) in [(1, 1), (1, 300), (257, 1), (5, 13)] {
        let folder =
            folder(&[(TRAIN, &images(3, height, width)), (TEST, &images(1, height, width))]);
        let train = load(folder.path()).unwrap().train;
        assert_eq!(train.height, height as usize);
        assert_eq!(train.width, width as usize);
        assert_eq!(train.pixels, ramp(3 * height * width));
        assert_eq!(train.labels, None);
    }
}

#[test]
fn gzip_of_several_members_is_one_file() {
    let bytes = images(6, 4, 4);
    let (head, tail) = bytes.split_at(9);
    let folder = folder(&[("parts", &[gzip(head), gzip(tail)].concat())]);
    let data = load(&folder.path().join("parts")).unwrap();
    assert_eq!([&*data.train.pixels, &data.test.pixels].concat(), ramp(96));
}

#[test]
fn train_file_finds_its_test_sibling() {
    for (train, test) in [
        (TRAIN, TEST),
        ("train-images.idx3-ubyte.gz", "t10k-images.idx3-ubyte.gz"),
        ("my-train-images", "my-t10k-images"),
        ("emnist-train-images-idx3-ubyte", "emnist-test-images-idx3-ubyte"),
    ] {
        let folder = folder(&[(train, &images(12, 2, 2)), (test, &images(1, 2, 2))]);
        let data = load(&folder.path().join(train)).unwrap();
        assert_eq!((data.train.n_images, data.test.n_images), (12, 1), "{train}");
    }
}

#[test]
fn single_file_holds_out_its_last_sixth() {
    for (n, n_test) in [(2, 1), (3, 1), (8, 1), (9, 2), (12, 2), (14, 2), (15, 3), (600, 100)] {
        let classes: Vec<u8> = ramp(n);
        let folder = folder(&[(TRAIN, &images(n, 2, 3)), (TRAIN_LABELS, &labels(&classes))]);
        let data = load(&folder.path().join(TRAIN)).unwrap();
        assert_eq!(data.train.n_images, (n - n_test) as usize, "of {n}");
        assert_eq!(data.test.n_images, n_test as usize, "of {n}");
        assert_eq!((data.test.height, data.test.width), (2, 3));
        let start = data.train.n_images;
        assert_eq!(data.train.pixels, ramp(n * 6)[..start * 6]);
        assert_eq!(data.test.pixels, ramp(n * 6)[start * 6..]);
        let classes: Vec<u16> = classes.into_iter().map(u16::from).collect();
        assert_eq!(data.train.labels.unwrap().classes, classes[..start]);
        assert_eq!(data.test.labels.unwrap().classes, classes[start..]);
    }
}

#[test]
fn one_image_cannot_be_split() {
    assert_file_fails(&images(1, 2, 2), &["1 image", "at least 2"]);
}

#[test]
fn missing_path() {
    let folder = folder(&[]);
    let path = folder.path().join("nowhere");
    assert_fails_at(&path, &path, &["no such file or folder"]);
    let empty = load(Path::new("")).unwrap_err().to_string();
    assert!(empty.starts_with("\"\": no such file"), "{empty}");
}

#[cfg(unix)]
#[test]
fn unreadable_path() {
    // Permissions do not stop root, but nobody can look into a file as if it were a folder.
    let folder = folder(&[("file", b"")]);
    let path = folder.path().join("file/inside");
    assert_fails_at(&path, &path, &["cannot be read", "directory"]);
}

#[test]
fn folder_without_the_files() {
    for (present, missing) in [(TEST, TRAIN), (TRAIN, TEST)] {
        let files = folder(&[(present, &images(2, 2, 2))]);
        let no_file = format!("no {missing} in this folder");
        let words = [&no_file, TRAIN, TEST, ".gz", ".idx3"];
        assert_fails_at(files.path(), files.path(), &words);
        // A folder of that name is not the file.
        fs::create_dir(files.path().join(missing)).unwrap();
        assert_fails_at(files.path(), files.path(), &words);
    }
}

#[test]
fn empty_file() {
    assert_file_fails(b"", &["file is empty", "IDX file of images"]);
}

#[test]
fn wrong_magic_number() {
    let cases: [(&[u8], &str, &str); 16] = [
        (&[0, 0, 8, 1], "0x00000801", "a labels file"),
        (&[0, 0, 8, 4], "0x00000804", "has 4 dimensions"),
        (&[0, 0, 0x0d, 3], "0x00000d03", "type is 0x0d (f32), not 0x08 (u8)"),
        (&[0, 0, 0x77, 3], "0x00007703", "type is 0x77 (unknown), not 0x08"),
        (&[3, 8, 0, 0], "0x03080000", "little-endian"),
        (b"\x89PNG\r\n\x1a\n", "0x89504e47", "PNG"),
        (b"\xff\xd8\xff\xe0", "0xffd8ffe0", "JPEG"),
        (b"GIF89a", "0x47494638", "GIF"),
        (b"\x93NUMPY", "0x934e554d", ".npy"),
        (b"PK\x03\x04", "0x504b0304", "zip"),
        (b"\x89HDF", "0x89484446", "HDF5"),
        (b"<!DOCTYPE html>", "0x3c21444f", "HTML"),
        (b"\xfd7zXZ", "0xfd377a58", "xz"),
        (b"BZh9", "0x425a6839", "bzip2"),
        (b"hello", "0x68656c6c", "not an IDX file"),
        (b"hell", "0x68656c6c", "not an IDX file"),
    ];
    for (bytes, got, hint) in cases {
        let expected = "expected 0x00000803 for images";
        assert_file_fails(bytes, &["wrong magic number", got, expected, hint]);
    }
    let twice = gzip(&gzip(&images(2, 2, 2)));
    let folder = folder(&[("twice.gz", &twice)]);
    let path = folder.path().join("twice.gz");
    assert_fails_at(&path, &path, &["gzip data within gzip data"]);
}

#[test]
fn images_in_place_of_labels() {
    assert_folder_fails(
        &[(TRAIN, &images(2, 2, 2)), (TEST, &images(2, 2, 2)), (TRAIN_LABELS, &images(2, 2, 2))],
        TRAIN_LABELS,
        &["0x00000803", "0x00000801 for labels", "an images file"],
    );
}

#[test]
fn header_cut_off() {
    for len in [1, 3, 4, 9, 15] {
        let got = format!("got {len}");
        let words = ["header is cut off", "expected 16 bytes", &got];
        assert_file_fails(&images(2, 2, 2)[..len], &words);
    }
}

#[test]
fn zero_sizes() {
    for (sizes, shown) in [
        ([0, 28, 28], "0x28x28"),
        ([5, 0, 28], "5x0x28"),
        ([5, 28, 0], "5x28x0"),
        // The product of the others overflows.
        ([u32::MAX, u32::MAX, 0], "4294967295x4294967295x0"),
    ] {
        assert_file_fails(&idx(0x803, &sizes, &[]), &[shown, "must be at least 1"]);
    }
}

#[test]
fn too_large_for_the_device() {
    for sizes in [[u32::MAX; 3], [1 << 31, 1 << 31, 4], [1, 4097, 4096], [(1 << 31) + 1, 1, 1]] {
        assert_file_fails(
            &idx(0x803, &sizes, &[0; 8]),
            &["too large", "at most 2147483648 images", "of 16777216 pixels"],
        );
    }
}

#[test]
fn too_short() {
    assert_file_fails(
        &idx(0x803, &[10, 2, 2], &[7; 39]),
        &["too short", "10x2x2", "needs 56 bytes", "there are 55"],
    );
}

#[test]
fn too_long() {
    assert_file_fails(
        &idx(0x803, &[10, 2, 2], &[7; 41]),
        &["too long", "10x2x2", "needs 56 bytes", "at least 57"],
    );
    // The length of a raw file is known before it is read.
    let folder = folder(&[("raw", &idx(0x803, &[10, 2, 2], &[7; 200]))]);
    let path = folder.path().join("raw");
    assert_fails_at(&path, &path, &["needs 56 bytes", "at least 216"]);
}

/// The forged size is just within the limit, so that only the length of the file tells.
#[test]
fn forged_header_costs_no_memory() {
    // The peak is that of all threads.
    if !harness::is_alone(module_path!(), "forged_header_costs_no_memory") {
        return;
    }
    assert_file_fails(
        &idx(0x803, &[1 << 21, 32, 32], &[0; 100]),
        &["too short", "needs 2147483664 bytes", "there are 116"],
    );
    assert!(peak_memory() < 1 << 30);
}

/// Peak of this process's address space in bytes; 0 where the system does not tell.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
    kib.map_or(0, |kib| kib.parse::<u64>().unwrap() * 1024)
}

#[test]
fn gzip_bomb_is_not_unpacked() {
    let bomb = gzip(&[images(2, 1, 1), vec![0; 1 << 22]].concat());
    let folder = folder(&[("bomb", &bomb)]);
    let path = folder.path().join("bomb");
    // 16 + 2 bytes are promised; only one more was looked at.
    assert_fails_at(&path, &path, &["too long", "needs 18", "at least 19"]);
}

#[test]
fn corrupt_gzip() {
    let good = gzip(&images(20, 5, 5));
    let mut bad_checksum = good.clone();
    let checksum = good.len() - 8;
    bad_checksum[checksum] ^= 1;
    let mut bad_data = good.clone();
    bad_data[10] = 0xff;
    let trailing = [&good[..], b"trailing"].concat();
    let cut = &good[..good.len() / 2];
    for bytes in [&bad_checksum, &bad_data, &trailing, cut, &[0x1f, 0x8b]] {
        let folder = folder(&[("file.gz", bytes)]);
        let path = folder.path().join("file.gz");
        assert_fails_at(&path, &path, &["corrupt gzip data", "again"]);
    }
}

#[test]
fn train_and_test_differ_in_size() {
    let files: [(&str, &[u8]); 2] = [(TRAIN, &images(2, 28, 20)), (TEST, &images(2, 20, 28))];
    let words = ["test images are 20x28", "are 28x20", "must be the same"];
    assert_folder_fails(&files, TEST, &words);
    assert_folder_fails(&files, TRAIN, &words);
}

#[test]
fn label_count_differs() {
    for (wrong, right, images_name) in
        [(TRAIN_LABELS, TEST_LABELS, TRAIN), (TEST_LABELS, TRAIN_LABELS, TEST)]
    {
        for n_labels in [2, 4] {
            let files: [(&str, &[u8]); 4] = [
                (TRAIN, &images(3, 2, 2)),
                (TEST, &images(3, 2, 2)),
                (right, &labels(&[0; 3])),
                (wrong, &labels(&vec![0; n_labels])),
            ];
            let count = format!("{n_labels} labels for the 3 images");
            assert_folder_fails(&files, wrong, &[&count, images_name, "one per image"]);
        }
    }
}

#[test]
fn line_breaks_in_a_name_do_not_break_the_line() {
    let error = load(Path::new("no\nsuch\r\x1b[2Jfile")).unwrap_err();
    let message = error.to_string();
    assert!(!message.contains(char::is_control), "{message:?}");
    assert!(message.contains(r"no\nsuch"), "{message}");
}

/// Loads each damaged form of `good` that `damage` yields and passes on the outcome.
fn for_each_damaged(
    damaged: impl Iterator<Item = Vec<u8>>,
    check: impl Fn(&[u8], Result<Vec<u8>, String>),
) {
    let folder = folder(&[]);
    let path: PathBuf = folder.path().join("file");
    for bytes in damaged {
        fs::write(&path, &bytes).unwrap();
        let outcome = load(&path)
            .map(|data| [&*data.train.pixels, &data.test.pixels].concat())
            .map_err(|error| error.to_string());
        if let Err(message) = &outcome {
            assert_eq!(message.lines().count(), 1, "{message}");
            assert!(message.starts_with(path.to_str().unwrap()), "{message}");
        }
        check(&bytes, outcome);
    }
}

#[test]
fn every_truncation_fails() {
    for good in [images(6, 3, 5), gzip(&images(6, 3, 5))] {
        let cuts = (0..=good.len()).map(|len| good[..len].to_vec());
        for_each_damaged(cuts, |bytes, outcome| {
            assert_eq!(outcome.is_ok(), bytes.len() == good.len(), "{outcome:?}");
        });
    }
}

#[test]
fn every_changed_header_byte_fails() {
    let good = images(6, 3, 5);
    let changes = (0..16).flat_map(|at| (0..=255).map(move |value| (at, value)));
    let damaged = changes.map(|(at, value)| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    });
    for_each_damaged(damaged, |bytes, outcome| {
        assert_eq!(outcome.is_ok(), bytes == good, "{outcome:?}");
    });
}

/// Some bits of a gzip file, such as its time stamp, are free; none may change the pixels.
#[test]
fn every_flipped_gzip_bit_fails_or_is_harmless() {
    let good = gzip(&images(6, 3, 5));
    let damaged = (0..good.len() * 8).map(|bit| {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    for_each_damaged(damaged, |_, outcome| {
        if let Ok(pixels) = outcome {
            assert_eq!(pixels, ramp(90));
        }
    });
}

const AMAT_TRAIN: &str = "binarized_mnist_train.amat";
const AMAT_TEST: &str = "binarized_mnist_test.amat";
const AMAT_VALID: &str = "binarized_mnist_valid.amat";

/// A line an image, as the published files have them.
fn amat(images: &[[u8; 4]]) -> Vec<u8> {
    let line = |image: &[u8; 4]| image.map(|v| v.to_string()).join(" ") + " \n";
    images.iter().map(line).collect::<String>().into_bytes()
}

#[test]
fn text_of_zeros_and_ones() {
    let (train, test) = ([[0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]], [[0, 0, 0, 1]]);
    let whites =
        |images: &[[u8; 4]]| -> Vec<u8> { images.iter().flatten().map(|v| v * 255).collect() };
    let (train_text, test_text) = (amat(&train), amat(&test));
    let gz = |name: &str| format!("{name}.gz");
    for packed in [false, true] {
        let files: [(String, Vec<u8>); 3] = match packed {
            false => [
                (AMAT_TRAIN.into(), train_text.clone()),
                (AMAT_TEST.into(), test_text.clone()),
                (AMAT_VALID.into(), b"not read".to_vec()),
            ],
            true => [
                (gz(AMAT_TRAIN), gzip(&train_text)),
                (gz(AMAT_TEST), gzip(&test_text)),
                (gz(AMAT_VALID), b"not read".to_vec()),
            ],
        };
        let files: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (n.as_str(), &b[..])).collect();
        let folder = folder(&files);
        // The folder, and the train file, which finds its sibling.
        for path in [folder.path().to_path_buf(), folder.path().join(files[0].0)] {
            let data = load(&path).unwrap();
            assert_eq!((data.train.n_images, data.train.height, data.train.width), (3, 2, 2));
            assert_eq!(data.train.pixels, whites(&train));
            assert_eq!(data.test.pixels, whites(&test));
            assert_eq!(data.train.labels, None);
            assert!(data.train.is_binary());
        }
    }
    // Other ways to write them, no newline at the end, blank lines; a file alone holds out its last sixth.
    let odd = b"\n0.0\t1.000000000000000000e+00  1 0\r\n\n1 1 1 1\n0 0 0 0";
    let folder = folder(&[("some.amat", odd)]);
    let data = load(&folder.path().join("some.amat")).unwrap();
    assert_eq!([&*data.train.pixels, &data.test.pixels].concat(), whites(&train));
}

#[test]
fn text_that_is_no_such_image() {
    let cases: [(&[u8], &[&str]); 7] = [
        (b"0 1 1 0\n0 1 1\n", &["line 2", "3 values", "have 4"]),
        (b"0 1 1 0\n0 1 2 1\n", &["line 2", "value 3 is \"2\"", "0 or 1"]),
        (b"0 1 0.5 0\n", &["line 1", "value 3 is \"0.5\""]),
        (b"0 1 1 0 1\n", &["line 1", "5 values", "no square", "IDX"]),
        (b"\x89PNG\r\n\x1a\n", &["line 1", "value 1 is", "PNG"]),
        (b"", &["file is empty"]),
        (b"\n \n", &["file is empty"]),
    ];
    for (bytes, words) in cases {
        let folder = folder(&[("raw.amat", bytes), ("packed.amat.gz", &gzip(bytes))]);
        for name in ["raw.amat", "packed.amat.gz"] {
            let path = folder.path().join(name);
            assert_fails_at(&path, &path, words);
        }
    }
    // Nothing in it, or nothing but a bomb of empty lines.
    let blank = vec![b'\n'; 1_000_001];
    for (bytes, word) in [
        (&b""[..], "expected a line of zeros and ones"),
        (&blank[..], "more than 1000000 lines are empty"),
    ] {
        let folder = folder(&[("a.amat.gz", &gzip(bytes)), ("b.amat", bytes)]);
        for name in ["a.amat.gz", "b.amat"] {
            let error = load(&folder.path().join(name)).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
    let cut = gzip(&amat(&[[0, 1, 1, 0]; 100]));
    let folder = folder(&[("cut.amat.gz", &cut[..cut.len() / 2])]);
    let path = folder.path().join("cut.amat.gz");
    assert_fails_at(&path, &path, &["corrupt gzip data"]);
    let half = self::folder(&[(AMAT_TRAIN, &amat(&[[0; 4]]))]);
    let words = ["no binarized_mnist_test.amat in this folder"];
    assert_fails_at(half.path(), half.path(), &words);
}

#[test]
fn binarized_idx_names_and_bits() {
    let bits = |n: u32| {
        idx(0x803, &[n, 2, 2], &(0..n * 4).map(|i| (i % 3 == 0) as u8).collect::<Vec<_>>())
    };
    let (train, test, valid) = (bits(5), bits(2), bits(3));
    let name = |part: &str| format!("binarized_mnist_{part}-images-idx3-ubyte.gz");
    let (train_name, test_name, valid_name) = (name("train"), name("test"), name("valid"));
    let files: [(&str, &[u8]); 3] =
        [(&train_name, &gzip(&train)), (&test_name, &gzip(&test)), (&valid_name, &gzip(&valid))];
    let folder = folder(&files);
    for path in [folder.path().to_path_buf(), folder.path().join(&train_name)] {
        let data = load(&path).unwrap();
        assert_eq!((data.train.n_images, data.test.n_images), (5, 2));
        // No value above 1: bits, of which a one is white.
        assert_eq!(data.train.pixels[..8], [255, 0, 0, 255, 0, 0, 255, 0]);
        assert!(data.train.is_binary() && data.test.is_binary());
        assert_eq!(data.train.means(true)[0], data.train.means(false)[0]);
    }
}

/// A single 2 in either set makes all of them grey levels.
#[test]
fn grey_levels_stay_what_they_are() {
    for (train, test) in [([0, 1, 1, 2], [0, 1, 0, 0]), ([0, 1, 1, 0], [0, 1, 0, 2])] {
        let folder = folder(&[
            (TRAIN, &idx(0x803, &[1, 2, 2], &train)),
            (TEST, &idx(0x803, &[1, 2, 2], &test)),
        ]);
        let data = load(folder.path()).unwrap();
        assert_eq!((&data.train.pixels[..], &data.test.pixels[..]), (&train[..], &test[..]));
        assert!(!data.train.is_binary());
    }
}

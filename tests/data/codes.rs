//! `elbo encode`: what NumPy loads, and that it is what the encoder of model.safetensors gives.

use std::fs;
use std::io::Write;

use crate::harness::program::{Home, idx};
use crate::harness::python::Python;

const OPTIONS: &str = "--device cpu --hidden 9 --latent 3 --batch 10 --epochs 1";

/// The codes of x by NumPy, from the tensors of a run: `encoded(x, run)` is mean and standard deviation.
const ENCODER: &str = "
import csv, json, sys, numpy as np
from safetensors.numpy import load_file
def encoded(x, run='run'):
    t = {name: values.astype('d') for name, values in load_file(run + '/model.safetensors').items()}
    dense = lambda x, name: x @ t[name + '.weight'].T + t[name + '.bias']
    names = ('fc1', 'fc21', 'fc22') if 'fc1.weight' in t else ('encoder.0', 'mu', 'log_variance')
    h = np.maximum(dense(x, names[0]), 0)
    return dense(h, names[1]), np.exp(np.clip(dense(h, names[2]), -30, 20) / 2)
def near(a, b):
    assert a.shape == b.shape and a.dtype == np.float32, (a.shape, b.shape, a.dtype)
    assert np.allclose(a, b, rtol=1e-4, atol=1e-5), abs(a - b).max()
";

#[test]
fn codes_are_the_encoders_in_every_format() {
    let (python, home) = (Python::find(), Home::new());
    // Classes of the training and the test images, which have names beside them.
    for (name, n) in [("train-labels-idx1-ubyte", 200_u32), ("t10k-labels-idx1-ubyte", 50)] {
        let mut bytes = [0x801, n].map(u32::to_be_bytes).concat();
        bytes.extend((0..n).map(|image| (image % 3) as u8));
        fs::write(home.at("data").join(name), bytes).unwrap();
    }
    home.ok(&format!("train --data data --binarization none --run run {OPTIONS}"));
    let ended = home.ok("encode run --out all.npz --device cpu");
    let said = "all.npz: mean (N, Z), std (N, Z), label (N), class_names of 250 images (200 train, then 50 test), 3 \
                latent units";
    assert_eq!(ended.stdout.trim_end(), said);
    for (split, out) in [("all", "all.npy"), ("all", "all.csv"), ("test", "test.npy")] {
        home.ok(&format!("encode run --split {split} --out {out} --device cpu"));
    }
    // Other images, of which nothing is held out; the file beside them is another's.
    fs::write(home.at("new-train-images-idx3-ubyte"), idx(1, 6, 5)).unwrap();
    fs::write(home.at("new-t10k-images-idx3-ubyte"), idx(9, 6, 5)).unwrap();
    home.ok("encode run --data new-train-images-idx3-ubyte --out new.npz --device cpu");
    let check = "
def idx(name):
    data = open(name, 'rb').read()
    return np.frombuffer(data[16:], np.uint8).reshape(-1, 30) / 255
x = np.concatenate([idx('data/train-images-idx3-ubyte'), idx('data/t10k-images-idx3-ubyte')])
mean, std = encoded(x)
with np.load('all.npz', allow_pickle=False) as codes:
    assert sorted(codes) == ['class_names', 'label', 'mean', 'std'], list(codes)
    near(codes['mean'], mean); near(codes['std'], std)
    label = np.concatenate([np.arange(200) % 3, np.arange(50) % 3])
    assert codes['label'].dtype == np.int64 and (codes['label'] == label).all()
    assert list(codes['class_names']) == ['0', '1', '2'], codes['class_names']
    own = codes['mean'], codes['std']
assert (np.load('all.npy') == own[0]).all()
near(np.load('test.npy'), own[0][200:])
header, *rows = csv.reader(open('all.csv'))
assert header == 'image label mean_0 mean_1 mean_2 std_0 std_1 std_2'.split(), header
assert [row[:2] for row in rows] == [[str(i), str(l)] for i, l in enumerate(label)]
values = np.array([row[2:] for row in rows], 'f')
assert (values == np.concatenate(own, 1)).all()
with np.load('new.npz') as codes:
    assert sorted(codes) == ['mean', 'std']
    near(codes['mean'], own[0][:1])
";
    python.run(home.path(), &format!("{ENCODER}{check}"));
    // What elbo writes it reads.
    home.ok(&format!("train --data all.npy --table --run codes {OPTIONS}"));
}

#[test]
fn codes_of_a_table_are_of_its_rows_as_they_stand() {
    let (python, home) = (Python::find(), Home::empty());
    let mut file = fs::File::create(home.at("people.csv")).unwrap();
    writeln!(file, "height,weight,kind").unwrap();
    for i in 0..60 {
        let (a, b) = (i * 37 % 101, i * 53 % 89);
        writeln!(file, "{},{},{}", 150 + a / 2, 40 + a / 4 + b / 3, ["x", "\"y, z\""][i % 2])
            .unwrap();
    }
    home.ok(&format!("train --data people.csv --label kind --run run {OPTIONS}"));
    let ended = home.ok("encode run --out own.csv --device cpu");
    assert!(ended.line("own.csv").contains("label, means, stds of 60 rows, 3 latent units"));
    home.ok("encode run --data people.csv --out named.npz --device cpu");
    let tests = home.ok("encode run --split test --out test.npy --device cpu");
    assert!(tests.line("test.npy").contains("of 10 rows"), "{tests:?}");
    let check = "
header, *rows = csv.reader(open('people.csv'))
columns = json.load(open('run/config.json'))['table']['columns']
cells = np.array([row[:2] for row in rows], 'd')
x = (cells - [c['mean'] for c in columns]) / [c['deviation'] for c in columns]
mean, std = encoded(x)
with np.load('named.npz') as codes:
    near(codes['mean'], mean); near(codes['std'], std)
    kinds = codes['class_names'][codes['label']]
    assert list(kinds) == [row[2] for row in rows], kinds
    own = np.concatenate([codes['mean'], codes['std']], 1)
header, *lines = csv.reader(open('own.csv'))
assert header[:3] == ['row', 'label', 'mean_0'] and [line[1] for line in lines] == list(kinds)
assert (np.array([line[2:] for line in lines], 'f') == own).all()
";
    python.run(home.path(), &format!("{ENCODER}{check}"));
}

/// Of a q with a full covariance the deviations are those of each unit by itself.
#[test]
fn deviations_of_a_full_covariance_are_its_units_own() {
    let (python, home) = (Python::find(), Home::new());
    home.ok(&format!("train --data data --binarization none --posterior full --run run {OPTIONS}"));
    home.ok("encode run --split test --out codes.npz --device cpu");
    let check = "
x = np.frombuffer(open('data/t10k-images-idx3-ubyte', 'rb').read()[16:], np.uint8).reshape(-1, 30) / 255
mean, diagonal = encoded(x)
t = load_file('run/model.safetensors')
h = np.maximum(x @ t['encoder.0.weight'].T.astype('d') + t['encoder.0.bias'], 0)
scale = np.zeros((len(x), 3, 3))
row, column = np.tril_indices(3, -1)
scale[:, row, column] = h @ t['lower.weight'].T.astype('d') + t['lower.bias']
scale[:, range(3), range(3)] = diagonal
with np.load('codes.npz') as codes:
    near(codes['mean'], mean)
    near(codes['std'], np.sqrt(np.einsum('nij,nij->ni', scale, scale)))
    assert abs(codes['std'] - diagonal).max() > 1e-5
";
    python.run(home.path(), &format!("{ENCODER}{check}"));
}

#[test]
fn pictures_are_encoded_in_the_order_of_their_paths() {
    let home = Home::empty();
    // Sorted by class, as a folder is, which training could not hold out a part of.
    let mut reversed = Vec::new();
    for folder in ["pictures", "reversed"] {
        for i in 0..12u8 {
            let class = if i < 6 { "a" } else { "b" };
            let shown = if folder == "pictures" { i } else { 11 - i };
            let levels: Vec<u8> = (0..64).map(|p: u8| p.wrapping_mul(7 + 20 * shown)).collect();
            let path = home.at(folder).join(class);
            fs::create_dir_all(&path).unwrap();
            let picture = image::GrayImage::from_raw(8, 8, levels).unwrap();
            picture.save(path.join(format!("{i:02}.png"))).unwrap();
            reversed.push(11 - i);
        }
    }
    home.ok(&format!("train --data pictures --binarization none --run run {OPTIONS}"));
    let codes = |args: &str| -> Vec<Vec<String>> {
        home.ok(&format!("encode run --out codes.csv --device cpu {args}"));
        let text = fs::read_to_string(home.at("codes.csv")).unwrap();
        let rows = text.lines().skip(1);
        rows.map(|line| line.split(',').skip(1).map(str::to_string).collect()).collect()
    };
    let own = codes("");
    assert_eq!(own.len(), 12);
    assert_eq!(own.iter().map(|row| &*row[0]).collect::<String>(), "aaaaaabbbbbb");
    let other = codes("--data reversed");
    for (i, row) in own.iter().enumerate() {
        assert_eq!(row[1..], other[11 - i][1..], "{i}");
    }
    // As they were parted for training, in random order.
    let [train, test] = ["train", "test"].map(|part| codes(&format!("--split {part}")));
    assert_eq!((train.len(), test.len()), (10, 2));
    assert!(own.iter().all(|row| train.contains(row) || test.contains(row)));
}

#[test]
fn codes_are_refused_in_a_line() {
    let home = Home::new();
    home.ok(&format!("train --data data --run run {OPTIONS}"));
    home.refuses(
        "encode run --out codes.txt",
        &["--out codes.txt", "FILE.npz, FILE.npy or FILE.csv"],
    );
    home.refuses("encode run --out no/codes.npy", &["there is no folder no"]);
    home.refuses("encode data --out codes.npy", &["data: not a run folder"]);
    home.refuses(
        "encode run --split valid --out codes.npy",
        &["--split valid: there are none in", "data"],
    );
    home.refuses(
        "encode run --split some --out codes.npy",
        &["--split", "all, train, valid, test"],
    );
    home.refuses(
        "encode run --data nowhere --out codes.npy",
        &["--data nowhere", "no such file or folder"],
    );
    fs::write(home.at("wide-images-idx3-ubyte"), idx(4, 6, 6)).unwrap();
    let words = ["its images are 6x6 now, those of the run were 6x5"];
    home.refuses("encode run --data wide-images-idx3-ubyte --out codes.npy", &words);
    // A device that is full leaves nothing.
    #[cfg(unix)]
    {
        let before = crate::harness::program::tree(home.path());
        home.cramped(1, "encode run --out codes.npz --device cpu").assert_error(1, &["codes.npz"]);
        assert!(crate::harness::program::tree(home.path()) == before);
    }
}

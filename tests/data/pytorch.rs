//! PyTorch's own files: what torch.save writes is imported, what is more than tensors is refused, and nothing makes it panic.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read, Write};

use elbo::interchange::import::Imported;
use elbo::interchange::pytorch;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::harness::program::Home;
use crate::harness::python::Python;

/// Written by python/checkpoint.py.
const CHECKPOINT: &[u8] = include_bytes!("checkpoint.pt");

/// A zip archive of these files in the folder `saved`.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let method = match bytes.len() > 100_000 {
            true => CompressionMethod::Deflated,
            false => CompressionMethod::Stored,
        };
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(format!("saved/{name}"), options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn tuple(numbers: &[i64]) -> Vec<u8> {
    let number = |n: &i64| [&[0x8a, 8][..], &n.to_le_bytes()].concat();
    [b"(".to_vec(), numbers.iter().flat_map(number).collect(), b"t".to_vec()].concat()
}

/// What makes a tensor: a view of the storage `key` of so many elements.
fn tensor(key: &str, elements: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let number = |n: i64| [&[0x8a, 8][..], &n.to_le_bytes()].concat();
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text(key),
        text("cpu"),
        number(elements),
        b"tQ".to_vec(),
        number(offset),
        tuple(shape),
        tuple(strides),
        b"\x89ccollections\nOrderedDict\n)RtR".to_vec(),
    ]
    .concat()
}

fn dictionary(items: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items = items.iter().flat_map(|(name, value)| [text(name), value.clone()].concat());
    [b"\x80\x02}(".to_vec(), items.collect(), b"u.".to_vec()].concat()
}

/// A state dict of these tensors, whose i-th numbers are i / 64, as torch.save writes one.
fn state_dict(tensors: &[(&str, &[i64])]) -> Vec<u8> {
    let mut items = Vec::new();
    let mut files = Vec::new();
    for (key, (name, shape)) in tensors.iter().enumerate() {
        let n: i64 = shape.iter().product();
        let behind = |i: usize| shape[i + 1..].iter().product();
        let strides: Vec<i64> = (0..shape.len()).map(behind).collect();
        items.push((*name, tensor(&key.to_string(), n, 0, shape, &strides)));
        let values: Vec<u8> = (0..n).flat_map(|i| (i as f32 / 64.0).to_le_bytes()).collect();
        files.push((format!("data/{key}"), values));
    }
    let pickle = dictionary(&items);
    let own = [("data.pkl", &pickle[..]), ("byteorder", b"little")];
    let files = files.iter().map(|(name, bytes)| (name.as_str(), &bytes[..]));
    archive(&own.into_iter().chain(files).collect::<Vec<_>>())
}

#[test]
fn a_checkpoint_of_pytorch_is_a_run() {
    let home = Home::new();
    fs::write(home.at("checkpoint.pt"), CHECKPOINT).unwrap();
    let ended = home.ok("import checkpoint.pt --data data --run run");
    assert!(ended.stdout.contains("the tensors are those of the file's model_state_dict"));
    assert!(ended.stdout.contains("converted to F32: F16, F64"), "{ended:?}");
    let bytes = fs::read(home.at("run/model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.len(), 10);
    for (name, view) in file.iter() {
        assert_eq!(view.dtype(), Dtype::F32);
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(view.data());
        let expected = (0..values.len()).map(|i| (i as f32 % 61.0 - 30.0) / 16.0);
        assert_eq!(values, expected.collect::<Vec<f32>>(), "{name}");
    }
    assert_eq!(file.tensor("fc1.weight").unwrap().shape(), [4, 30]);
    home.ok("eval run --samples 2 --device cpu");
    assert!(home.json("run/import.json")["file"].as_str().unwrap().ends_with("checkpoint.pt"));
}

/// With the PyTorch that is there, if one is: its own loader and this one read the same numbers.
#[test]
fn what_torch_saves_is_read() {
    let (python, home) = (Python::find(), Home::empty());
    if !python.has("torch") {
        return; // the file above is PyTorch's, too
    }
    let script = "
import torch
from safetensors.torch import save_file
torch.manual_seed(0)
tensors = {'a.weight': torch.randn(3, 5), 'b': torch.randn(2, 3, 4).permute(2, 0, 1), 'c': torch.randn(9)[2:8:3],
           'd': torch.randn(4, 4).half()[:, 1:3], 'e': torch.randn(7, dtype=torch.float64), 'f': torch.randn(()),
           'g': torch.randn(6).bfloat16(), 'h': torch.arange(5), 'i': torch.zeros(0, 3)}
for name, extra in [('new.pt', {}), ('four.pt', {'pickle_protocol': 4})]:
    torch.save(tensors, name, **extra)
save_file({name: t.contiguous() for name, t in tensors.items()}, 'same.safetensors')
torch.save(tensors, 'old.pt', _use_new_zipfile_serialization=False)
torch.save(torch.nn.Linear(2, 3), 'module.pt')";
    python.run(home.path(), script);
    let same = fs::read(home.at("same.safetensors")).unwrap();
    let same = SafeTensors::deserialize(&same).unwrap();
    for file in ["new.pt", "four.pt"] {
        let bytes = fs::read(home.at(file)).unwrap();
        let read = pytorch::read(&bytes).unwrap();
        assert_eq!(read.tensors.len(), same.len());
        for (name, saved) in &read.tensors {
            let view = same.tensor(name).unwrap();
            let own = (view.dtype(), view.shape(), view.data());
            assert_eq!((saved.dtype, &saved.shape[..], &saved.data[..]), own, "{file}: {name}");
        }
    }
    home.refuses("import old.pt", &["old.pt: PyTorch's format of before 1.6", "torch.save"]);
    home.refuses("import module.pt", &["torch.nn.modules.linear.Linear", "model.state_dict()"]);
}

#[test]
fn other_names_are_brought_to_known_ones() {
    let home = Home::new();
    let known: [(&str, &[i64]); 10] = [
        ("fc1.weight", &[4, 30]),
        ("fc1.bias", &[4]),
        ("fc21.weight", &[2, 4]),
        ("fc21.bias", &[2]),
        ("fc22.weight", &[2, 4]),
        ("fc22.bias", &[2]),
        ("fc3.weight", &[4, 2]),
        ("fc3.bias", &[4]),
        ("fc4.weight", &[30, 4]),
        ("fc4.bias", &[30]),
    ];
    let import = |file: &str, tensors: &[(String, &[i64])], options: &str| {
        let tensors: Vec<(&str, &[i64])> = tensors.iter().map(|(n, s)| (n.as_str(), *s)).collect();
        fs::write(home.at(file), state_dict(&tensors)).unwrap();
        let run = file.replace('.', "-");
        home.ok(&format!("import {file} --data data --run {run} {options}"));
        let bytes = fs::read(home.at(&run).join("model.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let all = file.iter().map(|(name, view)| (name.to_string(), view.data().to_vec()));
        all.collect::<BTreeMap<String, Vec<u8>>>()
    };
    let named = |name: &dyn Fn(&str) -> String| -> Vec<(String, &[i64])> {
        known.iter().map(|(known, shape)| (name(known), *shape)).collect()
    };
    let plain = import("plain.pth", &named(&|name| name.to_string()), "");
    // Those of pythae's default networks.
    let pythae = |name: &str| {
        let (layer, kind) = name.split_once('.').unwrap();
        let theirs = match layer {
            "fc1" => "encoder.layers.0.0",
            "fc21" => "encoder.embedding",
            "fc22" => "encoder.log_var",
            "fc3" => "decoder.layers.0.0",
            _ => "decoder.layers.1.0",
        };
        format!("{theirs}.{kind}")
    };
    assert!(import("pythae.pt", &named(&pythae), "") == plain);
    // Any others by their own.
    let own =
        |name: &str| format!("net.{}", name.replace("fc21", "mean").replace("fc4", "out.last"));
    let options = "--rename net= --rename mean=fc21 --rename out.last.weight=fc4.weight --rename out.last=fc4";
    assert!(import("own.pt", &named(&own), options) == plain);
    home.refuses(
        "import own.pt --data data --run no --rename ne=",
        &["own.pt: no tensor is called ne, and no name begins with ne.", "net.fc1.bias"],
    );
    let both = "import own.pt --data data --run no --rename net.fc1=net.fc3";
    home.refuses(both, &["would both be net.fc3"]);
    home.refuses(
        "import own.pt --data data --run no --rename net",
        &["--rename", "net.enc=encoder"],
    );
}

#[test]
fn files_that_are_more_or_less_than_tensors_are_refused() {
    let home = Home::new();
    let refuse = |bytes: &[u8], words: &[&str]| {
        fs::write(home.at("bad.pt"), bytes).unwrap();
        let words = [&["bad.pt: "], words].concat();
        home.refuses("import bad.pt --data data --run run", &words);
    };
    let of = |pickle: &[u8]| archive(&[("data.pkl", pickle), ("data/0", &[0; 24])]);
    let views = |view: Vec<u8>| of(&dictionary(&[("a", view)]));
    let good = || tensor("0", 6, 0, &[2, 3], &[3, 1]);
    refuse(&views(good()), &["no names that are known", "it has a"]);

    refuse(&of(b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00ls\x85R."), &["posix.system", "not run"]);
    refuse(&of(b"\x80\x02c__main__\nVAE\n)\x81."), &["asks for __main__.VAE"]);
    refuse(&of(b"\x80\x02c\x1b[31m\nno\n."), &["asks for \\u{1b}[31m.no"]);
    refuse(&of(b"\x80\x02K\x05."), &["it holds a number, not a state dict"]);
    refuse(&of(b"\x80\x02}."), &["no tensors by their names"]);
    refuse(&of(b"\x80\x02"), &["its pickle is not whole"]);
    let inner = |view: Vec<u8>| {
        let whole = dictionary(&[("a", view)]);
        whole[2..whole.len() - 1].to_vec()
    };
    let two = dictionary(&[("enc", inner(good())), ("dec", inner(good()))]);
    refuse(&of(&two), &["several state dicts, enc, dec"]);
    let mixed = dictionary(&[("a", good()), ("epoch", b"K\x05".to_vec())]);
    refuse(&of(&mixed), &["epoch is a number, and a state dict is of tensors alone"]);

    let most = i64::MAX;
    for (view, words) in [
        (tensor("0", 6, 0, &[1 << 40], &[0]), "is none of its storage's"),
        (tensor("0", 6, 0, &[7], &[1]), "is none of its storage's"),
        (tensor("0", 6, 1, &[2, 3], &[3, 1]), "is none of its storage's"),
        (tensor("0", 6, 0, &[2, 3], &[4, 1]), "is none of its storage's"),
        (tensor("0", 6, most, &[2], &[most]), "is none of its storage's"),
        (tensor("0", 6, 0, &[most, most], &[1, 1]), "is none of its storage's"),
        (tensor("0", 6, 0, &[2, 3], &[1]), "is none of its storage's"),
        (tensor("0", 5, 0, &[2], &[1]), "has 24 bytes, 20 at most"),
        (tensor("0", 7, 0, &[2], &[1]), "24 bytes, which are not the 7 elements"),
        (tensor("0", most, 0, &[2], &[1]), "not the 9223372036854775807 elements"),
        (tensor("9", 6, 0, &[2], &[1]), "data/9"),
        (tensor("../../x", 6, 0, &[2], &[1]), "data/../../x"),
    ] {
        refuse(&views(view), &["a: ", words]);
    }
    refuse(&views(tensor("0", 6, 0, &[-1], &[1])), &["in another way"]);
    // One storage that many tensors share comes to as much as they are.
    let names: Vec<String> = (0..3000).map(|i| format!("t{i}")).collect();
    let items: Vec<(&str, Vec<u8>)> =
        names.iter().map(|name| (name.as_str(), tensor("0", 22_500, 0, &[22_500], &[1]))).collect();
    let pickle = dictionary(&items);
    let shared = archive(&[("data.pkl", &pickle), ("data/0", &vec![0; 90_000])]);
    refuse(&shared, &["16 times the file"]);

    let pickle = dictionary(&[("a", good())]);
    let parts = |more: (&str, &[u8])| archive(&[("data.pkl", &pickle), ("data/0", &[0; 24]), more]);
    refuse(&parts(("byteorder", b"big")), &["highest byte"]);
    refuse(&parts(("code/vae.py", b"")), &["a TorchScript module"]);
    refuse(&archive(&[("arr_0.npy", &[0; 64])]), &["not one of torch.save"]);
    // Nothing is unpacked beyond what can be: this is 40 MB of zeros in 40 kB.
    let bomb = archive(&[("data.pkl", &vec![0; 40 << 20])]);
    assert!(bomb.len() < 100_000);
    refuse(&bomb, &["data.pkl has 41943040 bytes, 8388608 at most"]);
    let bomb = archive(&[("data.pkl", &pickle), ("data/0", &vec![0; 40 << 20])]);
    refuse(&bomb, &["data/0 has 41943040 bytes, 24 at most"]);
    let old = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    refuse(old, &["PyTorch's format of before 1.6", "torch.save(torch.load"]);
    for end in [4, 40, CHECKPOINT.len() / 2, CHECKPOINT.len() - 1] {
        refuse(&CHECKPOINT[..end], &["not a whole PyTorch archive"]);
    }
}

/// Whatever a file holds, it is tensors or an error of one line.
#[test]
fn mutated_files_are_errors() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut parts = Vec::new();
    let mut whole = ZipArchive::new(Cursor::new(CHECKPOINT)).unwrap();
    for i in 0..whole.len() {
        let mut file = whole.by_index(i).unwrap();
        let name = file.name().unwrap().strip_prefix("checkpoint/").unwrap().to_string();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        parts.push((name, bytes));
    }
    let (mut read, mut refused) = (0, 0);
    let mut check = |bytes: &[u8]| match Imported::read(bytes, &[]) {
        Ok(_) => read += 1,
        Err(error) => {
            assert!(!error.contains('\n'), "{error}");
            refused += 1;
        }
    };
    let mutate = |bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng| {
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..5) {
                0 => bytes[at] = rng.random_range(0..=255),
                1 => bytes[at] ^= 1 << rng.random_range(0..8),
                2 => bytes.truncate(at.max(1)),
                3 => bytes.insert(at, rng.random_range(0..=255)),
                _ => {
                    let end = (at + rng.random_range(1..40)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let to = rng.random_range(0..bytes.len());
                    bytes.splice(to..to, piece);
                }
            }
        }
    };
    for _ in 0..1500 {
        let mut bytes = CHECKPOINT.to_vec();
        mutate(&mut bytes, &mut rng);
        check(&bytes);
        // The pickle alone, under the checksum that goes with it.
        let mut parts = parts.clone();
        let pickle = parts.iter_mut().find(|(name, _)| name == "data.pkl").unwrap();
        mutate(&mut pickle.1, &mut rng);
        let files: Vec<(&str, &[u8])> = parts.iter().map(|(n, b)| (n.as_str(), &b[..])).collect();
        check(&archive(&files));
    }
    assert!(read > 100 && refused > 1000, "{read} read, {refused} refused");
}

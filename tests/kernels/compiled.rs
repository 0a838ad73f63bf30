//! What the driver has compiled: kept, read again, and never given back to it where it is spoilt.

use std::fs;
use std::path::{Path, PathBuf};

use elbo::device::gpu::{Adapters, GpuDevice, adapter};
use elbo::kernels::linear;
use elbo::versions::versions;
use sha2::{Digest, Sha256};

use crate::harness::{self, GUARD};

/// The adapters that have such a cache, of those there are; lavapipe, which the tests need, has one.
fn adapters() -> Vec<wgpu::Adapter> {
    let mut all = Adapters::enumerate().all().to_vec();
    all.retain(|a| adapter::features(a).contains(&"pipeline cache"));
    assert!(!all.is_empty(), "no adapter keeps what it compiles: {}", adapter::HINT);
    all
}

/// As a new process would: opens the device, loads a program and runs it.
fn use_in(folder: &Path, adapter: &wgpu::Adapter) {
    let device = GpuDevice::open(adapter).expect("opens").keeping_compiled(folder);
    let (kernel, case) = (&linear::FORWARD, &(linear::FORWARD.cases)()[8]);
    device.load(harness::prepare(kernel, case, 0).expect("a case").program).expect("loads");
    let variant = harness::variants(&device, kernel)[0];
    let load = |program| -> Result<Box<dyn harness::Tested>, _> {
        Ok(Box::new(device.load_guarded(program, GUARD, variant.name)?))
    };
    harness::check(kernel, case, 0, &load).unwrap_or_else(|e| panic!("{e}"));
}

/// The one file in a folder.
fn file_in(folder: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(folder).expect("there").map(|e| e.expect("one")).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].path()
}

/// A file of this data that says to be written by this version on this adapter.
fn sealed(adapter: &wgpu::Adapter, driver: &str, data: &[u8]) -> Vec<u8> {
    let d = adapter::describe(&adapter.get_info());
    let (elbo, wgpu) = (versions()["elbo"], versions()["wgpu"]);
    let identity = format!("{}, {}, {driver}, elbo {elbo}, wgpu {wgpu}", d.name, d.backend);
    let mut hash = Sha256::new();
    hash.update((identity.len() as u64).to_le_bytes());
    hash.update(identity);
    hash.update(data);
    [&hash.finalize()[..], data].concat()
}

#[test]
fn what_is_compiled_is_kept_and_read_again() {
    for adapter in adapters() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("in/folders");
        use_in(&folder, &adapter);
        let file = file_in(&folder);
        let first = fs::read(&file).expect("there");
        let driver = adapter::describe(&adapter.get_info()).driver;
        assert_eq!(first, sealed(&adapter, &driver, &first[32..]));
        assert!(first[32..].starts_with(b"WGPU"), "wgpu's own header");
        // Nothing was added: the file is not written again.
        let before = fs::metadata(&file).expect("there").modified().expect("a time");
        use_in(&folder, &adapter);
        assert_eq!(fs::metadata(&file).expect("there").modified().expect("a time"), before);
        assert_eq!(fs::read(&file).expect("there"), first);
    }
}

#[test]
fn a_spoilt_file_is_not_used_and_written_anew() {
    for adapter in adapters() {
        let home = tempfile::tempdir().expect("a folder");
        use_in(home.path(), &adapter);
        let file = file_in(home.path());
        let whole = fs::read(&file).expect("there");
        let driver = adapter::describe(&adapter.get_info()).driver;
        let changed = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        };
        // wgpu's header with another adapter in it, under a right digest.
        let foreign = {
            let mut data = whole[32..].to_vec();
            data[20] ^= 1;
            sealed(&adapter, &driver, &data)
        };
        let spoilt = [
            vec![],
            b"garbage".to_vec(),
            vec![0xA5; 100_000],
            whole[..31].to_vec(),
            whole[..32].to_vec(),
            whole[..whole.len() - 1].to_vec(),
            [&whole[..], b"\0"].concat(),
            changed(0),
            changed(40),
            changed(whole.len() - 1),
            sealed(&adapter, "another driver", &whole[32..]),
            foreign,
            sealed(&adapter, &driver, b"garbage"),
        ];
        for (i, bytes) in spoilt.iter().enumerate() {
            fs::write(&file, bytes).expect("writes");
            use_in(home.path(), &adapter);
            let now = fs::read(&file).expect("there");
            assert_eq!(now, sealed(&adapter, &driver, &now[32..]), "spoilt file {i}");
            assert!(now[32..].starts_with(&whole[32..96]), "spoilt file {i}: not wgpu's header");
        }
    }
}

#[test]
fn nowhere_to_write_does_no_harm() {
    let home = tempfile::tempdir().expect("a folder");
    for adapter in adapters() {
        fs::write(home.path().join("file"), "").expect("writes");
        use_in(&home.path().join("file"), &adapter);
        use_in(&home.path().join("file/below"), &adapter);
        // A folder in the place of the file.
        let inside = home.path().join("folder");
        use_in(&inside, &adapter);
        let file = file_in(&inside);
        fs::remove_file(&file).expect("removes");
        fs::create_dir_all(file.join("full")).expect("makes");
        use_in(&inside, &adapter);
        fs::remove_dir_all(&inside).expect("removes");
    }
}

#[test]
fn processes_may_share_a_folder() {
    let home = tempfile::tempdir().expect("a folder");
    let adapter = &adapters()[0];
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| use_in(home.path(), adapter));
        }
    });
    let file = fs::read(file_in(home.path())).expect("there");
    let driver = adapter::describe(&adapter.get_info()).driver;
    assert_eq!(file, sealed(adapter, &driver, &file[32..]));
}

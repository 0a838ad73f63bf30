//! Every WGSL file by itself, with no GPU: it is valid, in the registry, within the limits that every
//! adapter has, and the writers for Vulkan, Metal and DX12 accept it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use elbo::kernels::REGISTRY;
use elbo::kernels::product::PRODUCT;
use elbo::kernels::{LIBRARY, validate};
use elbo::plan::shader::Reflection;
use elbo::plan::{BoundTensor, Dispatch, ShaderError};
use elbo::plan::{Kernel, Variant};
use naga::back::{hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::valid::ModuleInfo;
use naga::{AddressSpace, Module, ResourceBinding, ShaderStage};

use crate::harness;

fn shaders() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders")
}

/// (path without extension, text) of the WGSL files in a directory, as they are on disk now.
fn files_in(directory: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("shaders/ is in the repository") {
        let path = entry.expect("readable").path();
        if path.is_dir() || path.ends_with("lib/README.md") {
            continue;
        }
        assert_eq!(path.extension().and_then(|e| e.to_str()), Some("wgsl"), "{}", path.display());
        let stem = path.strip_prefix(shaders()).expect("inside").with_extension("");
        let stem = stem.to_str().expect("UTF-8").replace('\\', "/");
        files.push((stem, std::fs::read_to_string(&path).expect("UTF-8")));
    }
    assert!(!files.is_empty(), "{} is empty", directory.display());
    files
}

/// Those of kernels: in shaders/ itself, and in a folder where several belong together.
fn kernel_files() -> Vec<(String, String)> {
    let mut files = files_in(&shaders());
    for entry in std::fs::read_dir(shaders()).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() && !path.ends_with("lib") {
            files.extend(files_in(&path));
        }
    }
    files
}

/// The variants of the kernels in a file.
fn variants_of(file: &str) -> &'static [Variant] {
    let kernel = REGISTRY.iter().find(|k| k.file == file);
    kernel.unwrap_or_else(|| panic!("{file}.wgsl has no kernel in the registry")).variants
}

#[test]
fn every_file_is_valid_and_every_entry_point_is_registered_once() {
    let mut entries = BTreeSet::new();
    for (file, source) in kernel_files() {
        let folder = file.split('/').next().expect("a name");
        for variant in variants_of(&file) {
            let (_, module, _) =
                validate(&file, &source, variant.imports).unwrap_or_else(|e| panic!("{e}"));
            assert!(!module.entry_points.is_empty(), "{file}.wgsl has no entry point");
            entries.extend(module.entry_points.iter().map(|e| format!("{folder}.{}", e.name)));
        }
        for kernel in REGISTRY.iter().filter(|k| k.file == file) {
            assert_eq!(kernel.source, source, "{kernel} holds another file's text");
        }
    }
    let mut registered: Vec<String> = REGISTRY.iter().map(|k| k.to_string()).collect();
    registered.sort();
    assert_eq!(registered, Vec::from_iter(entries), "the registry, and the entry points on disk");
}

/// What a product's library asks of a kernel.
const HOOKS: &str = "
fn rows() -> u32 { return 1u; }
fn columns() -> u32 { return 1u; }
fn inner() -> u32 { return 1u; }
const LEFT_ALONG_INNER = true;
const RIGHT_ALONG_INNER = true;
fn left_scale() -> f32 { return 1.0; }
fn left(row: u32, k: u32) -> f32 { return 1.0; }
fn right(k: u32, column: u32) -> f32 { return 1.0; }
alias Fetched = f32;
fn fetch(row: u32, column: u32) -> f32 { return 1.0; }
fn score(row: u32, column: u32, v: f32, fetched: f32) -> vec2<f32> { return vec2<f32>(v, fetched); }
fn finish_row(row: u32, part: u32, score: vec2<f32>) {}
";

/// What `product` asks of one besides, what `product_fetch` does, and what `transposed_correlation`.
const STORE: &str = "fn store(row: u32, column: u32, v: f32) {}";
const STORE_FETCHED: &str = "fn store(row: u32, column: u32, v: f32, fetched: f32) {}";
const STORE_PIXEL: &str = "fn store_pixel(e: u32, channel: u32, v: f32) {}";

/// What `parameter_gradients` asks of one. Its tensors are arrays of a workgroup here, so that this text binds nothing.
const LAYER: &str = "
const R = 1u;
const I = 1u;
const O = 1u;
var<workgroup> x: array<f32, 1>;
var<workgroup> d_y: array<f32, 1>;
";

/// What `count_likelihood` asks of one.
const COUNTS: &str = "
const B = 1u;
const K = 1u;
const D = 1u;
var<workgroup> x: array<f32, 1>;
var<workgroup> mean_total: array<f32, 1>;
";

/// What `unit_normal` asks of one.
const NOISE: &str = "
const N = 1u;
const STREAM = 0u;
var<workgroup> clock: array<u32, 8>;
";

/// What convolutions' files ask of one.
const CONVOLUTION: &str = "
const R = 1u;
const H = 1u;
const W = 1u;
const I = 1u;
const P = 1u;
const Q = 1u;
const O = 1u;
const KERNEL = 1u;
const STRIDE = 1u;
const PADDING = 0u;
const SLAB = 1u;
var<workgroup> weight: array<f32, 1>;
fn image(e: u32) -> f32 { return 1.0; }
fn place(e: u32) -> f32 { return 1.0; }
fn left_scale() -> f32 { return 1.0; }
";

#[test]
fn every_library_file_holds_functions_only() {
    for (path, source) in files_in(&shaders().join("lib")) {
        let file = path.strip_prefix("lib/").expect("in lib");
        let last = source.lines().rfind(|line| !line.is_empty()).expect("not empty");
        // A part of the product's library is complete only with the others.
        let part = ["fetched_row", "fragment", "operands"].contains(&file)
            || file.starts_with("tile_")
            || file.starts_with("row_parts_");
        let import = if part { "product_sums" } else { file };
        // What a kernel that sums over its workgroup declares; the library may declare no override.
        let (hooks, store) = match file {
            "parameter_gradients" => (LAYER, ""),
            "count_likelihood" => (COUNTS, ""),
            "unit_normal" => (NOISE, ""),
            "correlation" => (CONVOLUTION, STORE),
            "transposed_correlation" => (CONVOLUTION, STORE_PIXEL),
            "patches" | "slabs" => (CONVOLUTION, ""),
            "product_fetch" => (HOOKS, STORE_FETCHED),
            _ => (HOOKS, STORE),
        };
        let user = format!("override WORKGROUP: u32 = 64u;\n{hooks}\n{store}\n#import {import}\n");
        let mut held = false;
        for variant in PRODUCT {
            let (text, module, _) =
                validate("user", &user, variant.imports).unwrap_or_else(|e| panic!("{e}"));
            held |= text.contains(last);
            assert!(module.entry_points.is_empty(), "{path}.wgsl has an entry point");
            let overrides: Vec<_> = module.overrides.iter().map(|(_, o)| o.name.clone()).collect();
            assert_eq!(overrides, [Some("WORKGROUP".to_string())], "{path}.wgsl");
            for (_, variable) in module.global_variables.iter() {
                let own = [AddressSpace::WorkGroup, AddressSpace::Private];
                assert!(own.contains(&variable.space), "{path}.wgsl: {variable:?}");
            }
        }
        assert!(held, "{path}.wgsl: the library holds another text, or nobody imports it");
    }
}

#[test]
fn every_kernel_file_begins_with_its_header() {
    for (file, source) in kernel_files() {
        let header: Vec<&str> = source
            .lines()
            .take_while(|line| line.starts_with("//") && !line.starts_with("///"))
            .collect();
        assert!(header.len() >= 6, "{file}.wgsl: a header of {} lines", header.len());
        assert!(header.iter().any(|line| line.contains("Grid:")), "{file}.wgsl: no grid");
    }
}

/// Every variant of every kernel with every set of constants that its cases give it, as the compiler of an
/// adapter gets it: one entry point, overrides replaced by their values.
fn for_each_specialization(mut f: impl FnMut(&Dispatch, &Variant, &Module, &ModuleInfo)) {
    for kernel in REGISTRY {
        let mut seen = BTreeMap::new();
        for (seed, case) in (kernel.cases)().iter().enumerate() {
            let mut prepared = harness::prepare(kernel, case, seed as u64).unwrap();
            let plan = prepared.plan;
            let dispatch = prepared.program.plan(plan).dispatches[0].clone();
            prepared.tensors.clear();
            seen.entry(format!("{:?}", dispatch.constants.pairs())).or_insert(dispatch);
        }
        assert!(!seen.is_empty(), "{kernel} has no cases");
        for variant in kernel.variants {
            let (_, module, info) =
                validate(kernel.file, kernel.source, variant.imports).expect("valid");
            for dispatch in seen.values() {
                let pairs = dispatch.constants.pairs();
                let constants = pairs.into_iter().map(|(name, v)| (name.to_string(), v)).collect();
                let entry = Some((ShaderStage::Compute, kernel.entry));
                let (module, info) = process_overrides(&module, &info, entry, &constants)
                    .unwrap_or_else(|e| panic!("{kernel} {constants:?}: {e}"));
                f(dispatch, variant, &module, &info);
            }
        }
    }
}

/// What the host reads from a kernel's first variant holds for all.
#[test]
fn variants_differ_in_their_text_only() {
    for kernel in REGISTRY {
        let first = kernel.reflection().unwrap();
        let mut texts = BTreeSet::new();
        let mut names = BTreeSet::new();
        for variant in kernel.variants {
            let other = kernel.reflection_of(variant).unwrap();
            assert_eq!(first.bindings, other.bindings, "{kernel}, {}", variant.name);
            assert_eq!(first.overrides, other.overrides, "{kernel}, {}", variant.name);
            assert!(texts.insert(&other.source), "{kernel}: {} is another one", variant.name);
            assert!(names.insert(variant.name), "{kernel}: two are {}", variant.name);
        }
    }
}

#[test]
fn webgpu_default_limits_suffice() {
    let limits = wgpu::Limits::default();
    // What WebGPU promises of every adapter; should wgpu's defaults ever be higher, these still hold.
    assert_eq!(limits.max_storage_buffers_per_shader_stage, 8);
    assert_eq!(limits.max_compute_invocations_per_workgroup, 256);
    assert_eq!(limits.max_compute_workgroup_storage_size, 16384);
    let mut most_memory = 0;
    for_each_specialization(|dispatch, variant, module, _| {
        let kernel = dispatch.kernel;
        let of_space = |wanted: fn(AddressSpace) -> bool| {
            module.global_variables.iter().map(|(_, v)| v).filter(move |v| wanted(v.space))
        };
        let buffers = of_space(|s| matches!(s, AddressSpace::Storage { .. })).count();
        assert_eq!(buffers, dispatch.bindings.len(), "{kernel}: what reflection found");
        assert!(buffers <= limits.max_storage_buffers_per_shader_stage as usize, "{kernel}");
        let [x, y, z] = module.entry_points[0].workgroup_size;
        assert!(x * y * z <= limits.max_compute_invocations_per_workgroup, "{kernel}: {x} {y} {z}");
        assert!(x <= limits.max_compute_workgroup_size_x, "{kernel}");
        assert!(y <= limits.max_compute_workgroup_size_y, "{kernel}");
        assert!(z <= limits.max_compute_workgroup_size_z, "{kernel}");
        let memory: u32 = of_space(|s| s == AddressSpace::WorkGroup)
            .map(|v| module.types[v.ty].inner.size(module.to_ctx()))
            .sum();
        // What all adapters with cooperative matrices have, and what is asked of them.
        let most = if variant.cooperative.is_some() { 32 << 10 } else { 16 << 10 };
        assert!(memory <= most, "{kernel}, {}: {memory} bytes", variant.name);
        most_memory = most_memory.max(memory);
    });
    // An array whose length is not resolved would count as one element.
    assert!(most_memory >= 4096, "linear's tiles are larger than {most_memory} bytes");
}

fn resource(b: &BoundTensor) -> ResourceBinding {
    ResourceBinding { group: 0, binding: b.index }
}

#[test]
fn vulkan_metal_and_dx12_writers_accept_every_kernel() {
    for_each_specialization(|dispatch, variant, module, info| {
        let kernel = dispatch.kernel;
        let entry = (ShaderStage::Compute, kernel.entry.to_string());
        // Bindings are given one by one: one that is left over, or left out, is an error.
        let fake_missing_bindings = false;

        let map = |b: &BoundTensor| {
            let (descriptor_set, binding) = (0, b.index);
            let info = spv::BindingInfo { descriptor_set, binding, binding_array_size: None };
            (resource(b), info)
        };
        let binding_map = dispatch.bindings.iter().map(map).collect();
        // Subgroups came with Vulkan 1.1.
        let lang_version = if variant.subgroup.is_some() { (1, 3) } else { (1, 0) };
        let options =
            spv::Options { lang_version, binding_map, fake_missing_bindings, ..Default::default() };
        let pipeline = spv::PipelineOptions { shader_stage: entry.0, entry_point: entry.1.clone() };
        let words = spv::write_vec(module, info, &options, Some(&pipeline))
            .unwrap_or_else(|e| panic!("{kernel}: SPIR-V: {e}"));
        assert_eq!(words[0], 0x0723_0203, "{kernel}: SPIR-V's magic number");
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let name = format!("{}\0", kernel.entry);
        assert!(bytes.windows(name.len()).any(|w| w == name.as_bytes()), "{kernel}: no {name}");

        let map = |(slot, b): (usize, &BoundTensor)| {
            let (buffer, mutable) = (Some(slot as u8), b.access.writes());
            (resource(b), msl::BindTarget { buffer, mutable, ..Default::default() })
        };
        let resources = msl::EntryPointResources {
            resources: dispatch.bindings.iter().enumerate().map(map).collect(),
            immediates_buffer: None,
            sizes_buffer: Some(dispatch.bindings.len() as u8),
        };
        if variant.cooperative == Some(16) {
            return; // naga writes what Metal has not
        }
        let options = msl::Options {
            // macOS 10.13; simdgroups came with 10.14, their matrices with 11
            lang_version: match (variant.subgroup, variant.cooperative) {
                (_, Some(_)) => (2, 3),
                (Some(_), None) => (2, 1),
                (None, None) => (2, 0),
            },
            per_entry_point_map: BTreeMap::from([(entry.1.clone(), resources)]),
            fake_missing_bindings,
            ..Default::default()
        };
        let pipeline =
            msl::PipelineOptions { entry_point: Some(entry.clone()), ..Default::default() };
        let (text, written) = msl::write_string(module, info, &options, &pipeline)
            .unwrap_or_else(|e| panic!("{kernel}: MSL: {e}"));
        check_text(kernel, &text, &written.entry_point_names, "kernel void NAME(");
        if variant.cooperative.is_some() {
            return; // DX12 has no cooperative matrices
        }

        let map = |b: &BoundTensor| {
            let (register, restrict_indexing) = (b.index, true);
            let target = hlsl::BindTarget { register, restrict_indexing, ..Default::default() };
            (resource(b), target)
        };
        // 5.1 is what wgpu falls back to where the newer compiler is not installed.
        for shader_model in [hlsl::ShaderModel::V5_1, hlsl::ShaderModel::V6_0] {
            if variant.subgroup.is_some() && shader_model == hlsl::ShaderModel::V5_1 {
                continue;
            }
            let options = hlsl::Options {
                shader_model,
                binding_map: dispatch.bindings.iter().map(map).collect(),
                fake_missing_bindings,
                // The number of workgroups is no built-in of HLSL: wgpu passes it in here.
                special_constants_binding: Some(hlsl::BindTarget {
                    space: 1,
                    ..Default::default()
                }),
                ..Default::default()
            };
            let pipeline = hlsl::PipelineOptions { entry_point: Some(entry.clone()) };
            let mut text = String::new();
            let written = hlsl::Writer::new(&mut text, &options, &pipeline)
                .write(module, info, None)
                .unwrap_or_else(|e| panic!("{kernel}: HLSL: {e}"));
            check_text(kernel, &text, &written.entry_point_names, "void NAME(");
        }
    });
}

/// The text defines the entry point, under its own name or, where that is a keyword, one like it.
fn check_text<E: std::fmt::Debug>(
    kernel: &Kernel,
    text: &str,
    names: &[Result<String, E>],
    definition: &str,
) {
    let [Ok(name)] = names else { panic!("{kernel}: {names:?}") };
    assert!(name.trim_end_matches('_') == kernel.entry, "{kernel} became {name}");
    assert!(text.contains(&definition.replace("NAME", name)), "{kernel}: {text}");
}

const IMPORTS: &str = "#import math\n\n#import reduce\n";

#[test]
fn unknown_and_repeated_imports_are_errors_with_their_line() {
    let error = |source: &str| validate("k", source, &[]).unwrap_err().to_string();
    assert_eq!(
        error("\n#import nothing\n"),
        "k.wgsl:2: #import nothing: there is no shaders/lib/nothing.wgsl"
    );
    assert_eq!(error(&format!("{IMPORTS}#import math\n")), "k.wgsl:4: #import math is repeated");
}

#[test]
fn errors_name_the_line_of_the_kernels_own_file() {
    for kernel in REGISTRY {
        let source = kernel.source;
        // In front of the last function; its imports are appended after it.
        let at = source.rfind("\n@compute").expect("an entry point") + 1;
        let line = source[..at].lines().count() + 1;
        for (planted, word) in [
            ("fn planted() -> u32 { return no_such_name; }\n", "no_such_name"), // the parser's
            ("fn planted() -> u32 { }\n", "planted"),                           // the validator's
        ] {
            let mut broken = source.to_string();
            broken.insert_str(at, planted);
            let message =
                validate(kernel.file, &broken, kernel.variants[0].imports).unwrap_err().to_string();
            let place = format!("{}.wgsl:{line}:", kernel.file);
            assert!(message.contains(&place) && message.contains(word), "{place} {message}");
        }
    }
}

/// WGSL lets a store to a component of a vector touch the whole vector: invocations that store different
/// components of one vector race, and do so on Metal and DX12.
#[test]
fn nothing_is_stored_to_a_component_of_a_vector_others_can_reach() {
    let shared = |module: &Module, function: &naga::Function, mut at| loop {
        match function.expressions[at] {
            naga::Expression::Access { base, .. } | naga::Expression::AccessIndex { base, .. } => {
                at = base;
            }
            naga::Expression::GlobalVariable(v) => {
                let space = module.global_variables[v].space;
                break matches!(space, AddressSpace::WorkGroup | AddressSpace::Storage { .. });
            }
            _ => break false,
        }
    };
    for (kernel, variant) in REGISTRY.iter().flat_map(|k| k.variants.iter().map(move |v| (k, v))) {
        let (_, module, info) = validate(kernel.file, kernel.source, variant.imports).unwrap();
        let functions = module.functions.iter().map(|(h, f)| (f, &info[h]));
        let entries = module.entry_points.iter().enumerate();
        let entries = entries.map(|(i, e)| (&e.function, info.get_entry_point(i)));
        for (function, info) in functions.chain(entries) {
            let mut blocks = vec![&function.body];
            while let Some(block) = blocks.pop() {
                for statement in block {
                    match statement {
                        naga::Statement::Block(b) => blocks.push(b),
                        naga::Statement::If { accept, reject, .. } => {
                            blocks.extend([accept, reject]);
                        }
                        naga::Statement::Switch { cases, .. } => {
                            blocks.extend(cases.iter().map(|c| &c.body));
                        }
                        naga::Statement::Loop { body, continuing, .. } => {
                            blocks.extend([body, continuing]);
                        }
                        naga::Statement::Store { pointer, .. } => {
                            // The pointer to a component is one into a vector: its own base is the vector.
                            let (naga::Expression::Access { base, .. }
                            | naga::Expression::AccessIndex { base, .. }) =
                                function.expressions[*pointer]
                            else {
                                continue;
                            };
                            let inner = info[base].ty.inner_with(&module.types);
                            let vector = match inner {
                                naga::TypeInner::Pointer { base, .. } => {
                                    matches!(
                                        module.types[*base].inner,
                                        naga::TypeInner::Vector { .. }
                                    )
                                }
                                naga::TypeInner::ValuePointer { size, .. } => size.is_some(),
                                _ => false,
                            };
                            let name = function.name.as_deref().unwrap_or(kernel.entry);
                            assert!(
                                !(vector && shared(&module, function, base)),
                                "{}.wgsl: {name} stores to a component of a shared vector",
                                kernel.file
                            );
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

/// A kernel of one input and one output, each with what is above its declaration and its type.
fn reflect(above: &str, ty: &str, body: &str) -> Result<Reflection, ShaderError> {
    let source = format!(
        "override N: u32;\n\
         {above}\n\
         @group(0) @binding(0) var<storage, read> a: array<{ty}>;\n\
         /// (N)\n\
         @group(0) @binding(1) var<storage, read_write> b: array<f32>;\n\
         @compute @workgroup_size(1) fn f() {{ {body} }}\n"
    );
    Reflection::new(LIBRARY, "k", &source, "f", &[])
}

#[test]
fn a_binding_must_say_its_shape() {
    let copy = "b[N - 1u] = f32(a[0]);";
    let reflection = reflect("/// (2*N, 3)", "f32", copy).unwrap();
    assert_eq!(reflection.bindings.len(), 2);
    for (above, ty, body, problem) in [
        ("", "f32", copy, "binding a: the line above it must give its shape"),
        ("// (N)", "f32", copy, "binding a: the line above it must give its shape"),
        ("/// as many as b", "f32", copy, "binding a: the line above it must give its shape"),
        ("/// (N+1)", "f32", copy, "binding a: cannot read the dimension \"N+1\""),
        ("/// (N,)", "f32", copy, "binding a: cannot read the dimension"),
        ("/// (N/0)", "f32", copy, "binding a: cannot read the dimension \"N/0\""),
        ("/// (/4)", "f32", copy, "binding a: cannot read the dimension \"/4\""),
        ("/// (N)", "i32", copy, "binding a: must be an array of f32 or u32"),
        ("/// (N)", "f32", "var s = a[0] + b[N - 1u];", "binding b: f never writes it"),
    ] {
        let error = reflect(above, ty, body).expect_err(problem).to_string();
        assert!(error.starts_with("k.wgsl: ") && error.contains(problem), "{problem}: {error}");
    }
    let error = Reflection::new(LIBRARY, "k", "@compute @workgroup_size(1) fn g() {}", "f", &[])
        .unwrap_err();
    assert_eq!(error.to_string(), "k.wgsl has no entry point f");
}

/// The words that shaders and Rust know by the same names.
#[test]
fn words_have_the_same_places_in_rust() {
    use elbo::kernels::linear::update_all::Placed;
    use elbo::kernels::{clock, rates};
    let places = |file: &str| -> Vec<(String, usize)> {
        let text = std::fs::read_to_string(shaders().join(file)).expect("UTF-8");
        let constants = text.lines().filter_map(|line| line.strip_prefix("const "));
        let pair = |text: &str| {
            let (name, place) = text.strip_suffix("u;")?.split_once(" = ")?;
            Some((name.to_string(), place.parse().expect("a number")))
        };
        constants.filter_map(pair).collect()
    };
    let expected = |words: &[(&str, usize)]| -> Vec<(String, usize)> {
        words.iter().map(|(name, place)| (name.to_string(), *place)).collect()
    };
    let of_clock = [
        ("SEED_LOW", clock::SEED_LOW),
        ("SEED_HIGH", clock::SEED_HIGH),
        ("STEP", clock::STEP),
        ("EPOCH", clock::EPOCH),
        ("POSITION", clock::POSITION),
        ("SAMPLE", clock::SAMPLE),
    ];
    assert_eq!(places("lib/clock.wgsl"), expected(&of_clock));
    let of_rates = [
        ("LEARNING_RATE", rates::LEARNING_RATE),
        ("CORRECTION1", rates::CORRECTION1),
        ("CORRECTION2", rates::CORRECTION2),
        ("KL_WEIGHT", rates::KL_WEIGHT),
    ];
    assert_eq!(places("lib/rates.wgsl"), expected(&of_rates));
    let layer = Placed {
        inputs: 10,
        outputs: 11,
        input: (true, 12),
        d_output: (false, 13),
        weight: 14,
        bias: 15,
        weight_state: 16,
        bias_state: 17,
    };
    let of_layer = [
        ("INPUTS", 10),
        ("OUTPUTS", 11),
        ("INPUT_IS_ODD", 1),
        ("INPUT_AT", 12),
        ("GRADIENT_IS_ODD", 0),
        ("GRADIENT_AT", 13),
        ("WEIGHT_AT", 14),
        ("BIAS_AT", 15),
        ("WEIGHT_STATE_AT", 16),
        ("BIAS_STATE_AT", 17),
    ];
    let mut places = places("linear/update_all.wgsl");
    places.retain(|(name, _)| of_layer.iter().any(|(word, _)| name == word));
    let words = layer.words();
    let in_shader: Vec<(String, usize)> =
        places.into_iter().map(|(name, place)| (name, words[place] as usize)).collect();
    assert_eq!(in_shader, expected(&of_layer));
}

/// The header of a file says what each of its entry points does.
#[test]
fn headers_name_every_entry_point() {
    for kernel in REGISTRY {
        let header: Vec<&str> =
            kernel.source.lines().take_while(|line| line.starts_with("//")).collect();
        let words: BTreeSet<&str> = header
            .iter()
            .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
            .collect();
        let alone = REGISTRY.iter().filter(|other| other.file == kernel.file).count() == 1;
        assert!(alone || words.contains(kernel.entry), "{}.wgsl: {}", kernel.file, kernel.entry);
    }
}

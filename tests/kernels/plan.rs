//! Recording a plan: what does not fit its kernel is refused, and the message says what is wrong.

use elbo::device::Executor;
use elbo::kernels::{bernoulli, end_step, gather, linear};
use elbo::plan::Kernel;
use elbo::plan::{DType, Plan, PlanId, Program, TensorId};

use crate::harness;

const F32: DType = DType::F32;

/// A tensor by the binding it is for.
type Given<'a> = (&'a str, &'a [usize], DType);

/// y = x W^T + b for 2 rows, 3 inputs, 4 outputs.
const FORWARD: [Given; 4] =
    [("x", &[2, 3], F32), ("weight", &[4, 3], F32), ("bias", &[4], F32), ("y", &[2, 4], F32)];

fn declare(program: &mut Program, given: &[Given]) -> Vec<TensorId> {
    given.iter().map(|(name, dims, dtype)| program.tensor(*name, dims, *dtype)).collect()
}

fn record(
    kernel: &'static Kernel,
    given: &[Given],
    constants: &[(&str, f64)],
) -> Result<Plan, String> {
    let mut program = Program::new();
    let ids = declare(&mut program, given);
    let named: Vec<_> = given.iter().map(|(name, ..)| *name).zip(ids).collect();
    let mut plan = Plan::new("step");
    match plan.dispatch(&program, kernel, &named, constants) {
        Ok(()) => Ok(plan),
        Err(e) => {
            assert!(plan.dispatches.is_empty(), "a refused dispatch is not recorded");
            Err(e.to_string())
        }
    }
}

/// Every one of these words is in the message.
fn assert_words(result: Result<Plan, String>, words: &[&str]) {
    let message = result.map(|plan| plan.dispatches).expect_err("must be refused");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

#[test]
fn dimensions_and_defaults_are_inferred() {
    let plan = record(&linear::FORWARD, &FORWARD, &[("ACTIVATION", 1.0)]).unwrap();
    let dispatch = &plan.dispatches[0];
    let dims = ["R", "I", "O", "ACTIVATION"].map(|name| dispatch.constants.dim(name));
    assert_eq!(dims, [2, 3, 4, 1]);
    for variant in dispatch.kernel.variants {
        assert_eq!(dispatch.grid(variant), [1, 1, 1]);
    }
}

#[test]
fn a_missing_or_unknown_binding_is_refused() {
    for missing in 0..FORWARD.len() {
        let mut given = FORWARD.to_vec();
        let (name, ..) = given.remove(missing);
        let words = ["linear.forward", "no tensor is given for the binding", name];
        assert_words(record(&linear::FORWARD, &given, &[]), &words);
    }
    let mut given = FORWARD.to_vec();
    given.push(("wieght", &[4, 3], F32));
    let words = ["linear.forward", "no binding wieght", "x, weight, bias, y"];
    assert_words(record(&linear::FORWARD, &given, &[]), &words);
    // a binding of the file, but of another entry point
    given[4].0 = "d_y";
    assert_words(record(&linear::FORWARD, &given, &[]), &["no binding d_y"]);
}

#[test]
fn a_tensor_that_does_not_fit_is_refused() {
    let cases: [(usize, &[usize], DType, &[&str]); 8] = [
        (0, &[2, 3], DType::U32, &["binding x", "expects F32 [2, 3]", "got x of U32 [2, 3]"]),
        (0, &[2, 3], DType::U8, &["binding x", "expects F32 [2, 3]", "got x of U8 [2, 3]"]),
        (2, &[1, 4], F32, &["binding bias", "expects F32 [4]", "got bias of F32 [1, 4]"]),
        (0, &[6], F32, &["binding x", "got x of F32 [6]"]),
        (1, &[3, 4], F32, &["binding weight", "expects F32 [3, 3]", "of F32 [3, 4]"]),
        (2, &[5], F32, &["binding bias", "expects F32 [4]", "got bias of F32 [5]"]),
        (3, &[2, 5], F32, &["binding y", "expects F32 [2, 4]", "got y of F32 [2, 5]"]),
        (3, &[3, 4], F32, &["binding y", "expects F32 [2, 4]", "got y of F32 [3, 4]"]),
    ];
    for (which, dims, dtype, words) in cases {
        let mut given = FORWARD.to_vec();
        given[which] = (given[which].0, dims, dtype);
        let result = record(&linear::FORWARD, &given, &[]);
        assert_words(result.clone(), &["linear.forward"]);
        assert_words(result, words);
    }
    // nothing to do is a mistake of the caller
    let empty = FORWARD.map(|(name, dims, dtype)| match name {
        "x" => (name, &[0_usize, 3] as &[usize], dtype),
        "y" => (name, &[0_usize, 4] as &[usize], dtype),
        _ => (name, dims, dtype),
    });
    assert_words(record(&linear::FORWARD, &empty, &[]), &["binding x", "[0, 3]"]);
}

#[test]
fn a_tensor_bound_twice_is_refused() {
    let mut program = Program::new();
    let ids = declare(&mut program, &[("h", &[4, 4], F32), ("b", &[4], F32), ("y", &[4, 4], F32)]);
    let named = [("x", ids[0]), ("weight", ids[0]), ("bias", ids[1]), ("y", ids[2])];
    let error = Plan::new("step").dispatch(&program, &linear::FORWARD, &named, &[]).unwrap_err();
    let expected = "linear.forward: the tensor h is bound twice, as x and as weight";
    assert_eq!(error.to_string(), expected);
    let named = [("x", ids[0]), ("x", ids[2]), ("weight", ids[0]), ("bias", ids[1])];
    let error = Plan::new("step").dispatch(&program, &linear::FORWARD, &named, &[]).unwrap_err();
    assert_eq!(error.to_string(), "linear.forward: the binding x is given twice");
}

#[test]
fn parts_are_places_in_a_tensor() {
    let mut program = Program::new();
    let ids = declare(&mut program, &FORWARD);
    let named: Vec<_> = FORWARD.iter().map(|(name, ..)| *name).zip(ids.clone()).collect();
    let mut plan = Plan::new("step");
    plan.dispatch(&program, &linear::FORWARD, &named, &[]).unwrap();
    // x and weight are only read; y is written
    let whole = program.clone().pack("both", &[ids[0], ids[3]], &plan).unwrap_err().to_string();
    assert_eq!(whole, "linear.forward: the tensor both is bound twice, as x and as y");
    let whole = program.pack("both", &[ids[1], ids[0]], &plan).unwrap();
    assert_eq!(
        [ids[1], ids[0], ids[3]].map(|id| program.place(id)),
        [(whole, 0), (whole, 64), (ids[3], 0)]
    );
    assert_eq!(
        (program.parts_of(whole), program.parts_of(ids[3])),
        (vec![ids[0], ids[1]], vec![ids[3]])
    );
    let names: Vec<&str> = program.stored().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["bias", "y", "both"]);
    // the whole and a part of it, one of them written
    let named = [("x", ids[0]), ("weight", ids[1]), ("bias", ids[2]), ("y", whole)];
    let error = Plan::new("step").dispatch(&program, &linear::FORWARD, &named, &[]).unwrap_err();
    assert!(error.to_string().contains("the tensor both is bound twice"), "{error}");

    // A device reads and writes a part where it is in the whole, and runs on it.
    program.add(plan);
    let given: Vec<Vec<f32>> =
        [6, 12, 4].map(|n| (0..n).map(|i| (i as f32).sin()).collect()).to_vec();
    let (x, weight, bias) = (&given[0], &given[1], &given[2]);
    let dot =
        |row: usize, o: usize| -> f32 { (0..3).map(|k| x[3 * row + k] * weight[3 * o + k]).sum() };
    let expected: Vec<f32> = (0..8).map(|e| dot(e / 4, e % 4) + bias[e % 4]).collect();
    let mut devices: Vec<Box<dyn Executor>> =
        vec![Box::new(harness::cpu().load::<f32>(program.clone()).unwrap())];
    for gpu in harness::gpus() {
        devices.push(Box::new(gpu.load(program.clone()).unwrap()));
    }
    for device in &mut devices {
        for (id, values) in ids.iter().zip(&given) {
            device.write_f32(*id, values).unwrap();
        }
        device.run_dispatch(PlanId(0), 0).unwrap();
        let y = device.read_f32(ids[3]).unwrap();
        assert!(y.iter().zip(&expected).all(|(y, e)| (y - e).abs() < 1e-5), "{y:?} {expected:?}");
        assert_eq!(&device.read_f32(ids[0]).unwrap(), x);
        let both = device.read_f32(whole).unwrap();
        assert_eq!((both.len(), &both[..12], &both[64..70]), (128, &weight[..], &x[..]));
    }
}

#[test]
fn a_constant_must_be_known_needed_and_of_its_type() {
    let forward = |constants: &[(&str, f64)]| record(&linear::FORWARD, &FORWARD, constants);
    assert!(forward(&[]).is_ok());
    let twice = forward(&[("ACTIVATION", 1.0), ("ACTIVATION", 2.0)]);
    assert_words(twice, &["the constant ACTIVATION is given twice"]);
    for (constants, problem) in [
        (("ACTIVATOIN", 1.0), "the constant ACTIVATOIN is not declared"),
        (("BETA1", 0.9), "the constant BETA1 is not declared"),
        (("ACTIVATION", f64::NAN), "the constant ACTIVATION cannot be NaN"),
        (("ACTIVATION", 0.5), "the constant ACTIVATION cannot be 0.5"),
        (("ACTIVATION", -1.0), "the constant ACTIVATION cannot be -1"),
        (("R", 3.0), "binding x expects F32 [3, 3], got x of F32 [2, 3]"),
    ] {
        assert_words(forward(&[constants]), &["linear.forward", problem]);
    }
    // no shape implies which binarization, or how many images the data set has
    let given: [Given; 3] =
        [("data", &[9, 4], DType::U8), ("clock", &[8], DType::U32), ("x", &[5, 4], F32)];
    let constants = [("N", 9.0), ("HALF_BITS", 2.0), ("STREAM", 0.0)];
    let words = ["gather.gather", "the constant BINARIZATION is needed and not given"];
    assert_words(record(&gather::GATHER, &given, &constants), &words);
    let given: [Given; 5] = [
        ("log_px", &[6], F32),
        ("kl", &[3], F32),
        ("history", &[9, 4], F32),
        ("clock", &[8], DType::U32),
        ("rates", &[4], F32),
    ];
    let plan = record(&end_step::END_STEP, &given, &[("N", 10.0)]).unwrap();
    let sizes = ["B", "K", "T"].map(|name| plan.dispatches[0].constants.dim(name));
    assert_eq!(sizes, [3, 2, 1], "K follows once T has its default");
    let plan = record(&end_step::END_STEP, &given, &[("N", 10.0), ("T", 2.0)]).unwrap();
    let sizes = ["B", "K", "T"].map(|name| plan.dispatches[0].constants.dim(name));
    assert_eq!(sizes, [3, 1, 2]);
    let words = ["end_step.end_step", "the constant N is needed and not given"];
    assert_words(record(&end_step::END_STEP, &given, &[]), &words);
}

#[test]
fn a_grid_beyond_webgpus_limit_is_refused() {
    // a row of the grid for each of B * K; tensors are only declared here, not allocated
    let expectation = |rows: usize| {
        let dims = [rows, 2];
        let given: [Given; 2] = [("logits", &dims, F32), ("mean", &dims, F32)];
        record(&bernoulli::EXPECTATION, &given, &[("K", 1.0)])
    };
    let plan = expectation(65_535).unwrap();
    let kernel = &bernoulli::EXPECTATION;
    assert_eq!(plan.dispatches[0].grid(&kernel.variants[0]), [1, 65_535, 1]);
    let words = ["bernoulli.expectation", "the grid [1, 65536, 1]", "65535 workgroups"];
    assert_words(expectation(65_536), &words);
}

/// A variant whose tiles are too small for a plan is not used; that of the first must do.
#[test]
fn a_variant_with_too_many_tiles_does_not_fit() {
    let forward = |rows: usize| {
        let (x, y) = ([rows, 1], [rows, 1]);
        let given: [Given; 4] =
            [("x", &x, F32), ("weight", &[1, 1], F32), ("bias", &[1], F32), ("y", &y, F32)];
        record(&linear::FORWARD, &given, &[])
    };
    let f32_variants = || linear::FORWARD.variants.iter().filter(|v| v.cooperative.is_none());
    let fitting = |rows: usize| {
        let plan = forward(rows).unwrap();
        f32_variants().map(|v| plan.dispatches[0].fits(v)).collect::<Vec<_>>()
    };
    let plan = forward(4 * 65_535).unwrap();
    let grids = f32_variants().map(|v| plan.dispatches[0].grid(v)[0]);
    assert_eq!(grids.collect::<Vec<_>>(), [8192, 4096, 2048, 2048, 16_384, 65_535, 16_384]);
    assert_eq!(fitting(4 * 65_535), [true; 7]);
    assert_eq!(fitting(4 * 65_535 + 1), [true, true, true, true, true, false, true]);
    assert_eq!(fitting(16 * 65_535 + 1), [true, true, true, true, false, false, false]);
    assert_eq!(fitting(32 * 65_535), [true, true, true, true, false, false, false]);
    assert_words(forward(32 * 65_535 + 1), &["linear.forward", "the grid [65536, 1, 1]"]);
}

#[test]
fn parts_of_a_dimension_are_rounded_up() {
    let decode = |parts: usize| {
        let log_px = [6, parts];
        let given: [Given; 7] = [
            ("h", &[6, 4], F32),
            ("weight", &[70, 4], F32),
            ("bias", &[70], F32),
            ("x", &[3, 70], F32),
            ("row_weight", &[6], F32),
            ("d_eta", &[6, 70], F32),
            ("log_px", &log_px, F32),
        ];
        record(&bernoulli::DECODE, &given, &[])
    };
    assert_eq!(decode(3).unwrap().dispatches[0].constants.dim("K"), 2);
    for wrong in [2, 4] {
        assert_words(decode(wrong), &["bernoulli.decode", "log_px expects F32 [6, 3]"]);
    }
}

/// Whoever loads a program finds in its tensors what they are always to hold.
#[test]
fn loading_writes_the_constants() {
    let mut program = Program::new();
    let words =
        [program.tensor("first", &[3], DType::U32), program.tensor("last", &[2], DType::F32)];
    program.constant(words[0], [7_u32, 8, 9].iter().flat_map(|v| v.to_le_bytes()).collect());
    program.constant(words[1], [0.5_f32, -3.0].iter().flat_map(|v| v.to_le_bytes()).collect());
    for device in harness::devices() {
        let mut executor = device.load(program.clone()).expect("loads");
        assert_eq!(executor.read_u32(words[0]).expect("reads"), [7, 8, 9]);
        assert_eq!(executor.read_f32(words[1]).expect("reads"), [0.5, -3.0]);
    }
}

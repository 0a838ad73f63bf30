//! Tables on the command line: from a CSV to scores, rows and cells.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::harness::program::Home;

const OPTIONS: &str = "--device cpu --hidden 12 --latent 3 --batch 10 --epochs 4";

/// Rows of four columns that go together and a class; some cells are missing.
fn csv(rows: std::ops::Range<u32>) -> String {
    let mut text = "height,weight,age,kind,\"arm, left\"\n".to_string();
    for i in rows {
        let (a, b) = (f64::from(i * 37 % 101) / 50.0, f64::from(i * 53 % 89) / 40.0);
        let cells = [150.0 + 20.0 * a, 40.0 + 15.0 * (a + b), 20.0 + 30.0 * b, 60.0 + 9.0 * a];
        let cell = |j: usize| match (i as usize * 4 + j) % 7 {
            3 => String::new(),
            _ => format!("{:.3}", cells[j]),
        };
        let kind = if a > 1.0 { "tall" } else { "small" };
        text += &format!("{},{},{},{kind},{}\n", cell(0), cell(1), cell(2), cell(3));
    }
    text
}

fn home() -> Home {
    let home = Home::empty();
    fs::write(home.at("people.csv"), csv(0..90)).unwrap();
    fs::write(home.at("new.csv"), csv(200..212)).unwrap();
    home
}

fn records(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|r| r.unwrap().iter().map(str::to_string).collect()).collect()
}

#[test]
fn a_table_is_data_in_every_command() {
    let home = home();
    let ended = home.ok(&format!("train --data people.csv --label kind --run run {OPTIONS}"));
    let said = "75 training and 15 test rows of 4 columns, 15.3% of the training cells missing";
    assert!(ended.stderr.contains(said), "{ended:?}");
    assert!(ended.stdout.contains("nats per row, of standardised cells"), "{ended:?}");
    assert!(ended.stdout.contains("nats per row (of standardised cells, 15 rows"), "{ended:?}");
    for word in ["pixel", "image"] {
        assert!(!ended.stdout.contains(word) && !ended.stderr.contains(word), "{word}: {ended:?}");
    }
    let config = home.json("run/config.json");
    let columns = config["table"]["columns"].as_array().unwrap();
    let names: Vec<&str> = columns.iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["height", "weight", "age", "arm, left"]);
    assert!(columns[0]["mean"].as_f64().unwrap() > 150.0);
    assert_eq!(config["table"]["label"], "kind");
    for file in ["samples.csv", "reconstructions.csv", "columns.svg", "units.svg", "scatter.svg"] {
        assert!(home.at("run").join(file).is_file(), "{file}");
    }
    assert!(!home.at("run/samples.png").exists());

    // Every row of another file is scored, whatever else it has and in whatever order.
    let scores = |data: &str, file: &str| {
        home.ok(&format!("eval run --samples 20 --device cpu --data {data} --per-image {file}"));
        records(&fs::read_to_string(home.at(file)).unwrap())
    };
    let of_new = scores("new.csv", "scores.csv");
    assert_eq!((of_new.len(), &*of_new[0][0]), (13, "row"));
    let observed = of_new[0].iter().position(|name| name == "observed").unwrap();
    assert!(of_new[1..].iter().all(|row| ["3", "4"].contains(&&*row[observed])), "{of_new:?}");
    let swapped: Vec<String> = records(&csv(200..212))
        .iter()
        .map(|r| format!("{},{},x,{},\"{}\"", r[2], r[0], r[1], r[4]))
        .collect();
    fs::write(home.at("swapped.csv"), swapped.join("\n").replacen(",x,", ",more,", 1)).unwrap();
    assert_eq!(scores("swapped.csv", "again.csv"), of_new);
    let eval = home.ok("eval run --samples 5 --device cpu --data new.csv");
    assert!(
        eval.stdout.contains("standardised cells") && !eval.stdout.contains("image"),
        "{eval:?}"
    );
    let json = home.ok("eval run --samples 5 --device cpu --json").stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["images"], 15);
    let scale: f64 = columns.iter().map(|c| c["deviation"].as_f64().unwrap().ln()).sum();
    assert!((json["log_scale"].as_f64().unwrap() - scale).abs() < 1e-9);

    // Missing cells are filled in, all others stay as they are, classes too.
    home.ok("impute run new.csv --out filled.csv --samples 50 --device cpu");
    let (before, after) = (csv(200..212), fs::read_to_string(home.at("filled.csv")).unwrap());
    for (line, (before, after)) in records(&before).iter().zip(records(&after)).enumerate() {
        for (column, (before, after)) in before.iter().zip(&after).enumerate() {
            match before.is_empty() {
                false => assert_eq!(before, after),
                true => {
                    let (v, of) = (after.parse::<f64>().unwrap(), [0, 1, 2, 2, 3][column]);
                    let mean = columns[of]["mean"].as_f64().unwrap();
                    let deviation = columns[of]["deviation"].as_f64().unwrap();
                    assert!((v - mean).abs() < 5.0 * deviation, "line {line}: {v}");
                }
            }
        }
    }
    home.ok("impute run --out own.csv --samples 5 --device cpu");
    let own = fs::read_to_string(home.at("own.csv")).unwrap();
    assert_eq!(records(&own).len(), 91);
    assert!(records(&own).iter().flatten().all(|cell| !cell.is_empty()));

    // Of an array, which has no names, all columns too.
    let cells: [f64; 12] =
        [160.0, 50.0, f64::NAN, 62.0, 7.0, 8.0, 170.0, f64::NAN, 30.0, 65.0, 9.0, f64::NAN];
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 6), }";
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend(118_u16.to_le_bytes());
    npy.extend(format!("{header:<117}\n").bytes());
    npy.extend(cells.iter().flat_map(|v| v.to_le_bytes()));
    fs::write(home.at("rows.npy"), npy).unwrap();
    home.refuses("impute run rows.npy --out o.csv", &["no column \"height\"", "it has 6 columns"]);
    let rows = fs::read(home.at("rows.npy")).unwrap();
    let text = String::from_utf8_lossy(&rows[..128]).replace("(2, 6)", "(3, 4)");
    let rows = [&b"\x93"[..], &text.as_bytes()[text.find('N').unwrap()..], &rows[128..]].concat();
    fs::write(home.at("rows.npy"), rows).unwrap();
    home.ok("impute run rows.npy --out rows.csv --samples 5 --device cpu");
    let rows = records(&fs::read_to_string(home.at("rows.csv")).unwrap());
    assert_eq!((rows.len(), &rows[0]), (4, &["1", "2", "3", "4"].map(str::to_string).to_vec()));
    assert_eq!((&*rows[1][0], &*rows[1][1], &*rows[2][2], &*rows[3][2]), ("160", "50", "170", "9"));
    assert!(rows.iter().flatten().all(|cell| !cell.is_empty()), "{rows:?}");

    let drawn = home.ok("sample run --count 7 --device cpu --out drawn.csv");
    assert!(drawn.stdout.contains("drawn.csv"));
    let drawn = records(&fs::read_to_string(home.at("drawn.csv")).unwrap());
    assert_eq!((drawn.len(), &drawn[0][3]), (8, &"arm, left".to_string()));
    assert!(drawn[1..].iter().all(|row| (100.0..250.0).contains(&row[0].parse::<f64>().unwrap())));
    assert!(home.ok("sample run --device cpu").stdout.contains("100 rows drawn, x ~ p(x|z)"));
    // Rows vary by the decoder's variance too, of the same codes, and are as many as are asked for in batches.
    let spread = |values: &str, out: &str| {
        home.ok(&format!("sample run --count 2500 --values {values} --device cpu --out {out}"));
        let rows = records(&fs::read_to_string(home.at(out)).unwrap());
        let height = rows[1..].iter().map(|row| row[0].parse().unwrap()).collect::<Vec<f64>>();
        let mean = height.iter().sum::<f64>() / height.len() as f64;
        assert_eq!(height.len(), 2500);
        let variance = height.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 2500.0;
        (mean, variance.sqrt())
    };
    let (expected, drawn) = (spread("expected", "e.csv"), spread("drawn", "d.csv"));
    assert!((expected.0 - drawn.0).abs() < 3.0, "{expected:?}, {drawn:?}");
    assert!(expected.1 < 0.9 * drawn.1, "{expected:?}, {drawn:?}");
    let deviation = columns[0]["deviation"].as_f64().unwrap();
    assert!((0.8..1.4).contains(&(drawn.1 / deviation)), "{drawn:?} for {deviation}");
    home.ok("reconstruct run --data new.csv --device cpu --out rebuilt.csv");
    assert_eq!(records(&fs::read_to_string(home.at("rebuilt.csv")).unwrap()).len(), 13);
    home.ok("figures run --device cpu");

    home.refuses("explore run", &["run is a run of a table", "elbo sample, reconstruct"]);
    home.refuses("sample run --out a.png", &["the table is a CSV, name it FILE.csv", "FILE.npy"]);
    fs::write(home.at("short.csv"), "height,weight\n1,2\n3,4\n").unwrap();
    for command in ["eval run --data short.csv", "impute run short.csv --out o.csv"] {
        home.refuses(command, &["short.csv: there is no column \"age\"", "the run was trained on"]);
    }
    home.data("images", 20, 10);
    let words = ["these are images, and the run's data are a table"];
    home.refuses("eval run --data images", &words);
    home.ok("train --data images --device cpu --hidden 8 --epochs 1 --run pictures");
    home.refuses("impute pictures --out o.csv", &["pictures is a run of images"]);
    let words = ["these are a table, and the run's data are images"];
    fs::write(home.at("plain.csv"), "height,weight\n1,2\n3,4\n5,9\n").unwrap();
    home.refuses("eval pictures --data plain.csv", &words);
}

/// Stopped and resumed or not, a run on a table comes to the same bits.
#[test]
fn a_run_on_a_table_is_resumed() {
    let home = home();
    let model = |run: &str| fs::read(home.at(run).join("model.safetensors")).unwrap();
    let rest = format!("--data people.csv --label kind {OPTIONS}");
    home.ok(&format!("train {rest} --run whole"));
    home.ok(&format!("train {rest} --run again"));
    assert!(model("whole") == model("again"), "two runs differ");
    home.ok(&format!("train {rest} --run parted --steps 11"));
    home.ok("train --resume parted --steps 30 --device cpu");
    let digest = |run: &str| home.json(&format!("{run}/summary.json"))["parameters_sha256"].clone();
    assert_eq!(digest("whole"), digest("parted"));
    // Of other rows it does not go on.
    fs::write(home.at("people.csv"), csv(1..91)).unwrap();
    home.refuses("train --resume parted --steps 40", &["people.csv: these are not the"]);
}

#[test]
fn bad_tables_are_refused() {
    let home = home();
    let files: BTreeMap<&str, &str> = BTreeMap::from([
        ("text.csv", "a,city,b\n1,Paris,2\n3,Rome,4\n5,Oslo,7\n"),
        ("ragged.csv", "a,b\n1,2\n3\n"),
        ("infinite.csv", "a,b\n1,2\n3,inf\n"),
        ("twice.csv", "a,a\n1,2\n3,4\n"),
        ("empty.csv", ""),
        ("constant.csv", "a,b\n1,2\n1,2\n1,2\n"),
        ("good.csv", "a,b\n1,2\n3,4\n5,7\n2,9\n"),
    ]);
    for (name, text) in files {
        fs::write(home.at(name), text).unwrap();
    }
    for (options, words) in [
        (
            "text.csv",
            &[
                "text.csv",
                "line 2: \"Paris\"",
                "column 2 (\"city\") holds text",
                "--drop city",
                "--label city",
            ][..],
        ),
        ("ragged.csv", &["ragged.csv: line 3: 1 cells, but the first line has 2"]),
        ("infinite.csv", &["infinite.csv: line 3: column 2 (\"b\") is \"inf\""]),
        ("twice.csv", &["columns 1 and 2 are both called \"a\""]),
        ("empty.csv", &["empty.csv: the file is empty"]),
        ("constant.csv", &["every column is constant"]),
        ("good.csv --drop c", &["--drop: there is no column \"c\"; there are a, b"]),
        ("good.csv --label c", &["--label: there is no column \"c\""]),
        ("good.csv --size 2x2", &["--size 2x2 is for images"]),
        ("good.csv --flip", &["--flip true is for images, not tables"]),
        ("good.csv --figures-every 1", &["--figures-every shows images"]),
        ("good.csv --likelihood bernoulli", &["--likelihood bernoulli is for pixels", "gaussian"]),
        (
            "people.csv --label kind --variance learned",
            &["--likelihood gaussian needs every cell", "--variance but learned"],
        ),
        ("mnist --drop a", &["--drop a is for tables"]),
    ] {
        home.refuses(&format!("train --device cpu --run r --data {options}"), words);
    }
    let ended = home
        .ok("train --data text.csv --drop city --run dropped --device cpu --hidden 4 --epochs 1");
    assert!(ended.stderr.contains("rows of 2 columns"), "{ended:?}");
}

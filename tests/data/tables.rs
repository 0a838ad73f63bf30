//! Tables: what is read of CSV and of arrays, how columns are standardised, and what is refused.

use std::fs;
use std::io::Write;
use std::sync::Arc;

use elbo::data::{Dataset, Images, MISSING, Options, Table, TableOptions, load};
use flate2::Compression;
use flate2::write::GzEncoder;
use safetensors::Dtype;
use zip::CompressionMethod;

use crate::formats::{AS_IS, assert_words, folder, load_file, npy, npz, safetensors};

fn asked(options: TableOptions) -> Options {
    Options { table: Some(Arc::new(options)), ..AS_IS }
}

/// As a table, all rows in their order.
fn whole() -> Options {
    asked(TableOptions { table: true, whole: true, ..TableOptions::default() })
}

fn doubles(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn names(data: &Dataset) -> Vec<&str> {
    data.table().expect("a table").columns.iter().map(|column| &*column.name).collect()
}

/// The cells in their own units, NaN where one is missing.
fn cells(images: &Images) -> Vec<f64> {
    let table = images.table().expect("a table");
    let values = images.pixels.reals().expect("real values");
    values.chunks_exact(images.n_pixels()).flat_map(|row| table.restore(row)).collect()
}

#[track_caller]
fn assert_close(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{got:?}");
    // In single precision they are off by that share of their column's deviation.
    for (got, expected) in got.iter().zip(expected) {
        let near = (got - expected).abs() <= 1e-4;
        assert!(near || got.is_nan() && expected.is_nan(), "{got} for {expected}");
    }
}

const TEXT: &str = "width,height,label\n1,10,b\n3,,a\n5,30,b\n7,NA,a\n";

#[test]
fn a_table_is_read() {
    let data = load_file("a.csv", TEXT.as_bytes(), whole()).unwrap();
    assert_eq!(names(&data), ["width", "height"]);
    let images = &data.train;
    assert_eq!((images.n_images, images.height, images.width, images.channels), (4, 1, 2, 1));
    let nan = f64::NAN;
    assert_close(&cells(images), &[1.0, 10.0, 3.0, nan, 5.0, 30.0, 7.0, nan]);
    // Standardised by the cells that are there: means 4 and 20, deviations sqrt 5 and 10.
    let root = 5_f64.sqrt();
    let values: Vec<f64> = images.pixels.reals().unwrap().iter().map(|&v| f64::from(v)).collect();
    let missing = f64::from(MISSING);
    let expected = [-3.0 / root, -1.0, -1.0 / root, missing, 1.0 / root, 1.0, 3.0 / root, missing];
    assert_close(&values, &expected);
    let table = data.table().unwrap();
    assert!((table.log_scale() - (root.ln() + 10_f64.ln())).abs() < 1e-12);
    let labels = images.labels.as_ref().unwrap();
    assert_eq!(
        (&labels.classes[..], &labels.names[..]),
        (&[1, 0, 1, 0][..], &["a".to_string(), "b".to_string()][..])
    );
    assert_eq!((table.label.as_deref(), &table.classes[..]), (Some("label"), &labels.names[..]));
    assert!(images.has_missing() && images.missing() == 2);
    assert!(!images.is_binary() && images.grey_share() == 0.0);
    let first = images.first(3);
    assert_eq!((first.n_images, first.missing(), first.image_bytes()), (3, 1, 8));
    assert_close(&cells(&first), &[1.0, 10.0, 3.0, nan, 5.0, 30.0]);
}

/// Written otherwise, it is the same table.
#[test]
fn csv_in_every_form() {
    let expected = load_file("a.csv", TEXT.as_bytes(), whole()).unwrap();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(TEXT.as_bytes()).unwrap();
    let forms: [(&str, Vec<u8>); 9] = [
        ("a.csv.gz", packed.finish().unwrap()),
        ("a.csv", TEXT.replace('\n', "\r\n").into_bytes()),
        ("a.csv", format!("\u{feff}{TEXT}").into_bytes()),
        ("a.csv", TEXT.replace(',', ";").into_bytes()),
        ("a.tsv", TEXT.replace(',', "\t").into_bytes()),
        ("a.csv", TEXT.replace("width", "\"width\"").replace(",a", ", a ").into_bytes()),
        ("a.csv", TEXT.replace("NA", "nan").replace(",,", ",  ,").into_bytes()),
        ("a.csv", TEXT.replace("\n1,", "\n\n1.0e0,").into_bytes()),
        ("a.csv", ",width,height,label\n0,1,10,b\n1,3,,a\n2,5,30,b\n3,7,NA,a\n".into()),
    ];
    for (name, bytes) in forms {
        let data = load_file(name, &bytes, whole()).unwrap();
        assert_eq!(data.train, expected.train, "{}", String::from_utf8_lossy(&bytes));
    }
    let commas = load_file("a.csv", b"a;b\n1,5;2\n0,25;4\n", whole()).unwrap();
    assert_close(&cells(&commas.train), &[1.5, 2.0, 0.25, 4.0]);
    // Without a header columns are numbered; a first line of numbers is one of data.
    let bare = load_file("a.csv", b"1,10\n3,20\n5,60\n", whole()).unwrap();
    assert_eq!((names(&bare), bare.train.n_images), (vec!["1", "2"], 3));
    let numbered = load_file("a.csv", b"0,1,2\n3,20,5\n5,60,1\n", whole()).unwrap();
    assert_eq!((names(&numbered), numbered.train.n_images), (vec!["0", "1", "2"], 2));
}

#[test]
fn columns_are_dropped_and_taken_as_classes() {
    let text = b"id,city,a,b,kind\n1,Paris,0.5,1,10\n2,Oslo,0.25,1,9\n3,Rome,1.5,1,10\n";
    let options = TableOptions {
        drop: vec!["id".into(), "city".into()],
        label: Some("kind".into()),
        ..TableOptions::default()
    };
    let home = folder(&[("a.csv", text)]);
    let mut notes = Vec::new();
    let data = elbo::data::open_with(
        home.path().join("a.csv").to_str().unwrap(),
        asked(TableOptions { whole: true, ..options }),
        &mut |note| notes.push(note),
    )
    .unwrap();
    // A column that is constant is said and left out.
    assert_eq!(names(&data), ["a"]);
    let note = notes.concat();
    assert!(note.contains("column 4 (\"b\") is 1 in every training row; it is left out"), "{note}");
    assert_eq!(data.table().unwrap().classes, ["9", "10"]);
}

#[test]
fn parts_of_tables() {
    let rows = |from: u32, to: u32| {
        let lines = (from..to).map(|i| format!("{i},{}\n", i * i));
        format!("a,b\n{}", lines.collect::<String>()).into_bytes()
    };
    let sets = |data: &Dataset| {
        (data.train.n_images, data.test.n_images, data.valid.as_ref().map(|v| v.n_images))
    };
    // A sixth is drawn at random, the same each time.
    let one = folder(&[("a.csv", &rows(0, 60))]);
    let data = load(&one.path().join("a.csv"), AS_IS).unwrap();
    assert_eq!(sets(&data), (50, 10, None));
    assert!(data.name.contains("a sixth of the rows, drawn at random, held out as test rows"));
    assert_eq!(data.source(), one.path().join("a.csv").to_str().unwrap());
    let held: Vec<f64> = cells(&data.test).into_iter().step_by(2).collect();
    assert!(held.iter().any(|&a| a < 30.0) && held.iter().any(|&a| a >= 30.0), "{held:?}");
    let again = load(&one.path().join("a.csv"), AS_IS).unwrap();
    assert_eq!(data, again);
    assert_eq!(data.digest(), again.digest());
    // Columns are standardised by the training rows alone.
    let mut train: Vec<f64> = cells(&data.train).into_iter().step_by(2).collect();
    let mean = train.iter().sum::<f64>() / 50.0;
    assert!((data.table().unwrap().columns[0].mean - mean).abs() < 1e-4);
    train.extend(held);
    train.sort_by(f64::total_cmp);
    assert_close(&train, &(0..60).map(f64::from).collect::<Vec<f64>>());

    let swapped = b"b,c,a\n0,9,0\n1,9,1\n4,9,2\n".to_vec();
    let parts = folder(&[("train.csv", &rows(0, 60)), ("test.csv", &swapped)]);
    for path in [parts.path().to_path_buf(), parts.path().join("train.csv")] {
        let data = load(&path, AS_IS).unwrap();
        assert_eq!(sets(&data), (60, 3, None));
        // Columns of the test rows are found by their names.
        assert_close(&cells(&data.test), &[0.0, 0.0, 1.0, 1.0, 2.0, 4.0]);
        let some = load(&path, Options { valid: Some(0.1), ..AS_IS }).unwrap();
        assert_eq!(sets(&some), (54, 3, Some(6)));
        assert_eq!(some.source(), path.to_str().unwrap());
    }
    fs::write(parts.path().join("val.csv"), rows(60, 64)).unwrap();
    assert_eq!(sets(&load(parts.path(), AS_IS).unwrap()), (60, 3, Some(4)));
    assert_words(
        load(parts.path(), Options { valid: Some(0.1), ..AS_IS }),
        &["`valid` 0.1 is for data without validation rows"],
    );
}

/// A run's columns bring other tables to what the model was trained on.
#[test]
fn other_tables_are_standardised_alike() {
    let trained = load_file("a.csv", TEXT.as_bytes(), whole()).unwrap();
    let like = Table::clone(trained.table().unwrap());
    let options = TableOptions { whole: true, like: Some(like), ..TableOptions::default() };
    let other = "more,height,label,width\nx,40,c,2\ny,,a,9\n";
    let data = load_file("b.csv", other.as_bytes(), asked(options.clone())).unwrap();
    assert_close(&cells(&data.test), &[2.0, 40.0, 9.0, f64::NAN]);
    assert_eq!(data.test.pixels.reals().unwrap()[1], 2.0);
    // A class that the run had not has the next number.
    assert_eq!(data.table().unwrap().classes, ["a", "b", "c"]);
    // In a column that was not constant all may be missing.
    let data = load_file("b.csv", b"width,height\n2,\n3,\n", asked(options.clone())).unwrap();
    assert_eq!(data.test.missing(), 2);
    // Without a header they have their places.
    let data = load_file("b.csv", b"2,40\n9,50\n", asked(options.clone())).unwrap();
    assert_close(&cells(&data.test), &[2.0, 40.0, 9.0, 50.0]);
    let array = npy("<f8", &[1, 2], &doubles(&[2.0, f64::NAN]));
    let data = load_file("b.npy", &array, asked(options.clone())).unwrap();
    assert_close(&cells(&data.test), &[2.0, f64::NAN]);
    let refused: [(&[u8], &[&str]); 4] = [
        (b"width,length\n2,40\n", &["no column \"height\"", "the run was trained on"]),
        (b"width,height\n2,tall\n", &["line 2: \"tall\" is no number"]),
        (b"1,2,3\n4,5,7\n", &["no column \"width\""]),
        (
            b"width,height\n2,1e30\n",
            &["line 2, column 2", "1000000000000000000000000000000 is too far from the mean 20"],
        ),
    ];
    for (bytes, words) in refused {
        assert_words(load_file("b.csv", bytes, asked(options.clone())), words);
    }
}

#[test]
fn arrays_that_are_tables() {
    let values = [-1.5, 10.0, 0.5, f64::NAN, 3.0, 30.0];
    let float = npy("<f8", &[3, 2], &doubles(&values));
    // Rows that are no squares, and values that are no levels.
    let options = TableOptions { whole: true, ..TableOptions::default() };
    let data = load_file("a.npy", &float, asked(options)).unwrap();
    assert_eq!((names(&data), data.train.n_images), (vec!["1", "2"], 3));
    assert_close(&cells(&data.train), &values);
    let single: Vec<u8> = values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect();
    let ints: Vec<u8> = [-3_i16, 4, 500, 7, -8, 9].iter().flat_map(|v| v.to_le_bytes()).collect();
    for (array, expected) in [
        (npy("<f4", &[3, 2], &single), &values),
        (npy("<i2", &[3, 2], &ints), &[-3.0, 4.0, 500.0, 7.0, -8.0, 9.0]),
    ] {
        assert_close(&cells(&load_file("a.npy", &array, whole()).unwrap().train), expected);
    }
    let tensors = safetensors(&[("x", Dtype::F64, &[3, 2], &doubles(&values))]);
    assert_close(&cells(&load_file("a.safetensors", &tensors, whole()).unwrap().train), &values);
    // Levels become a table where one is asked for.
    let levels = npy("|u1", &[3, 4], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12]);
    assert!(load_file("a.npy", &levels, AS_IS).unwrap().table().is_none());
    assert_eq!(load_file("a.npy", &levels, whole()).unwrap().train.n_pixels(), 4);
    // Parts and classes by their names.
    let of = |rows: usize, from: f64| {
        let cells: Vec<f64> = (0..rows * 3).map(|i| from + (i * i) as f64).collect();
        npy("<f8", &[rows, 3], &doubles(&cells))
    };
    let classes = npy("|u1", &[5], &[2, 0, 2, 1, 0]);
    let (train, test) = (of(5, -4.0), of(2, 3.0));
    let arrays: [(&str, &[u8]); 3] =
        [("x_train", &train), ("y_train", &classes), ("x_test", &test)];
    let data = load_file("a.npz", &npz(&arrays, CompressionMethod::Deflated), AS_IS).unwrap();
    assert_eq!((data.train.n_images, data.test.n_images), (5, 2));
    assert_eq!(data.train.labels.as_ref().unwrap().classes, [2, 0, 2, 1, 0]);
}

#[test]
fn counts_stay_as_they_are() {
    let counts = TableOptions { counts: true, whole: true, ..TableOptions::default() };
    let data = load_file("a.csv", b"a,b,c\n0,3,0\n7,3,0\n", asked(counts.clone())).unwrap();
    assert_eq!(data.train.pixels.reals().unwrap(), [0.0, 3.0, 0.0, 7.0, 3.0, 0.0]);
    let refused: [(&[u8], &[&str]); 4] = [
        (b"a,b\n0,3\n1.5,2\n", &["line 3, column 1 (\"a\"): 1.5 is no count"]),
        (b"a,b\n0,3\n1,-2\n", &["line 3, column 2 (\"b\"): -2 is no count"]),
        (b"a,b\n0,3\n1,\n", &["line 3, column 2 (\"b\"): the cell is missing"]),
        (b"a,b\n0,3\n1,1e9\n", &["1000000000 is no count", "16777216"]),
    ];
    for (bytes, words) in refused {
        assert_words(load_file("a.csv", bytes, asked(counts.clone())), words);
    }
}

#[test]
fn tables_that_are_none() {
    let cases: [(&[u8], &[&str]); 20] = [
        (b"", &["a.csv: the file is empty"]),
        (b"\n\n", &["a.csv: the file is empty"]),
        (b"a,b\n", &["a header and no rows"]),
        (b"a,b\n1,2\n", &["1 row; at least 2"]),
        (b"a,b\n1,2\n3\n", &["line 3: 1 cells, but the first line has 2"]),
        (b"a,b\n1,2\n\n\n3,4,5\n", &["line 5: 3 cells, but the first line has 2"]),
        (b"a,b\n1,2\n3,inf\n", &["line 3: column 2 (\"b\") is \"inf\"", "a missing cell is empty"]),
        (b"1,2\n3,1e400\n", &["line 2: column 2 is \"1e400\""]),
        (
            b"a,b\n1,2\n3,x\n",
            &[
                "line 3: \"x\" is no number",
                "column 2 (\"b\") holds text",
                "`drop` b leaves it out",
                "`label` b",
            ],
        ),
        (
            b"a,b,c\n1,x,2\n3,y,z\n4,y,z\n",
            &["columns 2 (\"b\"), 3 (\"c\") hold text", "`drop` b,c leaves them out"],
        ),
        (
            b"5.1,3.5,setosa\n4.9,3,setosa\n",
            &["line 1: \"setosa\" is no number", "column 3 holds text", "`drop` 3"],
        ),
        (b"a,a\n1,2\n3,4\n", &["columns 1 and 2 are both called \"a\""]),
        (b"a,,\n1,2,3\n3,4,7\n", &["columns 2 and 3 have no name"]),
        (b"a,b\n1,2\n1,2\n1,2\n", &["every column is constant"]),
        (b"a,b\n1,1e307\n2,-1e307\n3,7e306\n-4,2e306\n", &[]),
        (b"\xff\xfea\0,\0b\0", &["UTF-16", "UTF-8"]),
        (b"\x1f\x8bxxxx", &["a.csv", "gzip"]),
        (b"a,b\n1,\"2\n3,4\n", &["line 2: 2 cells"]),
        (b"a b\n1 2\n3 4\n", &["\"1 2\" is no number"]),
        (b"a\n1\n2\n3\n4\n", &[]),
    ];
    for (bytes, words) in cases {
        let loaded = load_file("a.csv", bytes, AS_IS);
        match words {
            [] => drop(loaded.expect("this is a table")),
            ["line 2: 2 cells"] => drop(loaded.expect_err("a quote is open")),
            words => assert_words(loaded, words),
        }
    }
    let drop =
        |name: &str| asked(TableOptions { drop: vec![name.into()], ..TableOptions::default() });
    let label =
        |name: &str| asked(TableOptions { label: Some(name.into()), ..TableOptions::default() });
    let two = b"a,b\n1,2\n3,4\n";
    assert_words(
        load_file("a.csv", two, drop("c")),
        &["`drop`: there is no column \"c\"; there are a, b"],
    );
    assert_words(load_file("a.csv", two, label("c")), &["`label`: there is no column \"c\""]);
    let size = Options { size: Some((1, 2)), ..AS_IS };
    assert_words(load_file("a.csv", two, size), &["`size` 1x2 is for images"]);
    // Of images nothing is asked that tables have.
    let levels = npy("|u1", &[3, 2, 2], &[7; 12]);
    assert_words(
        load_file("a.npy", &levels, drop("c")),
        &["`drop` c is for tables, and these are images"],
    );
    assert_words(load_file("a.npy", &levels, label("c")), &["`label` c is for tables"]);
    assert_words(
        load_file("a.npy", &levels, whole()),
        &["its shape is (3, 2, 2); a table is (N, D)"],
    );
    let values = [1.0, f64::INFINITY, 3.0, 4.0, 5.0, 6.0];
    let infinite = npy("<f8", &[2, 3], &doubles(&values));
    assert_words(
        load_file("a.npy", &infinite, AS_IS),
        &["element [0, 1] is inf", "NaN where one is missing"],
    );
    // What could be images is one where that is asked for.
    let square = npy("<f8", &[3, 1], &doubles(&[1.0, -2.0, 3.0]));
    assert_words(
        load_file("a.npy", &square, AS_IS),
        &["from 0 to 1", "`table` reads them as a table's"],
    );
    let grey = npy("<f8", &[2, 3], &doubles(&[0.0, 0.5, 1.0, 0.25, 0.0, 1.0]));
    assert_words(
        load_file("a.npy", &grey, AS_IS),
        &["no square", "`table` reads them as rows of a table"],
    );
    let missing = elbo::data::open("no/such.csv", AS_IS);
    assert_words(missing, &["no/such.csv: no such file", "a table"]);
}

/// Cut short anywhere, or with any byte changed, it is a table or an error of one line.
#[test]
fn damaged_tables_fail_in_one_line() {
    let folder = folder(&[]);
    let path = folder.path().join("a.csv");
    let check = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        if let Err(error) = load(&path, AS_IS) {
            let message = error.to_string();
            assert!(message.contains("a.csv") && !message.contains(char::is_control), "{message}");
        }
    };
    let text = TEXT.as_bytes();
    for i in 0..text.len() {
        check(&text[..i]);
        for byte in [0, b',', b'"', b'\n', b'-', b'x', 0xff] {
            let mut bad = text.to_vec();
            bad[i] = byte;
            check(&bad);
        }
    }
}

#[test]
fn a_program_has_tables_of_its_own() {
    let names = ["a".to_string(), "b".to_string()];
    let cells = [1.0, 5.0, 3.0, f64::NAN];
    let table = Arc::new(Table::of(&names, &cells).unwrap());
    // A column of one value has a deviation of 1.
    assert_eq!((table.columns[1].mean, table.columns[1].deviation), (5.0, 1.0));
    let rows = Images::of_table(table.clone(), &cells).unwrap();
    assert_eq!(rows.pixels.reals().unwrap(), [-1.0, 0.0, 1.0, MISSING]);
    assert!(Images::of_table(table.clone(), &cells[..3]).is_err());
    assert!(Images::of_table(table.clone(), &[f64::INFINITY, 1.0]).is_err());
    assert!(Table::of(&[], &[]).is_err() && Table::of(&names, &[]).is_err());
    let data = Dataset::new("mine", rows.clone(), rows).unwrap();
    let json = serde_json::to_string(&**data.table().unwrap()).unwrap();
    assert_eq!(serde_json::from_str::<Table>(&json).unwrap(), *table);
}

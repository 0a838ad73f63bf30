//! Over HTTP: right answers, refusals, slow callers, the end.

use std::fs;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use elbo::checkpoint::RunFolder;
use elbo::data;
use elbo::device::Device;
use elbo::device::cpu::CpuDevice;
use elbo::generate;
use serde_json::{Value, json};

use crate::client::{HEIGHT, Response, SAMPLES, Server, WIDTH, numbers, process};
use crate::harness::program::Home;

/// Grey levels may differ by one where rounding is at its edge.
#[track_caller]
fn same_picture(got: &Value, expected: &[f32]) {
    let got = numbers(got);
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - f64::from(expected * 255.0)).abs() < 0.51, "{got} for {}", expected * 255.0);
    }
}

#[test]
fn answers_are_those_of_the_other_commands() {
    let home = Home::with_run("--latent 3");
    let server = home.serve();
    let (folder, settings) = RunFolder::open(&home.at("run")).expect("the run");
    let architecture = &settings.architecture;
    let parameters = folder.read_model(architecture).expect("its model");
    let test = data::load(&home.at("data"), data::Options::default()).expect("its data").test;
    let cpu = Device::Cpu(CpuDevice::new(None).expect("threads"));

    for seed in [0, 7, u64::from(u32::MAX)] {
        let drawn = server.json("/sample", &json!({ "seed": seed }));
        let sampled = generate::sample(&cpu, architecture, &parameters, 1, seed).expect("a draw");
        same_picture(&drawn["image"], &sampled[0]);
        let again = server.json("/decode", &json!({ "z": drawn["z"] }));
        assert_eq!(again, drawn);
    }

    let binarization = settings.binarization;
    let pairs = generate::reconstruct(
        &cpu,
        architecture,
        &parameters,
        binarization,
        &test,
        4,
        settings.seed,
    );
    let pairs = pairs.expect("reconstructions");
    home.ok(&format!(
        "eval run --images 4 --samples {SAMPLES} --per-image each.csv --device cpu --json"
    ));
    let each = fs::read_to_string(home.at("each.csv")).expect("figures of each image");
    let names: Vec<&str> = each.lines().next().expect("a head").split(',').collect();
    for n in 0..4 {
        let answer = server.json("/infer", &json!({ "test": n }));
        assert_eq!(answer["image"], json!(test.image(n)));
        assert_eq!(answer["label"], json!((n % 3).to_string()));
        same_picture(&answer["x"], &pairs[2 * n]);
        same_picture(&answer["reconstruction"], &pairs[2 * n + 1]);
        let decoded = server.json("/decode", &json!({ "z": answer["mu"] }));
        assert_eq!(decoded["image"], answer["reconstruction"]);

        let row = each.lines().nth(n + 1).expect("a row of the image");
        let row: Vec<f64> = row.split(',').map(|v| v.parse().expect("a number")).collect();
        let of = |name: &str| row[names.iter().position(|n| *n == name).expect("a column")];
        let near = |got: &Value, expected: f64| {
            let got = got.as_f64().expect("a number");
            assert!((got - expected).abs() < 1e-3, "{got} for {expected}");
        };
        near(&answer["elbo"]["value"], of("elbo"));
        near(&answer["importance_weighted"]["value"], of(&format!("importance_{SAMPLES}")));
        near(&answer["simple_monte_carlo"]["value"], of(&format!("prior_{SAMPLES}")));
        near(&answer["importance_weighted"]["effective_size"], of("effective_sample_size"));
        near(&json!(numbers(&answer["kl"]).iter().sum::<f64>()), of("kl"));
        assert!(numbers(&answer["sigma"]).iter().all(|&sigma| sigma > 0.0));
    }

    // A drawing of the first test image is the first test image, down to the noise of its pixels.
    let drawn = server.json("/infer", &json!({ "image": test.image(0) }));
    let mut first = server.json("/infer", &json!({ "test": 0 }));
    first["label"] = Value::Null;
    assert_eq!(drawn, first);
    let dark = server.json("/infer", &json!({ "image": vec![0; HEIGHT * WIDTH] }));
    assert!(numbers(&dark["x"]).iter().all(|&v| v == 0.0));
    assert_ne!(dark["mu"], drawn["mu"]);

    let model = server.model();
    assert_eq!(model["height"], HEIGHT);
    assert_eq!(model["width"], WIDTH);
    assert_eq!(model["latent"], 3);
    assert_eq!(model["test_images"], 50);
    assert_eq!(model["samples"], SAMPLES);
    assert_eq!(model["tiles"], Value::Null);
    let eval = home.run("eval run --samples 1 --device cpu --json");
    let eval: Value = serde_json::from_str(&eval.stdout).expect("JSON");
    let mut expected: Vec<(f64, u64)> = eval["kl_per_unit"]
        .as_array()
        .expect("units")
        .iter()
        .map(|u| (u["value"].as_f64().expect("a KL"), u["unit"].as_u64().expect("a number")))
        .collect();
    expected.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (unit, (kl, number)) in model["units"].as_array().expect("units").iter().zip(expected) {
        assert_eq!(unit["unit"], number);
        assert!((unit["kl"].as_f64().expect("a KL") - kl).abs() < 1e-9);
    }
}

#[test]
fn two_latent_units_have_a_map() {
    let home = Home::with_run("--latent 2");
    let server = home.serve();
    let model = server.model();
    let (tiles, extent) = (model["tiles"].as_u64().expect("tiles") as usize, &model["extent"]);
    let extent = extent.as_f64().expect("a number");
    let response = server.ask("GET", "/map.png", "");
    assert_eq!((response.status, response.header("content-type")), (200, Some("image/png")));
    let map = image::load_from_memory(&response.body).expect("a PNG").to_luma8();
    assert_eq!(map.dimensions(), ((tiles * WIDTH) as u32, (tiles * HEIGHT) as u32));
    // z_0 grows to the right, z_1 upwards, and a tile is decoded at its middle
    for (column, row) in [(0, 0), (tiles - 1, 0), (3, tiles - 2)] {
        let middle = |i: usize| extent * ((2 * i + 1) as f64 / tiles as f64 - 1.0);
        let z = [middle(column), -middle(row)];
        let decoded = numbers(&server.json("/decode", &json!({ "z": z }))["image"]);
        for (p, expected) in decoded.iter().enumerate() {
            let (x, y) = (column * WIDTH + p % WIDTH, row * HEIGHT + p / WIDTH);
            let got = f64::from(map.get_pixel(x as u32, y as u32).0[0]);
            assert!((got - expected).abs() <= 1.0, "{got} for {expected}");
        }
    }
    let scatter = server.ask("GET", "/scatter", "").json();
    let answer = server.json("/infer", &json!({ "test": 5 }));
    for (mu, expected) in numbers(&answer["mu"]).iter().zip(numbers(&scatter["z"][5])) {
        assert!((mu - expected).abs() < 1e-5, "{mu} for {expected}");
    }
    let class = scatter["classes"][5].as_u64().expect("a number") as usize;
    assert_eq!(scatter["names"][class], answer["label"]);
    assert_eq!(scatter["z"].as_array().expect("points").len(), 50);
}

#[test]
fn the_page_is_whole() {
    let home = Home::with_run("--latent 3");
    let server = home.serve();
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/dom.js", "text/javascript; charset=utf-8"),
        ("/classes.js", "text/javascript; charset=utf-8"),
        ("/http.js", "text/javascript; charset=utf-8"),
        ("/explore.js", "text/javascript; charset=utf-8"),
        ("/latent.js", "text/javascript; charset=utf-8"),
        ("/sheet.js", "text/javascript; charset=utf-8"),
        ("/figures.js", "text/javascript; charset=utf-8"),
        ("/?from=somewhere", "text/html; charset=utf-8"),
    ] {
        let response = server.ask("GET", path, "");
        assert_eq!((response.status, response.header("content-type")), (200, Some(kind)), "{path}");
        let text = String::from_utf8(response.body.clone()).expect("UTF-8");
        let text = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("://") && !text.contains("src=\"//"), "{path} leads elsewhere");
        let policy = response.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'self';"), "{policy}");
        assert_eq!(response.header("access-control-allow-origin"), None);
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    }
}

#[test]
fn bad_requests_get_a_reason() {
    let home = Home::with_run("--latent 3");
    let server = home.serve();
    let long = format!("{{\"z\": [{}]}}", "0, ".repeat(100_000));
    let z = |z: &str| format!("{{\"z\": [{z}]}}");
    for (method, path, body, status, words) in [
        ("POST", "/decode", "", 400, "not the JSON wanted"),
        ("POST", "/decode", "z = 3", 400, "not the JSON wanted"),
        ("POST", "/decode", "[1, 2, 3]", 400, "not the JSON wanted"),
        ("POST", "/decode", "{\"z\": null}", 400, "null"),
        ("POST", "/decode", "{\"z\": \"0\"}", 400, "string"),
        ("POST", "/decode", "{\"z\": [0, 0, 0], \"y\": 1}", 400, "unknown field `y`"),
        ("POST", "/decode", "{\"z\": [0, 0, 0]} and more", 400, "trailing"),
        ("POST", "/decode", "\u{1}\u{0}", 400, "not the JSON wanted"),
        ("POST", "/decode", &z(""), 400, "z must have 3 numbers, got 0"),
        ("POST", "/decode", &z("1, 2"), 400, "z must have 3 numbers, got 2"),
        ("POST", "/decode", &z("1, 2, 3, 4"), 400, "z must have 3 numbers, got 4"),
        ("POST", "/decode", &z("0, NaN, 0"), 400, "not the JSON wanted"),
        ("POST", "/decode", &z("0, Infinity, 0"), 400, "not the JSON wanted"),
        ("POST", "/decode", &z("0, 1e999, 0"), 400, "number out of range"),
        ("POST", "/decode", &z("0, 1e39, 0"), 400, "number out of range"),
        ("POST", "/decode", &z("0, 0, -100.5"), 400, "z[2] must be from -100 to 100, got -100.5"),
        ("POST", "/decode", &z("0, null, 0"), 400, "null"),
        ("POST", "/decode", &long, 413, "a body may have"),
        ("POST", "/sample", "{}", 400, "missing field `seed`"),
        ("POST", "/sample", "{\"seed\": -1}", 400, "-1"),
        ("POST", "/sample", "{\"seed\": 1.5}", 400, "1.5"),
        ("POST", "/infer", "{\"test\": 50}", 400, "test must be from 0 to 49, got 50"),
        ("POST", "/infer", "{\"test\": -1}", 400, "-1"),
        ("POST", "/infer", "{\"image\": [0, 1]}", 400, "9x7 = 63 grey levels, got 2"),
        ("POST", "/infer", "{\"image\": [256]}", 400, "256"),
        ("POST", "/infer", "{\"picture\": []}", 400, "expected `image` or `test`"),
        ("POST", "/infer", "{\"test\": 1, \"image\": []}", 400, "not the JSON wanted"),
        ("GET", "/nothing", "", 404, "there is nothing at /nothing"),
        ("GET", "/../../etc/passwd", "", 404, "there is nothing at"),
        ("POST", "/model/", "", 404, "there is nothing at /model/"),
        ("GET", "/map.png", "", 404, "a map for 2 latent units only"),
        ("GET", "/scatter", "", 404, "a map for 2 latent units only"),
        ("GET", "/decode", "", 405, "/decode takes POST, got GET"),
        ("POST", "/", "", 405, "/ takes GET, got POST"),
        ("DELETE", "/model", "", 405, "/model takes GET, got DELETE"),
        ("OPTIONS", "/infer", "", 405, "/infer takes POST, got OPTIONS"),
    ] {
        let response = server.ask(method, path, body);
        let shown = &body[..body.len().min(80)];
        assert_eq!(response.status, status, "{method} {path} {shown}: {response:?}");
        let reason = response.json()["error"].as_str().expect("a reason").to_string();
        assert!(reason.contains(words), "{method} {path} {shown}: {reason}");
        assert_eq!(response.header("allow").is_some(), status == 405, "{response:?}");
    }
    assert_eq!(server.model()["latent"], 3, "it still answers");
}

/// A run that was copied to another machine without its images can still be walked through.
#[test]
fn without_its_images_a_run_is_explored_by_draws() {
    for latent in [2, 3] {
        let home = Home::with_run(&format!("--latent {latent}"));
        fs::remove_dir_all(home.at("data")).expect("a folder");
        let server = home.serve();
        let model = server.model();
        assert!(
            model["run"].as_str().is_some_and(|run| run.contains("draws from the prior")),
            "{model}"
        );
        assert_eq!(model["test_images"], 100);
        server.json("/infer", &json!({ "test": 99 }));
        server.json("/decode", &json!({ "z": vec![0.5; latent] }));
        let map = server.ask("GET", "/map.png", "").status;
        assert_eq!(map, if latent == 2 { 200 } else { 404 });
    }
}

#[test]
fn only_its_own_page_may_ask() {
    let home = Home::with_run("--latent 3");
    let server = home.serve();
    let port = server.port;
    let status = |headers: &str| {
        let headers = format!("{headers}Connection: close\r\n");
        server.send("GET", "/model", &headers, b"").status
    };
    for host in ["127.0.0.1", "localhost", "[::1]"] {
        assert_eq!(status(&format!("Host: {host}:{port}\r\n")), 200, "{host}");
        let origin = format!("Host: {host}:{port}\r\nOrigin: http://{host}:{port}\r\n");
        assert_eq!(status(&origin), 200, "{host}");
    }
    let other = port ^ 1;
    for host in [
        "evil.example".to_string(),
        format!("evil.example:{port}"),
        format!("127.0.0.1:{other}"),
        "127.0.0.1".to_string(),
        format!("localhost.evil.example:{port}"),
        format!("127.0.0.1:{port}.evil.example"),
        String::new(),
    ] {
        assert_eq!(status(&format!("Host: {host}\r\n")), 403, "{host}");
    }
    assert_eq!(status(""), 400);
    assert_eq!(status(&format!("Host: LocalHost:{port}\r\n")), 200, "names have no case");
    assert_eq!(status(&format!("Host: localhost:{port}\r\nHost: evil.example\r\n")), 400);
    // Whoever else is on the machine reaches the port, and learns nothing: not without the token.
    let bare = |method: &str, path: &str, more: &str| {
        let headers = format!("Host: 127.0.0.1:{port}\r\nConnection: close\r\n{more}");
        server.send_bare(method, path, &headers, b"{\"test\":0}").status
    };
    for (method, path) in [
        ("GET", "/model"),
        ("GET", "/map.png"),
        ("GET", "/scatter"),
        ("POST", "/decode"),
        ("POST", "/sample"),
        ("POST", "/infer"),
        ("GET", "/model?token="),
        ("GET", "/model?token=0"),
    ] {
        assert_eq!(bare(method, path, ""), 403, "{path}");
        assert_eq!(bare(method, path, "Authorization: Bearer 0\r\n"), 403, "{path}");
    }
    assert_eq!(bare("GET", &format!("/model?token={}", server.token), ""), 200);
    assert_eq!((bare("GET", "/", ""), bare("GET", "/page.js", "")), (200, 200), "no secrets");
    assert!(server.token.len() == 32 && home.serve().token != server.token);
    // A browser says whose page asks: another site's may not show what is here as a picture of its own.
    let host = format!("Host: 127.0.0.1:{port}\r\nConnection: close\r\n");
    let from = |path: &str, site: &str, mode: &str| {
        let headers = format!("{host}Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: {mode}\r\n");
        let response = server.send("GET", path, &headers, b"");
        assert_eq!(response.header("cross-origin-resource-policy"), Some("same-origin"));
        response.status
    };
    for (path, site, mode, expected) in [
        ("/model", "same-origin", "cors", 200),
        ("/", "none", "navigate", 200),
        ("/", "cross-site", "navigate", 200),
        ("/model", "cross-site", "no-cors", 403),
        ("/style.css", "same-site", "no-cors", 403),
        ("/model", "cross-site", "navigate", 403),
        ("/", "cross-site", "no-cors", 403),
    ] {
        assert_eq!(from(path, site, mode), expected, "{path} {site} {mode}");
    }
    for origin in ["https://evil.example", "null", &format!("https://127.0.0.1:{port}")] {
        let headers = format!("Host: 127.0.0.1:{port}\r\nOrigin: {origin}\r\n");
        assert_eq!(status(&headers), 403, "{origin}");
    }
    // what is no HTTP at all ends its own connection only
    for noise in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"hello\r\n\r\n", &[b'x'; 100_000]]
    {
        let mut stream = server.connect();
        let _ = stream.write_all(noise);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        assert_ne!(Response::read(stream).status, 200);
    }
    assert_eq!(status(&format!("Host: localhost:{port}\r\n")), 200);
}

#[test]
fn slow_callers_keep_nobody_waiting() {
    let home = Home::with_run("--latent 3");
    let server = home.serve();
    let (port, token) = (server.port, server.token);
    let host = format!("Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n");
    let begin = Instant::now();
    let stalled = |text: &str| {
        let mut stream = server.connect();
        stream.write_all(text.as_bytes()).expect("it takes the beginning");
        stream
    };
    let silent: Vec<_> = (0..100).map(|_| stalled("")).collect();
    let in_head: Vec<_> = (0..20).map(|_| stalled("GET /model HTTP/1.1\r\nHos")).collect();
    let body = format!("POST /decode HTTP/1.1\r\n{host}Content-Length: 20\r\n\r\n{{\"z\": [");
    let in_body: Vec<_> = (0..20).map(|_| stalled(&body)).collect();
    // never reads its answers
    let deaf = stalled(&format!("GET /page.js HTTP/1.1\r\n{host}\r\n").repeat(2000));

    let asked = Instant::now();
    for _ in 0..20 {
        server.json("/decode", &json!({ "z": [0, 0, 0] }));
    }
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    for stream in in_body {
        let response = Response::read(stream);
        assert_eq!(response.status, 408, "{response:?}");
    }
    for stream in silent.into_iter().chain(in_head) {
        assert_ne!(Response::read(stream).status, 200);
    }
    assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
    drop(deaf);
}

#[test]
fn many_ask_at_once() {
    let home = Home::with_run("--latent 3");
    let server = home.serve();
    let alone = |i: usize| server.json("/decode", &json!({ "z": [i as f64 / 4.0, -1, 0.5] }));
    let expected: Vec<Value> = (0..8).map(alone).collect();
    thread::scope(|scope| {
        for first in 0..4 {
            let (server, expected) = (&server, &expected);
            scope.spawn(move || {
                for i in (0..8).map(|i| (i + first) % 8) {
                    let body = json!({ "z": [i as f64 / 4.0, -1, 0.5] });
                    assert_eq!(server.json("/decode", &body), expected[i]);
                    server.json("/infer", &json!({ "test": i }));
                }
            });
        }
    });
}

#[test]
fn a_full_queue_says_so() {
    let home = Home::with_run("--latent 3");
    let server = home.serve_with("explore run --no-open --device cpu --samples 100000");
    let ask = || server.ask("POST", "/infer", "{\"test\": 1}");
    let statuses: Vec<u16> = thread::scope(|scope| {
        let asked: Vec<_> = (0..60).map(|_| scope.spawn(|| ask().status)).collect();
        asked.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    let of = |status| statuses.iter().filter(|s| **s == status).count();
    assert!(of(200) >= 16 && of(503) > 0 && of(200) + of(503) == 60, "{statuses:?}");
    assert_eq!(ask().status, 200);
}

#[test]
fn ctrl_c_ends_it() {
    let home = Home::with_run("--latent 3");
    let server = home.serve();
    let idle = server.connect();
    let mut busy = server.connect();
    busy.write_all(b"GET / HT").expect("it takes the beginning");
    server.interrupt();
    let (code, stderr) = server.ended();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.ends_with("interrupted; the page is down\n"), "{stderr}");
    drop((idle, busy));
}

#[test]
fn an_idle_page_costs_nothing() {
    let home = Home::with_run("--latent 3");
    let server = home.serve();
    let work = |times: usize| {
        for i in 0..times {
            server.json("/infer", &json!({ "test": i % 50 }));
        }
    };
    work(200);
    let before = process(server.id(), "VmRSS");
    work(400);
    let after = process(server.id(), "VmRSS");
    assert!(after < before + 2048, "from {before} to {after} kB");

    let _open = server.connect();
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", server.id())).expect("a process");
        let fields: Vec<u64> = stat.split_whitespace().filter_map(|v| v.parse().ok()).collect();
        let named = stat.rsplit(')').next().expect("fields").split_whitespace();
        let named: Vec<&str> = named.collect();
        assert!(fields.len() > 10 && named.len() > 13);
        // user and system time, in hundredths of a second
        named[11].parse::<u64>().expect("a number") + named[12].parse::<u64>().expect("a number")
    };
    thread::sleep(Duration::from_millis(300)); // threads go to sleep after work
    let switches = process(server.id(), "voluntary_ctxt_switches");
    let before = ticks();
    thread::sleep(Duration::from_secs(3));
    assert!(ticks() <= before + 1, "it works while nobody asks");
    assert!(process(server.id(), "voluntary_ctxt_switches") <= switches + 3, "it wakes up");
}

#[test]
fn what_cannot_be_explored() {
    let home = Home::with_run("--latent 3");
    let server = home.serve();
    home.refuses(&format!("explore run --device cpu --port {}", server.port), &["--port"]);
    home.refuses("explore nowhere", &["not a run folder"]);
    home.refuses("explore run --samples 0", &["--samples must be from 1 to 100000, got 0"]);
    home.refuses("explore run --samples 100001", &["got 100001"]);
    home.refuses("explore run --device nosuch", &["nosuch"]);
    drop(server);
    // What needs no images is there without them.
    fs::rename(home.at("data"), home.at("elsewhere")).expect("a move");
    home.serve().json("/decode", &json!({ "z": [0.1, 0.1, 0.1] }));
}

#[test]
fn numbers_that_overflow_are_an_error_of_that_question() {
    let home = Home::with_run("--latent 3");
    let (folder, settings) = RunFolder::open(&home.at("run")).expect("the run");
    let mut parameters = folder.read_model(&settings.architecture).expect("its model");
    // Far out the hidden units are infinite, and the logits the difference of infinities.
    let decoder = parameters.len() - 4;
    parameters[decoder].fill(1e37);
    for (i, weight) in parameters[decoder + 2].iter_mut().enumerate() {
        *weight = if i % 2 == 0 { 1e-36 } else { -1e-36 };
    }
    folder.write_model(&settings, &parameters).expect("a model");
    let server = home.serve();
    server.json("/decode", &json!({ "z": [0.1, 0.1, 0.1] }));
    let response = server.ask("POST", "/decode", "{\"z\": [100, 100, 100]}");
    assert_eq!(response.status, 500, "{response:?}");
    assert_eq!(response.json()["error"], "the decoder's numbers overflow there");
    server.json("/decode", &json!({ "z": [0.1, 0.1, 0.1] }));

    parameters[decoder + 2].fill(f32::MAX);
    folder.write_model(&settings, &parameters).expect("a model");
    home.run("explore run --device cpu").assert_error(1, &["overflow"]);
}

#[test]
fn a_browser_opens_where_there_is_a_desktop() {
    use std::os::unix::fs::PermissionsExt;
    if cfg!(target_os = "macos") {
        return; // `open` is always there, and would open one
    }
    let home = Home::with_run("--latent 3");
    let (folder, opened) = (home.at("bin"), home.at("opened"));
    fs::create_dir(&folder).expect("a folder");
    let program = folder.join("xdg-open");
    fs::write(&program, format!("#!/bin/sh\nprintf %s \"$1\" > {}\n", opened.display()))
        .expect("a program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("to be run");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("a path"));
    let serve = |args: &str, desktop: &str| {
        let mut command = home.command(&format!("explore run --device cpu {args}"));
        Server::start(command.env("PATH", &path).env("DISPLAY", desktop))
    };
    let wait = || {
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end && fs::read(&opened).unwrap_or_default().is_empty() {
            thread::sleep(Duration::from_millis(20));
        }
    };
    for (args, desktop) in [("--no-open", ":0"), ("", "")] {
        let server = serve(args, desktop);
        server.model();
        server.interrupt();
        assert_eq!(server.ended().0, Some(0));
        assert!(!opened.exists(), "{args} {desktop}");
    }
    let server = serve("", ":0");
    wait();
    assert_eq!(fs::read_to_string(&opened).expect("it was opened"), server.address());
}

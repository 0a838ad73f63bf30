//! The page of `elbo web` in a browser: trained with a click, explored, measured, under a path of its own.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::harness::chromium::Tab;
use crate::harness::program::{Home, idx, piped};
use crate::harness::site::Site;

/// `elbo web --serve`; it ends with the value.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(home: &Home, args: &str) -> Self {
        let mut child = piped(&mut home.command(args));
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.split_whitespace().find(|word| word.starts_with("http://"));
        let Some(address) = address.map(str::to_string) else {
            let output = child.wait_with_output().expect("it ends");
            panic!("no address in {line:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        Served { child, address }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Images of 9x7 pixels with labels in `data`, 200 to train on and 100 to test on.
fn labelled() -> Home {
    let home = Home::empty();
    let data = home.at("data");
    fs::create_dir(&data).expect("a folder");
    for (name, n) in [("train", 200_u32), ("t10k", 100)] {
        fs::write(data.join(format!("{name}-images-idx3-ubyte")), idx(n, 9, 7)).expect("a file");
        let mut labels: Vec<u8> = [0x801, n].iter().flat_map(|word| word.to_be_bytes()).collect();
        labels.extend((0..n).map(|i| (i % 3) as u8));
        fs::write(data.join(format!("{name}-labels-idx1-ubyte")), labels).expect("a file");
    }
    home
}

fn text(tab: &mut Tab, id: &str) -> String {
    let text = tab.eval(&format!("document.getElementById('{id}').textContent"));
    text.as_str().expect("a text").replace('−', "-")
}

fn number(tab: &mut Tab, id: &str) -> f64 {
    let shown = text(tab, id);
    shown.replace(' ', "").parse().unwrap_or_else(|_| panic!("{id} is {shown:?}"))
}

fn choose(tab: &mut Tab, id: &str, value: &str) {
    tab.eval(&format!(
        "(() => {{ const e = document.getElementById('{id}'); e.value = '{value}'; \
         e.dispatchEvent(new Event('change')); if (e.value !== '{value}') throw 'no such choice'; }})()"
    ));
}

/// Waits until the page offers to train.
fn open(tab: &mut Tab, address: &str) {
    tab.resize(1280, 900, false);
    tab.dark(false);
    tab.go(address);
    tab.wait("document.getElementById('go')?.disabled === false");
}

fn wait_for(tab: &mut Tab, id: &str, condition: &str) {
    tab.wait(&format!(
        "((t) => {condition})(document.getElementById('{id}').textContent.replaceAll('−', '-'))"
    ));
}

/// Waits until it is paused, and shown so.
fn pause(tab: &mut Tab) {
    tab.click("#go");
    wait_for(tab, "state", "t === 'paused'");
    tab.wait("document.getElementById('go').textContent === 'Resume' && document.getElementById('said').textContent.startsWith('Paused')");
}

/// Every request was to this page.
#[track_caller]
fn asks_nobody_else(tab: &mut Tab, address: &str) {
    tab.eval("0");
    let mut asked = 0;
    for event in tab.events.iter().filter(|e| e["method"] == "Network.requestWillBeSent") {
        let url = event["params"]["request"]["url"].as_str().expect("an address");
        let own = ["data:", "blob:", "about:"].iter().any(|kind| url.starts_with(kind));
        assert!(own || url.starts_with(address), "{url}");
        asked += 1;
    }
    assert!(asked > 10, "{asked}");
}

/// A file that the page has offered to save.
fn saved(path: &Path) -> Vec<u8> {
    let end = Instant::now() + Duration::from_secs(20);
    while !path.exists() {
        assert!(Instant::now() < end, "no {}", path.display());
        std::thread::sleep(Duration::from_millis(50));
    }
    fs::read(path).expect("a file")
}

#[test]
fn a_click_trains_a_model_that_the_program_evaluates_alike() {
    let home = labelled();
    let served = Served::start(&home, "web --serve --no-open --data data --samples 200");
    let mut tab = Tab::with_webgpu();
    tab.call(
        "Page.setDownloadBehavior",
        json!({ "behavior": "allow", "downloadPath": home.path() }),
    );
    open(&mut tab, &served.address);
    assert!(text(&mut tab, "gpu").contains("(software)"));
    for (id, value) in [("network", "64"), ("latent", "2"), ("batch", "20"), ("rate", "0.01")] {
        choose(&mut tab, id, value);
    }
    // A seed that a number of JavaScript cannot hold.
    choose(&mut tab, "seed", "9007199254740993");
    tab.click("#go");
    wait_for(&mut tab, "f-train", "t !== '–'");
    let first = number(&mut tab, "f-train");
    wait_for(&mut tab, "f-step", "Number(t.replace(' ', '')) >= 12");
    let two = "window.held = navigator.locks.query().then((all) => all.held.length)";
    assert_eq!(tab.eval(two), 1, "it keeps other tabs from training");
    pause(&mut tab);
    let elbo = number(&mut tab, "f-test");
    assert!(elbo > first + 10.0, "from {first} to {elbo}");
    let pixels = "document.getElementById('manifold-tiles').width > 100 && document.querySelector('#draws').width > 60";
    assert_eq!(tab.eval(pixels), true);
    tab.screenshot("web-train");

    tab.click("#save-model");
    tab.click("#save-config");
    let model = saved(&home.at("model.safetensors"));
    saved(&home.at("config.json"));
    home.ok("import model.safetensors --data data --seed 9007199254740993 --run imported");
    fs::create_dir(home.at("run")).expect("a folder");
    for file in ["model.safetensors", "config.json"] {
        fs::copy(home.at(file), home.at(&format!("run/{file}"))).expect("a copy");
    }
    for run in ["imported", "run"] {
        let ended = home.ok(&format!("eval {run} --data data --samples 1 --json --device cpu"));
        let figures: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        let native = figures["elbo"]["value"].as_f64().expect("nats");
        // The same noise: what is left is single precision, and two digits of the page.
        assert!((native - elbo).abs() < 0.02, "{run}: {native} natively, {elbo} on the page");
    }

    // From its file it goes on where it was.
    tab.click("#reset");
    wait_for(&mut tab, "state", "t === 'not begun'");
    choose(&mut tab, "latent", "10");
    tab.call("DOM.enable", json!({}));
    let root = tab.call("DOM.getDocument", json!({}));
    let of = json!({ "nodeId": root["root"]["nodeId"], "selector": "#load-model" });
    let node = tab.call("DOM.querySelector", of);
    let file = home.at("model.safetensors");
    tab.call("DOM.setFileInputFiles", json!({ "nodeId": node["nodeId"], "files": [file] }));
    wait_for(&mut tab, "state", "t.includes('before the first step')");
    assert_eq!(tab.eval("document.getElementById('latent').value"), "2", "as the file says");
    let again = number(&mut tab, "f-test");
    assert!((again - elbo).abs() < 0.011, "{elbo} when it was saved, {again} now");

    // A tab in the background pauses, and says so.
    tab.click("#go");
    wait_for(&mut tab, "state", "t === 'training'");
    tab.eval(
        "Object.defineProperty(document, 'hidden', { value: true, configurable: true }); \
         document.dispatchEvent(new Event('visibilitychange'))",
    );
    wait_for(&mut tab, "state", "t === 'paused'");
    assert!(text(&mut tab, "notice").contains("to the background"));

    // Two at once: the other has the lock.
    tab.eval(
        "navigator.locks.request(`elbo web ${new URL('.', location).pathname}`, () => new Promise((free) => (window.held = free))); 0",
    );
    tab.click("#go");
    wait_for(&mut tab, "problem", "t.includes('Another tab')");

    // What is no model of this network is refused, in plain words.
    let mut cut = model;
    cut.truncate(2000);
    fs::write(home.at("cut.safetensors"), cut).expect("a file");
    let file = home.at("cut.safetensors");
    tab.call("DOM.setFileInputFiles", json!({ "nodeId": node["nodeId"], "files": [file] }));
    wait_for(&mut tab, "problem", "t.includes('is not all in the file')");

    // A GPU that is lost in the middle: the parameters of the last look are kept.
    tab.eval("navigator.locks.query().then(() => { delete document.hidden; held(); })");
    tab.click("#go");
    wait_for(&mut tab, "state", "t === 'training'");
    tab.call_browser("Browser.crashGpuProcess", json!({}));
    wait_for(&mut tab, "state", "t === 'the GPU was lost'");
    assert!(text(&mut tab, "problem").contains("lost the GPU"));
    let notice = text(&mut tab, "notice");
    assert!(notice.contains("are kept") && text(&mut tab, "go") == "Train", "{notice}");
    asks_nobody_else(&mut tab, &served.address);
    assert_eq!(tab.complaints(), [""; 0]);
}

/// Puts a page's folder behind a path.
fn put(site: &Site, root: &Path, folder: &Path, path: &str) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry").path();
        if entry.is_dir() {
            put(site, root, &entry, path);
            continue;
        }
        let name = entry.strip_prefix(root).expect("below it").to_str().expect("UTF-8");
        let content = fs::read(&entry).expect("a file");
        if name == "index.html" {
            site.put(path, content.clone());
        }
        site.put(&format!("{path}{name}"), content);
    }
}

/// What `elbo explore` answers; a question without a body is a GET.
fn ask(address: &str, token: &str, path: &str, body: &Value) -> Value {
    let host = address.trim_start_matches("http://").trim_end_matches('/');
    let (method, body) = match body.is_null() {
        true => ("GET", String::new()),
        false => ("POST", body.to_string()),
    };
    let request = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\
         Authorization: Bearer {token}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(host).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("UTF-8");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}"))
}

#[test]
fn a_run_is_explored_under_a_path_with_the_figures_of_the_program() {
    let home = labelled();
    home.ok(
        "train --data data --device cpu --hidden 16 --latent 2 --batch 50 --epochs 4 --run run",
    );
    home.ok("web --out site --run run --samples 200");
    let site = Site::with_policy(None);
    put(&site, &home.at("site"), &home.at("site"), "/some/where/");
    let mut native = piped(&mut home.command("explore run --no-open --device cpu --samples 200"));
    let mut line = String::new();
    let stdout = native.stdout.as_mut().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let address = line.split_whitespace().find(|word| word.starts_with("http://")).expect("it");
    let (address, token) = address.split_once("?token=").expect("a token");

    let mut tab = Tab::with_webgpu();
    tab.resize(1280, 900, false);
    tab.go(&format!("{}/some/where/", site.address));
    tab.wait("document.querySelectorAll('#posterior li').length === 2");
    let answers = |path: &str, body: &Value| ask(address, token, path, body);
    let f = |value: &Value| value.as_f64().expect("a number");
    let about = answers("model", &Value::Null);
    let own = tab.eval("import('./dom.js').then(({ shown }) => shown.model)");
    assert_eq!(f(&own["extent"]), f(&about["extent"]));
    assert_eq!(own["measured"], about["measured"]);
    for (own, native) in own["units"]
        .as_array()
        .expect("units")
        .iter()
        .zip(about["units"].as_array().expect("units"))
    {
        assert_eq!((&own["unit"], &own["active"]), (&native["unit"], &native["active"]));
        assert!((f(&own["kl"]) - f(&native["kl"])).abs() < 1e-3, "{own} and {native}");
    }
    for n in [0, 7] {
        let native = answers("infer", &json!({ "test": n }));
        let question = format!(
            "import('./dom.js').then(({{ shown }}) => shown.source.infer({{ test: {n} }}))"
        );
        let own = tab.eval(&question);
        assert_eq!((&own["label"], &own["image"]), (&native["label"], &native["image"]));
        for name in ["simple_monte_carlo", "elbo", "importance_weighted"] {
            let [a, b] = [&own, &native].map(|answer| f(&answer[name]["value"]));
            assert!(
                (a - b).abs() < 5e-3,
                "test image {n}: {name} is {a} on the page, {b} natively"
            );
            let [a, b] = [&own, &native].map(|answer| f(&answer[name]["standard_error"]));
            assert!(
                (a - b).abs() < 5e-3,
                "test image {n}: {name} is ± {a} on the page, ± {b} natively"
            );
        }
        for (native, own) in
            native["mu"].as_array().expect("mu").iter().zip(own["mu"].as_array().expect("mu"))
        {
            assert!((f(own) - f(native)).abs() < 1e-4);
        }
    }
    let drawn = answers("sample", &json!({ "seed": 5 }));
    let own = tab.eval("import('./dom.js').then(({ shown }) => shown.source.sample({ seed: 5 })).then(({ z, image }) => ({ z, image: [...image] }))");
    for (own, native) in
        own["z"].as_array().expect("z").iter().zip(drawn["z"].as_array().expect("z"))
    {
        assert!((f(own) - f(native)).abs() < 1e-5);
    }
    for (own, native) in own["image"]
        .as_array()
        .expect("levels")
        .iter()
        .zip(drawn["image"].as_array().expect("levels"))
    {
        assert!((f(own) - f(native)).abs() <= 1.0);
    }
    tab.wait("document.getElementById('tiles').complete && document.getElementById('tiles').naturalWidth > 0");
    tab.click("#show-dots");
    tab.wait("document.querySelectorAll('#legend li').length === 3");
    tab.drag("#sheet", &[[0.3, 0.3], [0.5, 0.6], [0.6, 0.8]]);
    wait_for(&mut tab, "label", "t === ''");
    tab.screenshot("web-explore");
    tab.resize(390, 844, true);
    tab.dark(true);
    let width = tab.eval("document.documentElement.scrollWidth");
    assert!(width.as_u64() <= Some(390), "wider than a phone: {width}");
    tab.screenshot("web-explore-phone-dark");

    // The benchmark, of what is as small as it gets.
    tab.click("#tab-benchmark");
    choose(&mut tab, "measured-network", "64-2");
    tab.click("#measure");
    wait_for(&mut tab, "measuring", "t === 'measured'");
    let report = text(&mut tab, "report");
    for word in ["matmul 256", "copy of 16 MiB", "training steps", "images/s"] {
        assert!(report.contains(word), "{report}");
    }
    asks_nobody_else(&mut tab, &site.address);
    assert_eq!(tab.complaints(), [""; 0]);
    let _ = native.kill();
    let _ = native.wait();
}

#[test]
fn a_model_that_is_told_classes_is_explored_too() {
    let home = labelled();
    let train = "train --data data --device cpu --hidden 16 --latent 2 --batch 50 --epochs 4";
    home.ok(&format!("{train} --condition labels --run told"));
    let served = Served::start(&home, "web --serve --no-open --run told --samples 100");
    let native = Served::start(&home, "explore told --no-open --device cpu --samples 100");
    let (address, token) = native.address.split_once("?token=").expect("a token");
    let mut tab = Tab::with_webgpu();
    tab.go(&served.address);
    tab.wait("document.querySelectorAll('#by-class li').length === 3");
    let f = |value: &Value| value.as_f64().expect("a number");
    let expected = ask(address, token, "infer", &json!({ "test": 4 }));
    let own = tab.eval("import('./dom.js').then(({ shown }) => shown.source.infer({ test: 4 }))");
    assert_eq!((&own["class"], &own["label"]), (&expected["class"], &expected["label"]));
    let [of_page, of_program] = [&own, &expected].map(|a| a["by_class"].as_array().expect("three"));
    assert_eq!((of_page.len(), of_program.len()), (3, 3));
    for (a, b) in of_page.iter().zip(of_program) {
        assert!((f(a) - f(b)).abs() < 5e-3, "{a} on the page, {b} natively");
    }
    let question = json!({ "z": [0.5, -1.0], "class": 2 });
    let expected = ask(address, token, "decode", &question);
    let own = tab.eval(&format!(
        "import('./dom.js').then(({{ shown }}) => shown.source.decode({question})).then(({{ image }}) => [...image])"
    ));
    let expected = expected["image"].as_array().expect("levels");
    for (a, b) in own.as_array().expect("levels").iter().zip(expected) {
        assert!((f(a) - f(b)).abs() <= 1.0, "{a} on the page, {b} natively");
    }
    assert_eq!(tab.complaints(), [""; 0]);
}

#[test]
fn without_webgpu_the_page_says_what_to_do() {
    let home = labelled();
    let served = Served::start(&home, "web --serve --no-open --data data");
    let mut tab = Tab::open();
    tab.go(&served.address);
    tab.wait("document.getElementById('problem')?.hidden === false");
    let problem = text(&mut tab, "problem");
    assert!(problem.contains("WebGPU") && problem.contains("Chrome"), "{problem}");
    assert_eq!(tab.eval("document.getElementById('go').disabled"), true);
    assert_eq!(text(&mut tab, "gpu"), "no GPU");
    assert_eq!(tab.complaints(), [""; 0]);
}

fn compressed(contents: Vec<&Vec<u8>>) -> usize {
    let one = |content: &Vec<u8>| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).expect("memory");
        encoder.finish().expect("memory").len()
    };
    contents.into_iter().map(one).sum()
}

#[test]
fn the_page_is_small_and_so_are_its_images() {
    let home = Home::empty();
    home.ok("web --out site");
    let files = crate::harness::program::tree(&home.at("site"));
    let of = |wanted: &dyn Fn(&str) -> bool| -> Vec<&Vec<u8>> {
        let all = files.iter().filter_map(|(path, content)| Some((path, content.as_ref()?)));
        let name = |path: &Path| {
            let name = path.strip_prefix(home.at("site")).expect("below it");
            name.to_str().expect("UTF-8").to_string()
        };
        all.filter(|(path, _)| wanted(&name(path))).map(|(_, content)| content).collect()
    };
    let page = compressed(of(&|name| {
        name.ends_with(".js")
            || name.ends_with(".css")
            || name.ends_with(".html")
            || name == "elbo-web.json"
    }));
    // What a visitor fetches who trains and explores the default network.
    let mut named = BTreeSet::new();
    let mut plans = Vec::new();
    for plan in ["plans/train-400-2-elbo-128.json", "plans/explore-400-2.json"] {
        plans.extend(of(&|name| name == plan));
        let text: Value = serde_json::from_slice(plans[plans.len() - 1]).expect("JSON");
        let hashes = text["modules"].as_array().expect("modules").iter();
        named.extend(hashes.map(|hash| format!("modules/{}.wgsl", hash.as_str().expect("a hash"))));
    }
    let plan = compressed(plans);
    let modules = compressed(of(&|name| named.contains(name)));
    let images: usize =
        of(&|name| name.starts_with("data/")).iter().map(|content| content.len()).sum();
    println!("page {page}, modules {modules}, plans {plan}, images {images} bytes");
    assert!(page < 100_000, "the page takes {page} bytes");
    assert!(page + modules + plan < 150_000, "{page} + {modules} + {plan} bytes");
    assert!(images < 6_000_000, "the images take {images} bytes");
    let index = fs::read_to_string(home.at("site/index.html")).expect("a file");
    assert!(index.contains("default-src 'none'"));
    assert!(!index.contains(" style=") && !index.contains("onclick"), "the policy forbids it");
}

#[test]
fn a_folder_is_written_as_a_whole_or_refused() {
    let home = labelled();
    home.ok("web --out site --data data");
    let first = crate::harness::program::tree(&home.at("site"));
    home.ok("web --out site --data data");
    assert!(crate::harness::program::tree(&home.at("site")) == first, "the same page");
    fs::write(home.at("site/CNAME"), "example.org").expect("a file");
    home.refuses(
        "web --out site --data data",
        &["site: it has CNAME, which elbo web has not written"],
    );
    fs::create_dir(home.at("other")).expect("a folder");
    fs::write(home.at("other/a"), "b").expect("a file");
    home.refuses("web --out other --data data", &["other: it is a folder with files in it"]);
    fs::write(home.at("other/elbo-web.json"), "{}").expect("a file");
    home.refuses("web --out other --data data", &["elbo-web.json is none that this program wrote"]);
    home.refuses(
        "web --data data",
        &["give --out DIR to write the page, or --serve to serve it here"],
    );
    home.refuses("web --out no/where --data data", &["there is no folder no"]);
    home.refuses("web --out new --data nothing", &["nothing"]);
    home.refuses(
        "web --out new --samples 0 --data data",
        &["--samples must be from 1 to 100000, got 0"],
    );
    home.refuses("web --out new --run nothing", &["nothing"]);
    // Runs that the page has no means for.
    let train = "train --data data --device cpu --hidden 8 --latent 2 --batch 20 --steps 2";
    home.ok(&format!("{train} --posterior planar --flow-steps 2 --run planar"));
    home.refuses(
        "web --out new --run planar",
        &["planar has planar", "the program behind it has all"],
    );
}

//! The page in a browser: a click, a drag, a drawn digit, the keyboard, a phone, the dark.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::chromium::Tab;
use crate::client::{Server, numbers};
use crate::harness::program::Home;

const TRAIN: &str = "train --device cpu --hidden 64 --steps 300 --run run";

/// A run on MNIST, in a page of 1280x900.
fn page(latent: usize) -> (Home, Server, Tab) {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --latent {latent}"));
    let server = home.serve_with("explore run --no-open --device cpu --samples 200");
    let mut tab = Tab::open();
    tab.resize(1280, 900, false);
    tab.dark(false);
    tab.go(&server.address());
    tab.wait("document.querySelectorAll('#posterior li').length > 0");
    (home, server, tab)
}

/// A class has one colour, in scatter.svg and on the page.
#[test]
fn classes_have_the_colours_of_the_pictures() {
    let colours = |path: &str, from: &str| {
        let text =
            std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let list = text.split(from).nth(1).unwrap().split("];").next().unwrap().to_string();
        list.split('"').skip(1).step_by(2).map(str::to_string).collect::<Vec<_>>()
    };
    let ours = colours("src/report/latent.rs", "const CLASSES");
    assert_eq!(ours.len(), 10);
    assert_eq!(colours("src/explore/page/latent.js", "const COLOURS"), ours);
}

/// The grey levels that a canvas shows.
fn shown(tab: &mut Tab, canvas: &str) -> Vec<f64> {
    numbers(&tab.eval(&format!(
        "(() => {{ const c = document.getElementById('{canvas}'); \
         const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; \
         return [...d].filter((_, i) => i % 4 === 0); }})()"
    )))
}

fn text(tab: &mut Tab, selector: &str) -> String {
    let text = tab.eval(&format!("document.querySelector('{selector}').textContent"));
    text.as_str().expect("a text").replace('−', "-")
}

fn sliders(tab: &mut Tab) -> Vec<f64> {
    let script = "[...document.querySelectorAll('#slider-part input')].map(s => [+s.dataset.unit, s.valueAsNumber])";
    let mut all: Vec<(usize, f64)> = serde_json::from_value(tab.eval(script)).expect("pairs");
    all.sort_by_key(|slider| slider.0);
    all.into_iter().map(|slider| slider.1).collect()
}

/// Waits until the decoded image is that of `z`.
#[track_caller]
fn wait_for_decoded(tab: &mut Tab, server: &Server, z: &[f64]) {
    let expected = numbers(&server.json("/decode", &json!({ "z": z }))["image"]);
    for _ in 0..100 {
        let shown = shown(tab, "decoded");
        if shown.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 2.0) {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("the decoded image is not that of {z:?}");
}

/// Waits until the figures are those of the image on the sheet.
#[track_caller]
fn wait_for_figures(tab: &mut Tab, server: &Server) -> Value {
    for _ in 0..100 {
        let image: Vec<u8> = shown(tab, "sheet").iter().map(|&v| v as u8).collect();
        let expected = server.json("/infer", &json!({ "image": image }));
        let value = |name: &str| format!("{:.2}", expected[name]["value"].as_f64().expect("nats"));
        let names = ["simple_monte_carlo", "elbo", "importance_weighted"];
        if names.iter().all(|name| text(tab, &format!("#{name} td:nth-child(3)")) == value(name)) {
            assert_eq!(shown(tab, "reconstruction"), numbers(&expected["reconstruction"]));
            assert_eq!(shown(tab, "seen"), numbers(&expected["x"]));
            return expected;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("the figures are not those of the image");
}

/// A seven, in shares of the sheet.
const SEVEN: [[f64; 2]; 5] = [[0.3, 0.3], [0.5, 0.28], [0.7, 0.3], [0.58, 0.55], [0.45, 0.78]];

#[track_caller]
fn assert_fits(tab: &mut Tab) {
    // A phone's browser would shrink the page until it fits: its own idea of the width is no measure.
    let width = tab.eval("document.documentElement.scrollWidth");
    assert!(width.as_u64() <= Some(u64::from(tab.width)), "wider than the window: {width}");
}

/// Share of the pixels near the colour of the ground, by its brightness.
fn dark_share(picture: &image::RgbImage) -> f64 {
    let dark = picture.pixels().filter(|p| p.0.iter().all(|&v| v < 64)).count();
    dark as f64 / (picture.width() * picture.height()) as f64
}

/// Of the questions for decoded images, that there were several, and never two at once.
#[track_caller]
fn assert_one_in_flight(events: &[Value]) {
    let mut open = Vec::new();
    let mut asked = 0;
    for event in events {
        let (params, id) = (&event["params"], &event["params"]["requestId"]);
        let url = params["request"]["url"].as_str().unwrap_or_default();
        if event["method"] == "Network.requestWillBeSent" && url.ends_with("/decode") {
            open.push(id.clone());
            asked += 1;
        }
        if event["method"] == "Network.loadingFinished" {
            open.retain(|other| other != id);
        }
        assert!(open.len() <= 1, "{open:?}");
    }
    assert!(asked >= 3, "{asked}");
}

#[test]
fn two_latent_units() {
    let (_home, server, mut tab) = page(2);
    let extent = server.model()["extent"].as_f64().expect("a number");
    wait_for_decoded(&mut tab, &server, &[0.0, 0.0]);
    tab.wait("document.getElementById('tiles').complete && document.getElementById('tiles').naturalWidth > 0");

    // a click on the map
    tab.drag("#map", &[[0.25, 0.25]]);
    wait_for_decoded(&mut tab, &server, &[-extent / 2.0, extent / 2.0]);
    // a drag: what is under the pointer in the end
    let path: Vec<[f64; 2]> = (0..=40).map(|i| [0.25 + f64::from(i) / 80.0; 2]).collect();
    tab.drag("#map", &path);
    wait_for_decoded(&mut tab, &server, &[extent / 2.0, -extent / 2.0]);
    let at = sliders(&mut tab);
    assert!((at[0] - extent / 2.0).abs() < 0.06 && (at[1] + extent / 2.0).abs() < 0.06, "{at:?}");
    assert_one_in_flight(&tab.events);
    // a look elsewhere, and back
    tab.hover("#map", [0.1, 0.1]);
    wait_for_decoded(&mut tab, &server, &[-0.8 * extent, 0.8 * extent]);
    tab.hover("#draw-title", [0.5, 0.5]);
    wait_for_decoded(&mut tab, &server, &[extent / 2.0, -extent / 2.0]);
    // the keyboard
    tab.click("#zero");
    wait_for_decoded(&mut tab, &server, &[0.0, 0.0]);
    tab.eval("document.getElementById('map').focus()");
    for _ in 0..5 {
        tab.press("ArrowRight", 39);
    }
    tab.press("ArrowUp", 38);
    wait_for_decoded(&mut tab, &server, &[extent / 10.0, extent / 50.0]);
    let outline = tab.eval("getComputedStyle(document.getElementById('map')).outlineStyle");
    assert_eq!(outline, "solid", "the focus is to be seen");

    tab.click("#show-dots");
    tab.wait("document.querySelectorAll('#legend li').length === 10");
    let coloured = "(() => { const c = document.getElementById('dots'); \
        return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v > 0); })()";
    assert_eq!(tab.eval(coloured), true);

    tab.drag("#sheet", &SEVEN);
    wait_for_figures(&mut tab, &server);
    assert_fits(&mut tab);
    tab.screenshot("explore-2-desktop");
    tab.dark(true);
    let dark = tab.screenshot("explore-2-dark");
    assert!(dark_share(&dark) > 0.5, "{}", dark_share(&dark));
    tab.resize(390, 844, true);
    assert_fits(&mut tab);
    tab.screenshot("explore-2-phone-dark");
    assert_eq!(tab.complaints(), [""; 0]);
}

#[test]
fn twenty_latent_units() {
    let (_home, server, mut tab) = page(20);
    let units = server.model()["units"].clone();
    let first = units[0]["unit"].as_u64().expect("a number") as usize;

    // the first test image, as the page begins
    let expected = server.json("/infer", &json!({ "test": 0 }));
    let close = |tab: &mut Tab, name: &str| {
        let shown = text(tab, &format!("#{name} td:nth-child(3)"));
        assert_eq!(shown, format!("{:.2}", expected[name]["value"].as_f64().expect("nats")));
    };
    for name in ["simple_monte_carlo", "elbo", "importance_weighted"] {
        close(&mut tab, name);
    }
    assert_eq!(shown(&mut tab, "sheet"), numbers(&expected["image"]));
    assert_eq!(text(&mut tab, "#label"), "over test image 0, label 7");
    assert_eq!(text(&mut tab, "#bound"), "L_200");

    // sliders: the unit with the largest KL first, by mouse and by key
    let slider = format!("#unit-{first}");
    let first_slider = tab.eval("document.querySelector('#sliders input').id");
    assert_eq!(first_slider, slider[1..]);
    tab.drag(&slider, &[[0.5, 0.5], [0.6, 0.5], [0.75, 0.5]]);
    let mut z = vec![0.0; 20];
    z[first] = sliders(&mut tab)[first];
    assert!(z[first] > 1.0, "{z:?}");
    wait_for_decoded(&mut tab, &server, &z);
    tab.press("ArrowLeft", 37);
    z[first] -= 0.05;
    assert!((sliders(&mut tab)[first] - z[first]).abs() < 1e-6);
    wait_for_decoded(&mut tab, &server, &z);

    tab.click("#sample");
    tab.wait("document.getElementById('origin').textContent.startsWith('drawn with seed ')");
    let seed: u64 =
        text(&mut tab, "#origin").rsplit(' ').next().expect("a seed").parse().expect("it");
    let drawn = server.json("/sample", &json!({ "seed": seed }));
    assert_eq!(shown(&mut tab, "decoded"), numbers(&drawn["image"]));

    // another test image by its number, and the walk from where it is
    tab.click("#next");
    tab.wait("document.getElementById('label').textContent.includes('test image 1')");
    let second = server.json("/infer", &json!({ "test": 1 }));
    assert_eq!(shown(&mut tab, "sheet"), numbers(&second["image"]));
    tab.click("#follow");
    wait_for_decoded(&mut tab, &server, &numbers(&second["mu"]));

    // a digit drawn with the mouse
    tab.click("#clear");
    tab.wait("document.getElementById('label').textContent === ''");
    assert!(shown(&mut tab, "sheet").iter().all(|&v| v == 0.0));
    wait_for_figures(&mut tab, &server);
    tab.drag("#sheet", &SEVEN);
    let image = shown(&mut tab, "sheet");
    let soft = image.iter().filter(|v| (1.0..255.0).contains(*v)).count();
    let full = image.iter().filter(|v| **v == 255.0).count();
    assert!(soft > 20 && full > 20 && soft + full < 200, "{soft} and {full}");
    let judged = wait_for_figures(&mut tab, &server);
    let rows = tab
        .eval("[...document.querySelectorAll('#posterior li')].map(r => r.lastChild.textContent)");
    for (row, unit) in rows.as_array().expect("rows").iter().zip(units.as_array().expect("units")) {
        let unit = unit["unit"].as_u64().expect("a number") as usize;
        let (mu, sigma) = (numbers(&judged["mu"])[unit], numbers(&judged["sigma"])[unit]);
        let expected = format!("{mu:.2} ± {sigma:.2}").replace("-0.00", "0.00");
        assert_eq!(row.as_str().expect("a text").replace('−', "-"), expected);
    }
    assert_fits(&mut tab);
    tab.screenshot("explore-20-desktop");

    // a dot drawn with the keyboard
    tab.click("#clear");
    tab.eval("document.getElementById('sheet').focus()");
    tab.press(" ", 32);
    tab.press("ArrowDown", 40);
    tab.press("ArrowDown", 40);
    tab.press(" ", 32);
    tab.press("ArrowRight", 39);
    let image = shown(&mut tab, "sheet");
    assert!(image[15 * 28 + 14] > 200.0 && image[15 * 28 + 20] == 0.0);
    wait_for_figures(&mut tab, &server);

    // a pasted picture, white on the left half
    tab.eval(
        "(async () => { const c = document.createElement('canvas'); c.width = c.height = 56; \
         const x = c.getContext('2d'); x.fillRect(0, 0, 56, 56); x.fillStyle = 'white'; x.fillRect(0, 0, 28, 56); \
         const b = await new Promise(r => c.toBlob(r)); const d = new DataTransfer(); \
         d.items.add(new File([b], 'p.png', { type: 'image/png' })); \
         document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: d })); })()",
    );
    tab.wait("document.getElementById('label').textContent === 'from a picture'");
    let image = shown(&mut tab, "sheet");
    assert!(image[3] == 255.0 && image[24] == 0.0);
    wait_for_figures(&mut tab, &server);

    // a phone, a finger
    tab.resize(390, 844, true);
    tab.click("#clear");
    tab.swipe("#sheet", &SEVEN);
    assert!(shown(&mut tab, "sheet").contains(&255.0), "a finger draws");
    wait_for_figures(&mut tab, &server);
    assert_fits(&mut tab);
    tab.screenshot("explore-20-phone");
    tab.resize(1280, 900, false);
    tab.dark(true);
    tab.screenshot("explore-20-dark");
    assert_eq!(tab.complaints(), [""; 0]);

    // left alone it asks nothing
    let requests = |tab: &mut Tab| {
        tab.eval("0");
        tab.events.iter().filter(|e| e["method"] == "Network.requestWillBeSent").count()
    };
    let before = requests(&mut tab);
    assert!(before > 10);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(requests(&mut tab), before);

    // and without its server it says so
    drop(server);
    tab.click("#zero");
    tab.wait("!document.getElementById('problem').hidden");
    assert!(text(&mut tab, "#problem").contains("start elbo explore again"));
}

//! A device that is lost while the page is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use elbo::device::Device;
use elbo::explore::End;
use elbo::explore::server::{self, Explored, Served};
use elbo::explore::worker::Worker;
use serde_json::json;
use tokio::sync::watch;

use crate::chromium::Tab;
use crate::client::Site;
use crate::harness;
use crate::harness::program::Home;
use crate::harness::wrapped::{LOST, LostAfter, Wrapped};
use crate::model::explorer;

/// A page whose device is lost when `left` is zero, and how it ends.
fn serve(left: &Arc<AtomicU64>) -> (Site, JoinHandle<End>) {
    let listener = server::listen(0).expect("a port");
    let site = Site { port: listener.local_addr().expect("an address").port(), token: "secret" };
    let left = left.clone();
    let load = move || {
        let home = Home::with_run("--latent 3");
        let loaded = explorer(&home, &Device::Cpu(harness::cpu()), 0, 50);
        Ok(loaded.wrapped(|inner| Box::new(Wrapped { inner, hooks: LostAfter(left.clone()) })))
    };
    let (end, ended) = watch::channel(None);
    let (worker, about, _) = Worker::start(load, end).expect("it loads");
    let explored = Explored { token: "secret".to_string(), about, worker };
    let served = Served::Explorer(Box::new(explored));
    let serve = || server::serve(listener, served, ended).expect("it serves");
    (site, thread::spawn(serve))
}

#[test]
fn a_lost_device_is_told_and_ends_it() {
    let left = Arc::new(AtomicU64::new(1000));
    let (site, served) = serve(&left);
    let ask = || site.ask("POST", "/decode", r#"{"z": [0, 0, 0]}"#);
    assert_eq!(ask().status, 200);
    left.store(0, Ordering::Relaxed);
    let response = ask();
    assert_eq!((response.status, response.json()["error"].clone()), (503, json!(LOST)));
    // Whoever asks in the moment that is left is told too.
    let response = ask();
    let told = response.json()["error"].to_string();
    assert!(response.status == 503 && told.contains("the program has ended"), "{response:?}");
    let begin = Instant::now();
    assert_eq!(served.join().expect("no panic"), End::Failed(LOST.to_string()));
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert!(std::net::TcpStream::connect(("127.0.0.1", site.port)).is_err(), "nobody listens");
}

#[test]
fn the_page_shows_why_and_how_to_go_on() {
    let left = Arc::new(AtomicU64::new(1000));
    let (site, served) = serve(&left);
    let mut tab = Tab::open();
    tab.resize(1280, 900, false);
    tab.go(&site.address());
    tab.wait("document.querySelectorAll('#posterior li').length > 0");
    let problem = |tab: &mut Tab, words: &str| {
        tab.wait(&format!("document.getElementById('problem').textContent.includes('{words}')"));
        assert_eq!(tab.eval("document.getElementById('problem').hidden"), false);
    };
    left.store(0, Ordering::Relaxed);
    tab.click("#sample");
    problem(&mut tab, LOST);
    tab.screenshot("explore-lost");
    assert_eq!(served.join().expect("no panic"), End::Failed(LOST.to_string()));
    tab.click("#sample");
    problem(&mut tab, "start elbo explore again");
}

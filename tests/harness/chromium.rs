//! A headless Chromium over its DevTools protocol, through a pipe: messages in JSON, each ended by a zero.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// WebGPU on a busy machine's CPU takes its time.
const PATIENCE: Duration = Duration::from_secs(150);

/// A machine without a browser fails the tests: one that is skipped in silence looks like one that passed.
fn find() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::env::split_paths(&path).flat_map(|folder| NAMES.map(|name| folder.join(name)));
    let found = all.into_iter().find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("no Chromium for the tests: apt-get install chromium"))
}

/// One tab.
pub struct Tab {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    last: u64,
    /// Of the window.
    pub width: u32,
    /// What the browser reported by itself.
    pub events: Vec<Value>,
    _profile: TempDir,
}

impl Tab {
    pub fn open() -> Self {
        Tab::open_with(&["--disable-gpu"])
    }

    /// With WebGPU on SwiftShader, which computes on the CPU.
    pub fn with_webgpu() -> Self {
        Tab::open_with(&["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"])
    }

    fn open_with(flags: &[&str]) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        // The pipe is files 3 and 4.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null"]).arg(find());
        command.arg(format!("--user-data-dir={}", profile.path().display())).args([
            "--headless",
            "--remote-debugging-pipe",
            "--no-sandbox", // which root cannot have
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
        ]);
        command.args(flags).arg("about:blank");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.process_group(0).spawn().expect("the browser starts");
        let input = child.stdin.take().expect("piped");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, messages) = channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|n| n > 0) {
                message.pop();
                let value = serde_json::from_slice(&message).expect("JSON");
                if sender.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let (session, last, width, events) = (None, 0, 0, Vec::new());
        let mut tab =
            Tab { child, input, messages, session, last, width, events, _profile: profile };
        let target = tab.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = tab.call("Target.attachToTarget", attach);
        tab.session = Some(session["sessionId"].as_str().expect("a session").to_string());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.call(&format!("{domain}.enable"), json!({}));
        }
        tab
    }

    /// A command's result.
    #[track_caller]
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.input.write_all(format!("{message}\0").as_bytes()).expect("the browser listens");
        loop {
            let mut message = match self.messages.recv_timeout(PATIENCE) {
                Ok(message) => message,
                Err(e) => panic!("no answer to {method}: {e}"),
            };
            if message["id"] == self.last {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    /// The same of the browser rather than of the tab.
    #[track_caller]
    pub fn call_browser(&mut self, method: &str, params: Value) -> Value {
        let session = self.session.take();
        let result = self.call(method, params);
        self.session = session;
        result
    }

    /// A width and height of the window, as of a phone if `touch`.
    pub fn resize(&mut self, width: u32, height: u32, touch: bool) {
        self.width = width;
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": touch });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        self.call("Emulation.setTouchEmulationEnabled", json!({ "enabled": touch }));
    }

    pub fn dark(&mut self, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call("Emulation.setEmulatedMedia", json!({ "features": [feature] }));
    }

    pub fn go(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
    }

    /// The value of a script, a promise's if it is one.
    #[track_caller]
    pub fn eval(&mut self, script: &str) -> Value {
        let how = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let mut result = self.call("Runtime.evaluate", how);
        assert!(result["exceptionDetails"].is_null(), "{script}: {result}");
        result["result"]["value"].take()
    }

    /// Waits until a script says true.
    #[track_caller]
    pub fn wait(&mut self, script: &str) {
        let end = Instant::now() + PATIENCE;
        while self.eval(script) != json!(true) {
            if Instant::now() > end {
                let problem = self.eval("document.getElementById('problem')?.textContent");
                panic!("in vain: {script}; the page says {problem}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// A point of an element, given in shares of its width and height; it is scrolled into sight.
    #[track_caller]
    pub fn point(&mut self, selector: &str, at: [f64; 2]) -> [f64; 2] {
        let script = format!(
            "(() => {{ const e = document.querySelector('{selector}'); e.scrollIntoViewIfNeeded(); \
             const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; }})()"
        );
        let b: Vec<f64> = serde_json::from_value(self.eval(&script)).expect("a box");
        assert!(b[2] > 0.0 && b[3] > 0.0, "{selector} is not to be seen");
        [b[0] + at[0] * b[2], b[1] + at[1] * b[3]]
    }

    fn mouse(&mut self, kind: &str, [x, y]: [f64; 2], pressed: bool) {
        let (buttons, button) = if pressed { (1, "left") } else { (0, "none") };
        let button = if kind == "mouseReleased" { "left" } else { button };
        self.call(
            "Input.dispatchMouseEvent",
            json!({ "type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "clickCount": 1 }),
        );
    }

    pub fn hover(&mut self, selector: &str, at: [f64; 2]) {
        let at = self.point(selector, at);
        self.mouse("mouseMoved", at, false);
    }

    /// Presses at the first point, goes over the others and lets go at the last.
    #[track_caller]
    pub fn drag(&mut self, selector: &str, path: &[[f64; 2]]) {
        let path: Vec<_> = path.iter().map(|&at| self.point(selector, at)).collect();
        self.mouse("mouseMoved", path[0], false);
        self.mouse("mousePressed", path[0], true);
        for &at in &path[1..] {
            self.mouse("mouseMoved", at, true);
        }
        self.mouse("mouseReleased", path[path.len() - 1], false);
    }

    #[track_caller]
    pub fn click(&mut self, selector: &str) {
        self.drag(selector, &[[0.5, 0.5]]);
    }

    /// As [`Tab::drag`], with a finger.
    pub fn swipe(&mut self, selector: &str, path: &[[f64; 2]]) {
        let path: Vec<_> = path.iter().map(|&at| self.point(selector, at)).collect();
        for (i, [x, y]) in path.into_iter().enumerate() {
            let kind = if i == 0 { "touchStart" } else { "touchMove" };
            let touch = json!({ "type": kind, "touchPoints": [{ "x": x, "y": y }] });
            self.call("Input.dispatchTouchEvent", touch);
        }
        let end = json!({ "type": "touchEnd", "touchPoints": [] });
        self.call("Input.dispatchTouchEvent", end);
    }

    /// A key by its name and code.
    pub fn press(&mut self, key: &str, code: u32) {
        let text = if key == " " { " " } else { "" };
        for kind in [if text.is_empty() { "rawKeyDown" } else { "keyDown" }, "keyUp"] {
            let code_name = if key == " " { "Space" } else { key };
            let event = json!({ "type": kind, "key": key, "code": code_name, "text": text,
                "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// A PNG of the whole page, kept in the target folder for people to look at.
    pub fn screenshot(&mut self, name: &str) -> image::RgbImage {
        let size = self
            .eval("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]");
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let how = json!({ "captureBeyondViewport": true, "clip": clip });
        let shot = self.call("Page.captureScreenshot", how);
        let bytes = decode_base64(shot["data"].as_str().expect("a picture"));
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png"));
        std::fs::write(path, &bytes).expect("a file");
        image::load_from_memory(&bytes).expect("a PNG").to_rgb8()
    }

    /// What went wrong in the page: exceptions, and errors in its console.
    pub fn complaints(&mut self) -> Vec<String> {
        self.eval("0");
        let bad = |event: &&Value| {
            event["method"] == "Runtime.exceptionThrown"
                || event["params"]["entry"]["level"] == "error"
                || event["params"]["type"] == "error"
                    && event["method"] == "Runtime.consoleAPICalled"
        };
        self.events.iter().filter(bad).map(Value::to_string).collect()
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        // The browser is a family of processes; the group is theirs alone.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

pub fn decode_base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    let (mut bits, mut n) = (0_u32, 0);
    for c in text.bytes().filter(|c| *c != b'=') {
        bits = bits << 6 | u32::from(value(c));
        n += 6;
        if n >= 8 {
            n -= 8;
            bytes.push((bits >> n) as u8);
        }
    }
    bytes
}

//! WebGPU in a headless Chromium as a device: the project's own executor in JavaScript runs what the others run.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use elbo::device::gpu::portable_variant;
use elbo::device::{Description, DeviceError, Executor, Progress, TimedBy};
use elbo::plan::document::{Document, pool, write};
use elbo::plan::{PlanId, Program, TensorId};
use serde_json::{Value, json};

use super::Tested;
use super::chromium::Tab;
use super::site::Site;

/// The page's own modules, as they are on disk: a change of them needs no build.
const MODULES: [&str; 4] = ["document.js", "executor.js", "training.js", "weights.js"];

/// What the tests call in the page. A failure comes back as what the page would show.
const TESTS: &str = "
import * as executor from './executor.js';
import * as training from './training.js';
import * as weights from './weights.js';
export const programs = new Map();
const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const textOf = (array) => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    let text = '';
    for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    return btoa(text);
};
const json = async (path) => (await fetch(path)).json();
const text = async (path) => (await fetch(path)).text();
const array = (dtype, text) => {
    const bytes = bytesOf(text);
    if (dtype === 'u8') return bytes;
    return dtype === 'f32' ? new Float32Array(bytes.buffer) : new Uint32Array(bytes.buffer);
};
window.tools = { ...executor, ...training, ...weights, programs, bytesOf, textOf, json, text, array };
window.answer = async (work) => {
    try {
        return { value: (await work(window.tools)) ?? null };
    } catch (error) {
        return { kind: error.kind ?? 'defect', message: error.message, advice: error.advice ?? String(error.stack) };
    }
};
window.ready = true;
";

/// A page that can run plans.
pub struct Browser {
    pub site: Site,
    pub tab: RefCell<Tab>,
    loaded: RefCell<usize>,
}

/// What the page says of a failure.
#[derive(Debug)]
pub struct Said {
    pub kind: String,
    pub message: String,
    pub advice: String,
}

impl Browser {
    /// With WebGPU on SwiftShader, and its device opened as `tools.opened`.
    pub fn new() -> Self {
        let browser = Browser::in_tab(Tab::with_webgpu());
        browser.ok("tools.opened = await tools.openDevice();");
        browser
    }

    /// The page in a tab, with no device.
    pub fn in_tab(mut tab: Tab) -> Self {
        let site = Site::new();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/page");
        for name in MODULES {
            site.put(&format!("/{name}"), std::fs::read(folder.join(name)).expect("a module"));
        }
        site.put("/tests.js", TESTS);
        let page = "<!doctype html><title>tests</title><script type=module src=tests.js></script>";
        site.put("/index.html", page);
        tab.go(&format!("{}/index.html", site.address));
        tab.wait("window.ready === true");
        Browser { site, tab: RefCell::new(tab), loaded: RefCell::new(0) }
    }

    /// What an asynchronous function body returns, or what the page says of its failure.
    #[track_caller]
    pub fn run(&self, body: &str) -> Result<Value, Said> {
        let script = format!("window.answer(async (tools) => {{ {body} }})");
        let mut answer = self.tab.borrow_mut().eval(&script);
        let said = |name: &str| answer[name].as_str().unwrap_or_default().to_string();
        if answer["message"].is_string() {
            let (kind, message, advice) = (said("kind"), said("message"), said("advice"));
            return Err(Said { kind, message, advice });
        }
        Ok(answer["value"].take())
    }

    #[track_caller]
    pub fn ok(&self, body: &str) -> Value {
        self.run(body).unwrap_or_else(|said| panic!("{said:?}\n{body}"))
    }

    /// The message of a failure that there has to be.
    #[track_caller]
    pub fn problem(&self, body: &str) -> Said {
        match self.run(body) {
            Err(said) if said.kind != "defect" => said,
            other => panic!("expected a problem, got {other:?}\n{body}"),
        }
    }

    /// Serves a document as `/{name}.json` with its modules.
    pub fn serve(&self, name: &str, document: &Document) {
        self.site.put(&format!("/{name}.json"), document.plan.as_bytes());
        self.site.put(&format!("/{name}.modules.json"), pool([document]));
    }

    /// Loads a program.
    pub fn load(self: &Rc<Self>, program: Program) -> Result<InBrowser, DeviceError> {
        let document = write(&program, &portable_variant, json!({})).map_err(failure)?;
        let number = {
            let mut loaded = self.loaded.borrow_mut();
            *loaded += 1;
            *loaded
        };
        let name = format!("program{number}");
        self.serve(&name, &document);
        let body = format!(
            "const [plan, modules] = await Promise.all([tools.text('/{name}.json'), tools.text('/{name}.modules.json')]);
             tools.programs.set({number}, await tools.Program.load(tools.opened, plan, modules));"
        );
        self.run(&body).map_err(failure)?;
        let kind = |text: &str| text.to_string();
        let description = Description {
            name: self.ok("return tools.opened.name").as_str().unwrap_or_default().to_string(),
            kind: kind("browser"),
            backend: kind("WebGPU"),
            driver: kind("Chromium"),
        };
        Ok(InBrowser { browser: self.clone(), number, program, description })
    }
}

fn failure(error: impl std::fmt::Debug) -> DeviceError {
    DeviceError::Adapter { adapter: "the browser".to_string(), message: format!("{error:?}") }
}

/// A program in the page.
pub struct InBrowser {
    browser: Rc<Browser>,
    number: usize,
    program: Program,
    description: Description,
}

impl InBrowser {
    fn eval(&self, body: &str) -> Result<Value, DeviceError> {
        let body = format!("const p = tools.programs.get({}); {body}", self.number);
        self.browser.run(&body).map_err(failure)
    }

    fn plan_name(&self, plan: PlanId) -> Value {
        json!(self.program.plan(plan).name)
    }
}

impl Executor for InBrowser {
    fn description(&self) -> &Description {
        &self.description
    }

    fn program(&self) -> &Program {
        &self.program
    }

    fn run(&mut self, plan: PlanId, n: u64, progress: &mut Progress) -> Result<u64, DeviceError> {
        let done = self.eval(&format!("return p.run({}, {n})", self.plan_name(plan)))?;
        let done = done.as_u64().expect("a number");
        let _ = progress(done);
        Ok(done)
    }

    fn run_dispatch(&mut self, plan: PlanId, index: usize) -> Result<(), DeviceError> {
        self.eval(&format!("await p.dispatch({}, {index})", self.plan_name(plan))).map(|_| ())
    }

    fn time(
        &mut self,
        plan: PlanId,
        _: Range<usize>,
        n: usize,
    ) -> Result<(f64, TimedBy), DeviceError> {
        let seconds = self.eval(&format!("return p.time({}, {n})", self.plan_name(plan)))?;
        Ok((seconds.as_f64().expect("a number"), TimedBy::Wall))
    }

    fn write_bytes(&mut self, tensor: TensorId, bytes: &[u8]) -> Result<(), DeviceError> {
        let (name, text) = (json!(self.program.get(tensor).name), STANDARD.encode(bytes));
        let body = format!("p.write({name}, tools.array(p.tensor({name}).dtype, '{text}'))");
        self.eval(&body).map(|_| ())
    }

    fn write_part(
        &mut self,
        tensor: TensorId,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        let declared = self.program.get(tensor);
        let (name, text) = (json!(declared.name), STANDARD.encode(bytes));
        let first = offset / declared.dtype.size_bytes();
        let body =
            format!("p.writePart({name}, {first}, tools.array(p.tensor({name}).dtype, '{text}'))");
        self.eval(&body).map(|_| ())
    }

    fn read_bytes(&mut self, tensor: TensorId) -> Result<Vec<u8>, DeviceError> {
        let name = json!(self.program.get(tensor).name);
        let text = self.eval(&format!("return tools.textOf(await p.read({name}))"))?;
        Ok(STANDARD.decode(text.as_str().expect("base64")).expect("base64"))
    }
}

impl Tested for InBrowser {}

impl Drop for InBrowser {
    fn drop(&mut self) {
        let _ = self.eval(&format!("p.close(); tools.programs.delete({})", self.number));
    }
}

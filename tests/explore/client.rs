//! Runs to explore, the program serving one, and requests to it, byte by byte.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::program::{Home, idx, piped};

pub const HEIGHT: usize = 9;
pub const WIDTH: usize = 7;
/// K of the servers here.
pub const SAMPLES: usize = 60;

impl Home {
    /// With images of 9x7 pixels and labels in `data`.
    pub fn labelled() -> Self {
        let home = Home::empty();
        let data = home.at("data");
        fs::create_dir(&data).expect("a folder");
        for (name, n) in [("train", 200), ("t10k", 50)] {
            let images = idx(n, HEIGHT as u32, WIDTH as u32);
            fs::write(data.join(format!("{name}-images-idx3-ubyte")), images).expect("a file");
            fs::write(data.join(format!("{name}-labels-idx1-ubyte")), labels(n)).expect("a file");
        }
        home
    }

    /// With a small trained run in `run`; `more` are other options.
    pub fn with_run(more: &str) -> Self {
        let home = Home::labelled();
        home.ok(&format!(
            "train --data data --device cpu --hidden 16 --batch 50 --epochs 2 --run run {more}"
        ));
        home
    }

    pub fn serve(&self) -> Server {
        self.serve_with(&format!("explore run --no-open --device cpu --samples {SAMPLES}"))
    }

    pub fn serve_with(&self, args: &str) -> Server {
        Server::start(&mut self.command(args))
    }
}

fn labels(n: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> = [0x801, n].iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
    bytes.extend((0..n).map(|i| (i % 3) as u8));
    bytes
}

/// A served run. It is killed with the value.
pub struct Server {
    child: Child,
    site: Site,
}

impl Deref for Server {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

/// Where the page is.
#[derive(Clone, Copy)]
pub struct Site {
    pub port: u16,
    pub token: &'static str,
}

impl Server {
    pub fn start(command: &mut Command) -> Self {
        let mut child = piped(command);
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split('/').next());
        let Some(port) = port.and_then(|port| port.parse().ok()) else {
            let output = child.wait_with_output().expect("it ends");
            panic!("no address in {line:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let token = line.split("?token=").nth(1).and_then(|rest| rest.split(' ').next());
        let token = token.expect("a token").to_string().leak();
        Server { child, site: Site { port, token } }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn interrupt(&self) {
        let kill = Command::new("kill").args(["-INT", &self.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
    }

    /// How it ended, with stderr.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.child.try_wait().expect("a child").is_none() {
            assert!(Instant::now() < end, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut stderr = String::new();
        let _ = self.child.stderr.take().expect("piped").read_to_string(&mut stderr);
        (self.child.wait().expect("it ended").code(), stderr)
    }
}

impl Site {
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/?token={}", self.port, self.token)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        stream
    }

    /// One request on a connection of its own.
    pub fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Response {
        let headers = format!("{headers}Authorization: Bearer {}\r\n", self.token);
        self.send_bare(method, path, &headers, body)
    }

    /// The same of somebody who does not know the token.
    pub fn send_bare(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Response {
        let mut stream = self.connect();
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nContent-Length: {length}\r\n{headers}\r\n");
        let _ = stream.write_all(&[head.as_bytes(), body].concat());
        Response::read(stream)
    }

    /// As the page sends it.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Response {
        let host = format!("Host: 127.0.0.1:{}\r\nConnection: close\r\n", self.port);
        self.send(method, path, &host, body.as_bytes())
    }

    #[track_caller]
    pub fn json(&self, path: &str, body: &Value) -> Value {
        let response = self.ask("POST", path, &body.to_string());
        assert_eq!(response.status, 200, "{path}: {response:?}");
        response.json()
    }

    #[track_caller]
    pub fn model(&self) -> Value {
        self.ask("GET", "/model", "").json()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
pub struct Response {
    /// 0 where the connection ended without an answer.
    pub status: u16,
    /// Lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    /// Up to the end of the connection.
    pub fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes); // a reset after the answer leaves the answer
        let split = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(bytes.len());
        let head = String::from_utf8_lossy(&bytes[..split]).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        Response { status, head, body: bytes.split_off((split + 4).min(bytes.len())) }
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// An array of numbers.
#[track_caller]
pub fn numbers(value: &Value) -> Vec<f64> {
    let all = value.as_array().unwrap_or_else(|| panic!("no array: {value}"));
    all.iter().map(|v| v.as_f64().expect("a number")).collect()
}

/// A line of `/proc/PID/status`, in its unit.
pub fn process(id: u32, field: &str) -> u64 {
    let text = fs::read_to_string(Path::new("/proc").join(id.to_string()).join("status"));
    let text = text.expect("the process is there");
    let line = text.lines().find(|line| line.starts_with(field)).expect("the field");
    line.split_whitespace().nth(1).and_then(|v| v.parse().ok()).expect("a number")
}

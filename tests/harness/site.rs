//! A server of files that are in memory, on this computer's own address.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// It serves until the test ends.
pub struct Site {
    pub address: String,
    files: Files,
}

impl Site {
    pub fn new() -> Self {
        Site::with_policy(Some("default-src 'none'; script-src 'self'; connect-src 'self'"))
    }

    /// With this Content-Security-Policy; none, as from a static host, leaves it to the page.
    pub fn with_policy(policy: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let files = Files::default();
        let served = files.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let files = served.clone();
                thread::spawn(move || answer(stream, &files, policy));
            }
        });
        Site { address, files }
    }

    /// Puts a file there, "/name".
    pub fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.files.lock().expect("whole").insert(path.to_string(), content.into());
    }
}

fn answer(mut stream: TcpStream, files: &Files, policy: Option<&str>) {
    let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
    let Some(Ok(first)) = lines.next() else { return };
    // The rest of the request would be answered by a reset.
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let path = first.split(' ').nth(1).unwrap_or_default().to_string();
    let found = files.lock().expect("whole").get(&path).cloned();
    let kind = match path.rsplit('.').next() {
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("json") => "application/json",
        Some("html") => "text/html; charset=utf-8",
        Some(path) if path.ends_with('/') => "text/html; charset=utf-8",
        _ => "application/octet-stream",
    };
    let (status, body) = match found {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", Vec::new()),
    };
    let policy = policy.map_or(String::new(), |p| format!("Content-Security-Policy: {p}\r\n"));
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\
         Cache-Control: no-store\r\n{policy}\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

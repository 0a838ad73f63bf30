//! The program as its users run it: in a folder of its own, on small images.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A folder to work in.
pub struct Home(TempDir);

impl Home {
    pub fn empty() -> Self {
        Home(tempfile::tempdir().expect("a folder"))
    }

    /// With images of 6x5 pixels in `data`, 200 to train on and 50 to test on.
    pub fn new() -> Self {
        let home = Home::empty();
        home.data("data", 200, 50);
        home
    }

    pub fn data(&self, folder: &str, train: u32, test: u32) {
        fs::create_dir(self.at(folder)).expect("a folder");
        for (name, n) in [("train-images-idx3-ubyte", train), ("t10k-images-idx3-ubyte", test)] {
            fs::write(self.at(folder).join(name), idx(n, 6, 5)).expect("a file");
        }
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    /// The program with arguments separated by blanks, in this folder, on a machine without a desktop.
    pub fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_elbo"));
        command.current_dir(self.path()).args(args.split_whitespace()).stdin(Stdio::null());
        // As in a container, where a driver's layer would complain.
        for name in ["XDG_RUNTIME_DIR", "DISPLAY", "WAYLAND_DISPLAY"] {
            command.env_remove(name);
        }
        command
    }

    pub fn run(&self, args: &str) -> Ended {
        self.command(args).output().expect("the program runs").into()
    }

    pub fn spawn(&self, args: &str) -> Child {
        piped(&mut self.command(args))
    }

    /// The program where no file may grow beyond so many KiB: as a full disk.
    #[cfg(unix)]
    pub fn cramped(&self, kib: u32, args: &str) -> Ended {
        let mut command = Command::new("bash");
        let limit = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$@\"");
        command.current_dir(self.path()).args(["-c", &limit, "bash"]);
        command.arg(env!("CARGO_BIN_EXE_elbo")).args(args.split_whitespace());
        command.output().expect("a shell").into()
    }

    /// The program as another user than root, whom no permissions stop.
    #[cfg(unix)]
    pub fn as_nobody(&self, args: &str) -> Ended {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        use std::os::unix::process::CommandExt;
        let program = self.at("elbo");
        if !program.exists() {
            fs::copy(env!("CARGO_BIN_EXE_elbo"), &program).expect("a copy");
            for path in [self.path(), &program] {
                let all = fs::Permissions::from_mode(0o755);
                fs::set_permissions(path, all).expect("permissions");
            }
        }
        let mut command = Command::new(&program);
        command.current_dir(self.path()).args(args.split_whitespace());
        if fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0) {
            command.uid(65534).gid(65534);
        }
        command.output().expect("the program runs").into()
    }

    #[track_caller]
    pub fn ok(&self, args: &str) -> Ended {
        let ended = self.run(args);
        assert_eq!(ended.code, Some(0), "{args}: {ended:?}");
        ended
    }

    /// Runs it and checks that it ends with code 2 and one line on stderr that contains the words, and
    /// leaves everything as it was.
    #[track_caller]
    pub fn refuses(&self, args: &str, words: &[&str]) {
        let before = tree(self.path());
        let ended = self.run(args);
        ended.assert_error(2, words);
        assert_eq!(ended.stdout, "", "{args}");
        assert!(tree(self.path()) == before, "{args} changed files");
    }

    pub fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&fs::read(self.at(path)).expect("a file")).expect("JSON")
    }

    /// The lines of a run's metrics; none where there is no such file.
    pub fn metrics(&self, run: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.at(run).join("metrics.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// How the program ended.
#[derive(Debug)]
pub struct Ended {
    /// None where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        Ended { code: output.status.code(), stdout, stderr }
    }
}

impl Ended {
    /// One line that starts with "error:" and contains the words. What a run says before it begins may
    /// come first where the run failed; clap explains the usage below.
    #[track_caller]
    pub fn assert_error(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        let usage = self.stderr.contains("For more information, try '--help'.");
        let lines: Vec<&str> = self.stderr.lines().collect();
        let line = if usage { lines[0] } else { lines[lines.len() - 1] };
        assert!(line.starts_with("error: "), "{self:?}");
        assert!(usage || code == 1 || lines.len() == 1, "{self:?}");
        assert_eq!(lines.iter().filter(|line| line.starts_with("error")).count(), 1, "{self:?}");
        assert!(!line.contains(char::is_control), "{self:?}");
        for word in words {
            assert!(line.contains(word), "no {word:?} in: {}", self.stderr);
        }
    }

    /// The line of stdout that contains the text.
    #[track_caller]
    pub fn line(&self, text: &str) -> &str {
        let line = self.stdout.lines().find(|line| line.contains(text));
        line.unwrap_or_else(|| panic!("no {text:?} in {self:?}"))
    }
}

/// Starts it, to be listened to.
pub fn piped(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// Waits for the end of a program that should come soon.
#[track_caller]
pub fn end(child: Child) -> Ended {
    let id = child.id();
    let (output, received) = std::sync::mpsc::channel();
    // Its output is read meanwhile: a full pipe would hold it up.
    std::thread::spawn(move || output.send(child.wait_with_output()));
    match received.recv_timeout(Duration::from_secs(60)) {
        Ok(output) => output.expect("it ran").into(),
        Err(_) => {
            let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
            panic!("it does not end: {:?}", received.recv());
        }
    }
}

/// Sends a signal by its name, as in INT.
pub fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
}

/// Whether it happens within a time that is long.
pub fn soon(mut happens: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(60) {
        if happens() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

/// An IDX file of images with a pattern to learn.
pub fn idx(n: u32, height: u32, width: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        [0x803, n, height, width].iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
    let pixel = |image: u32, p: u32| if (p + image % 3) % 5 < 2 { 230 } else { (image % 40) as u8 };
    bytes.extend((0..n).flat_map(|image| (0..height * width).map(move |p| pixel(image, p))));
    bytes
}

/// Everything below a folder, with the content of files.
pub fn tree(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let content = fs::read(&path).ok();
        if path.is_dir() {
            all.extend(tree(&path));
        }
        all.insert(path, content);
    }
    all
}

//! Browsers under test: Chromium through chromedriver (`WebDriver` of the W3C over HTTP) and Firefox through its own Marionette protocol.
//!
//! Both take the same commands with the same JSON. A browser runs headless with a fresh profile and saves downloads to a folder of the test.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long a browser may take to start, or a page to be ready.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running browser; it is closed when this is dropped.
pub(crate) struct Browser {
    process: Child,
    connection: Connection,
    /// The folder to which the browser saves.
    pub(crate) downloads: PathBuf,
}

enum Connection {
    /// chromedriver's port and the session.
    Chromedriver { port: u16, session: String },
    /// Marionette's stream, and the number of the last message.
    Marionette {
        stream: BufReader<TcpStream>,
        last: u64,
    },
}

/// Returns the first of these programs that can be run.
fn program(names: &[&'static str]) -> Option<&'static str> {
    names.iter().copied().find(|name| {
        let tried = Command::new(name)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    })
}

/// Waits until `ready` returns a value.
pub(crate) fn wait<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} does not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Browser {
    /// Starts Chromium with so many pixels of the screen for each pixel of a page; `None` when it is not installed.
    pub(crate) fn chromium(folder: &Path, ratio: u32) -> Option<Self> {
        let driver = program(&["chromedriver"])?;
        let browser = program(&["chromium", "chromium-browser", "google-chrome"])?;
        let mut process = Command::new(driver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        // "ChromeDriver was started successfully on port 33333."
        let port = wait("chromedriver's port", || {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            let (_, port) = line.split_once("successfully on port ")?;
            port.trim_end().trim_end_matches('.').parse().ok()
        });
        let profile = folder.join("profile");
        let arguments = json!([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--window-size=1280,900",
            format!("--force-device-scale-factor={ratio}"),
            format!("--user-data-dir={}", profile.display()),
        ]);
        let downloads = folder.join("downloads");
        std::fs::create_dir_all(&downloads).unwrap();
        let options = json!({
            "binary": which(browser),
            "args": arguments,
            "prefs": { "download.default_directory": downloads },
        });
        let capabilities = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options, "unhandledPromptBehavior": "accept" } } });
        let started = http(port, "POST", "/session", &capabilities);
        let session = started["sessionId"].as_str().expect("a session").to_owned();
        Some(Self {
            process,
            connection: Connection::Chromedriver { port, session },
            downloads,
        })
    }

    /// Starts Firefox; `None` when it is not installed.
    pub(crate) fn firefox(folder: &Path) -> Option<Self> {
        let browser = program(&["firefox-esr", "firefox"])?;
        let (profile, downloads) = (folder.join("profile"), folder.join("downloads"));
        std::fs::create_dir_all(&profile).unwrap();
        std::fs::create_dir_all(&downloads).unwrap();
        let preferences = format!(
            "user_pref(\"marionette.port\", 0);\n\
             user_pref(\"browser.download.folderList\", 2);\n\
             user_pref(\"browser.download.dir\", {});\n\
             user_pref(\"browser.helperApps.neverAsk.saveToDisk\", \"application/json\");\n\
             user_pref(\"app.update.disabledForTesting\", true);\n\
             user_pref(\"datareporting.policy.dataSubmissionEnabled\", false);\n\
             user_pref(\"network.captive-portal-service.enabled\", false);\n\
             user_pref(\"network.connectivity-service.enabled\", false);\n\
             user_pref(\"dom.disable_beforeunload\", true);\n",
            json!(downloads)
        );
        std::fs::write(profile.join("user.js"), preferences).unwrap();
        let process = Command::new(browser)
            .args(["--headless", "--no-remote", "--marionette", "--profile"])
            .arg(&profile)
            .env("HOME", folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let port: u16 = wait("Marionette's port", || {
            let text = std::fs::read_to_string(profile.join("MarionetteActivePort")).ok()?;
            text.trim().parse().ok()
        });
        let stream = wait("Marionette", || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        let mut stream = BufReader::new(stream);
        message(&mut stream); // its greeting
        let mut browser = Self {
            process,
            connection: Connection::Marionette { stream, last: 0 },
            downloads,
        };
        browser.command("", "WebDriver:NewSession", &json!({}));
        browser.command(
            "",
            "WebDriver:SetWindowRect",
            &json!({ "width": 1280, "height": 900 }),
        );
        Some(browser)
    }

    /// Sends a command by its path for chromedriver or its name for Marionette, and returns its result.
    fn command(&mut self, path: &str, name: &str, parameters: &Value) -> Value {
        match &mut self.connection {
            Connection::Chromedriver { port, session } => http(
                *port,
                "POST",
                &format!("/session/{session}/{path}"),
                parameters,
            ),
            Connection::Marionette { stream, last } => {
                *last += 1;
                let text = json!([0, *last, name, parameters]).to_string();
                write!(stream.get_mut(), "{}:{text}", text.len()).unwrap();
                let reply = message(stream);
                assert!(reply[2].is_null(), "{name} {parameters}: {}", reply[2]);
                match &reply[3] {
                    Value::Object(object) if object.contains_key("value") => {
                        object["value"].clone()
                    }
                    other => other.clone(),
                }
            }
        }
    }

    /// Opens a page and waits until its script says that it is ready.
    pub(crate) fn open(&mut self, page: &Path) {
        // Only what must be escaped in a file's address.
        let path = page.to_str().unwrap();
        let mut address = "file://".to_owned();
        for byte in path.bytes() {
            if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
                address.push(byte.into());
            } else {
                write!(address, "%{byte:02X}").unwrap();
            }
        }
        self.command("url", "WebDriver:Navigate", &json!({ "url": address }));
        let ready = wait("the page", || {
            let ready = self.run("return document.documentElement.dataset.ready ?? null");
            ready.as_str().map(str::to_owned)
        });
        let message = "return document.getElementById('message').textContent";
        assert!(ready == "true", "{}", self.run(message));
    }

    /// Runs a script in the page and returns its value.
    pub(crate) fn run(&mut self, script: &str) -> Value {
        let call = json!({ "script": script, "args": [], "sandbox": null });
        self.command("execute/sync", "WebDriver:ExecuteScript", &call)
    }

    /// Runs a script with a value as `arguments[0]`.
    pub(crate) fn run_with(&mut self, script: &str, value: &Value) -> Value {
        let call = json!({ "script": script, "args": [value], "sandbox": null });
        self.command("execute/sync", "WebDriver:ExecuteScript", &call)
    }

    /// Performs input actions of the W3C's form.
    pub(crate) fn perform(&mut self, actions: &Value) {
        let actions = json!({ "actions": actions });
        self.command("actions", "WebDriver:PerformActions", &actions);
    }

    /// Returns a file that the browser saves. It is complete, because it ends with a line.
    pub(crate) fn saved(&self, name: &str) -> String {
        let path = self.downloads.join(name);
        let text = wait(name, || {
            let text = std::fs::read_to_string(&path).ok()?;
            text.ends_with('\n').then_some(text)
        });
        std::fs::remove_file(&path).unwrap();
        text
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Connection::Chromedriver { port, session } = &self.connection {
            // The browser itself ends with its session.
            let _ = request(*port, "DELETE", &format!("/session/{session}"), "");
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the path of a program.
fn which(name: &str) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| name.into())
}

/// Reads a message of Marionette: its length in bytes, a colon, and JSON.
fn message(stream: &mut BufReader<TcpStream>) -> Value {
    let mut length = Vec::new();
    stream.read_until(b':', &mut length).unwrap();
    length.pop();
    let length = String::from_utf8(length).unwrap().parse().unwrap();
    let mut text = vec![0; length];
    stream.read_exact(&mut text).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Sends a request to chromedriver and returns the value of the reply.
fn http(port: u16, method: &str, path: &str, body: &Value) -> Value {
    let reply = request(port, method, path, &body.to_string()).unwrap();
    let (head, text) = reply.split_once("\r\n\r\n").expect("a reply");
    let value: Value =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {reply}"));
    assert!(head.starts_with("HTTP/1.1 200"), "{path}: {value}");
    value["value"].clone()
}

fn request(port: u16, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let start = head.len();
        if reader.read_line(&mut head)? == 0 {
            break;
        }
        let line = head[start..].to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text)?;
    Ok(head + &String::from_utf8_lossy(&text))
}

//! A small hub for tests: it answers like the Hugging Face hub and its storage server, fails as it is told, and writes down
//! every request, so that a test can prove that its fault happened.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dragnext::digest::sha256;

/// The only commit.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What goes wrong with an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// Another status, with one further header.
    Status(u16, &'static str),
    /// The connection ends after this share of the announced bytes.
    Cut(f64),
    /// This share of the file is sent as if it were all of it.
    Short(f64),
    /// One bit is another.
    WrongBytes,
    /// Half of it, then nothing for a long time.
    Stall,
    /// Small pieces with pauses: nothing is wrong, it only takes this long.
    Slow(Duration),
    /// The whole file, whatever part was asked for.
    IgnoreRange,
}

/// A fault for requests whose method and path contain these texts.
#[derive(Debug, Clone)]
struct Planned {
    method: &'static str,
    path: &'static str,
    fault: Fault,
    left: usize,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `hub` or `storage`.
    pub(crate) host: &'static str,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    /// What was done to its answer.
    pub(crate) fault: Option<Fault>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    plan: Vec<Planned>,
    log: Vec<Request>,
}

/// The hub and its storage server, which is another host for every client, because it has another port.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    hub: u16,
    storage: u16,
}

impl Server {
    /// Serves the files of a folder as a repository of any name.
    pub(crate) fn start(folder: &Path) -> Self {
        let mut files = BTreeMap::new();
        for part in std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            let inside: Vec<_> = if part.is_dir() {
                std::fs::read_dir(&part)
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .collect()
            } else {
                vec![part]
            };
            for path in inside {
                let name = path
                    .strip_prefix(folder)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [hub, storage] =
            [0, 1].map(|index: usize| listeners[index].local_addr().unwrap().port());
        let server = Self {
            state: Arc::new(Mutex::new(State {
                files,
                ..State::default()
            })),
            hub,
            storage,
        };
        for (listener, host) in listeners.into_iter().zip(["hub", "storage"]) {
            let server = server.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let server = server.clone();
                    // A client that goes away in the middle is no failure of the server's.
                    std::thread::spawn(move || server.answer(stream.unwrap(), host));
                }
            });
        }
        server
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.hub)
    }

    /// Adds, replaces or removes a file.
    pub(crate) fn set(&self, name: &str, content: Option<Vec<u8>>) {
        let mut state = self.state.lock().unwrap();
        match content {
            Some(content) => state.files.insert(name.to_owned(), content),
            None => state.files.remove(name),
        };
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        self.state.lock().unwrap().files[name].clone()
    }

    /// The next `times` requests whose method and path contain these texts fail in this way.
    pub(crate) fn plan(
        &self,
        method: &'static str,
        path: &'static str,
        fault: Fault,
        times: usize,
    ) {
        self.state.lock().unwrap().plan.push(Planned {
            method,
            path,
            fault,
            left: times,
        });
    }

    /// No further faults, and an empty log.
    pub(crate) fn reset(&self) {
        let mut state = self.state.lock().unwrap();
        state.plan.clear();
        state.log.clear();
    }

    pub(crate) fn log(&self) -> Vec<Request> {
        self.state.lock().unwrap().log.clone()
    }

    /// How many answers had this fault.
    pub(crate) fn count(&self, is_it: impl Fn(&Fault) -> bool) -> usize {
        self.log()
            .iter()
            .filter(|request| request.fault.as_ref().is_some_and(&is_it))
            .count()
    }

    /// Requests for the content of files whose path contains this.
    pub(crate) fn downloads(&self, path: &str) -> Vec<Request> {
        let is_body = |request: &Request| request.method == "GET" && request.path.contains(path);
        // A large file's content comes from the storage server; its first request was only sent on.
        self.log()
            .into_iter()
            .filter(|request| {
                is_body(request) && (request.host == "storage" || !path.ends_with("safetensors"))
            })
            .collect()
    }

    fn answer(&self, mut stream: TcpStream, host: &'static str) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        // A greeting of TLS: this server speaks none.
        if reader.fill_buf().ok()?.first() == Some(&0x16) {
            return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok();
        }
        let mut first = String::new();
        reader.read_line(&mut first).ok()?;
        let mut words = first.split_whitespace();
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim().split_once(':') else {
                break;
            };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let request = Request {
            host,
            method,
            path,
            headers,
            fault: None,
        };
        let (fault, answer) = {
            let mut state = self.state.lock().unwrap();
            let planned = state.plan.iter_mut().find(|planned| {
                planned.left > 0
                    && request.method.contains(planned.method)
                    && format!("{host}{}", request.path).contains(planned.path)
            });
            let fault = planned.map(|planned| {
                planned.left -= 1;
                planned.fault.clone()
            });
            state.log.push(Request {
                fault: fault.clone(),
                ..request.clone()
            });
            (
                fault.clone(),
                self.compose(&state, &request, fault.as_ref()),
            )
        };
        let Answer {
            head,
            body,
            announced,
        } = answer;
        write!(
            stream,
            "{head}Content-Length: {announced}\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        if request.method == "HEAD" {
            return Some(());
        }
        match fault {
            Some(Fault::Cut(share)) => stream
                .write_all(&body[..(body.len() as f64 * share) as usize])
                .ok()?,
            Some(Fault::Stall) => {
                stream.write_all(&body[..body.len() / 2]).ok()?;
                // Until the client has had enough.
                let _ = stream.read(&mut [0]);
            }
            Some(Fault::Slow(time)) => {
                for piece in body.chunks(body.len().div_ceil(20).max(1)) {
                    stream.write_all(piece).ok()?;
                    std::thread::sleep(time / 20);
                }
            }
            _ => stream.write_all(&body).ok()?,
        }
        Some(())
    }

    fn compose(&self, state: &State, request: &Request, fault: Option<&Fault>) -> Answer {
        if let Some(Fault::Status(status, header)) = fault {
            let header = if header.is_empty() {
                String::new()
            } else {
                format!("{header}\r\n")
            };
            return Answer::new(&format!("HTTP/1.1 {status} No\r\n{header}"), b"no".to_vec());
        }
        let not_found = || {
            Answer::new(
                "HTTP/1.1 404 Not Found\r\nX-Error-Code: EntryNotFound\r\n",
                Vec::new(),
            )
        };
        if request.path.starts_with("/api/models/") {
            let siblings: Vec<_> = state
                .files
                .keys()
                .map(|name| serde_json::json!({ "rfilename": name }))
                .collect();
            let description = serde_json::json!({ "id": "any", "sha": asked_commit(&request.path), "siblings": siblings });
            return Answer::new(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
                description.to_string().into_bytes(),
            );
        }
        if request.host == "storage" {
            // /<name>?Signature=..
            let name = request
                .path
                .trim_start_matches('/')
                .split('?')
                .next()
                .unwrap_or_default();
            return state
                .files
                .get(name)
                .map_or_else(not_found, |content| content_of(content, "", request, fault));
        }
        let name = request
            .path
            .split_once("/resolve/")
            .and_then(|(_, rest)| rest.split_once('/'))
            .map(|(_, name)| name);
        let Some((name, content)) = name.and_then(|name| state.files.get_key_value(name)) else {
            return not_found();
        };
        let (commit, etag) = (asked_commit(&request.path), etag(name, content));
        if is_large(name) {
            let location = format!(
                "http://127.0.0.1:{}/{name}?Signature=of-the-storage-server",
                self.storage
            );
            let linked = format!(
                "X-Linked-Etag: \"{etag}\"\r\nX-Linked-Size: {}\r\n",
                content.len()
            );
            return Answer::new(
                &format!(
                    "HTTP/1.1 302 Found\r\nX-Repo-Commit: {commit}\r\n{linked}Location: {location}\r\n"
                ),
                Vec::new(),
            );
        }
        content_of(
            content,
            &format!("X-Repo-Commit: {commit}\r\nETag: \"{etag}\"\r\n"),
            request,
            fault,
        )
    }
}

struct Answer {
    head: String,
    body: Vec<u8>,
    announced: usize,
}

impl Answer {
    fn new(head: &str, body: Vec<u8>) -> Self {
        Self {
            head: head.to_owned(),
            announced: body.len(),
            body,
        }
    }
}

/// The hub keeps weights on another host, under their hash.
fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors")
}

/// The hub's name of a content.
pub(crate) fn etag(name: &str, content: &[u8]) -> String {
    let hash = sha256(content);
    if is_large(name) {
        hash
    } else {
        hash[..40].to_owned()
    }
}

/// The commit inside an address; a branch leads to the only one.
fn asked_commit(path: &str) -> &str {
    let is_commit =
        |part: &&str| part.len() == 40 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    path.split('/').find(is_commit).unwrap_or(COMMIT)
}

fn content_of(content: &[u8], headers: &str, request: &Request, fault: Option<&Fault>) -> Answer {
    let mut content = content.to_vec();
    if fault == Some(&Fault::WrongBytes) {
        let middle = content.len() / 2;
        content[middle] ^= 1;
    }
    let from = request.headers.get("range").and_then(|range| {
        range
            .strip_prefix("bytes=")?
            .trim_end_matches('-')
            .parse::<usize>()
            .ok()
    });
    let mut answer = match from.filter(|_| fault != Some(&Fault::IgnoreRange)) {
        Some(from) => {
            let range = format!(
                "Content-Range: bytes {from}-{}/{}\r\n",
                content.len() - 1,
                content.len()
            );
            Answer::new(
                &format!("HTTP/1.1 206 Partial Content\r\n{headers}{range}"),
                content[from..].to_vec(),
            )
        }
        None => Answer::new(&format!("HTTP/1.1 200 OK\r\n{headers}"), content),
    };
    if let Some(Fault::Short(share)) = fault {
        answer
            .body
            .truncate((answer.body.len() as f64 * share) as usize);
        answer.announced = answer.body.len();
    }
    answer
}

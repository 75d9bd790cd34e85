//! A small hub for tests. It replies like the Hugging Face hub and its storage host, injects planned faults, and logs every
//! request, so that a test can prove that its fault happened.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dragnext::digest::sha256;

/// The only commit.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What is wrong with a reply.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ServerFault {
    /// This status, with one further header.
    Status(u16, &'static str),
    /// The connection closes after this fraction of the announced bytes.
    Cut(f64),
    /// This fraction of the file is announced and sent as the whole.
    Short(f64),
    /// One bit is flipped.
    WrongBytes,
    /// Half of the bytes, then nothing for a long time.
    Stall,
    /// Small pieces with pauses: correct, but takes this long.
    Slow(Duration),
    /// The whole file instead of the requested range.
    IgnoreRange,
}

/// A fault for requests whose method and path contain these texts.
#[derive(Debug, Clone)]
struct Planned {
    method: &'static str,
    path: &'static str,
    fault: ServerFault,
    left: usize,
}

/// A received request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `hub` or `storage`.
    pub(crate) host: &'static str,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    /// The fault of its reply.
    pub(crate) fault: Option<ServerFault>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    plan: Vec<Planned>,
    log: Vec<Request>,
}

/// The hub and its storage host. For clients these are two hosts, because the ports differ.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    hub: u16,
    storage: u16,
}

impl Server {
    /// Serves the files of a folder under any repository name.
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
                    // A client may close the connection at any time.
                    std::thread::spawn(move || server.reply(stream.unwrap(), host));
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

    /// Plans a fault for the next `times` requests whose method and path contain these texts.
    pub(crate) fn plan(
        &self,
        method: &'static str,
        path: &'static str,
        fault: ServerFault,
        times: usize,
    ) {
        self.state.lock().unwrap().plan.push(Planned {
            method,
            path,
            fault,
            left: times,
        });
    }

    /// Removes planned faults and clears the log.
    pub(crate) fn reset(&self) {
        let mut state = self.state.lock().unwrap();
        state.plan.clear();
        state.log.clear();
    }

    pub(crate) fn log(&self) -> Vec<Request> {
        self.state.lock().unwrap().log.clone()
    }

    /// Returns the number of replies with a matching fault.
    pub(crate) fn count(&self, matches: impl Fn(&ServerFault) -> bool) -> usize {
        self.log()
            .iter()
            .filter(|request| request.fault.as_ref().is_some_and(&matches))
            .count()
    }

    /// Returns the requests for the content of files whose path contains `path`.
    pub(crate) fn downloads(&self, path: &str) -> Vec<Request> {
        let is_body = |request: &Request| request.method == "GET" && request.path.contains(path);
        // The content of a large file comes from the storage host; the request to the hub was redirected.
        self.log()
            .into_iter()
            .filter(|request| {
                is_body(request) && (request.host == "storage" || !path.ends_with("safetensors"))
            })
            .collect()
    }

    fn reply(&self, mut stream: TcpStream, host: &'static str) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        // A TLS handshake, which this server does not support.
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
        let (fault, reply) = {
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
        let Reply {
            head,
            body,
            announced,
        } = reply;
        write!(
            stream,
            "{head}Content-Length: {announced}\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        if request.method == "HEAD" {
            return Some(());
        }
        match fault {
            Some(ServerFault::Cut(share)) => stream
                .write_all(&body[..(body.len() as f64 * share) as usize])
                .ok()?,
            Some(ServerFault::Stall) => {
                stream.write_all(&body[..body.len() / 2]).ok()?;
                // Wait until the client closes the connection.
                let _ = stream.read(&mut [0]);
            }
            Some(ServerFault::Slow(time)) => {
                for piece in body.chunks(body.len().div_ceil(20).max(1)) {
                    stream.write_all(piece).ok()?;
                    std::thread::sleep(time / 20);
                }
            }
            _ => stream.write_all(&body).ok()?,
        }
        Some(())
    }

    fn compose(&self, state: &State, request: &Request, fault: Option<&ServerFault>) -> Reply {
        if let Some(ServerFault::Status(status, header)) = fault {
            let header = if header.is_empty() {
                String::new()
            } else {
                format!("{header}\r\n")
            };
            return Reply::new(&format!("HTTP/1.1 {status} No\r\n{header}"), b"no".to_vec());
        }
        let not_found = || {
            Reply::new(
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
            let description = serde_json::json!({ "id": "any", "sha": requested_commit(&request.path), "siblings": siblings });
            return Reply::new(
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
        let (commit, etag) = (requested_commit(&request.path), etag(name, content));
        if is_large(name) {
            let location = format!(
                "http://127.0.0.1:{}/{name}?Signature=of-the-storage-server",
                self.storage
            );
            let linked = format!(
                "X-Linked-Etag: \"{etag}\"\r\nX-Linked-Size: {}\r\n",
                content.len()
            );
            return Reply::new(
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

struct Reply {
    head: String,
    body: Vec<u8>,
    announced: usize,
}

impl Reply {
    fn new(head: &str, body: Vec<u8>) -> Self {
        Self {
            head: head.to_owned(),
            announced: body.len(),
            body,
        }
    }
}

/// Weights are stored on the storage host under their hash.
fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors")
}

/// Returns the `ETag` of a content.
pub(crate) fn etag(name: &str, content: &[u8]) -> String {
    let hash = sha256(content);
    if is_large(name) {
        hash
    } else {
        hash[..40].to_owned()
    }
}

/// Returns the commit in an address; branches mean [`COMMIT`].
fn requested_commit(path: &str) -> &str {
    let is_commit =
        |part: &&str| part.len() == 40 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    path.split('/').find(is_commit).unwrap_or(COMMIT)
}

fn content_of(
    content: &[u8],
    headers: &str,
    request: &Request,
    fault: Option<&ServerFault>,
) -> Reply {
    let mut content = content.to_vec();
    if fault == Some(&ServerFault::WrongBytes) {
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
    let mut reply = match from.filter(|_| fault != Some(&ServerFault::IgnoreRange)) {
        Some(from) => {
            let range = format!(
                "Content-Range: bytes {from}-{}/{}\r\n",
                content.len() - 1,
                content.len()
            );
            Reply::new(
                &format!("HTTP/1.1 206 Partial Content\r\n{headers}{range}"),
                content[from..].to_vec(),
            )
        }
        None => Reply::new(&format!("HTTP/1.1 200 OK\r\n{headers}"), content),
    };
    if let Some(ServerFault::Short(share)) = fault {
        reply
            .body
            .truncate((reply.body.len() as f64 * share) as usize);
        reply.announced = reply.body.len();
    }
    reply
}

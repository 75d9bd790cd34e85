//! Requests to the hub: what the model is (through hf-hub), what a file is, and a file's bytes from some place on.
//!
//! Redirects are followed here and not in a library, because the token may go to the hub and nowhere else: the hub sends large
//! files' readers to other hosts, with addresses that carry their own permission.

use std::fmt;
use std::time::Duration;

use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use serde::Deserialize;
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LOCATION, RANGE,
    RETRY_AFTER,
};
use ureq::http::{HeaderMap, HeaderName, Response, StatusCode, Uri};
use ureq::{Agent, Body};

use super::environment::{Environment, Token, redacted};
use super::id::{HubId, is_commit};
use super::model_files::ModelFiles;
use super::redirect;
use super::retry::Fault;
use crate::error::{Error, ErrorKind, Result};

const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");

/// What the hub says of a model.
#[derive(Debug, Deserialize)]
pub(super) struct Description {
    /// The commit that was asked for.
    pub(super) sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Description {
    /// Paths of all files.
    pub(super) fn files(&self) -> Vec<String> {
        self.siblings
            .iter()
            .map(|sibling| sibling.rfilename.clone())
            .collect()
    }
}

/// What the hub says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileHead {
    /// The hub's name of the content: its SHA-256 for large files.
    pub(super) etag: String,
    /// Bytes.
    pub(super) size: u64,
}

/// A file's bytes on their way.
pub(super) struct Stream {
    /// Who sends them.
    pub(super) address: Uri,
    /// Where they begin in the file.
    pub(super) from: u64,
    /// The bytes.
    pub(super) body: Body,
}

/// Speaks to the hub about one model.
pub(super) struct Client<'a> {
    id: &'a HubId,
    without_hub: &'static str,
    environment: &'a Environment,
    endpoint: Uri,
    token: Option<Token>,
    repository: ApiRepo,
    agent: Agent,
}

/// hf-hub's own `Debug` shows the token.
impl fmt::Debug for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

impl<'a> Client<'a> {
    /// A client for one model; nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::Hub`] when the endpoint is no address.
    pub(super) fn new(
        environment: &'a Environment,
        id: &'a HubId,
        files: &ModelFiles,
    ) -> Result<Self> {
        let without_hub = files.without_hub;
        let endpoint: Option<Uri> = environment.endpoint.parse().ok();
        let endpoint = endpoint.filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
        });
        let wrong = |reason: String| Error::Hub {
            place: redacted(&environment.endpoint),
            kind: ErrorKind::HubUnreachable,
            reason,
            hint: format!(
                "HF_ENDPOINT is the address of a hub, such as https://huggingface.co; {without_hub}"
            ),
        };
        let endpoint = endpoint.ok_or_else(|| wrong("is no address of a hub".into()))?;
        let token = environment.token();
        let revision = id.revision().to_owned();
        let api = ApiBuilder::from_cache(Cache::new(environment.cache.clone()))
            .with_endpoint(environment.endpoint.clone())
            .with_token(token.as_ref().map(|token| token.secret().to_owned()))
            .with_user_agent("dragnext", env!("CARGO_PKG_VERSION"))
            .build()
            .map_err(|error| wrong(error.to_string()))?;
        let repository = api.repo(Repo::with_revision(
            id.repository().to_owned(),
            RepoType::Model,
            revision,
        ));
        let patience = Some(environment.response_timeout);
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("dragnext/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(patience)
            .timeout_connect(patience)
            .timeout_recv_response(patience)
            .timeout_per_read(Some(environment.download_timeout))
            .build()
            .into();
        Ok(Self {
            id,
            without_hub,
            environment,
            endpoint,
            token,
            repository,
            agent,
        })
    }

    /// What to do without the hub, for hints.
    pub(super) fn without_hub(&self) -> &'static str {
        self.without_hub
    }

    /// What the hub says of the model.
    pub(super) fn describe(&self) -> std::result::Result<Description, Fault> {
        let patience = Some(self.environment.response_timeout);
        let request = self.repository.info_request();
        let address = request
            .uri_ref()
            .cloned()
            .unwrap_or_else(|| self.endpoint.clone());
        let request = request
            .config()
            .http_status_as_error(false)
            .redirect_auth_headers(ureq::config::RedirectAuthHeaders::Never);
        let request = request
            .timeout_resolve(patience)
            .timeout_connect(patience)
            .timeout_recv_response(patience)
            .timeout_per_read(patience);
        let mut answer = request
            .build()
            .call()
            .map_err(|error| Fault::passing(&address, describe(&error)))?;
        self.judge(&address, answer.status(), answer.headers())?;
        let text = answer
            .body_mut()
            .read_to_vec()
            .map_err(|error| Fault::passing(&address, describe(&error)))?;
        let described: Description = serde_json::from_slice(&text).map_err(|error| {
            self.nonsense(&address, &format!("no description of a model: {error}"))
        })?;
        // It becomes the name of a folder.
        if !is_commit(&described.sha)
            || self
                .id
                .commit()
                .is_some_and(|commit| commit != described.sha)
        {
            return Err(self
                .nonsense(&address, "another commit than the one that was asked for")
                .into());
        }
        Ok(described)
    }

    /// What the hub says of a file at a commit.
    pub(super) fn head(&self, commit: &str, name: &str) -> std::result::Result<FileHead, Fault> {
        let mut address = self.file(commit, name)?;
        let (mut etag, mut size) = (None, None);
        for _ in 0..redirect::MAX_REDIRECTS {
            let answer = self.send(&address, true, 0)?;
            etag = etag.or_else(|| content_name(answer.headers(), &LINKED_ETAG));
            size = size.or_else(|| number(answer.headers(), &LINKED_SIZE));
            if let Some(next) = self.redirect(&address, &answer)? {
                // The storage server knows nothing better.
                if let (Some(etag), Some(size)) = (&etag, size) {
                    return Ok(FileHead {
                        etag: etag.clone(),
                        size,
                    });
                }
                address = next;
                continue;
            }
            self.judge(&address, answer.status(), answer.headers())?;
            let etag = etag.or_else(|| content_name(answer.headers(), &ETAG));
            let size = size.or_else(|| number(answer.headers(), &CONTENT_LENGTH));
            let (Some(etag), Some(size)) = (etag, size) else {
                return Err(self
                    .nonsense(&address, "neither the file's ETag nor its length")
                    .into());
            };
            return Ok(FileHead { etag, size });
        }
        Err(self
            .nonsense(&address, "one redirect after the other")
            .into())
    }

    /// A file's bytes, from the place on that is asked for where the server can do that, else from its beginning.
    pub(super) fn stream(
        &self,
        commit: &str,
        name: &str,
        from: u64,
    ) -> std::result::Result<Stream, Fault> {
        let mut address = self.file(commit, name)?;
        for _ in 0..redirect::MAX_REDIRECTS {
            let answer = self.send(&address, false, from)?;
            if let Some(next) = self.redirect(&address, &answer)? {
                address = next;
                continue;
            }
            self.judge(&address, answer.status(), answer.headers())?;
            let begins = if answer.status() == StatusCode::PARTIAL_CONTENT {
                range_start(answer.headers())
            } else {
                Some(0)
            };
            let Some(begins) = begins.filter(|begins| *begins == from || *begins == 0) else {
                return Err(self
                    .nonsense(
                        &address,
                        "another part of the file than the one that was asked for",
                    )
                    .into());
            };
            return Ok(Stream {
                address,
                from: begins,
                body: answer.into_body(),
            });
        }
        Err(self
            .nonsense(&address, "one redirect after the other")
            .into())
    }

    fn file(&self, commit: &str, name: &str) -> Result<Uri> {
        let at_commit = Repo::with_revision(
            self.id.repository().to_owned(),
            RepoType::Model,
            commit.to_owned(),
        );
        let address = format!(
            "{}/{}/resolve/{}/{name}",
            self.environment.endpoint,
            at_commit.url(),
            at_commit.url_revision()
        );
        address
            .parse()
            .map_err(|_| self.nonsense(&self.endpoint, "a name that cannot be asked for"))
    }

    /// One request; the token goes along to the hub alone.
    fn send(
        &self,
        address: &Uri,
        head: bool,
        from: u64,
    ) -> std::result::Result<Response<Body>, Fault> {
        let mut request = if head {
            self.agent.head(address)
        } else {
            self.agent.get(address)
        };
        // Lengths and hashes are those of the file, not of a packed form of it.
        request = request.header(ACCEPT_ENCODING, "identity");
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if let Some(token) = self
            .token
            .as_ref()
            .filter(|_| redirect::is_same_origin(&self.endpoint, address))
        {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.secret()));
        }
        request
            .call()
            .map_err(|error| Fault::passing(address, describe(&error)))
    }

    fn redirect(
        &self,
        address: &Uri,
        answer: &Response<Body>,
    ) -> std::result::Result<Option<Uri>, Fault> {
        if !answer.status().is_redirection() {
            return Ok(None);
        }
        let location = answer
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok());
        let next = location.and_then(|location| redirect::target(address, location));
        next.map(Some).ok_or_else(|| {
            self.nonsense(address, "a redirect that leads nowhere")
                .into()
        })
    }

    /// Is it an answer to what was asked for?
    fn judge(
        &self,
        address: &Uri,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> std::result::Result<(), Fault> {
        if status.is_success() {
            return Ok(());
        }
        let code = headers
            .get(&ERROR_CODE)
            .and_then(|code| code.to_str().ok())
            .unwrap_or_default();
        let refuse = |kind, hint: String| {
            let place = redacted(&address.to_string());
            Err(Fault::Lasting(Error::Hub {
                place,
                kind,
                reason: format!("the hub answers {status}"),
                hint: format!("{hint}; {}", self.without_hub),
            }))
        };
        let (repository, revision) = (self.id.repository(), self.id.revision());
        let page = redacted(&format!("{}/{repository}", self.environment.endpoint));
        match status.as_u16() {
            _ if code == "GatedRepo" => refuse(
                ErrorKind::HubRefused,
                format!(
                    "accept the model's conditions at {page}, and set HF_TOKEN to a token of yours"
                ),
            ),
            401 if self.token.is_none() => refuse(
                ErrorKind::HubRefused,
                format!("check the name `{repository}`; a private model needs a token in HF_TOKEN"),
            ),
            401 => refuse(
                ErrorKind::HubRefused,
                format!(
                    "check the name `{repository}`, and whether your token is valid and may read it"
                ),
            ),
            403 if self.token.is_none() => refuse(
                ErrorKind::HubRefused,
                format!("only some may read `{repository}`; set HF_TOKEN, and look at {page}"),
            ),
            403 => refuse(
                ErrorKind::HubRefused,
                format!("your token may not read `{repository}`; look at {page}"),
            ),
            404 | 410 => refuse(
                ErrorKind::HubNotFound,
                format!("check the name `{repository}` and the revision `{revision}` at {page}"),
            ),
            408 | 416 | 425 | 429 | 500..=599 => {
                let pause = headers
                    .get(RETRY_AFTER)
                    .and_then(|value| value.to_str().ok()?.trim().parse().ok())
                    .map(Duration::from_secs);
                Err(Fault::Passing {
                    address: redacted(&address.to_string()),
                    reason: format!("the server answers {status}"),
                    pause,
                })
            }
            _ => refuse(
                ErrorKind::HubAnswer,
                format!(
                    "check HF_ENDPOINT (`{}`)",
                    redacted(&self.environment.endpoint)
                ),
            ),
        }
    }

    fn nonsense(&self, address: &Uri, what: &str) -> Error {
        Error::Hub {
            place: redacted(&address.to_string()),
            kind: ErrorKind::HubAnswer,
            reason: format!("the answer is {what}"),
            hint: format!(
                "check HF_ENDPOINT (`{}`); {}",
                redacted(&self.environment.endpoint),
                self.without_hub
            ),
        }
    }
}

/// What happened on a connection. An address inside the error may hold a signature, so it is not shown.
fn describe(error: &ureq::Error) -> String {
    match error {
        ureq::Error::BadUri(_) => "no valid address".into(),
        ureq::Error::HostNotFound => "the host is not found".into(),
        ureq::Error::Timeout(_) => "no answer in time".into(),
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

/// The hub's name of a content, which becomes the name of a file.
fn content_name(headers: &HeaderMap, header: &HeaderName) -> Option<String> {
    let text = headers.get(header)?.to_str().ok()?.trim();
    let name = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
    let harmless = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    (harmless && !name.is_empty() && name.len() <= 128).then(|| name.to_owned())
}

fn number(headers: &HeaderMap, header: &HeaderName) -> Option<u64> {
    headers.get(header)?.to_str().ok()?.trim().parse().ok()
}

/// Where the part of a file begins that an answer with 206 holds.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(CONTENT_RANGE)?
        .to_str()
        .ok()?
        .trim()
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name.clone(), value.parse().expect("a header"))])
    }

    #[test]
    fn names_of_contents_cannot_leave_their_folder() {
        let read = |value| content_name(&headers(&ETAG, value), &ETAG);
        assert_eq!(read("\"abc-1\"").as_deref(), Some("abc-1"));
        assert_eq!(read("W/\"abc\"").as_deref(), Some("abc"));
        for hostile in ["\"../../x\"", "\"a/b\"", "\"\"", "\".\"", "a b"] {
            assert_eq!(read(hostile), None, "{hostile}");
        }
    }

    #[test]
    fn the_place_of_a_part_is_read() {
        let read = |value| range_start(&headers(&CONTENT_RANGE, value));
        assert_eq!(read("bytes 100-199/200"), Some(100));
        assert_eq!(read("bytes */200"), None);
    }

    const FILES: ModelFiles = ModelFiles {
        repository: "a/b",
        commit: "0123456789abcdef0123456789abcdef01234567",
        suitable: "",
        without_hub: "",
        files: &[],
    };

    #[test]
    fn a_client_shows_no_token() {
        let id = HubId::parse("a/b").expect("a name");
        let folder = tempfile::tempdir().expect("there is room for a folder");
        std::fs::write(folder.path().join("token"), "hf_secret").expect("it can be written");
        let mut environment = Environment::for_tests(folder.path());
        environment.endpoint = "http://localhost:1".into();
        let client = Client::new(&environment, &id, &FILES).expect("an address");
        assert!(client.token.is_some());
        let shown = format!("{client:?}");
        assert!(!shown.contains("hf_secret"), "{shown}");
    }
}

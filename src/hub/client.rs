//! HTTP requests to the hub for one repository: its description (address from hf-hub), the metadata of a file, and the bytes of a
//! file from an offset on.
//!
//! Redirects are followed here and not in the HTTP library, because the token must not leave the hub: large files are redirected
//! to storage hosts with signed addresses. Retries are up to the caller.

mod headers;
mod status;

use std::fmt;

use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use serde::Deserialize;
use ureq::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, ETAG, LOCATION, RANGE};
use ureq::http::{Response, StatusCode, Uri};
use ureq::{Agent, Body};

use super::environment::{Environment, Token, redacted};
use super::id::{HubId, is_commit};
use super::model_files::ModelFiles;
use super::redirect;
use super::retry::RequestFault;
use crate::error::{Error, ErrorKind, Result};
use headers::{LINKED_ETAG, LINKED_SIZE, content_name, number, range_start};

/// The hub's description of a repository.
#[derive(Debug, Deserialize)]
pub(super) struct Description {
    /// The commit of the requested revision.
    pub(super) sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Description {
    /// Returns the paths of all files.
    pub(super) fn files(&self) -> Vec<String> {
        self.siblings
            .iter()
            .map(|sibling| sibling.rfilename.clone())
            .collect()
    }
}

/// The hub's metadata of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileHead {
    /// The hub's name of the content; for large files their SHA-256.
    pub(super) etag: String,
    /// Length in bytes.
    pub(super) size: u64,
}

/// A download in progress.
pub(super) struct Stream {
    /// The address of the sender.
    pub(super) address: Uri,
    /// Offset of the first byte in the file.
    pub(super) offset: u64,
    /// The bytes from `offset` on.
    pub(super) body: Body,
}

/// Sends requests about one repository.
pub(super) struct Client<'a> {
    id: &'a HubId,
    without_hub: &'static str,
    environment: &'a Environment,
    endpoint: Uri,
    token: Option<Token>,
    repository: ApiRepo,
    agent: Agent,
}

/// Written by hand, because the `Debug` of hf-hub shows the token.
impl fmt::Debug for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

impl<'a> Client<'a> {
    /// Returns a client for one repository. Sends nothing yet.
    ///
    /// # Errors
    /// [`Error::Hub`] when the endpoint is not a valid address.
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
        let invalid = |reason: String| Error::Hub {
            place: redacted(&environment.endpoint),
            kind: ErrorKind::HubEndpoint,
            reason,
            hint: format!(
                "HF_ENDPOINT is the address of a hub, such as https://huggingface.co; {without_hub}"
            ),
        };
        let endpoint = endpoint.ok_or_else(|| invalid("is not the address of a hub".into()))?;
        let token = environment.token();
        let revision = id.revision().to_owned();
        let api = ApiBuilder::from_cache(Cache::new(environment.cache.clone()))
            .with_endpoint(environment.endpoint.clone())
            .with_token(token.as_ref().map(|token| token.secret().to_owned()))
            .with_user_agent("dragnext", env!("CARGO_PKG_VERSION"))
            .build()
            .map_err(|error| invalid(error.to_string()))?;
        let repository = api.repo(Repo::with_revision(
            id.repository().to_owned(),
            RepoType::Model,
            revision,
        ));
        let timeout = Some(environment.response_timeout);
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("dragnext/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(timeout)
            .timeout_connect(timeout)
            .timeout_recv_response(timeout)
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

    /// Returns what to do without the hub, for hints.
    pub(super) fn without_hub(&self) -> &'static str {
        self.without_hub
    }

    /// Requests the description of the repository.
    pub(super) fn describe(&self) -> std::result::Result<Description, RequestFault> {
        let timeout = Some(self.environment.response_timeout);
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
            .timeout_resolve(timeout)
            .timeout_connect(timeout)
            .timeout_recv_response(timeout)
            .timeout_per_read(timeout);
        let mut response = request
            .build()
            .call()
            .map_err(|error| RequestFault::transient(&address, describe(&error)))?;
        self.check_status(&address, response.status(), response.headers())?;
        let text = response
            .body_mut()
            .read_to_vec()
            .map_err(|error| RequestFault::transient(&address, describe(&error)))?;
        let described: Description = serde_json::from_slice(&text).map_err(|error| {
            self.invalid_response(
                &address,
                &format!("not a description of a repository: {error}"),
            )
        })?;
        // The commit becomes the name of a folder.
        if !is_commit(&described.sha)
            || self
                .id
                .commit()
                .is_some_and(|commit| commit != described.sha)
        {
            return Err(self
                .invalid_response(&address, "another commit than the requested one")
                .into());
        }
        Ok(described)
    }

    /// Requests the metadata of a file at a commit.
    pub(super) fn head(
        &self,
        commit: &str,
        name: &str,
    ) -> std::result::Result<FileHead, RequestFault> {
        let mut address = self.file(commit, name)?;
        let (mut etag, mut size) = (None, None);
        for _ in 0..redirect::MAX_REDIRECTS {
            let response = self.send(&address, true, 0)?;
            etag = etag.or_else(|| content_name(response.headers(), &LINKED_ETAG));
            size = size.or_else(|| number(response.headers(), &LINKED_SIZE));
            if let Some(next) = self.redirect(&address, &response)? {
                // The storage host has no better metadata.
                if let (Some(etag), Some(size)) = (&etag, size) {
                    return Ok(FileHead {
                        etag: etag.clone(),
                        size,
                    });
                }
                address = next;
                continue;
            }
            self.check_status(&address, response.status(), response.headers())?;
            let etag = etag.or_else(|| content_name(response.headers(), &ETAG));
            let size = size.or_else(|| number(response.headers(), &CONTENT_LENGTH));
            let (Some(etag), Some(size)) = (etag, size) else {
                return Err(self
                    .invalid_response(&address, "without the file's ETag or length")
                    .into());
            };
            return Ok(FileHead { etag, size });
        }
        Err(self
            .invalid_response(&address, "one of too many redirects")
            .into())
    }

    /// Requests a file's bytes from `offset` on. A server without range requests sends them from the beginning.
    pub(super) fn stream(
        &self,
        commit: &str,
        name: &str,
        offset: u64,
    ) -> std::result::Result<Stream, RequestFault> {
        let mut address = self.file(commit, name)?;
        for _ in 0..redirect::MAX_REDIRECTS {
            let response = self.send(&address, false, offset)?;
            if let Some(next) = self.redirect(&address, &response)? {
                address = next;
                continue;
            }
            self.check_status(&address, response.status(), response.headers())?;
            let start = if response.status() == StatusCode::PARTIAL_CONTENT {
                range_start(response.headers())
            } else {
                Some(0)
            };
            let Some(start) = start.filter(|start| [0, offset].contains(start)) else {
                return Err(self
                    .invalid_response(&address, "another part of the file than the requested one")
                    .into());
            };
            return Ok(Stream {
                address,
                offset: start,
                body: response.into_body(),
            });
        }
        Err(self
            .invalid_response(&address, "one of too many redirects")
            .into())
    }

    /// Returns the address of a file.
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
        address.parse().map_err(|_| {
            self.invalid_response(&self.endpoint, "a file name that is no valid address")
        })
    }

    /// Sends one request, with the token if the address is that of the hub.
    fn send(
        &self,
        address: &Uri,
        head: bool,
        offset: u64,
    ) -> std::result::Result<Response<Body>, RequestFault> {
        let mut request = if head {
            self.agent.head(address)
        } else {
            self.agent.get(address)
        };
        // Length and hash must be those of the file, not of a compressed form.
        request = request.header(ACCEPT_ENCODING, "identity");
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
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
            .map_err(|error| RequestFault::transient(address, describe(&error)))
    }

    /// Returns the target of a redirect; `None` for any other response.
    fn redirect(
        &self,
        address: &Uri,
        response: &Response<Body>,
    ) -> std::result::Result<Option<Uri>, RequestFault> {
        if !response.status().is_redirection() {
            return Ok(None);
        }
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok());
        let next = location.and_then(|location| redirect::target(address, location));
        next.map(Some).ok_or_else(|| {
            self.invalid_response(address, "a redirect without a valid target")
                .into()
        })
    }
}

/// Describes a connection error. An address in the error may contain a signature, so it is not shown.
fn describe(error: &ureq::Error) -> String {
    match error {
        ureq::Error::BadUri(_) => "invalid address".into(),
        ureq::Error::HostNotFound => "host not found".into(),
        ureq::Error::Timeout(_) => "timed out".into(),
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: ModelFiles = ModelFiles {
        repository: "a/b",
        commit: "0123456789abcdef0123456789abcdef01234567",
        suitable: "",
        fetch: "",
        without_hub: "",
        files: &[],
    };

    #[test]
    fn debug_does_not_show_the_token() {
        let id = HubId::parse("a/b").expect("a name");
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("token"), "hf_secret").expect("write the token");
        let mut environment = Environment::for_tests(folder.path());
        environment.endpoint = "http://localhost:1".into();
        let client = Client::new(&environment, &id, &FILES).expect("an address");
        assert!(client.token.is_some());
        let shown = format!("{client:?}");
        assert!(!shown.contains("hf_secret"), "{shown}");
    }
}

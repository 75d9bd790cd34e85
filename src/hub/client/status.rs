//! Responses that are errors: which of them a retry may change, and what to do about the others.

use std::time::Duration;

use ureq::http::header::RETRY_AFTER;
use ureq::http::{HeaderMap, StatusCode, Uri};

use super::Client;
use super::headers::ERROR_CODE;
use crate::error::{Error, ErrorKind};
use crate::hub::environment::redacted;
use crate::hub::retry::RequestFault;

impl Client<'_> {
    /// Turns a status other than success into a fault.
    pub(super) fn check_status(
        &self,
        address: &Uri,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> std::result::Result<(), RequestFault> {
        if status.is_success() {
            return Ok(());
        }
        let code = headers
            .get(&ERROR_CODE)
            .and_then(|code| code.to_str().ok())
            .unwrap_or_default();
        let permanent = |kind, hint: String| {
            let place = redacted(&address.to_string());
            Err(RequestFault::Permanent(Error::Hub {
                place,
                kind,
                reason: format!("the hub replied {status}"),
                hint: format!("{hint}; {}", self.without_hub),
            }))
        };
        let (repository, revision) = (self.id.repository(), self.id.revision());
        let page = redacted(&format!("{}/{repository}", self.environment.endpoint));
        let endpoint = || {
            let endpoint = redacted(&self.environment.endpoint);
            format!("check HF_ENDPOINT (`{endpoint}`)")
        };
        match status.as_u16() {
            _ if code == "GatedRepo" => permanent(
                ErrorKind::HubRefused,
                format!("accept the model's conditions at {page} and set HF_TOKEN to your token"),
            ),
            401 if self.token.is_none() => permanent(
                ErrorKind::HubRefused,
                format!("check the name `{repository}`; a private model needs a token in HF_TOKEN"),
            ),
            401 => permanent(
                ErrorKind::HubRefused,
                format!(
                    "check the name `{repository}`, and whether your token is valid and can read it"
                ),
            ),
            403 if self.token.is_none() => permanent(
                ErrorKind::HubRefused,
                format!("access to `{repository}` is restricted; set HF_TOKEN and see {page}"),
            ),
            403 => permanent(
                ErrorKind::HubRefused,
                format!("your token has no access to `{repository}`; see {page}"),
            ),
            404 | 410 => permanent(
                ErrorKind::HubNotFound,
                format!("check the name `{repository}` and the revision `{revision}` at {page}"),
            ),
            408 | 416 | 425 | 429 | 500..=599 => {
                let pause = headers
                    .get(RETRY_AFTER)
                    .and_then(|value| value.to_str().ok()?.trim().parse().ok())
                    .map(Duration::from_secs);
                Err(RequestFault::Transient {
                    address: redacted(&address.to_string()),
                    reason: format!("the server replied {status}"),
                    pause,
                })
            }
            // What else is wrong with the request would be wrong again.
            400..=499 => permanent(ErrorKind::HubRefused, endpoint()),
            _ => permanent(ErrorKind::HubAnswer, endpoint()),
        }
    }

    /// Returns the error about a response that is not what the hub should send; `what` completes "the response is".
    pub(super) fn invalid_response(&self, address: &Uri, what: &str) -> Error {
        Error::Hub {
            place: redacted(&address.to_string()),
            kind: ErrorKind::HubAnswer,
            reason: format!("the response is {what}"),
            hint: format!(
                "check HF_ENDPOINT (`{}`); {}",
                redacted(&self.environment.endpoint),
                self.without_hub
            ),
        }
    }
}

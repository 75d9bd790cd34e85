//! Targets of HTTP redirects, and whether the token may be sent there.

use ureq::http::Uri;

/// Most redirects of one request.
pub(super) const MAX_REDIRECTS: usize = 8;

/// Resolves a `Location` header against the requested address; `None` if it is invalid or leaves TLS.
pub(super) fn target(requested: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (requested.scheme_str()?, requested.authority()?);
    let text = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location
        .split(['?', '#'])
        .next()
        .is_some_and(|head| head.contains("://"))
    {
        location.to_owned()
    } else {
        let folder = requested
            .path()
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let target: Uri = text.parse().ok()?;
    let keeps_tls = scheme != "https" || target.scheme_str() == Some("https");
    (keeps_tls && target.host().is_some()).then_some(target)
}

/// Returns whether both addresses have the same scheme, host and port. The token is sent only to the origin of the hub.
pub(super) fn is_same_origin(first: &Uri, second: &Uri) -> bool {
    let origin = |uri: &Uri| {
        let default_port = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        (
            uri.scheme_str().map(str::to_owned),
            uri.host().map(str::to_ascii_lowercase),
            uri.port_u16().unwrap_or(default_port),
        )
    };
    origin(first) == origin(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().expect("an address")
    }

    #[test]
    fn locations_are_resolved_as_in_browsers() {
        let requested = uri("https://hub:8443/a/b/resolve/main/x.json?q=1");
        let target = |location: &str| target(&requested, location).map(|uri| uri.to_string());
        assert_eq!(
            target("https://cdn/x?sig=1").as_deref(),
            Some("https://cdn/x?sig=1")
        );
        assert_eq!(target("//cdn/x").as_deref(), Some("https://cdn/x"));
        assert_eq!(target("/c/d").as_deref(), Some("https://hub:8443/c/d"));
        assert_eq!(
            target("y.json").as_deref(),
            Some("https://hub:8443/a/b/resolve/main/y.json")
        );
        assert_eq!(target("http://cdn/x"), None, "no downgrade to plain HTTP");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let hub = uri("https://hub/a");
        assert!(is_same_origin(&hub, &uri("https://HUB:443/b")));
        for other in [
            "http://hub/a",
            "https://hub:444/a",
            "https://cdn/a",
            "https://hub.evil/a",
        ] {
            assert!(!is_same_origin(&hub, &uri(other)), "{other}");
        }
    }
}

//! Where an answer sends us, and whether the token may go there.

use ureq::http::Uri;

/// How often a request may be sent elsewhere.
pub(super) const MOST: usize = 8;

/// The address that a `Location` means, seen from the address that was asked.
pub(super) fn target(asked: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (asked.scheme_str()?, asked.authority()?);
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
        let folder = asked
            .path()
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let target: Uri = text.parse().ok()?;
    // Nobody who began with encryption goes on without.
    let keeps_encryption = scheme != "https" || target.scheme_str() == Some("https");
    (keeps_encryption && target.host().is_some()).then_some(target)
}

/// Same scheme, host and port: only there the token is known already.
pub(super) fn is_same_origin(first: &Uri, second: &Uri) -> bool {
    let origin = |uri: &Uri| {
        let standard = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        (
            uri.scheme_str().map(str::to_owned),
            uri.host().map(str::to_ascii_lowercase),
            uri.port_u16().unwrap_or(standard),
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
    fn locations_are_read_as_browsers_read_them() {
        let asked = uri("https://hub:8443/a/b/resolve/main/x.json?q=1");
        let target = |location: &str| target(&asked, location).map(|uri| uri.to_string());
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
        assert_eq!(target("http://cdn/x"), None, "no way back to plain text");
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

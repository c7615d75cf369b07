//! Where a notice is posted: a URL that is never shown whole, because such URLs hold tokens.

use std::fmt;

use http::Uri;
use thiserror::Error;

/// A checked `http://` or `https://` URL. `Display` and `Debug` show its scheme and host only.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Uri);

/// A text that is no URL to post to. The message leaves out the text: it may hold a token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// Not a URL at all.
    #[error("it is not a URL; write https://HOST/PATH")]
    Malformed,
    /// Neither http nor https.
    #[error("its scheme is {0:?}; write http:// or https://")]
    Scheme(String),
    /// No host.
    #[error("it has no host; write https://HOST/PATH")]
    NoHost,
}

impl Endpoint {
    /// Checks a URL.
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let uri: Uri = text.trim().parse().map_err(|_| EndpointError::Malformed)?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            Some(other) => return Err(EndpointError::Scheme(other.to_owned())),
            None => return Err(EndpointError::Malformed),
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(EndpointError::NoHost);
        }
        Ok(Self(uri))
    }

    pub(super) const fn uri(&self) -> &Uri {
        &self.0
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.0.port().map(|port| format!(":{port}")).unwrap_or_default();
        let (scheme, host) = (self.0.scheme_str().unwrap_or("https"), self.0.host().unwrap_or("?"));
        write!(f, "{scheme}://{host}{port}")
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn what_may_be_a_token_is_never_shown() {
        let endpoint = Endpoint::parse("https://me:pass@hooks.example.com:8443/services/T0/B0/secret?key=x").unwrap();
        assert_eq!(endpoint.to_string(), "https://hooks.example.com:8443");
        assert_eq!(format!("{endpoint:?}"), "https://hooks.example.com:8443");
    }

    #[rstest]
    #[case("", EndpointError::Malformed)]
    #[case("hooks.example.com", EndpointError::Malformed)]
    #[case("/path", EndpointError::Malformed)]
    #[case("http://a b", EndpointError::Malformed)]
    #[case("ftp://example.com/x", EndpointError::Scheme("ftp".into()))]
    fn what_cannot_be_posted_to_is_refused(#[case] text: &str, #[case] error: EndpointError) {
        assert_eq!(Endpoint::parse(text), Err(error));
    }
}

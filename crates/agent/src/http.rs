//! One plain HTTP/1.1 request, of which only the answer's status counts. No TLS, no redirects.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use http::{Method, StatusCode, Uri};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Of an answer no more is read: a status line, headers and some words of a body fit in.
const MAX_ANSWER: usize = 16 << 10;
/// How much of a body is told when a request fails, in bytes.
const MAX_BODY: usize = 300;
/// How long the words of a failing answer's body are waited for.
const BODY_PATIENCE: Duration = Duration::from_secs(1);

/// A method and where to send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    method: Method,
    uri: Uri,
    host: String,
    port: u16,
}

/// A text that is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpRequestError {
    /// Not a method and a URL.
    #[error("{0:?} is no request: write POST http://HOST:PORT/PATH")]
    Malformed(String),
    /// TLS is not spoken.
    #[error("{0:?} is not plain http: for TLS write exec: and a command such as curl")]
    NotPlain(String),
    /// A user or password in the URL.
    #[error("a URL with a user in it is refused, since flags can be read by anybody: write exec: and a command")]
    User,
}

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection.
    #[error("cannot connect to {host}:{port}: {source}")]
    Connect {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke.
    #[error("{host}:{port} closed the connection without an answer: {source}")]
    Broken {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The answer is not HTTP.
    #[error("{host}:{port} does not answer in HTTP")]
    NotHttp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// An answer that is not a success.
    #[error("answered {status}{}{said}", if said.is_empty() { "" } else { ": " })]
    Status {
        /// The status.
        status: StatusCode,
        /// The beginning of the body, in one line.
        said: String,
    },
    /// No answer in time.
    #[error("no answer from {host}:{port} within {after:?}")]
    TimedOut {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// How long it was waited for.
        after: Duration,
    },
}

impl FromStr for HttpRequest {
    type Err = HttpRequestError;

    fn from_str(text: &str) -> Result<Self, HttpRequestError> {
        let malformed = || HttpRequestError::Malformed(text.to_owned());
        let (method, url) = text.trim().split_once(' ').ok_or_else(malformed)?;
        let is_word = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
        let method = Method::from_bytes(method.as_bytes()).ok().filter(|_| is_word);
        let uri: Uri = url.trim().parse().map_err(|_| malformed())?;
        let authority = uri.authority().ok_or_else(malformed)?;
        if authority.as_str().contains('@') {
            return Err(HttpRequestError::User);
        }
        if uri.scheme_str() != Some("http") {
            return Err(HttpRequestError::NotPlain(url.trim().to_owned()));
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let has_port = authority
            .as_str()
            .rsplit(']')
            .next()
            .is_some_and(|tail| tail.contains(':'));
        if host.is_empty() || (has_port && authority.port_u16().is_none()) {
            return Err(malformed());
        }
        Ok(Self {
            method: method.ok_or_else(malformed)?,
            port: authority.port_u16().unwrap_or(80),
            host,
            uri,
        })
    }
}

impl fmt::Display for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.uri)
    }
}

impl HttpRequest {
    /// Sends it; any status 2xx is a success.
    ///
    /// # Errors
    /// See [`HttpError`].
    pub async fn send(&self, patience: Duration) -> Result<StatusCode, HttpError> {
        let (host, port) = (self.host.clone(), self.port);
        match timeout(patience, self.exchange()).await {
            Ok(answered) => answered,
            Err(_) => Err(HttpError::TimedOut {
                host,
                port,
                after: patience,
            }),
        }
    }

    async fn exchange(&self) -> Result<StatusCode, HttpError> {
        let (host, port) = (&self.host, self.port);
        let connected = TcpStream::connect((host.as_str(), port)).await;
        let mut stream = connected.map_err(|source| HttpError::Connect {
            host: host.clone(),
            port,
            source,
        })?;
        let broken = |source| HttpError::Broken {
            host: host.clone(),
            port,
            source,
        };
        let not_http = || HttpError::NotHttp {
            host: host.clone(),
            port,
        };
        stream.write_all(self.head().as_bytes()).await.map_err(broken)?;
        let mut answer = Vec::new();
        loop {
            match parse(&answer) {
                Parsed::Answer { status, .. } if status.is_success() => return Ok(status),
                Parsed::Answer { status, .. } => {
                    // A body that never ends is no reason to wait: its beginning is enough.
                    let _ = timeout(BODY_PATIENCE, read_more(&mut stream, &mut answer)).await;
                    return Err(HttpError::Status {
                        status,
                        said: said(&answer),
                    });
                }
                Parsed::NotHttp => return Err(not_http()),
                Parsed::Incomplete if answer.len() >= MAX_ANSWER => return Err(not_http()),
                Parsed::Incomplete => {}
            }
            if stream.read_buf(&mut answer).await.map_err(broken)? == 0 {
                return Err(broken(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    fn head(&self) -> String {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = self.uri.authority().map_or("", |authority| authority.as_str());
        format!(
            "{} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: afresh\r\nAccept: */*\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            self.method
        )
    }
}

/// Reads on to the end or to the bound.
async fn read_more(stream: &mut TcpStream, answer: &mut Vec<u8>) {
    while answer.len() < MAX_ANSWER && stream.read_buf(answer).await.is_ok_and(|count| count > 0) {}
}

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    Incomplete,
    NotHttp,
    Answer { status: StatusCode, body_at: usize },
}

/// The final status in what has arrived: interim answers (1xx) are skipped. Complete once the headers are.
fn parse(bytes: &[u8]) -> Parsed {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let start = b"HTTP/1.";
        let known = rest.len().min(start.len());
        if rest[..known] != start[..known] {
            return Parsed::NotHttp;
        }
        let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Parsed::Incomplete;
        };
        let code = rest.get(9..12).filter(|_| rest.get(8) == Some(&b' '));
        let Some(status) = code.and_then(|code| StatusCode::from_bytes(code).ok()) else {
            return Parsed::NotHttp;
        };
        at += end + 4;
        if !status.is_informational() {
            return Parsed::Answer { status, body_at: at };
        }
    }
}

/// The beginning of the body in one line, without the sizes of its chunks.
fn said(answer: &[u8]) -> String {
    let Parsed::Answer { body_at, .. } = parse(answer) else {
        return String::new();
    };
    let head = String::from_utf8_lossy(&answer[..body_at]).to_ascii_lowercase();
    let body = String::from_utf8_lossy(&answer[body_at..]);
    let body = match body.split_once("\r\n") {
        Some((_, chunk)) if head.contains("transfer-encoding: chunked") => {
            chunk.split("\r\n").next().unwrap_or_default()
        }
        _ => &body,
    };
    let line: String = body.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line
        .char_indices()
        .map(|(index, c)| index + c.len_utf8())
        .take_while(|end| *end <= MAX_BODY)
        .last();
    line[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("POST http://127.0.0.1:9090/-/reload", "127.0.0.1", 9090)]
    #[case("PUT http://localhost/a?b=c", "localhost", 80)]
    #[case("GET http://[::1]:81/", "::1", 81)]
    fn a_request_names_its_host(#[case] text: &str, #[case] host: &str, #[case] port: u16) {
        let request: HttpRequest = text.parse().unwrap();
        assert_eq!((request.host.as_str(), request.port), (host, port));
        assert_eq!(request.to_string(), text);
    }

    #[rstest]
    #[case("http://127.0.0.1/", "is no request: write POST http://HOST:PORT/PATH")]
    #[case("POST /reload", "is no request")]
    #[case("post http://a/", "is no request")]
    #[case("POST http://a:99999/", "is no request")]
    #[case("POST http://a b/", "is no request")]
    #[case("", "is no request")]
    #[case("POST https://a/", "is not plain http: for TLS write exec:")]
    #[case("POST http://me:secret@a/", "a URL with a user in it is refused")]
    fn what_is_wrong_is_named(#[case] text: &str, #[case] message: &str) {
        let error = text.parse::<HttpRequest>().unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn an_interim_answer_is_not_the_answer() {
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\nA: b\r\n\r\nnot now\n";
        assert_eq!(parse(&bytes[..30]), Parsed::Incomplete);
        assert!(matches!(parse(bytes), Parsed::Answer { status, .. } if status == 503));
        assert_eq!(said(bytes), "not now");
    }

    #[test]
    fn the_words_of_a_chunked_body_are_told_without_sizes() {
        let bytes = b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nbad\n rule\r\n0\r\n\r\n";
        assert_eq!(said(bytes), "bad rule");
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), body in "\\PC{0,400}") {
            let _ = (parse(&bytes), said(&bytes));
            let whole = [b"HTTP/1.1 500 x\r\n\r\n".as_slice(), body.as_bytes()].concat();
            prop_assert!(said(&whole).len() <= MAX_BODY);
        }
    }
}

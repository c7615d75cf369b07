use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Reads up to the end of the head and the body that it announces.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    loop {
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse().unwrap())
            });
            body.len() >= length.unwrap_or(0)
        });
        if whole {
            return text;
        }
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).await.unwrap();
        assert_ne!(read, 0, "the request ended early: {text}");
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: &str) -> String {
    let request = read_request(&mut stream).await;
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    request
}

/// A receiver of one request that answers `text`; its address, and what it was sent.
async fn receiver(text: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        answer(stream, text).await
    });
    (address, task)
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint::parse(url).unwrap()
}

#[tokio::test]
async fn a_body_arrives_whole_at_its_path() {
    let (address, received) = receiver(OK).await;
    let to = endpoint(&format!("http://{address}/services/T0?x=1"));
    Poster::new(None).post(&to, "text/plain", "hello".into()).await.unwrap();
    let request = received.await.unwrap();
    assert!(request.starts_with("POST /services/T0?x=1 HTTP/1.1\r\n"), "{request}");
    assert!(
        request.contains("content-type: text/plain\r\n") && request.ends_with("\r\n\r\nhello"),
        "{request}"
    );
}

#[tokio::test]
async fn a_refusal_and_a_redirect_are_failures_that_do_not_show_the_path() {
    for (text, status) in [
        ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "500"),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            "302",
        ),
    ] {
        let (address, _received) = receiver(text).await;
        let to = endpoint(&format!("http://{address}/secret-token"));
        let error = Poster::new(None)
            .post(&to, "text/plain", String::new())
            .await
            .unwrap_err();
        assert!(matches!(error, PostError::Status(..)), "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(status) && !shown.contains("secret-token"), "{shown}");
    }
}

#[tokio::test]
async fn nobody_there_is_a_failure_that_names_the_host() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let to = endpoint(&format!("http://{free}/secret-token"));
    let error = Poster::new(None)
        .post(&to, "text/plain", String::new())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), format!("http://{free} cannot be reached"));
    assert!(!format!("{error:?}").contains("secret-token"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = endpoint(&format!("http://{}/", listener.local_addr().unwrap()));
    let error = Poster::new(None)
        .post(&to, "text/plain", String::new())
        .await
        .unwrap_err();
    assert!(matches!(error, PostError::Timeout(_)), "{error:?}");
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_whole_url() {
    let (proxy, received) = receiver(OK).await;
    let poster = Poster::new(Some(&endpoint(&format!("http://{proxy}"))));
    let to = endpoint("http://alerts.invalid/hook");
    poster.post(&to, "text/plain", "hello".into()).await.unwrap();
    let request = received.await.unwrap();
    assert!(
        request.starts_with("POST http://alerts.invalid/hook HTTP/1.1\r\n"),
        "{request}"
    );
}

/// A proxy that is itself the far end of the tunnel.
async fn tunnel(acceptor: TlsAcceptor) -> (String, JoinHandle<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let connect = read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
        let secured = acceptor.accept(stream).await.unwrap();
        (connect, answer(secured, OK).await)
    });
    (address, task)
}

/// A certificate for the name, as its server and its client need it.
fn certificate(name: &str) -> (TlsAcceptor, RootCertStore) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), roots)
}

#[tokio::test]
async fn https_goes_through_a_proxy_in_a_tunnel() {
    let (acceptor, roots) = certificate("alerts.invalid");
    let (proxy, received) = tunnel(acceptor).await;
    let poster = Poster::trusting(roots, Some(&endpoint(&format!("http://{proxy}"))));
    let to = endpoint("https://alerts.invalid/hook");
    poster.post(&to, "text/plain", "hello".into()).await.unwrap();
    let (connect, request) = received.await.unwrap();
    assert!(
        connect.starts_with("CONNECT alerts.invalid:443 HTTP/1.1\r\n"),
        "{connect}"
    );
    assert!(
        request.starts_with("POST /hook HTTP/1.1\r\n") && request.ends_with("hello"),
        "{request}"
    );
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (acceptor, _) = certificate("alerts.invalid");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = endpoint(&format!("https://{}/hook", listener.local_addr().unwrap()));
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.is_err()
    });
    let error = Poster::new(None)
        .post(&to, "text/plain", "hello".into())
        .await
        .unwrap_err();
    assert!(matches!(error, PostError::Connection(..)), "{error:?}");
    assert!(server.await.unwrap(), "the handshake must not succeed");
}

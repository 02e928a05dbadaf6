//! What is said of destinations before anything is delivered.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};

use enid_delivery::{Destination, probe};

use crate::http::Collector;
use crate::process::{Process, free_tcp_port, free_udp_port, is_listening, output, wait_for};

async fn problem(destination: &str) -> Option<String> {
    let destination: Destination = destination.parse().unwrap();
    probe(&destination).await.err().map(|error| error.to_string())
}

#[tokio::test]
async fn a_directory_is_made_and_left_empty() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("a/b");
    assert_eq!(problem(path.to_str().unwrap()).await, None);
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
    // Again: it is there already.
    assert_eq!(problem(path.to_str().unwrap()).await, None);
}

#[tokio::test]
async fn a_directory_that_can_not_be_is_said() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("flows");
    let expected = format!("can't make the directory {}: Not a directory (os error 20)", below.display());
    assert_eq!(problem(below.to_str().unwrap()).await, Some(expected));
    // Root may write where nobody may, but not in procfs.
    let message = problem("/proc/sys/net").await.unwrap();
    assert!(message.starts_with("can't write in the directory /proc/sys/net: "), "{message}");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_said() {
    for scheme in ["ipfix+udp", "ipfix+tcp"] {
        let message = problem(&format!("{scheme}://collector.invalid:4739")).await.unwrap();
        let expected = format!("{scheme}://collector.invalid:4739: `collector.invalid` does not resolve: ");
        assert!(message.starts_with(&expected), "{message}");
    }
    let message = problem("otlp+http://collector.invalid:4318").await.unwrap();
    assert!(message.starts_with("otlp+http://collector.invalid:4318: "), "{message}");
    assert!(message.contains("dns error") || message.contains("lookup"), "{message}");
}

#[tokio::test]
async fn a_collector_that_takes_no_connection_is_said() {
    let port = free_tcp_port();
    let refused = "can't connect: Connection refused (os error 111)";
    let tcp = format!("ipfix+tcp://127.0.0.1:{port}");
    assert_eq!(problem(&tcp).await, Some(format!("{tcp}: {refused}")));
    let bucket = format!("s3://logs?endpoint=http://127.0.0.1:{port}");
    assert_eq!(problem(&bucket).await, Some(format!("{bucket}: {refused}")));
    // Over UDP nobody can know.
    assert_eq!(problem(&format!("ipfix+udp://127.0.0.1:{}", free_udp_port())).await, None);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(problem(&format!("ipfix+tcp://localhost:{port}")).await, None);
    assert_eq!(problem(&format!("s3://logs?endpoint=http://127.0.0.1:{port}")).await, None);
}

#[tokio::test]
async fn an_otlp_collector_is_asked() {
    let collector = Collector::start().await;
    let destination = format!("otlp+http://127.0.0.1:{}", collector.port);
    assert_eq!(problem(&destination).await, None);
    assert_eq!(collector.logs(), []);
    // A redirection is not followed: the collector is at the address that the user wrote.
    let moved = "Location: http://127.0.0.1:1/v1/logs\r\n";
    collector.answer([
        ("404 Not Found", "", b"<html>\n no such page</html>".to_vec()),
        ("308 Permanent Redirect", moved, Vec::new()),
    ]);
    let message = problem(&destination).await.unwrap();
    assert_eq!(message, format!("{destination}: the collector answers 404: <html> no such page</html>"));
    assert_eq!(problem(&destination).await, Some(format!("{destination}: the collector answers 308")));
}

#[tokio::test]
async fn https_is_spoken_where_it_is_asked_for() {
    let collector = Collector::start().await;
    // The collector speaks plain HTTP, which TLS can't make anything of.
    let message = problem(&format!("otlp+https://127.0.0.1:{}", collector.port)).await.unwrap();
    assert!(message.starts_with(&format!("otlp+https://127.0.0.1:{}: ", collector.port)), "{message}");
    assert_eq!(collector.sizes(), Vec::<usize>::new());
}

/// The variable that tells this test that it runs as a child, and which collector to ask.
const TRUSTED: &str = "ENID_TEST_TRUSTED_COLLECTOR";

#[tokio::test]
async fn certificates_are_verified_against_the_hosts() {
    // The host's certificates are the environment's to say (SSL_CERT_FILE), which is a whole process's.
    if let Ok(destination) = std::env::var(TRUSTED) {
        assert_eq!(problem(&destination).await, None);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (key, certificate) = (directory.path().join("key.pem"), directory.path().join("certificate.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]);
    openssl.args(["-subj", "/CN=collector", "-addext", "subjectAltName=IP:127.0.0.1"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    output(openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate));
    let port = free_tcp_port();
    let mut server = Command::new("python3");
    server.args(["-c", HTTPS_SERVER, &port.to_string()]).arg(&certificate).arg(&key);
    let _server = Process::start(server.stderr(Stdio::null()));
    wait_for("the server to listen", || is_listening(port));

    let destination = format!("otlp+https://127.0.0.1:{port}");
    let message = problem(&destination).await.unwrap();
    assert!(message.contains("certificate"), "{message}");
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "probe::certificates_are_verified_against_the_hosts"]);
    let said = output(child.env("SSL_CERT_FILE", &certificate).env(TRUSTED, &destination));
    assert!(said.contains("1 passed"), "{said}");
}

/// Answers every POST over TLS with yes.
const HTTPS_SERVER: &str = r#"
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

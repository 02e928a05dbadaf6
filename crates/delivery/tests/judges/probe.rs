//! What is said of destinations before anything is delivered.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use enid_delivery::{Destination, probe};

use crate::http::Collector;
use crate::process::{free_tcp_port, free_udp_port};

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
    std::fs::set_permissions(parent.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
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

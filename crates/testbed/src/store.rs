//! An object store that speaks S3 over HTTP: moto, which `scripts/setup test` installs.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a step that fails panics, since a test wants to know where it failed"
)]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use enid_netns::Namespace;

use crate::namespace::{command, inside, open};
use crate::wait_until;

/// A port of a namespace that nothing else is in.
const PORT: u16 = 9000;
/// How long Python may take to start on a machine under load.
const START: Duration = Duration::from_mins(1);

/// Credentials for whoever asks a store that checks none.
pub const CREDENTIALS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")];

/// A store on the loopback of a namespace, until it is dropped.
#[derive(Debug)]
pub struct ObjectStore {
    server: Child,
    namespace: Namespace,
}

impl ObjectStore {
    /// Starts a store in the namespace that is bound to `path`. It has no bucket yet. Of requests it takes so many without
    /// looking at their credentials; where absent, all.
    pub fn start(path: &Path, unchecked: Option<u32>) -> Self {
        let namespace = open(path);
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/python/bin");
        let mut server = Command::new(python.join("moto_server"));
        server.args(["-H", "127.0.0.1", "-p", &PORT.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(count) = unchecked {
            server.env("INITIAL_NO_AUTH_ACTION_COUNT", count.to_string());
        }
        let server = inside(&namespace, move || server.spawn()).expect("scripts/setup test installs moto");
        let store = Self { server, namespace };
        let answers = || store.connect().is_ok();
        assert!(wait_until(START, answers), "moto does not answer");
        store
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        inside(&self.namespace, || TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)))
    }

    /// Makes a bucket.
    #[track_caller]
    pub fn create_bucket(&self, name: &str) {
        let mut stream = self.connect().expect("moto listens");
        let request = format!(
            "PUT /{name} HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("ask");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// A place in a bucket, as flow logs and `enictl flows --from` name it.
    pub fn place(&self, bucket: &str, prefix: &str) -> String {
        format!("s3://{bucket}/{prefix}?endpoint=http://127.0.0.1:{PORT}&region=us-east-1")
    }

    /// Lets nobody reach it: connections are refused, those that there are reset.
    pub fn go_down(&self) {
        let chain = "{ type filter hook input priority 0; }";
        let rule = format!(
            "add table inet outage; add chain inet outage input {chain}; \
             add rule inet outage input tcp dport {PORT} reject with tcp reset"
        );
        command(&self.namespace, &["nft", &rule]);
    }

    /// Lets it be reached again.
    pub fn come_up(&self) {
        command(&self.namespace, &["nft", "delete table inet outage"]);
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        // One that ended already is what is wanted.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
